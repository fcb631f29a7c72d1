//! Whole lists as newline-delimited JSON, for who asks with `accept: application/x-ndjson`: one row a line, read page by page as fast as
//! they are taken, whatever their number. `limit`, where it is given, is the most lines, and `after` the
//! place to go on from.
//!
//! The first page is read before the answer begins, so that what is wrong with a request is told as a problem. What goes wrong later
//! breaks the connection off: a list that ends in good order is whole.

use super::extract::MOST_ROWS;
use super::problem::{ApiError, internal};
use crate::app::App;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use std::future::Future;
use std::sync::Arc;
use store::JobRow;
use wire::http::v1::Page;

/// The media type.
const MEDIA: &str = "application/x-ndjson";

/// Whether a list is asked for as lines.
fn asked(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|media| media.split(';').next().unwrap_or_default().trim() == MEDIA)
}

/// Where a list stands.
struct Reading {
    /// The page that was read last.
    page: Bytes,
    /// Cursor of the next.
    next: Option<String>,
    /// Lines that may still be sent.
    left: u64,
}

/// A page, or all rows from `after` on as lines: whichever is asked for. `read` reads one page, after this cursor, of this many rows.
pub async fn answer<T, F, R>(
    headers: &HeaderMap,
    after: Option<String>,
    limit: Option<u32>,
    read: F,
) -> Result<Response, ApiError>
where
    T: Serialize,
    F: Fn(Option<String>, Option<u32>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Page<T>, ApiError>> + Send,
{
    if !asked(headers) {
        return Ok(Json(read(after, limit).await?).into_response());
    }
    let most = limit.map(|asked| super::extract::limit(Some(asked))).transpose()?;
    let first = lines(&read, after, most.map_or(u64::MAX, i64::cast_unsigned)).await?;
    let body = stream::try_unfold(Some((first, read)), |state| async {
        let Some((now, read)) = state else { return Ok(None) };
        let Reading { page, next, left } = now;
        let following = match next {
            Some(cursor) if left > 0 => Some((lines(&read, Some(cursor), left).await?, read)),
            _ => None,
        };
        Ok::<_, ApiError>(Some((page, following)))
    });
    Ok(([(header::CONTENT_TYPE, MEDIA)], Body::from_stream(body)).into_response())
}

/// What is asked of a list, and from where on.
pub trait Asked: Send + Sync + 'static {
    /// The cursor, and the most rows.
    fn place(&self) -> (Option<String>, Option<u32>);
    /// The same from another place on.
    fn at(&self, after: Option<String>, limit: Option<u32>) -> Self;
}

/// A list of a job's: `list` reads the page that it is asked for.
pub async fn of_job<T, Q, F, R>(
    headers: &HeaderMap,
    app: App,
    job: JobRow,
    asked: Q,
    list: F,
) -> Result<Response, ApiError>
where
    T: Serialize,
    Q: Asked,
    F: Fn(Arc<(App, JobRow)>, Q) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Page<T>, ApiError>> + Send,
{
    let (after, limit) = asked.place();
    let of = Arc::new((app, job));
    answer(headers, after, limit, move |after, limit| list(Arc::clone(&of), asked.at(after, limit))).await
}

async fn lines<T, F, R>(read: &F, after: Option<String>, left: u64) -> Result<Reading, ApiError>
where
    T: Serialize,
    F: Fn(Option<String>, Option<u32>) -> R + Sync,
    R: Future<Output = Result<Page<T>, ApiError>> + Send,
{
    let rows = u32::try_from(left).unwrap_or(u32::MAX).clamp(1, MOST_ROWS);
    let Page { items, next } = read(after, Some(rows)).await?;
    let mut page = Vec::new();
    for item in &items {
        serde_json::to_writer(&mut page, item).map_err(|error| internal("writing a row", &error))?;
        page.push(b'\n');
    }
    Ok(Reading { page: page.into(), next, left: left.saturating_sub(items.len() as u64) })
}
