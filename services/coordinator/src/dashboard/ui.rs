//! What the requests of pages have in common: `/ui/...` answers with fragments that htmx puts into the page, and refusals go to the
//! place for notices, whatever the target was.
//!
//! Each request that changes something is a POST with the header `x-csrf-token`, which `assets/app.js` takes from the page's
//! `<meta name="csrf-token">`; it calls what the `/v1` endpoint calls, and is audited as that is.

use crate::app::App;
use crate::http::extract::{body, without_nul};
use crate::http::problem::{ApiError, internal};
use askama::Template;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::de::DeserializeOwned;

/// Bytes of a form at most: it holds texts.
const LONGEST_FORM: usize = 256 << 10;

/// Why a request of a page is refused.
pub struct Denied(pub ApiError);

impl<E: Into<ApiError>> From<E> for Denied {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct Notice<'a> {
    kind: &'a str,
    title: &'a str,
    text: &'a str,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let problem = self.0.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = Notice { kind: "bad", title: &problem.title, text: &problem.detail }.render().unwrap_or_default();
        let to =
            [(HeaderName::from_static("hx-retarget"), "#notices"), (HeaderName::from_static("hx-reswap"), "innerHTML")];
        (status, to, Html(text)).into_response()
    }
}

/// A fragment, or a notice of why not.
pub type Fragment = Result<Html<String>, Denied>;

/// A rendered fragment.
pub fn fragment(template: &impl Template) -> Fragment {
    template.render().map(Html).map_err(|error| Denied(internal("rendering a fragment", &error)))
}

/// A fragment that says something, shown where notices are.
pub fn noticed(template: &impl Template, title: &str, text: &str) -> Fragment {
    let Html(body) = fragment(template)?;
    let notice = Notice { kind: "good", title, text }.render().unwrap_or_default();
    Ok(Html(format!("{body}<div id=\"notices\" hx-swap-oob=\"innerHTML\">{notice}</div>")))
}

/// A fragment and, beside what was asked for, the part of a job's page that moves: what changed shows at once, also where it has changed
/// again by the stream's next look.
pub fn moved(fragment: Html<String>, now: &impl Template) -> Fragment {
    let (Html(body), Html(now)) = (fragment, self::fragment(now)?);
    Ok(Html(format!("{body}<div id=\"live\" hx-swap-oob=\"innerMorph\">{now}</div>")))
}

/// The fields of a form.
pub struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Denied;

    async fn from_request(request: Request, app: &App) -> Result<Self, Denied> {
        let headers = request.headers().clone();
        let bytes = body(request, LONGEST_FORM, "shorten its texts").await?;
        without_nul(&bytes)?;
        let mut request = Request::post("/").body(Body::from(bytes)).map_err(|e| internal("reading a form", &e))?;
        *request.headers_mut() = headers;
        let form = axum::extract::Form::from_request(request, app).await;
        form.map(|axum::extract::Form(form)| Self(form))
            .map_err(|error| Denied(ApiError::InvalidRequest(error.body_text())))
    }
}
