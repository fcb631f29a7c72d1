//! I9: two projects of unequal weight, both with work all the time.

use super::{Found, ended};
use crate::api::Body;
use crate::rig::Rig;
use crate::soak::load::PROJECTS;
use crate::soak::sample::{Sample, backlogged};
use crate::soak::{judge, load};
use anyhow::Result;
use reqwest::Method;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The invariant speaks of five minutes (the soak looks at those); less is harder to keep.
const WINDOW_S: f64 = 15.0;
const LASTS: Duration = Duration::from_secs(35);
/// A fifth of what three workers can do in that time, and twelve times what one dispatcher hands a project at once.
const LEAST_MS: f64 = 9_000.0;
const LEAST_SHARE: f64 = 0.8;
/// Images of every edit: more than can be made meanwhile.
const SEEDS: u64 = 40;

/// Runs it.
///
/// # Errors
/// When the harness itself fails.
pub async fn run(rig: &Rig, seed: u64) -> Result<Found> {
    load::projects(rig).await?;
    // what such work costs is learnt from the first of it: before, a training counts as a minute
    let (_, first) = rig.api.submit(seed * 1000 + 999).await?;
    let learnt = ended(rig, first, Duration::from_secs(120), &[]).await?;
    let mut jobs = Vec::new();
    for (place, (project, _)) in PROJECTS.iter().enumerate() {
        // keys of their own: what another job has computed is no work
        let (id, seq) = rig.api.submit_as(project, seed * 1000 + 500 * place as u64, SEEDS).await?;
        jobs.push((project, id, seq));
    }
    let (began, mut samples) = (Instant::now(), Vec::new());
    while began.elapsed() < LASTS {
        let at = chrono::Utc::now().timestamp_micros() as f64 / 1e6;
        samples.push(Sample { at, values: BTreeMap::new(), backlogged: backlogged(rig).await.ok() });
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let served = judge::served(rig).await?;
    let weights: Vec<f64> = PROJECTS.iter().map(|(_, weight)| *weight).collect();
    let told = judge::shares(&samples, &served, &weights, (WINDOW_S, LEAST_MS));
    rig.note(format!("{told:?}"));
    let begin = samples.first().map_or(0.0, |sample| sample.at);
    for from in (0..LASTS.as_secs()).step_by(5) {
        let within = |at: f64| at >= begin + from as f64 && at < begin + from as f64 + 5.0;
        let got =
            |project| served.iter().filter(|(at, p, _)| within(*at) && *p == project).map(|(.., ms)| ms).sum::<f64>();
        let asked: Vec<_> = samples.iter().filter(|sample| within(sample.at)).map(|sample| sample.backlogged).collect();
        let waited = asked.iter().filter(|waits| **waits == Some(true)).count();
        let (one, other) = (got(0), got(1));
        rig.note(format!(
            "from {from} s: {one:.0} and {other:.0} ms; both had work at {waited} of {} looks",
            asked.len()
        ));
    }
    let mut found = Found { recovery_s: None, violations: learnt.violations };
    match told.worst {
        // the machine did too little to tell
        None if told.idle > 0 => rig.note("I9 was not looked at: too little was done in every window"),
        None => found.violations.push("I9: in no window did both projects have work: nothing was looked at".to_owned()),
        Some(worst) if worst < LEAST_SHARE => {
            found.violations.push(format!("I9: a project got {worst:.2} of its share, not {LEAST_SHARE}"));
        }
        Some(_) => {}
    }
    for (project, id, seq) in jobs {
        rig.api.send_as(project, Method::POST, &format!("/v1/jobs/{id}/cancel"), Body::None).await?;
        found.violations.extend(ended(rig, seq, Duration::from_secs(60), &["I1: a job whose end"]).await?.violations);
    }
    Ok(found)
}
