//! `GET` and `POST /login`, `POST /logout`: people paste a key once, and a cookie stands for it from then on. Forms, so that they work
//! without a script.

use super::{Page, render};
use crate::access::authenticate::{prove_key, wrong_csrf};
use crate::access::session::{SessionSecret, by_https, csrf_token, no_cookie, same};
use crate::access::{Principal, Unproven, local};
use crate::app::App;
use crate::http::audit;
use crate::http::extract::{Actor, Query, body};
use crate::http::problem::{ApiError, internal};
use askama::Template;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::ApiKeyToken;
use serde_json::json;

/// Longest form in bytes: a key and an address.
const LONGEST: usize = 8 << 10;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    tab: &'static str,
    then: String,
    trouble: Option<String>,
}

/// Where to go on to.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Then {
    then: Option<String>,
}

/// What the form sends.
#[derive(serde::Deserialize)]
struct Form {
    key: String,
    #[serde(default)]
    then: String,
}

#[derive(serde::Deserialize)]
struct LogoutForm {
    csrf: String,
}

/// The login, from where one goes on to `then`: an address of this coordinator's, or its first page.
pub fn address(then: Option<&Uri>) -> String {
    let then = then.and_then(Uri::path_and_query).map(|address| address.as_str()).filter(|address| *address != "/");
    match then {
        Some(then) => format!("/login?then={}", super::filters::percent(then)),
        None => "/login".to_owned(),
    }
}

/// An address of this coordinator's: what a link from elsewhere brings along must not lead away from here.
fn own(then: &str) -> &str {
    let plain = then.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain && then.starts_with('/') && !then.starts_with("//") { then } else { "/" }
}

/// The form.
pub async fn page(Query(Then { then }): Query<Then>) -> Page {
    render(&LoginPage { tab: "", then: own(then.as_deref().unwrap_or("/")).to_owned(), trouble: None })
}

/// Begins a session, or shows the form again and says why not.
pub async fn login(State(app): State<App>, request: Request) -> Response {
    let peer = local::peer(request.extensions());
    if local::is_cross_site(request.method(), request.headers()) {
        let detail = "another site sent this login; nothing was done".to_owned();
        return super::refusal(ApiError::Forbidden { code: "cross_site", detail });
    }
    let secure = by_https(&app.config.access, request.headers());
    let form: Form = match form(request, &app).await {
        Ok(form) => form,
        Err(error) => return super::refusal(error),
    };
    let then = own(&form.then).to_owned();
    match begin(&app, &form.key).await {
        Ok(secret) => {
            let cookie = secret.cookie(app.config.access.session, secure);
            ([(header::SET_COOKIE, cookie)], Redirect::to(&then)).into_response()
        }
        Err(error @ ApiError::Unauthenticated { .. }) => {
            let error = app.gate.rates.wrong_key(peer).err().unwrap_or(error);
            let problem = error.problem();
            let status = axum::http::StatusCode::from_u16(problem.status).unwrap_or_default();
            let page = LoginPage { tab: "", then, trouble: Some(problem.detail) };
            let mut answer = match page.render() {
                Ok(text) => (status, Html(text)).into_response(),
                Err(error) => return super::refusal(internal("rendering a page", &error)),
            };
            error.explain(answer.headers_mut());
            answer
        }
        Err(error) => super::refusal(error),
    }
}

async fn begin(app: &App, key: &str) -> Result<SessionSecret, ApiError> {
    let token: ApiKeyToken = key.trim().parse().map_err(|_| ApiError::from(Unproven::Unknown))?;
    let key = prove_key(app, &token).await?;
    let secret = SessionSecret::new().map_err(|error| internal("beginning a session", &error))?;
    app.store.begin_session(secret.sha256(), key.id, app.config.access.session).await?;
    let actor = Actor { name: Principal::of_key(&key).name(), said: None, project: None };
    audit::note(app, &actor, "login", key.id, json!({})).await?;
    Ok(secret)
}

/// Ends the session.
pub async fn logout(State(app): State<App>, request: Request) -> Response {
    let secret = SessionSecret::of(request.headers());
    let secure = by_https(&app.config.access, request.headers());
    let ended = async {
        let form: LogoutForm = form(request, &app).await?;
        if !same(form.csrf.as_bytes(), &csrf_token()) {
            return Err(wrong_csrf());
        }
        if let Some(secret) = secret {
            app.store.end_session(secret.sha256()).await?;
        }
        Ok(())
    };
    match ended.await {
        Ok(()) => {
            // browsers also forget what they keep of pages and pictures
            let forget = [
                (header::SET_COOKIE, no_cookie(secure)),
                (header::HeaderName::from_static("clear-site-data"), HeaderValue::from_static("\"cache\"")),
            ];
            (forget, Redirect::to("/login")).into_response()
        }
        Err(error) => super::refusal(error),
    }
}

/// A form within the limit.
async fn form<T: serde::de::DeserializeOwned>(request: Request, app: &App) -> Result<T, ApiError> {
    let (parts, whole) = request.into_parts();
    let bytes = body(Request::from_parts(parts.clone(), whole), LONGEST, "a key is shorter").await?;
    let request = Request::from_parts(parts, axum::body::Body::from(bytes));
    let form = axum::Form::<T>::from_request(request, app).await;
    form.map(|axum::Form(form)| form).map_err(|error| ApiError::InvalidRequest(error.body_text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_on_to_pages_of_this_coordinator_only() {
        for then in ["/", "/jobs/job_1?after=2", "/packs"] {
            assert_eq!(own(then), then);
        }
        for then in ["", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:1", "/a\nb", "/ü"] {
            assert_eq!(own(then), "/", "{then}");
        }
        let uri: Uri = "/jobs/x?after=1&state=a".parse().unwrap();
        assert_eq!(address(Some(&uri)), "/login?then=%2Fjobs%2Fx%3Fafter%3D1%26state%3Da");
        assert_eq!(address(None), "/login");
    }
}
