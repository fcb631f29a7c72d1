//! The one error of the HTTP interface: an enum, one match to status, code and title. What is inside (SQL, S3) is logged here
//! and never returned.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::edit::SpecError;
use wire::http::v1::Problem;

/// Why a request is refused. Every variant is one stable `code`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON, or not of the shape asked for.
    #[error("{0}")]
    InvalidJson(String),
    /// The body is not declared as JSON.
    #[error("the body must be sent as application/json")]
    NotJson,
    /// A path or query parameter that cannot be read.
    #[error("{0}")]
    InvalidParameter(String),
    /// A job specification with a fault in it.
    #[error(transparent)]
    InvalidSpec(#[from] SpecError),
    /// A field of another request with a fault in it.
    #[error("{0}")]
    InvalidRequest(String),
    /// The body is larger than the limit.
    #[error("the body is larger than the {limit} bytes that are accepted here; {advice}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing lies at this address.
    #[error("{0}")]
    NotFound(String),
    /// The address does not know the method.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// A dataset that is not registered; names those that are.
    #[error("{field} names the dataset '{name}', which is not registered; {known}")]
    UnknownDataset {
        /// Path of the field.
        field: String,
        /// What was given.
        name: String,
        /// The known ones, as a sentence.
        known: String,
    },
    /// A pack that is not registered; names those that are.
    #[error("the pack '{name}' is not registered; {known}")]
    UnknownPack {
        /// What was given.
        name: String,
        /// The known ones, as a sentence.
        known: String,
    },
    /// A dataset without sources cannot be worked on.
    #[error("the dataset '{0}' has no sources; register some first")]
    EmptyDataset(String),
    /// A dataset whose import still runs would give a job that misses part of it.
    #[error("the dataset '{0}' is still being imported; submit the job when the import has ended")]
    ImportRunning(String),
    /// The bytes do not have the digest in the address.
    #[error("the body's SHA-256 is {found}, the address says {expected}; nothing was stored")]
    DigestMismatch {
        /// By the address.
        expected: domain::Digest,
        /// Of the body.
        found: domain::Digest,
    },
    /// A manifest that cannot be accepted.
    #[error("{0}")]
    InvalidPack(String),
    /// Files that a manifest names but that are not in the bucket.
    #[error("these files of the pack are not uploaded yet: {0}")]
    MissingBlobs(String),
    /// The name belongs to another pack.
    #[error("a different pack is already registered as '{0}'; give this one another name")]
    PackConflict(String),
    /// The name belongs to a dataset with another import.
    #[error("{0}")]
    DatasetConflict(String),
    /// The idempotency key was used for another request.
    #[error("the idempotency key '{0}' was already used for another request; use a new key")]
    KeyReused(String),
    /// The same request with the same key is in work.
    #[error("a request with the idempotency key '{0}' is in work; ask again in a moment")]
    KeyInWork(String),
    /// What the asker saw is not there any more.
    #[error("it was changed meanwhile, so nothing was done; read it again")]
    Changed,
    /// The state does not accept the request.
    #[error("{0}")]
    NotNow(String),
    /// A service that this one needs does not answer.
    #[error("{0}")]
    Unavailable(&'static str),
    /// Nothing was shown that proves who asks.
    #[error("{detail}")]
    Unauthenticated {
        /// Which of the reasons.
        code: &'static str,
        /// What to do.
        detail: &'static str,
    },
    /// Who asks is known, and may not.
    #[error("{detail}")]
    Forbidden {
        /// Which of the reasons.
        code: &'static str,
        /// What is missing.
        detail: String,
    },
    /// The asker's bucket of requests is empty.
    #[error("too many requests; come back in {seconds} s")]
    TooMany {
        /// When there is one again.
        seconds: u64,
    },
    /// Too many requests are in work.
    #[error("the coordinator works on as many requests as it can; come back in a moment")]
    Busy,
    /// The sender of a body fell silent.
    #[error("nothing came of the rest of the body for too long; send it again")]
    Stalled,
    /// The request took longer than the limit.
    #[error("the request took longer than the limit; what it had begun may or may not be done")]
    Timeout,
    /// A defect of ours or of a service. The cause is in the log.
    #[error("something went wrong inside; the log has the details")]
    Internal,
}

impl ApiError {
    fn facts(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidJson(_) => (S::BAD_REQUEST, "invalid_json", "The body is not the JSON that is asked for"),
            Self::NotJson => (S::UNSUPPORTED_MEDIA_TYPE, "not_json", "The body is not declared as JSON"),
            Self::InvalidParameter(_) => (S::BAD_REQUEST, "invalid_parameter", "A parameter cannot be read"),
            Self::InvalidSpec(_) => (S::UNPROCESSABLE_ENTITY, "invalid_spec", "The job specification has a fault"),
            Self::InvalidRequest(_) => (S::UNPROCESSABLE_ENTITY, "invalid_request", "The request has a fault"),
            Self::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "too_large", "The body is too large"),
            Self::NotFound(_) => (S::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed(_) => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::UnknownDataset { .. } => (S::UNPROCESSABLE_ENTITY, "unknown_dataset", "Unknown dataset"),
            Self::UnknownPack { .. } => (S::UNPROCESSABLE_ENTITY, "unknown_pack", "Unknown pack"),
            Self::EmptyDataset(_) => (S::UNPROCESSABLE_ENTITY, "empty_dataset", "The dataset is empty"),
            Self::ImportRunning(_) => (S::CONFLICT, "import_running", "The dataset is still being imported"),
            Self::DigestMismatch { .. } => {
                (S::UNPROCESSABLE_ENTITY, "digest_mismatch", "The bytes do not have this digest")
            }
            Self::InvalidPack(_) => (S::UNPROCESSABLE_ENTITY, "invalid_pack", "The manifest has a fault"),
            Self::MissingBlobs(_) => (S::UNPROCESSABLE_ENTITY, "missing_blobs", "Files are not uploaded"),
            Self::PackConflict(_) => (S::CONFLICT, "pack_conflict", "The name belongs to another pack"),
            Self::DatasetConflict(_) => (S::CONFLICT, "dataset_conflict", "The dataset exists with another import"),
            Self::KeyReused(_) => {
                (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The idempotency key was used before")
            }
            Self::KeyInWork(_) => (S::CONFLICT, "idempotency_key_in_work", "The same request is in work"),
            Self::Changed => (S::PRECONDITION_FAILED, "changed_meanwhile", "It was changed meanwhile"),
            Self::NotNow(_) => (S::CONFLICT, "not_now", "The state does not accept this request"),
            Self::Unavailable(_) => (S::SERVICE_UNAVAILABLE, "unavailable", "A needed service does not answer"),
            Self::Unauthenticated { code, .. } => (S::UNAUTHORIZED, *code, "It is not known who asks"),
            Self::Forbidden { code, .. } => (S::FORBIDDEN, *code, "Not allowed"),
            Self::TooMany { .. } => (S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Too many requests are in work"),
            Self::Stalled => (S::REQUEST_TIMEOUT, "body_stalled", "The body stopped on its way"),
            Self::Timeout => (S::GATEWAY_TIMEOUT, "timeout", "The request took too long"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }

    /// The headers that HTTP asks for beside some statuses.
    pub fn explain(&self, headers: &mut HeaderMap) {
        match self {
            Self::Unauthenticated { .. } => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"counterfactory\""));
            }
            Self::TooMany { seconds } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::Busy | Self::KeyInWork(_) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
    }

    /// The problem as it is sent.
    pub fn problem(&self) -> Problem {
        let (status, code, title) = self.facts();
        Problem {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: code.to_owned(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        metrics::counter!("cfx_http_problems_total", "code" => problem.code.clone()).increment(1);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut answer = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        self.explain(answer.headers_mut());
        answer
    }
}

/// Logs the chain of causes, once, and hides it.
pub fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> ApiError {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    tracing::error!(error = causes.join(": "), "{what} failed");
    ApiError::Internal
}

/// "known are 'a', 'b' and 'c'": what a person who mistyped a name needs.
pub fn known(names: &[String]) -> String {
    match names {
        [] => "none is registered yet".to_owned(),
        [one] => format!("the only one is '{one}'"),
        [first @ .., last] if names.len() <= 20 => format!("known are '{}' and '{last}'", first.join("', '")),
        _ => format!("{} are registered, for example '{}'", names.len(), names[..5].join("', '")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_read_as_a_sentence() {
        let names = |n: usize| (0..n).map(|i| format!("d{i}")).collect::<Vec<_>>();
        assert_eq!(known(&names(0)), "none is registered yet");
        assert_eq!(known(&names(1)), "the only one is 'd0'");
        assert_eq!(known(&names(3)), "known are 'd0', 'd1' and 'd2'");
        assert!(known(&names(50)).starts_with("50 are registered"));
    }
}
