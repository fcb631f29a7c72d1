//! `ETag`, `If-None-Match` and `If-Match` (RFC 9110 §13): whoever has a copy asks whether it still holds, and a change can be made to
//! depend on what its author saw.

use super::problem::ApiError;
use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::Digest;
use serde::Serialize;
use std::convert::Infallible;

/// The tag of these bytes: half of their SHA-256.
pub fn of(bytes: &[u8]) -> String {
    format!("\"{}\"", &Digest::of(bytes).to_string()[..32])
}

/// The tag of a value as it is answered.
pub fn of_json<T: Serialize>(value: &T) -> Result<String, ApiError> {
    let bytes = serde_json::to_vec(value).map_err(|error| super::problem::internal("writing an answer", &error))?;
    Ok(of(&bytes))
}

/// Whether a header that lists tags (`"a", W/"b"`, or `*`) has `tag`.
fn lists(value: &HeaderValue, tag: &str) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// Whether the asker's copy, tagged so, still holds.
pub fn unchanged(headers: &HeaderMap, tag: &str) -> bool {
    headers.get(header::IF_NONE_MATCH).is_some_and(|given| lists(given, tag))
}

/// The layer: JSON that is read gets a tag, unless its handler gave it one, and is not sent again to who has it. Streams are left alone.
pub async fn layer(request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET && request.uri().path().starts_with("/v1/");
    let asked = request.headers().get(header::IF_NONE_MATCH).cloned();
    let answer = next.run(request).await;
    let is_json = answer.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == "application/json");
    let whole = answer.body().size_hint().exact().is_some();
    if !reads || answer.status() != StatusCode::OK || !is_json || !whole {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    // it is in memory already: the hint says so
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else { return ApiError::Internal.into_response() };
    let tag =
        head.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map_or_else(|| of(&bytes), str::to_owned);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        head.headers.insert(header::ETAG, value);
    }
    if asked.is_some_and(|given| lists(&given, &tag)) {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_TYPE);
        head.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(bytes))
}

/// The condition of a change.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<HeaderValue>);

impl IfMatch {
    /// Whoever asks has not said what they saw.
    pub const NONE: Self = Self(None);

    /// What a form was told that it shows; no condition where it was told nothing.
    pub fn of(seen: &str) -> Self {
        Self(Some(seen).filter(|seen| !seen.is_empty()).and_then(|seen| HeaderValue::from_str(seen).ok()))
    }

    /// Whether there is a condition.
    pub const fn given(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses the change if the asker saw something else than what is tagged so now.
    pub fn hold(&self, now: &str) -> Result<(), ApiError> {
        match &self.0 {
            Some(given) if !lists(given, now) => Err(ApiError::Changed),
            _ => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(header::IF_MATCH).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_read_as_the_standard_says() {
        let has = |list: &'static str| lists(&HeaderValue::from_static(list), "\"a\"");
        assert!(has("\"a\"") && has("\"b\", \"a\"") && has("W/\"a\"") && has("*"));
        assert!(!has("\"b\"") && !has("a") && !has(""));
    }
}
