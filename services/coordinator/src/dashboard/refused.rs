//! A problem as a page.

use crate::http::problem::ApiError;
use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use wire::http::v1::Problem;

/// Why a page cannot be shown.
pub struct Refused(pub ApiError);

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    tab: &'static str,
    problem: Problem,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = self.0.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match (RefusedPage { tab: "", problem }).render() {
            Ok(text) => {
                let mut answer = (status, Html(text)).into_response();
                self.0.explain(answer.headers_mut());
                answer
            }
            Err(_) => self.0.into_response(),
        }
    }
}
