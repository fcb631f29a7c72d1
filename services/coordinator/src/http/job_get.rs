//! `GET /v1/jobs/{id}`.

use super::extract::{Project, parse};
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::job::JobSpec;
use domain::{JobId, ProjectId};
use std::collections::BTreeMap;
use store::{EditVerdicts, JobRow, Phase, ProgressRow, Surroundings};
use wire::http::v1::{Count, EditYield, Eta, Job, Progress, ReasonCount, StageProgress, Stall};

/// The project's job of this id.
pub async fn find(app: &App, project: ProjectId, id: JobId) -> Result<JobRow, ApiError> {
    app.store.job(project, id).await?.ok_or_else(|| ApiError::NotFound(format!("there is no job {id}")))
}

/// A job with its counts, its rates and why it stands still.
pub async fn detailed(app: &App, row: JobRow) -> Result<Job, ApiError> {
    let counts = app.store.counts(row.seq).await?;
    let progress = app.store.progress(&row, &counts, &surroundings(app)).await?;
    let (reasons, verdicts) = (app.store.reasons(row.seq).await?, app.store.verdicts(row.seq).await?);
    Ok(Job { progress: Some(told(progress)), ..view_of(row, counts, reasons, verdicts) })
}

/// A job with its counts.
pub async fn view(app: &App, row: JobRow) -> Result<Job, ApiError> {
    let counts = app.store.counts(row.seq).await?;
    let (reasons, verdicts) = (app.store.reasons(row.seq).await?, app.store.verdicts(row.seq).await?);
    Ok(view_of(row, counts, reasons, verdicts))
}

/// Jobs with their counts: a reading of each kind for all of them.
pub async fn views(app: &App, rows: Vec<JobRow>) -> Result<Vec<Job>, ApiError> {
    let jobs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let mut counts = app.store.counts_of(&jobs).await?;
    let mut reasons = app.store.reasons_of(&jobs).await?;
    let mut verdicts = app.store.verdicts_of(&jobs).await?;
    let view = |row: JobRow| {
        let seq = row.seq;
        let counts = counts.remove(&seq).unwrap_or_default();
        let (reasons, verdicts) = (reasons.remove(&seq).unwrap_or_default(), verdicts.remove(&seq).unwrap_or_default());
        view_of(row, counts, reasons, verdicts)
    };
    Ok(rows.into_iter().map(view).collect())
}

fn surroundings(app: &App) -> Surroundings {
    Surroundings {
        broker_connected: app.publisher.is_connected(),
        broker_blocked: app.publisher.is_blocked(),
        outbox_bound: app.config.tuning.outbox_bound,
    }
}

fn told(row: ProgressRow) -> Progress {
    let stage = |s: store::StageProgress| StageProgress {
        stage: s.stage,
        total: s.total(),
        done: s.tasks(Phase::Succeeded),
        running: s.tasks(Phase::Dispatched) + s.tasks(Phase::Running),
        ready: s.tasks(Phase::Ready),
        blocked: s.tasks(Phase::Blocked),
        retrying: s.tasks(Phase::RetryWait),
        paused: s.tasks(Phase::Paused),
        dead: s.tasks(Phase::Dead),
        cancelled: s.tasks(Phase::Cancelled),
        per_minute: s.per_second.map(|rate| rate * 60.0),
        estimate_gpu_seconds: s.estimate_ms.map(|ms| ms / 1000.0),
    };
    Progress {
        stages: row.stages.into_iter().map(stage).collect(),
        gpu_seconds_spent: row.spent_ms / 1000.0,
        gpu_seconds_saved: row.saved_ms / 1000.0,
        eta: row.eta.map(|eta| Eta { seconds: eta.seconds, low: eta.low, high: eta.high }),
        stall: row.stall.map(|stall| Stall { code: stall.code.to_owned(), detail: stall.detail, until: stall.until }),
    }
}

fn view_of(
    row: JobRow,
    counts: Vec<store::Count>,
    by_stage: Vec<store::ReasonCount>,
    verdicts: BTreeMap<i16, EditVerdicts>,
) -> Job {
    let mut reasons = BTreeMap::new();
    for count in by_stage {
        *reasons.entry(count.reason).or_insert(0) += count.n;
    }
    Job {
        id: row.id,
        seq: row.seq,
        edits: yields(&row.spec, verdicts),
        warnings: warnings(&row.spec),
        spec: row.spec,
        state: row.state,
        gpu_ms: counts.iter().map(|c| c.gpu_ms).sum(),
        counts: counts
            .into_iter()
            .filter(|c| c.n != 0)
            .map(|c| Count { stage: c.stage, state: c.phase.name().to_owned(), tasks: c.n })
            .collect(),
        reasons: reasons.into_iter().map(|(reason, tasks)| ReasonCount { reason, tasks }).collect(),
        memoised: row.memoised,
        limits: row.limits,
        progress: None,
        created_at: row.created_at,
        finished_at: row.finished_at,
    }
}

/// What came of each edit. Every image that was made has one verdict or none, so their sum is the number of images.
fn yields(spec: &JobSpec, mut verdicts: BTreeMap<i16, EditVerdicts>) -> Vec<EditYield> {
    let of = |(no, edit): (i16, &domain::edit::EditSpec)| {
        let EditVerdicts { accepted, rejected, unjudged, reasons } = verdicts.remove(&no).unwrap_or_default();
        let judged = accepted + rejected;
        EditYield {
            edit: edit.slug(),
            method: edit.method.name().to_owned(),
            succeeded: judged + unjudged,
            accepted,
            rejected,
            unjudged,
            accepted_yield: (judged > 0).then(|| accepted as f64 / judged as f64),
            reasons,
        }
    };
    (0..).zip(&spec.edits).map(of).collect()
}

/// What is allowed and yet rarely meant.
fn warnings(spec: &JobSpec) -> Vec<String> {
    let of = |(index, edit): (usize, &domain::edit::EditSpec)| {
        let training = edit.method.training().filter(|_| edit.method.given_mapper().is_none())?;
        (training.train_on == spec.dataset).then(|| {
            format!(
                "edits[{index}].method.train_on is the edited dataset '{}': the mapper sees these very images in training, so its \
                 yield says nothing about others",
                spec.dataset
            )
        })
    };
    spec.edits.iter().enumerate().filter_map(of).collect()
}

/// The job.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "get_job",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    responses((status = 200, description = "The job with its progress.", body = Job)),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    detailed(&app, row).await.map(Json)
}
