//! `cfx job watch`: a bar per stage, rate and time left, failures as they come; ends with the job.

use super::Context;
use super::job_status::{left, share};
use crate::client::ClientError;
use crate::{exit, output};
use anyhow::Result;
use domain::job_state::JobState;
use domain::{JobId, Reason, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};
use wire::http::v1::{EditYield, Job};

/// How often the job is asked for.
const EVERY: Duration = Duration::from_millis(500);
/// Without a terminal, one line in this time.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// A coordinator that restarts may be away this long before watching ends.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn run(at: &Context, job: &str) -> Result<u8> {
    let id: JobId = job.parse()?;
    let mut view = View::new(!at.json && std::io::stderr().is_terminal());
    let mut heard = Instant::now();
    let job = loop {
        match at.client.get::<Job>(&format!("/v1/jobs/{id}")).await {
            Ok(job) => {
                heard = Instant::now();
                view.show(&job, at.json);
                if job.state.is_terminal() && still_moving(&job) == 0 {
                    break job;
                }
            }
            Err(ClientError::Unreachable { .. }) if heard.elapsed() < PATIENCE => {
                output::note("the coordinator does not answer; waiting for it");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(EVERY).await;
    };
    view.clear();
    if at.json {
        output::json(&job)?;
    } else {
        super::job_status::print(&job);
    }
    Ok(match job.state {
        JobState::Succeeded => exit::OK,
        JobState::Partial | JobState::Failed => exit::FAILED_ITEMS,
        _ => exit::FAILURE,
    })
}

/// A cancelled job is over for its user at once; its tasks follow within moments, and the last look should show that.
fn still_moving(job: &Job) -> i64 {
    job.total() - ["succeeded", "dead", "cancelled"].into_iter().map(|s| job.count(None, s)).sum::<i64>()
}

struct View {
    terminal: bool,
    bars: MultiProgress,
    stages: BTreeMap<Stage, ProgressBar>,
    reasons: BTreeMap<Reason, i64>,
    stall: Option<String>,
    last_line: Option<Instant>,
}

impl View {
    fn new(terminal: bool) -> Self {
        Self {
            terminal,
            bars: MultiProgress::new(),
            stages: BTreeMap::new(),
            reasons: BTreeMap::new(),
            stall: None,
            last_line: None,
        }
    }

    fn show(&mut self, job: &Job, quiet: bool) {
        if quiet {
            return;
        }
        for reason in &job.reasons {
            let before = self.reasons.insert(reason.reason, reason.tasks).unwrap_or(0);
            if reason.tasks > before {
                self.remark(&format!("{} more dead: {}", reason.tasks - before, reason.reason));
            }
        }
        let stall = job.progress.as_ref().and_then(|p| p.stall.as_ref());
        if let Some(stall) = stall.filter(|s| self.stall.as_deref() != Some(s.code.as_str())) {
            self.remark(&format!("waits ({}): {}", stall.code, stall.detail));
        }
        self.stall = stall.map(|s| s.code.clone());
        if self.terminal { self.draw(job) } else { self.line(job) }
    }

    fn remark(&self, text: &str) {
        // above the bars; a terminal that went away is no reason to stop watching
        if !self.terminal || self.bars.println(text).is_err() {
            output::note(text);
        }
    }

    fn draw(&mut self, job: &Job) {
        for stage in Stage::ALL {
            let total: i64 = job.counts.iter().filter(|c| c.stage == stage).map(|c| c.tasks).sum();
            if total == 0 {
                continue;
            }
            let bar = self.stages.entry(stage).or_insert_with(|| {
                let style = ProgressStyle::with_template("{prefix:7} {wide_bar} {pos}/{len} {msg}");
                // safe because the template is a constant that parses
                let style = style.expect("a constant template");
                self.bars.add(ProgressBar::new(0)).with_style(style).with_prefix(stage.name())
            });
            bar.set_length(total.unsigned_abs());
            bar.set_position(job.count(Some(stage), "succeeded").unsigned_abs());
            bar.set_message(format!("{}{}{}", rate(job, stage), standing(job, stage), accepted(job, stage)));
        }
    }

    fn line(&mut self, job: &Job) {
        if self.last_line.is_some_and(|at| at.elapsed() < LINE_EVERY) && !job.state.is_terminal() {
            return;
        }
        self.last_line = Some(Instant::now());
        let stages = Stage::ALL.into_iter().filter_map(|stage| {
            let total: i64 = job.counts.iter().filter(|c| c.stage == stage).map(|c| c.tasks).sum();
            let done = job.count(Some(stage), "succeeded");
            (total > 0).then(|| format!("{stage} {done}/{total}{}{}", standing(job, stage), accepted(job, stage)))
        });
        let eta = job.progress.as_ref().and_then(|p| p.eta).map(|eta| format!("; {} left", left(eta)));
        let stages = stages.collect::<Vec<_>>().join(", ");
        output::note(format!("{}: {stages}{}", job.state, eta.unwrap_or_default()));
    }

    fn clear(&self) {
        for bar in self.stages.values() {
            bar.finish();
        }
    }
}

/// The coordinator's smoothed rate of a stage, and with the last stage that has tasks left the job's time left.
fn rate(job: &Job, stage: Stage) -> String {
    let Some(progress) = &job.progress else { return String::new() };
    let rate = progress.stages.iter().find(|s| s.stage == stage && s.done < s.total).and_then(|s| s.per_minute);
    let last = progress.stages.iter().rfind(|s| s.done + s.dead + s.cancelled < s.total).map(|s| s.stage);
    let eta = progress.eta.filter(|_| last == Some(stage)).map(|eta| format!(" {} left", left(eta)));
    format!("{}{}", rate.map_or_else(String::new, |r| format!(" {r:.1}/min")), eta.unwrap_or_default())
}

/// Of the images so far, the share that is accepted.
fn accepted(job: &Job, stage: Stage) -> String {
    let sum = |of: fn(&EditYield) -> i64| job.edits.iter().map(of).sum::<i64>();
    let (accepted, judged) = (sum(|e| e.accepted), sum(|e| e.accepted + e.rejected));
    if stage != Stage::Edit || judged == 0 {
        return String::new();
    }
    format!(" {} accepted", share(Some(accepted as f64 / judged as f64)))
}

/// What of a stage is neither done nor simply waiting.
fn standing(job: &Job, stage: Stage) -> String {
    let parts = ["running", "blocked", "retry_wait", "paused", "dead"].into_iter().filter_map(|state| {
        let tasks = job.count(Some(stage), state);
        (tasks > 0).then(|| format!(" {tasks} {}", state.replace('_', " ")))
    });
    parts.collect()
}
