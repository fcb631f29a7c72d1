//! `GET /v1/jobs/{id}/tasks` and `GET /v1/tasks/{task}`.

use super::extract::{KnownQuery, Project, limit, parse, task_cursor, text_of};
use super::job_get::find;
use super::ndjson;
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::task_state::TaskState;
use domain::{DatasetId, JobId, Stage, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use store::{JobRow, Phase, TaskRow};
use utoipa::IntoParams;
use utoipa::openapi::schema::Object;
use wire::http::v1::{Page, Task};

/// Which tasks.
#[derive(Clone, Debug, Default, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those in this state.
    #[param(schema_with = states)]
    pub state: Option<String>,
    /// Only those of this stage, among the rows of a page.
    #[param(value_type = Option<Stage>)]
    pub stage: Option<String>,
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

/// The states that a list can be asked for.
fn states() -> Object {
    text_of(Phase::ALL.map(Phase::name))
}

/// Sources read in one go when tasks lie close together in the dataset.
const SPAN: i64 = 5_000;

/// URIs by ordinal.
async fn uris(app: &App, dataset: DatasetId, ordinals: &BTreeSet<i64>) -> Result<BTreeMap<i64, String>, ApiError> {
    let mut found = BTreeMap::new();
    let mut rest = ordinals.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| next - first < SPAN) {
            last = next;
        }
        let sources = app.store.sources(dataset, Some(first - 1), last - first + 1).await?;
        found.extend(sources.into_iter().map(|s| (s.ordinal, s.uri)));
    }
    Ok(found)
}

fn view(row: TaskRow, job: &JobRow, uris: &BTreeMap<i64, String>) -> Task {
    let edit = row.edit_no.and_then(|no| job.spec.edits.get(usize::try_from(no).ok()?));
    let reason = match row.task.state {
        TaskState::Dead { reason } | TaskState::RetryWait { reason } => Some(reason),
        _ => None,
    };
    Task {
        id: row.id,
        stage: row.stage,
        state: row.task.state.name().to_owned(),
        edit: edit.map(domain::edit::EditSpec::slug),
        source: row.ordinal.and_then(|ordinal| uris.get(&ordinal).cloned()),
        epoch: row.task.epoch,
        attempts: row.task.attempts,
        losses: row.task.losses,
        reason,
        detail: row.detail,
        cancelled_for: row.cancelled_for,
    }
}

/// One page, by number.
pub async fn list(app: &App, job: &JobRow, filter: &Filter) -> Result<Page<Task>, ApiError> {
    let phase = filter.state.as_deref().map(parse::<Phase>).transpose()?;
    let stage = filter.stage.as_deref().map(parse::<Stage>).transpose()?;
    let limit = limit(filter.limit)?;
    let after = task_cursor(filter.after.as_deref())?;
    let rows = app.store.tasks(job.seq, phase, after, limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.id.no.to_string());
    let uris = uris(app, job.dataset, &rows.iter().filter_map(|row| row.ordinal).collect()).await?;
    let rows = rows.into_iter().filter(|row| stage.is_none_or(|stage| stage == row.stage));
    Ok(Page { items: rows.map(|row| view(row, job, &uris)).collect(), next })
}

/// The list.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/tasks",
    operation_id = "list_tasks",
    tag = "tasks",
    params(("id" = JobId, Path, description = "The job."), Filter),
    responses((status = 200, description = "A page, by number. With `accept: application/x-ndjson` the whole list, a row a line.", content((Page<Task> = "application/json"), (String = "application/x-ndjson")))),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    headers: HeaderMap,
    KnownQuery(filter): KnownQuery<Filter>,
) -> Result<Response, ApiError> {
    let job = find(&app, project, parse(&id)?).await?;
    ndjson::of_job(&headers, app, job, filter, |of, filter| async move { list(&of.0, &of.1, &filter).await }).await
}

/// One task of the project.
#[utoipa::path(
    get,
    path = "/v1/tasks/{task}",
    operation_id = "get_task",
    tag = "tasks",
    params(("task" = TaskId, Path, description = "The task.")),
    responses((status = 200, description = "The task.", body = Task)),
)]
pub async fn one(
    State(app): State<App>,
    Project(project): Project,
    Path(task): Path<String>,
) -> Result<Json<Task>, ApiError> {
    let id: TaskId = parse(&task)?;
    let missing = || ApiError::NotFound(format!("there is no task {id}"));
    let job = app.store.job_by_seq(id.job).await?.filter(|job| job.project == project).ok_or_else(missing)?;
    let row = app.store.task(id).await?.ok_or_else(missing)?;
    let uris = uris(&app, job.dataset, &row.ordinal.into_iter().collect()).await?;
    Ok(Json(view(row, &job, &uris)))
}
