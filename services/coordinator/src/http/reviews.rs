//! `PUT /v1/results/{task}/review`: what a person says of a result. It stands beside the verdict and never changes it; what was said
//! before is in the audit log.

use super::audit;
use super::etag::{self, IfMatch};
use super::extract::{Actor, Json, Project, parse};
use super::problem::ApiError;
use super::results;
use crate::app::App;
use axum::extract::{Path, State};
use domain::{ProjectId, TaskId};
use serde_json::json;
use wire::http::v1::{EditResult, Problem, Review, SetReview};

/// Longest note, in characters.
const LONGEST_NOTE: usize = 2_000;

/// A review as it is answered.
pub fn told(review: store::Review) -> Review {
    Review { decision: review.decision, note: review.note, reviewer: review.reviewer, at: review.at }
}

/// Sets or takes away the review; the result with it.
pub async fn set(
    app: &App,
    project: ProjectId,
    actor: &Actor,
    task: TaskId,
    condition: &IfMatch,
    review: SetReview,
) -> Result<EditResult, ApiError> {
    let before = results::find(app, project, task).await?;
    condition.hold(&etag::of_json(&before)?)?;
    let seen = condition.given().then(|| before.review.as_ref().map(|review| review.at));
    let note = review.note.trim();
    if note.chars().count() > LONGEST_NOTE {
        return Err(ApiError::InvalidRequest(format!("note is longer than {LONGEST_NOTE} characters; shorten it")));
    }
    let changed = match review.decision {
        Some(decision) => app.store.review(task, decision, note, &actor.name, seen).await?,
        None => app.store.unreview(task, seen).await?,
    };
    if !changed && seen.is_some() && (review.decision.is_some() || before.review.is_some()) {
        return Err(ApiError::Changed);
    }
    if changed {
        let detail = json!({ "decision": review.decision, "note": note, "before": before.review });
        audit::note(app, actor, "result.review", task, detail).await?;
    }
    results::find(app, project, task).await
}

/// The endpoint.
#[utoipa::path(
    put,
    path = "/v1/results/{task}/review",
    operation_id = "review_result",
    tag = "results",
    params(("task" = TaskId, Path, description = "The task."), ("if-match" = Option<String>, Header, min_length = 1, max_length = 1_000, pattern = "^[ -~]+$", description = "The `etag` of what was seen: without it the latest word stands.")),
    request_body = SetReview,
    responses((status = 200, description = "The result with its review.", body = EditResult), (status = 412, description = "It was changed meanwhile.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    condition: IfMatch,
    Path(task): Path<String>,
    Json(review): Json<SetReview>,
) -> Result<axum::Json<EditResult>, ApiError> {
    set(&app, project, &actor, parse(&task)?, &condition, review).await.map(axum::Json)
}
