//! What axum extracts, with every refusal as one of our problems: a misspelt field answers like any other error.

use super::problem::ApiError;
use crate::access::{Principal, Reach};
use crate::app::App;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// A JSON body within the limit, with the path of the offending field in the refusal.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = declared.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::NotJson);
        }
        let advice = "send it in several requests";
        let bytes = body(request, app.config.limits.json_bytes, advice).await?;
        if escapes_nul(&bytes) {
            return Err(ApiError::InvalidJson(NO_NUL.to_owned()));
        }
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value =
            serde_path_to_error::deserialize(&mut json).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
        json.end().map_err(|error| ApiError::InvalidJson(error.to_string()))?;
        Ok(Self(value))
    }
}

/// Why a text with U+0000 in it is refused, wherever it stands.
const NO_NUL: &str = "a text has the character U+0000, which the database cannot keep; leave it out";

/// Whether a text of this JSON has U+0000 in it. Unescaped it is no JSON anyway.
fn escapes_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        if rest[at..].starts_with(b"\\u0000") {
            return true;
        }
        // past the backslash and what it escapes, which may be another one
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    false
}

/// Refuses an address, or a form, that spells U+0000.
pub fn without_nul(encoded: &[u8]) -> Result<(), ApiError> {
    if encoded.windows(3).any(|three| three == b"%00") {
        return Err(ApiError::InvalidParameter(NO_NUL.to_owned()));
    }
    Ok(())
}

/// The whole body, refused as soon as it passes `limit` bytes.
pub async fn body(request: Request, limit: usize, advice: &'static str) -> Result<Bytes, ApiError> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge { limit, advice });
    }
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|error| {
        let over = std::error::Error::source(&error).is_some_and(|e| e.to_string().contains("length limit"));
        if over || error.to_string().contains("length limit") {
            ApiError::TooLarge { limit, advice }
        } else {
            broken(&error)
        }
    })
}

/// Why a body did not arrive whole.
pub fn broken(error: &axum::Error) -> ApiError {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source());
    if causes.any(|cause| cause.is::<tower_http::timeout::TimeoutError>()) {
        return ApiError::Stalled;
    }
    ApiError::InvalidParameter("the body ended before it was complete".to_owned())
}

/// A query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| ApiError::InvalidParameter(error.body_text()))
    }
}

/// A query string of which every parameter is one of `T`'s, as the OpenAPI document names them: a filter that is misspelt must not give
/// everything.
#[derive(Debug)]
pub struct KnownQuery<T>(pub T);

impl<T: DeserializeOwned + IntoParams> FromRequestParts<App> for KnownQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // most lists are asked for without any
        let Some(given) = parts.uri.query() else {
            return Query::from_request_parts(parts, app).await.map(|Query(value)| Self(value));
        };
        let names: Vec<String> = T::into_params(|| Some(ParameterIn::Query)).into_iter().map(|p| p.name).collect();
        let unknown = form_urlencoded::parse(given.as_bytes())
            .map(|(name, _)| name)
            .find(|name| !names.iter().any(|n| n == name));
        if let Some(name) = unknown {
            let names = names.join(", ");
            return Err(ApiError::InvalidParameter(format!("there is no parameter '{name}' here; there are {names}")));
        }
        Query::from_request_parts(parts, app).await.map(|Query(value)| Self(value))
    }
}

/// The project a request speaks for: its key's, or the one that it chooses among those its key is for.
#[derive(Clone, Copy, Debug)]
pub struct Project(pub domain::ProjectId);

/// The name in `cfx-project`, if there is one.
pub fn project_named(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("cfx-project") else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| is_name(name));
    name.map(Some).ok_or_else(|| ApiError::InvalidParameter(format!("cfx-project must be {NAME_RULE}")))
}

/// The project of a request that names none, by a key for all.
pub const DEFAULT_PROJECT: &str = "default";

impl FromRequestParts<App> for Project {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if let Some(chosen) = parts.extensions.get::<Self>() {
            return Ok(*chosen);
        }
        let principal = principal(parts)?;
        let chosen = choose(app, &principal, project_named(&parts.headers)?).await?;
        parts.extensions.insert(chosen);
        Ok(chosen)
    }
}

async fn choose(app: &App, principal: &Principal, asked: Option<&str>) -> Result<Project, ApiError> {
    let name = match (asked, &principal.reach) {
        // one that the key is not for has been refused before
        (Some(name), _) => name,
        (None, Reach::All) => DEFAULT_PROJECT,
        (None, Reach::Projects(names)) => match names.as_slice() {
            [only] => only,
            several => {
                let several = several.join(", ");
                return Err(ApiError::InvalidParameter(format!("name one of the projects {several} with cfx-project")));
            }
        },
    };
    // Made on first use for who may make projects, and where it was promised to somebody: a misspelt name in a reader's request makes none.
    let made = principal.scope == domain::Scope::Admin || principal.reach.names().is_some() || name == DEFAULT_PROJECT;
    if made {
        return Ok(Project(app.store.ensure_project(name).await?));
    }
    let missing = || ApiError::NotFound(format!("there is no project '{name}'; an administrator makes one"));
    app.store.project_id(name).await?.map(Project).ok_or_else(missing)
}

/// Who asks, as the layer around the router found.
fn principal(parts: &Parts) -> Result<Principal, ApiError> {
    let none = || {
        tracing::error!("a route that needs no key asked who asks");
        ApiError::Internal
    };
    parts.extensions.get::<Principal>().cloned().ok_or_else(none)
}

impl FromRequestParts<App> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        principal(parts)
    }
}

/// Who asks, for the audit log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// Who, proven.
    pub name: String,
    /// What the client calls itself (`cfx-actor`): a note for people who share a key. Nobody checks it.
    pub said: Option<String>,
    /// The project that it is done in or to; `None` for what concerns the installation.
    pub project: Option<domain::ProjectId>,
}

impl Actor {
    /// The same, about the installation or another project.
    #[must_use]
    pub fn about(self, project: Option<domain::ProjectId>) -> Self {
        Self { project, ..self }
    }

    /// For records, which have one field: who, and what they call themselves.
    pub fn described(&self) -> String {
        match &self.said {
            Some(said) => format!("{} (says {said})", self.name),
            None => self.name.clone(),
        }
    }
}

impl FromRequestParts<App> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let rule = || ApiError::InvalidParameter("cfx-actor must be 1 to 100 visible ASCII characters".to_owned());
        let said = match parts.headers.get("cfx-actor") {
            None => None,
            Some(value) => {
                let name = value.to_str().ok().map(str::trim).filter(|name| (1..=100).contains(&name.len()));
                Some(name.ok_or_else(rule)?.to_owned())
            }
        };
        let name = principal(parts)?.name();
        let Project(project) = Project::from_request_parts(parts, app).await?;
        Ok(Self { name, said, project: Some(project) })
    }
}

/// What a name may look like, for messages.
pub const NAME_RULE: &str = "1 to 100 letters, digits, dots, hyphens or underscores, starting with a letter or digit";

/// Whether `name` follows [`NAME_RULE`].
pub fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.len() <= 100 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(inner)
}

/// A parameter that has a strict text form (an id, a digest, a cursor).
pub fn parse<T>(text: &str) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| ApiError::InvalidParameter(error.to_string()))
}

/// A keyset cursor: the number that the last page ended with.
pub fn cursor(after: Option<&str>) -> Result<Option<i64>, ApiError> {
    let bad = |text: &str| ApiError::InvalidParameter(format!("after is '{text}'; pass the `next` of the last page"));
    after.map(|text| text.parse().map_err(|_| bad(text))).transpose()
}

/// The same where rows are tasks, whose numbers are smaller: beyond them nothing follows.
pub fn task_cursor(after: Option<&str>) -> Result<Option<i32>, ApiError> {
    Ok(cursor(after)?.map(|no| i32::try_from(no).unwrap_or(i32::MAX)))
}

/// Rows of one page: what was asked for; 100 when nothing was.
pub fn limit(asked: Option<u32>) -> Result<i64, ApiError> {
    match asked {
        None => Ok(100),
        Some(rows @ 1..=MOST_ROWS) => Ok(rows.into()),
        Some(rows) => Err(ApiError::InvalidParameter(format!("limit is {rows}; a page has 1 to {MOST_ROWS} rows"))),
    }
}

/// Rows of one page at most.
pub const MOST_ROWS: u32 = 1_000;

/// The query of a plain list.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Cursor: `next` of the last page.
    pub after: Option<String>,
    /// Rows of a page; 100 when absent.
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<u32>,
}

/// For the document: one of these texts.
pub fn text_of<const N: usize>(values: [&'static str; N]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values)).build()
}

/// Answers an address that does not exist.
pub async fn not_found(uri: axum::http::Uri) -> ApiError {
    ApiError::NotFound(format!("there is nothing at {}", uri.path()))
}

/// Answers a method that an address does not know.
pub async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> ApiError {
    ApiError::MethodNotAllowed(format!("{} does not accept {method}", uri.path()))
}

/// Answers a panic in a handler, which the layer has caught.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> axum::response::Response {
    tracing::error!("a request handler panicked");
    axum::response::IntoResponse::into_response(ApiError::Internal)
}

/// 201 for what is new, 200 for what was there.
pub const fn created(new: bool) -> StatusCode {
    if new { StatusCode::CREATED } else { StatusCode::OK }
}

/// A number within its range.
pub fn ranged(field: &str, value: f64, low: f64, high: f64) -> Result<f64, ApiError> {
    if value >= low && value <= high {
        return Ok(value);
    }
    Err(ApiError::InvalidRequest(format!("{field} is {value}; it must lie between {low} and {high}")))
}

/// A limit to set, or to take away with 0.
pub fn removable(field: &str, value: Option<f64>) -> Result<Option<Option<f64>>, ApiError> {
    match value {
        None => Ok(None),
        Some(0.0) => Ok(Some(None)),
        Some(value) => ranged(field, value, 1e-3, 1e12).map(|value| Some(Some(value))),
    }
}

/// The same for a count.
pub fn removable_count(field: &str, value: Option<u32>) -> Result<Option<Option<i32>>, ApiError> {
    // safe to narrow: at most a million
    Ok(removable(field, value.map(f64::from))?.map(|value| value.map(|n| n.min(1e6) as i32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_seen_however_it_is_written_and_nothing_else_is_taken_for_it() {
        for text in [r#""\u0000""#, r#"{"a":"b\\\u0000"}"#, r#"["\n\u0000"]"#] {
            assert!(escapes_nul(text.as_bytes()), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
        for text in [r#""\\u0000""#, r#""\u0001""#, r#""u0000""#, "\\"] {
            assert!(!escapes_nul(text.as_bytes()), "{text}");
        }
        assert!(without_nul(b"/v1/jobs?q=a%00b").is_err() && without_nul(b"/v1/jobs?q=a%200").is_ok());
    }
}
