//! Which project pages show: `?project=NAME` of any page, kept in a cookie for those that follow. It becomes the header `cfx-project`,
//! so that handlers, and whoever checks what a reader may see, know one way of asking.

use super::refused::Refused;
use crate::access::Principal;
use crate::app::App;
use crate::http::extract::is_name;
use crate::http::problem::ApiError;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const COOKIE: &str = "cfx-project";

#[derive(serde::Deserialize)]
struct Asked {
    project: Option<String>,
}

/// The project of a request's cookie.
fn kept(headers: &HeaderMap) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// The middleware of all pages.
pub async fn project(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let asked = Query::<Asked>::try_from_uri(request.uri()).ok().and_then(|Query(asked)| asked.project);
    let asked = asked.filter(|name| !name.is_empty());
    let name = asked.clone().or_else(|| kept(request.headers())).filter(|name| is_name(name));
    let Some(name) = name.filter(|_| !request.headers().contains_key("cfx-project")) else {
        return next.run(request).await;
    };
    // Whoever checked what the key is for looked before the header was there.
    if request.extensions().get::<Principal>().is_some_and(|principal| !principal.reach.includes(&name)) {
        return match asked {
            Some(_) => Refused(ApiError::NotFound(format!("there is no project '{name}'"))).into_response(),
            None => next.run(request).await,
        };
    }
    // A project is not made by looking for it.
    match app.store.project(&name).await {
        Ok(Some(_)) => {}
        Ok(None) if asked.is_some() => {
            return Refused(ApiError::NotFound(format!("there is no project '{name}'"))).into_response();
        }
        Ok(None) => return next.run(request).await,
        Err(error) => return Refused(error.into()).into_response(),
    }
    if let Ok(value) = HeaderValue::from_str(&name) {
        request.headers_mut().insert("cfx-project", value);
    }
    let mut answer = next.run(request).await;
    let cookie = format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Lax");
    if let (Some(_), Ok(value)) = (asked, HeaderValue::from_str(&cookie)) {
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
    answer
}
