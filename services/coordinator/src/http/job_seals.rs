//! `GET /v1/jobs/{id}/seals`: what a job came to, signed. The files are blobs.

use super::extract::{Project, parse};
use super::job_get;
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::JobId;
use wire::http::v1::{JobSeal, JobSeals, SealedFile};

/// The seals, newest first; none before the job has ended.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/seals",
    operation_id = "list_seals",
    tag = "provenance",
    params(("id" = JobId, Path, description = "The job.")),
    responses((status = 200, description = "The seals, newest first; none before the job has ended.", body = JobSeals)),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
) -> Result<Json<JobSeals>, ApiError> {
    let job = job_get::find(&app, project, parse(&id)?).await?;
    let file = |file: store::SealedFile| SealedFile { name: file.name, sha256: file.sha256, bytes: file.bytes };
    let view = |row: store::SealRow| JobSeal {
        finished_at: row.finished_at,
        sealed_at: row.sealed_at,
        key_id: row.key_id,
        attestation: row.attestation,
        files: row.files.into_iter().map(file).collect(),
        results: row.results,
        failures: row.failures,
    };
    Ok(Json(JobSeals { seals: app.store.seals(job.seq).await?.into_iter().map(view).collect() }))
}
