//! `Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header-07) on whatever changes something: the same request with the same
//! key is done once within a day, and its answer given again, with `idempotency-replayed: true`.
//!
//! Only what was done is kept. A refusal has done nothing, so it leaves the key free for the request as it should have been. Submits
//! of jobs keep their keys for ever and elsewhere ([`super::jobs_submit`]); bytes under their digest need none; answers with a secret
//! are never kept, so there a key is refused.
//!
//! **After a crash** between doing and keeping, the same request is done again once it must have ended: at least once, and by requests
//! that are harmless to repeat.

use super::extract::body;
use super::problem::ApiError;
use crate::access::Principal;
use crate::app::App;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Digest;
use sha2::{Digest as _, Sha256};
use store::{KeptAnswer, KeyedRequest, KeyedState};

/// The header.
pub const HEADER: &str = "idempotency-key";
/// Says that an answer is an earlier one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest answer that is kept, in bytes; ours are far shorter.
const LONGEST: usize = 4 << 20;

/// What a key means to a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keyed {
    /// The answer is kept here.
    Kept,
    /// The route looks after it, or needs none.
    ByItself,
    /// The answer holds a secret.
    Secret,
}

/// What a key means to this method at this route.
pub fn keyed(method: &Method, route: &str) -> Keyed {
    match route {
        _ if method.is_safe() || !route.starts_with("/v1/") => Keyed::ByItself,
        "/v1/jobs" | "/v1/blobs/{sha256}" => Keyed::ByItself,
        "/v1/api-keys" | "/v1/api-keys/{id}/rotate" => Keyed::Secret,
        _ => Keyed::Kept,
    }
}

/// The key of a request, if it has one.
pub fn of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let visible = |key: &&str| (1..=200).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let key = value.to_str().ok().map(str::trim).filter(visible);
    let rule = || ApiError::InvalidParameter("Idempotency-Key must be 1 to 200 visible ASCII characters".to_owned());
    key.map(|key| Some(key.to_owned())).ok_or_else(rule)
}

/// The layer around the routes, inside of the one that knows who asks.
pub async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let keyed = keyed(request.method(), &route);
    if keyed == Keyed::ByItself {
        return next.run(request).await;
    }
    match (of(request.headers()), keyed) {
        (Ok(None), _) => next.run(request).await,
        (Ok(Some(_)), Keyed::Secret) => {
            let detail = "no Idempotency-Key here: an answer with a secret is never kept; list the keys, and revoke one that did not reach you";
            ApiError::InvalidParameter(detail.to_owned()).into_response()
        }
        (Ok(Some(key)), _) => once(&app, &key, request, next).await.unwrap_or_else(IntoResponse::into_response),
        (Err(error), _) => error.into_response(),
    }
}

async fn once(app: &App, key: &str, request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, content) = request.into_parts();
    let limit = app.config.limits.json_bytes;
    let content = body(Request::from_parts(parts.clone(), content), limit, "send it in several requests").await?;
    let principal = parts.extensions.get::<Principal>().map(Principal::name).ok_or(ApiError::Internal)?;
    let asked = KeyedRequest { principal: &principal, key, sha256: digest(&parts, &content) };
    // who works on it longer than that has been cut off
    let patience = app.config.limits.request_timeout * 2;
    match app.store.begin_keyed(asked, patience).await? {
        KeyedState::Begun => {}
        KeyedState::Answered(answer) => return Ok(replayed(answer)),
        KeyedState::OtherRequest => return Err(ApiError::KeyReused(key.to_owned())),
        KeyedState::InWork => return Err(ApiError::KeyInWork(key.to_owned())),
    }
    let answer = next.run(Request::from_parts(parts, Body::from(content))).await;
    if !answer.status().is_success() {
        app.store.release_key(asked).await?;
        return Ok(answer);
    }
    let (head, content) = answer.into_parts();
    let content = axum::body::to_bytes(content, LONGEST).await.map_err(|_| ApiError::Internal)?;
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok()).map(str::to_owned);
    let kept = KeptAnswer { status: head.status.as_u16(), media_type, body: content.to_vec() };
    app.store.keep_answer(asked, &kept).await?;
    Ok(Response::from_parts(head, Body::from(content)))
}

fn digest(parts: &Parts, content: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    let project = parts.headers.get("cfx-project").map_or(&b""[..], HeaderValue::as_bytes);
    let condition = parts.headers.get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    for part in [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), project, condition, content] {
        // lengths, so that no two requests run together
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Digest::from_bytes(hash.finalize().into())
}

fn replayed(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if let Some(media) = answer.media_type.and_then(|media| HeaderValue::from_str(&media).ok()) {
        headers.insert(header::CONTENT_TYPE, media);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
