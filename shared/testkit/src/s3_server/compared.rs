//! Holds an object against the checksum that came with it before it is stored, as S3 itself does: `s3s-fs` looks afterwards, and what it
//! refuses stays under its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{Body, HttpError};
use sha2::{Digest as _, Sha256};

const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Passes a request on, unless it is an object whose bytes have another SHA-256 than it says. One object is in memory meanwhile.
pub async fn call(service: S3Service, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
    let said = request.headers().get(CHECKSUM).cloned();
    // in a body that is sent in signed pieces the pieces are checked as they come
    let in_pieces =
        request.headers().get("x-amz-content-sha256").is_some_and(|sent| sent.as_bytes().starts_with(b"STREAMING"));
    let Some(said) = said.filter(|_| request.method() == Method::PUT && !in_pieces) else {
        return service.call(request.map(Body::from)).await;
    };
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(|error| HttpError::new(Box::new(error)))?.to_bytes();
    if said != STANDARD.encode(Sha256::digest(&bytes)) {
        return Ok(refusal());
    }
    service.call(Request::from_parts(parts, Body::from(bytes))).await
}

fn refusal() -> Response<Body> {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>BadDigest</Code>\
                <Message>The SHA256 you specified did not match the calculated checksum.</Message></Error>";
    let mut answer = Response::new(Body::from(text.to_owned()));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}
