//! `POST /v1/jobs`: submits a job, once per `Idempotency-Key`.

use super::audit;
use super::extract::{Actor, Json, Project};
use super::idempotency;
use super::job_get::view;
use super::problem::ApiError;
use crate::app::App;
use crate::submit;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::ProjectId;
use domain::job::JobSpec;
use serde_json::json;
use store::Submitted;
use wire::http::v1::{Job, Problem};

/// Submits a job: 201 and the job when it is new, 200 and the earlier one when the same specification came with the same key before.
pub async fn submit(
    app: &App,
    project: ProjectId,
    actor: &Actor,
    key: String,
    spec: JobSpec,
) -> Result<(StatusCode, Job), ApiError> {
    let job = submit::resolve(app, project, key.clone(), Some(actor.described()), spec).await?;
    let (status, row) = match app.store.submit(&job).await? {
        Submitted::Created(row) => {
            tracing::info!(job = %row.id, seq = row.seq, name = row.spec.name, "a job was submitted");
            metrics::counter!("cfx_jobs_submitted_total").increment(1);
            audit::note(app, actor, "job.submit", row.id, json!({ "name": row.spec.name })).await?;
            app.wake.enqueue.notify_one();
            (StatusCode::CREATED, row)
        }
        Submitted::Same(row) => (StatusCode::OK, row),
        Submitted::KeyReused => return Err(ApiError::KeyReused(key)),
    };
    Ok((status, view(app, row).await?))
}

/// 201 when new, 200 when the same specification came with the same key before.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "submit_job",
    tag = "jobs",
    params(("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]+$", description = "One job a key and project, for as long as the job is there.")),
    request_body = JobSpec,
    responses(
        (status = 200, description = "The same specification came with this key before: its job.", body = Job),
        (status = 201, description = "The new job.", body = Job),
        (status = 409, description = "The dataset is still being imported.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    headers: HeaderMap,
    Json(spec): Json<JobSpec>,
) -> Result<(StatusCode, axum::Json<Job>), ApiError> {
    let key = idempotency::of(&headers)?.unwrap_or_else(|| format!("once-{}", uuid::Uuid::new_v4()));
    let (status, job) = submit(&app, project, &actor, key, spec).await?;
    Ok((status, axum::Json(job)))
}
