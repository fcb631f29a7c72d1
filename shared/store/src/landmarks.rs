//! Landmarks of sources: where the face is. Given once and never replaced: keys of finished work are made of them.

use crate::StoreError;
use crate::columns::to_json;
use domain::{DatasetId, Digest, Landmarks};
use sqlx::PgConnection;

/// What adding landmarks did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LandmarksAdded {
    /// How many sources got some.
    pub(crate) added: u64,
    /// URIs of sources that have others.
    pub(crate) conflicts: Vec<String>,
}

/// Adds landmarks to sources of the dataset that have none; its row is locked by the caller.
pub(crate) async fn add_landmarks(
    conn: &mut PgConnection,
    dataset: DatasetId,
    landmarks: &[(&Digest, &Landmarks)],
) -> Result<LandmarksAdded, StoreError> {
    if landmarks.is_empty() {
        return Ok(LandmarksAdded::default());
    }
    let sources: Vec<_> = landmarks.iter().map(|(source, _)| source.as_bytes().as_slice()).collect();
    let points = landmarks.iter().map(|(_, points)| to_json("landmarks", points)).collect::<Result<Vec<_>, _>>()?;
    let update = "-- add_landmarks
        WITH given AS (
            SELECT DISTINCT ON (s.ordinal) s.ordinal, g.landmarks
            FROM unnest($2::bytea[], $3::jsonb[]) WITH ORDINALITY AS g(source, landmarks, pos)
            JOIN sources s ON s.dataset = $1 AND s.sha256 = g.source ORDER BY s.ordinal, g.pos),
        added AS (
            UPDATE sources s SET landmarks = g.landmarks FROM given g
            WHERE s.dataset = $1 AND s.ordinal = g.ordinal AND s.landmarks IS NULL RETURNING 1),
        counted AS (
            UPDATE datasets SET landmarks = landmarks + (SELECT count(*) FROM added)
            WHERE id = $1 AND EXISTS (SELECT FROM added))
        SELECT count(*) FROM added";
    let added: i64 =
        sqlx::query_scalar(update).bind(dataset.as_uuid()).bind(&sources).bind(&points).fetch_one(&mut *conn).await?;
    let conflicts = "-- add_landmarks: conflicts
        SELECT s.uri FROM unnest($2::bytea[], $3::jsonb[]) WITH ORDINALITY AS g(source, landmarks, pos)
        JOIN sources s ON s.dataset = $1 AND s.sha256 = g.source
        WHERE s.landmarks <> g.landmarks ORDER BY g.pos";
    let conflicts =
        sqlx::query_scalar(conflicts).bind(dataset.as_uuid()).bind(&sources).bind(&points).fetch_all(conn).await?;
    Ok(LandmarksAdded { added: added.cast_unsigned(), conflicts })
}
