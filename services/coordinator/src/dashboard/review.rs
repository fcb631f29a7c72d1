//! `POST /ui/results/{task}/review`: what a reviewer says of a result.

use super::ui::{Form, Fragment, fragment};
use crate::app::App;
use crate::http::etag::IfMatch;
use crate::http::extract::{Actor, Project, parse};
use crate::http::reviews;
use askama::Template;
use axum::extract::{Path, State};
use wire::http::v1::{EditResult, SetReview};

/// The buttons and what was said.
#[derive(Template)]
#[template(path = "review.html")]
pub struct ReviewBox<'a> {
    /// The result.
    pub r: &'a EditResult,
    /// Whether there is room for a note.
    pub wide: bool,
}

/// The decision.
#[derive(serde::Deserialize)]
pub struct Said {
    /// Empty takes the review away.
    #[serde(default)]
    decision: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    wide: bool,
}

/// The buttons after it.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(task): Path<String>,
    Form(said): Form<Said>,
) -> Fragment {
    let decision = Some(said.decision.as_str()).filter(|d| !d.is_empty()).map(parse).transpose()?;
    let review = SetReview { decision, note: said.note };
    let result = reviews::set(&app, project, &actor, parse(&task)?, &IfMatch::NONE, review).await?;
    fragment(&ReviewBox { r: &result, wide: said.wide })
}
