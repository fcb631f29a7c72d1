//! `GET /results/{task}`: one output, with how it was made; `GET /ui/results/{task}/credential`: whether its credential holds.

use super::filters::{self, span};
use super::review::ReviewBox;
use super::ui::{Fragment, fragment};
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Project, parse};
use crate::http::problem::{ApiError, internal};
use crate::http::{record, results};
use askama::Template;
use axum::extract::{Path, State};
use credentials::{Anchors, CredentialError, read_credential};
use domain::record::Record;
use domain::{JobId, TaskId};
use store::ResultFilter;
use wire::http::v1::EditResult;

/// A hand-out of the task.
pub struct Step {
    /// Its number.
    pub epoch: i64,
    /// When it began, if it did.
    pub began: Option<String>,
    /// When it ended.
    pub ended: String,
    /// How long it took.
    pub took: Option<String>,
    /// `succeeded`, `failed`, `lost` or `yielded`; also the CSS class.
    pub outcome: String,
    /// Why.
    pub why: String,
    /// The worker process.
    pub boot: Option<domain::BootId>,
}

/// The task's hand-outs that ended without a result.
pub async fn attempts(app: &App, task: TaskId) -> Result<Vec<Step>, ApiError> {
    let step = |attempt: store::Attempt| Step {
        epoch: attempt.epoch,
        began: attempt.started_at.map(|at| at.format("%F %T").to_string()),
        ended: attempt.ended_at.format("%F %T").to_string(),
        took: attempt.started_at.map(|at| span((attempt.ended_at - at).as_seconds_f64().max(0.0))),
        outcome: attempt.outcome,
        why: [attempt.reason, attempt.detail].into_iter().flatten().collect::<Vec<_>>().join(": "),
        boot: attempt.boot,
    };
    Ok(app.store.attempts(task).await?.into_iter().map(step).collect())
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage {
    tab: &'static str,
    job: JobId,
    job_name: String,
    text: String,
    neutral: String,
    /// Loss per step, as JSON.
    loss: String,
    loss_label: String,
    steps: Vec<Step>,
    stages: Vec<(String, String)>,
    recipe: String,
    record_text: String,
    review: String,
    next: Option<TaskId>,
    record: Record,
    r: EditResult,
}

fn pretty(value: &impl serde::Serialize) -> Result<String, ApiError> {
    serde_json::to_string_pretty(value).map_err(|error| internal("writing a record", &error))
}

fn loss_label(loss: &[f64]) -> String {
    match loss {
        [] => String::new(),
        [first, rest @ ..] => {
            let last = rest.last().unwrap_or(first);
            format!("Loss over {} steps, from {first:.4} to {last:.4}", loss.len())
        }
    }
}

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Path(task): Path<String>) -> Page {
    let task: TaskId = parse(&task)?;
    let r = results::find(&app, project, task).await?;
    let record = record::find(&app, r.record).await?;
    let mut steps = attempts(&app, task).await?;
    let done = &record.execution;
    steps.push(Step {
        epoch: done.epoch,
        began: Some(done.started_at.format("%F %T").to_string()),
        ended: done.finished_at.format("%F %T").to_string(),
        took: Some(span((done.finished_at - done.started_at).as_seconds_f64().max(0.0))),
        outcome: "succeeded".to_owned(),
        why: format!("on {}", done.device),
        boot: Some(done.boot),
    });
    let job = app.store.job_by_seq(task.job).await?;
    let following = app.store.results(task.job, ResultFilter::default(), Some(task.no), 1).await?;
    let loss = &record.outcome.loss;
    render(&ResultPage {
        tab: "jobs",
        job: record.links.job,
        job_name: job.map(|job| job.spec.name).unwrap_or_default(),
        text: record.recipe.edit.text.clone(),
        neutral: record.recipe.edit.neutral.clone(),
        loss: if loss.is_empty() { String::new() } else { serde_json::to_string(loss).unwrap_or_default() },
        loss_label: loss_label(loss),
        steps,
        stages: done.milliseconds.iter().map(|(name, ms)| (name.clone(), span(ms / 1000.0))).collect(),
        recipe: pretty(&record.recipe)?,
        record_text: pretty(&record)?,
        review: render(&ReviewBox { r: &r, wide: true })?.0,
        next: following.first().map(|row| row.task),
        record,
        r,
    })
}

#[derive(Template)]
#[template(path = "credential.html")]
struct CredentialBox {
    /// `trusted`, `valid`, `invalid` or `absent`; also the CSS class.
    state: &'static str,
    told: &'static str,
    signed_by: String,
    written_by: String,
    failures: Vec<String>,
    /// The record that it names is the one on this page.
    record_matches: Option<bool>,
}

/// What the credential says. Apart from the page, because the picture has to be fetched and its signature checked.
pub async fn credential(State(app): State<App>, Project(project): Project, Path(task): Path<String>) -> Fragment {
    let result = results::find(&app, project, parse(&task)?).await?;
    let file = app.artifacts.get(result.image).await.map_err(ApiError::from)?;
    let keys = app.store.signing_keys().await?;
    let pem: Vec<String> = keys.into_iter().filter_map(|key| key.anchor).collect();
    let anchors = if pem.is_empty() { Ok(Anchors::default()) } else { Anchors::read(&pem.join("\n")) };
    let anchors = anchors.map_err(|error| internal("reading the anchors of the signing keys", &error))?;
    let read = tokio::task::spawn_blocking(move || read_credential(&file, &anchors)).await;
    let read = read.map_err(|error| internal("reading a credential", &error))?;
    fragment(&match read {
        Ok(found) => {
            let (state, told) = match found.state {
                credentials::State::Trusted => ("trusted", "This installation signed it, and it is unchanged since"),
                credentials::State::Valid => {
                    ("valid", "Signed, and unchanged since, by a key that no anchor of this installation vouches for")
                }
                credentials::State::Invalid => {
                    ("invalid", "It does not hold: the file, the claim or the signature was changed")
                }
            };
            CredentialBox {
                state,
                told,
                signed_by: found.signed_by.unwrap_or_default(),
                written_by: found.written_by.unwrap_or_default(),
                record_matches: found.record.map(|claim| claim.record_digest == result.record),
                failures: found.failures,
            }
        }
        Err(error) => {
            let (state, told) = match error {
                CredentialError::None => ("absent", "The picture carries no credential"),
                _ => ("invalid", "It cannot be read"),
            };
            let (signed_by, written_by) = (String::new(), String::new());
            CredentialBox {
                state,
                told,
                signed_by,
                written_by,
                failures: vec![error.to_string()],
                record_matches: None,
            }
        }
    })
}
