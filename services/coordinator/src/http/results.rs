//! `GET /v1/jobs/{id}/results` and `GET /v1/results/{task}`.

use super::extract::{KnownQuery, Project, limit, parse, task_cursor, text_of};
use super::job_get;
use super::ndjson;
use super::problem::ApiError;
use super::reviews;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::accept::RejectReason;
use domain::edit::EditSpec;
use domain::review::Decision;
use domain::{JobId, TaskId};
use store::{JobRow, ResultFilter, ResultRow, VerdictKind};
use utoipa::IntoParams;
use utoipa::openapi::schema::Object;
use wire::http::v1::{EditResult, Page};

/// Which results.
#[derive(Clone, Debug, Default, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Slug of the edit.
    pub edit: Option<String>,
    /// `accepted`, `rejected` or `unjudged`.
    #[param(schema_with = verdicts)]
    pub verdict: Option<String>,
    /// Why it was rejected, for example `target-missed`.
    #[param(value_type = Option<RejectReason>)]
    pub reason: Option<String>,
    /// A reviewer's decision: `flagged`, `rejected` or `approved`.
    #[param(value_type = Option<Decision>)]
    pub review: Option<String>,
    /// Cursor: `next` of the last page.
    #[param(pattern = "^[0-9]{1,9}$")]
    pub after: Option<String>,
    /// Rows of a page; 100 when absent.
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<u32>,
}

impl ndjson::Asked for Filter {
    fn place(&self) -> (Option<String>, Option<u32>) {
        (self.after.clone(), self.limit)
    }

    fn at(&self, after: Option<String>, limit: Option<u32>) -> Self {
        Self { after, limit, ..self.clone() }
    }
}

/// The verdicts that a list can be asked for.
fn verdicts() -> Object {
    text_of(VerdictKind::ALL.map(VerdictKind::name))
}

/// A result as it is answered.
pub fn view(row: ResultRow, job: &JobRow) -> EditResult {
    let edit = usize::try_from(row.edit_no).ok().and_then(|no| job.spec.edits.get(no));
    EditResult {
        task: row.task,
        edit: row.edit_slug,
        text: edit.map_or("", |edit| &edit.text).to_owned(),
        method: edit.map_or("", |edit| edit.method.name()).to_owned(),
        strength: row.strength,
        seed: row.seed,
        ordinal: row.ordinal,
        source_uri: row.source_uri,
        source: row.source_sha256,
        image: row.image,
        reconstruction: row.reconstruction,
        signed_reconstruction: row.signed_reconstruction,
        record: row.record,
        metrics: row.metrics,
        verdict: row.verdict,
        rejected_for: row.rejected_for,
        gpu_ms: row.gpu_ms,
        created_at: row.created_at,
        review: row.review.map(reviews::told),
    }
}

/// The verdict asked for, also by the name that records give it.
pub fn verdict(text: &str) -> Result<VerdictKind, ApiError> {
    match text {
        "accept" => Ok(VerdictKind::Accepted),
        "reject" => Ok(VerdictKind::Rejected),
        other => parse(other),
    }
}

/// The number of the edit with this slug.
pub fn edit_no(job: &JobRow, slug: &str) -> Result<i16, ApiError> {
    let found = job.spec.edits.iter().position(|edit| edit.slug() == slug).and_then(|no| i16::try_from(no).ok());
    found.ok_or_else(|| {
        let slugs: Vec<String> = job.spec.edits.iter().map(EditSpec::slug).collect();
        ApiError::InvalidParameter(format!("the job has no edit '{slug}'; {}", super::problem::known(&slugs)))
    })
}

/// What the filter says of the job's results, in the store's words.
pub fn asked(job: &JobRow, filter: &Filter) -> Result<ResultFilter, ApiError> {
    Ok(ResultFilter {
        edit_no: filter.edit.as_deref().map(|slug| edit_no(job, slug)).transpose()?,
        verdict: filter.verdict.as_deref().map(verdict).transpose()?,
        reason: filter.reason.as_deref().map(parse).transpose()?,
        decision: filter.review.as_deref().map(parse).transpose()?,
    })
}

/// One page, by task number.
pub async fn list(app: &App, job: &JobRow, filter: &Filter) -> Result<Page<EditResult>, ApiError> {
    let limit = limit(filter.limit)?;
    let asked = asked(job, filter)?;
    let after = task_cursor(filter.after.as_deref())?;
    let rows = app.store.results(job.seq, asked, after, limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.task.no.to_string());
    Ok(Page { items: rows.into_iter().map(|row| view(row, job)).collect(), next })
}

/// The result of a task.
pub async fn find(app: &App, project: domain::ProjectId, task: TaskId) -> Result<EditResult, ApiError> {
    let missing = || ApiError::NotFound(format!("there is no result of task {task}"));
    let job = app.store.job_by_seq(task.job).await?.filter(|job| job.project == project).ok_or_else(missing)?;
    Ok(view(app.store.result(task).await?.ok_or_else(missing)?, &job))
}

/// The list.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/results",
    operation_id = "list_results",
    tag = "results",
    params(("id" = JobId, Path, description = "The job."), Filter),
    responses((status = 200, description = "A page, by task number. With `accept: application/x-ndjson` the whole list, a row a line.", content((Page<EditResult> = "application/json"), (String = "application/x-ndjson")))),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    headers: HeaderMap,
    KnownQuery(filter): KnownQuery<Filter>,
) -> Result<Response, ApiError> {
    let job = job_get::find(&app, project, parse(&id)?).await?;
    ndjson::of_job(&headers, app, job, filter, |of, filter| async move { list(&of.0, &of.1, &filter).await }).await
}

/// One.
#[utoipa::path(
    get,
    path = "/v1/results/{task}",
    operation_id = "get_result",
    tag = "results",
    params(("task" = TaskId, Path, description = "The task.")),
    responses((status = 200, description = "The result.", body = EditResult)),
)]
pub async fn one(
    State(app): State<App>,
    Project(project): Project,
    Path(task): Path<String>,
) -> Result<Json<EditResult>, ApiError> {
    find(&app, project, parse(&task)?).await.map(Json)
}
