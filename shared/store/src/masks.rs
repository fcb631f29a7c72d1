//! Masks of sources: images that are white where their source may change. One of a name is never replaced: keys of finished work
//! are made of it, and a dataset must not change under a job.

use crate::StoreError;
use crate::columns::Place;
use domain::{DatasetId, Digest};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A mask that was given for a source which has another one of that name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MaskConflict {
    /// The source.
    pub uri: String,
    /// The mask's name.
    pub name: String,
    /// The mask that stands.
    pub kept: Digest,
}

/// What adding masks did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MasksAdded {
    /// How many are new.
    pub added: u64,
    /// Those that were not taken.
    pub conflicts: Vec<MaskConflict>,
}

/// A mask to add: the source's digest, the mask's name and digest.
pub(crate) type NewMask<'a> = (&'a Digest, &'a str, &'a Digest);

/// Adds masks to sources of the dataset; its row is locked by the caller.
pub(crate) async fn add_masks(
    conn: &mut PgConnection,
    dataset: DatasetId,
    masks: &[NewMask<'_>],
) -> Result<MasksAdded, StoreError> {
    if masks.is_empty() {
        return Ok(MasksAdded::default());
    }
    let insert = "-- add_masks
        WITH given AS (
            SELECT DISTINCT ON (s.ordinal, g.name) s.ordinal, g.name, g.mask
            FROM unnest($2::bytea[], $3::text[], $4::bytea[]) WITH ORDINALITY AS g(source, name, mask, pos)
            JOIN sources s ON s.dataset = $1 AND s.sha256 = g.source ORDER BY s.ordinal, g.name, g.pos),
        added AS (
            INSERT INTO source_masks (dataset, ordinal, name, sha256) SELECT $1, ordinal, name, mask FROM given
            ON CONFLICT DO NOTHING RETURNING name),
        fresh AS (SELECT name, count(*) AS n FROM added GROUP BY name),
        counted AS (
            UPDATE datasets SET masks = masks || (
                SELECT jsonb_object_agg(f.name, f.n + COALESCE((masks ->> f.name)::bigint, 0)) FROM fresh f)
            WHERE id = $1 AND EXISTS (SELECT FROM fresh))
        SELECT count(*) FROM added";
    let sources: Vec<_> = masks.iter().map(|(source, _, _)| source.as_bytes().as_slice()).collect();
    let names: Vec<_> = masks.iter().map(|(_, name, _)| *name).collect();
    let digests: Vec<_> = masks.iter().map(|(_, _, mask)| mask.as_bytes().as_slice()).collect();
    let added: i64 = sqlx::query_scalar(insert)
        .bind(dataset.as_uuid())
        .bind(&sources)
        .bind(&names)
        .bind(&digests)
        .fetch_one(&mut *conn)
        .await?;
    let conflicts = "-- add_masks: conflicts
        SELECT s.uri, g.name, k.sha256
        FROM unnest($2::bytea[], $3::text[], $4::bytea[]) WITH ORDINALITY AS g(source, name, mask, pos)
        JOIN sources s ON s.dataset = $1 AND s.sha256 = g.source
        JOIN source_masks k ON k.dataset = $1 AND k.ordinal = s.ordinal AND k.name = g.name
        WHERE k.sha256 <> g.mask ORDER BY g.pos";
    let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(conflicts)
        .bind(dataset.as_uuid())
        .bind(&sources)
        .bind(&names)
        .bind(&digests)
        .fetch_all(conn)
        .await?;
    let at = Place { table: "source_masks", row: &dataset };
    let conflict = |(uri, name, kept): (String, String, Vec<u8>)| {
        Ok(MaskConflict { uri, name, kept: at.digest("sha256", &kept)? })
    };
    Ok(MasksAdded {
        added: added.cast_unsigned(),
        conflicts: rows.into_iter().map(conflict).collect::<Result<_, StoreError>>()?,
    })
}

/// The masks called `name` of some sources of a job's dataset, by ordinal.
pub(crate) async fn masks_of(
    conn: &mut PgConnection,
    dataset: Uuid,
    ordinals: &[i64],
    name: &str,
) -> Result<BTreeMap<i64, Digest>, StoreError> {
    let sql = "-- masks_of
        SELECT ordinal, sha256 FROM source_masks WHERE dataset = $1 AND ordinal = ANY($2) AND name = $3";
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql).bind(dataset).bind(ordinals).bind(name).fetch_all(conn).await?;
    let digest = |(ordinal, sha256): (i64, Vec<u8>)| {
        Ok((ordinal, Place { table: "source_masks", row: &ordinal }.digest("sha256", &sha256)?))
    };
    rows.into_iter().map(digest).collect()
}
