//! Datasets and their sources. Ordinals are dense and never change: a job's tasks refer to them.

use crate::columns::{Place, to_json};
use crate::landmarks::add_landmarks;
use crate::masks::{MaskConflict, add_masks};
use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::{DatasetId, Digest, Landmarks, ProjectId};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A registered list of source images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dataset {
    /// Its id.
    pub id: DatasetId,
    /// Who owns it.
    pub project: ProjectId,
    /// Its name, unique in the project.
    pub name: String,
    /// How many sources it has.
    pub sources: i64,
    /// How many of them have a mask of each name.
    pub masks: BTreeMap<String, i64>,
    /// How many of them have landmarks.
    pub landmarks: i64,
    /// Where its sources are imported from, if the server imports them.
    pub import_uri: Option<String>,
    /// True while that import goes on.
    pub importing: bool,
    /// What the import could not take, one sentence each.
    pub import_errors: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A source to add.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceRow {
    /// SHA-256 of the file's bytes, which lie in the bucket under it.
    pub sha256: Digest,
    /// Where it came from, for people.
    pub uri: String,
    /// Length in bytes.
    pub bytes: i64,
    /// Labels for selections.
    pub labels: BTreeMap<String, String>,
    /// Masks by name, which lie in the bucket: images that are white where the source may change.
    pub masks: BTreeMap<String, Digest>,
    /// The face in it.
    pub landmarks: Option<Landmarks>,
}

/// A source of a dataset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Its place in the dataset, from 0.
    pub ordinal: i64,
    /// SHA-256 of the file's bytes.
    pub sha256: Digest,
    /// Where it came from.
    pub uri: String,
    /// Length in bytes.
    pub bytes: i64,
    /// Labels for selections.
    pub labels: BTreeMap<String, String>,
    /// Masks by name.
    pub masks: BTreeMap<String, Digest>,
    /// The face in it.
    pub landmarks: Option<Landmarks>,
}

/// What adding sources did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Added {
    /// How many are new.
    pub added: u64,
    /// Those whose bytes the dataset has already.
    pub duplicates: Vec<Duplicate>,
    /// How many masks are new.
    pub masks: u64,
    /// Masks that were not taken, because the source has another one of that name.
    pub mask_conflicts: Vec<MaskConflict>,
    /// How many sources got landmarks.
    pub landmarks: u64,
    /// URIs of sources that keep other landmarks than those given.
    pub landmark_conflicts: Vec<String>,
}

/// A source that is in the dataset already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicate {
    /// The source that was given.
    pub uri: String,
    /// The source with the same bytes that stands.
    pub same_as: String,
}

/// A server-side import that goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// The dataset.
    pub dataset: DatasetId,
    /// What is imported.
    pub uri: String,
    /// Where to go on; none at the start.
    pub cursor: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    project: Uuid,
    name: String,
    sources: i64,
    masks: Value,
    landmarks: i64,
    import_uri: Option<String>,
    importing: bool,
    import_errors: Vec<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Dataset {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            masks: Place { table: "datasets", row: &row.id }.json("masks", row.masks)?,
            id: DatasetId::from_uuid(row.id),
            project: ProjectId::from_uuid(row.project),
            name: row.name,
            sources: row.sources,
            landmarks: row.landmarks,
            import_uri: row.import_uri,
            importing: row.importing,
            import_errors: row.import_errors,
            created_at: row.created_at,
        })
    }
}

#[derive(sqlx::FromRow)]
struct SourceColumns {
    ordinal: i64,
    sha256: Vec<u8>,
    uri: String,
    bytes: i64,
    labels: Value,
    masks: Value,
    landmarks: Option<Value>,
}

impl TryFrom<SourceColumns> for Source {
    type Error = StoreError;

    fn try_from(row: SourceColumns) -> Result<Self, StoreError> {
        let at = Place { table: "sources", row: &row.ordinal };
        Ok(Self {
            sha256: at.digest("sha256", &row.sha256)?,
            labels: at.json("labels", row.labels)?,
            masks: at.json("masks", row.masks)?,
            landmarks: row.landmarks.map(|points| at.json("landmarks", points)).transpose()?,
            ordinal: row.ordinal,
            uri: row.uri,
            bytes: row.bytes,
        })
    }
}

impl Store {
    /// Makes an empty dataset; with `import_uri`, an import is to fill it. None if the project has one of that name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.create_dataset", skip(self))]
    pub async fn create_dataset(
        &self,
        project: ProjectId,
        name: &str,
        import_uri: Option<&str>,
    ) -> Result<Option<Dataset>, StoreError> {
        let sql = "-- create_dataset
            INSERT INTO datasets (id, project, name, import_uri, importing) VALUES ($1, $2, $3, $4, $4 IS NOT NULL)
            ON CONFLICT (project, name) DO NOTHING
            RETURNING id, project, name, sources, masks, landmarks, import_uri, importing, import_errors, created_at";
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(Uuid::now_v7())
            .bind(project.as_uuid())
            .bind(name)
            .bind(import_uri)
            .fetch_optional(&self.pool)
            .await?;
        row.map(Dataset::try_from).transpose()
    }

    /// The project's dataset of this name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.dataset", skip(self))]
    pub async fn dataset(&self, project: ProjectId, name: &str) -> Result<Option<Dataset>, StoreError> {
        let sql = "-- dataset
            SELECT id, project, name, sources, masks, landmarks, import_uri, importing, import_errors, created_at
            FROM datasets WHERE project = $1 AND name = $2";
        let row: Option<Row> =
            sqlx::query_as(sql).bind(project.as_uuid()).bind(name).fetch_optional(&self.pool).await?;
        row.map(Dataset::try_from).transpose()
    }

    /// The project's datasets by name, after the name `after`.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.datasets", skip(self))]
    pub async fn datasets(
        &self,
        project: ProjectId,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Dataset>, StoreError> {
        let sql = "-- datasets
            SELECT id, project, name, sources, masks, landmarks, import_uri, importing, import_errors, created_at
            FROM datasets WHERE project = $1 AND name > $2 ORDER BY name LIMIT $3";
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(project.as_uuid())
            .bind(after.unwrap_or(""))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(Dataset::try_from).collect()
    }

    /// Adds sources behind the last ordinal. Bytes the dataset has already (also twice among `sources`) are not added again but
    /// named; their masks and landmarks are added to the source that stands. Two calls at once take turns, by a lock on the dataset's row.
    ///
    /// # Errors
    /// When there is no such dataset or the database fails.
    #[tracing::instrument(name = "db.add_sources", skip_all, fields(%dataset, n = sources.len()))]
    pub async fn add_sources(&self, dataset: DatasetId, sources: &[SourceRow]) -> Result<Added, StoreError> {
        let mut tx = self.pool.begin().await?;
        let lock = "-- add_sources: lock\nSELECT sources FROM datasets WHERE id = $1 FOR NO KEY UPDATE";
        let next: Option<i64> = sqlx::query_scalar(lock).bind(dataset.as_uuid()).fetch_optional(&mut *tx).await?;
        let next = next.ok_or_else(|| StoreError::Missing { what: format!("dataset {dataset}") })?;
        let insert = "-- add_sources
            WITH given AS (
                SELECT DISTINCT ON (sha256) * FROM unnest($2::bytea[], $3::text[], $4::bigint[], $5::jsonb[])
                    WITH ORDINALITY AS g(sha256, uri, bytes, labels, pos) ORDER BY sha256, pos),
            fresh AS (
                SELECT g.*, row_number() OVER (ORDER BY g.pos) - 1 AS offset_no FROM given g
                WHERE NOT EXISTS (SELECT FROM sources s WHERE s.dataset = $1 AND s.sha256 = g.sha256)),
            added AS (
                INSERT INTO sources (dataset, ordinal, sha256, uri, bytes, labels)
                SELECT $1, $6 + offset_no, sha256, uri, bytes, labels FROM fresh RETURNING 1),
            counted AS (
                UPDATE datasets SET sources = sources + (SELECT count(*) FROM added) WHERE id = $1 RETURNING sources)
            SELECT sources - $6 FROM counted";
        let digests: Vec<&[u8]> = sources.iter().map(|s| s.sha256.as_bytes().as_slice()).collect();
        let labels = sources.iter().map(|s| to_json("labels", &s.labels)).collect::<Result<Vec<_>, _>>()?;
        let added: i64 = sqlx::query_scalar(insert)
            .bind(dataset.as_uuid())
            .bind(&digests)
            .bind(sources.iter().map(|s| s.uri.as_str()).collect::<Vec<_>>())
            .bind(sources.iter().map(|s| s.bytes).collect::<Vec<_>>())
            .bind(labels)
            .bind(next)
            .fetch_one(&mut *tx)
            .await?;
        let mut duplicates = Vec::new();
        if added != sources.len() as i64 {
            let sql = "-- add_sources: duplicates
                SELECT g.uri, s.uri FROM (
                    SELECT *, row_number() OVER (PARTITION BY sha256 ORDER BY pos) AS nth
                    FROM unnest($2::bytea[], $3::text[]) WITH ORDINALITY AS g(sha256, uri, pos)) AS g
                JOIN sources s ON s.dataset = $1 AND s.sha256 = g.sha256
                WHERE g.nth > 1 OR s.ordinal < $4 ORDER BY g.pos";
            let rows: Vec<(String, String)> = sqlx::query_as(sql)
                .bind(dataset.as_uuid())
                .bind(&digests)
                .bind(sources.iter().map(|s| s.uri.as_str()).collect::<Vec<_>>())
                .bind(next)
                .fetch_all(&mut *tx)
                .await?;
            duplicates = rows.into_iter().map(|(uri, same_as)| Duplicate { uri, same_as }).collect();
        }
        let masks = sources.iter().flat_map(|s| s.masks.iter().map(|(name, mask)| (&s.sha256, name.as_str(), mask)));
        let masks = add_masks(&mut tx, dataset, &masks.collect::<Vec<_>>()).await?;
        let landmarks = sources.iter().filter_map(|s| Some((&s.sha256, s.landmarks.as_ref()?))).collect::<Vec<_>>();
        let landmarks = add_landmarks(&mut tx, dataset, &landmarks).await?;
        tx.commit().await?;
        Ok(Added {
            added: added.cast_unsigned(),
            duplicates,
            masks: masks.added,
            mask_conflicts: masks.conflicts,
            landmarks: landmarks.added,
            landmark_conflicts: landmarks.conflicts,
        })
    }

    /// The dataset's sources in order, after the ordinal `after`.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.sources", skip(self))]
    pub async fn sources(&self, dataset: DatasetId, after: Option<i64>, limit: i64) -> Result<Vec<Source>, StoreError> {
        let sql = "-- sources
            SELECT s.ordinal, s.sha256, s.uri, s.bytes, s.labels, COALESCE(m.masks, '{}') AS masks, s.landmarks
            FROM sources s
            LEFT JOIN LATERAL (
                SELECT jsonb_object_agg(name, encode(k.sha256, 'hex')) AS masks FROM source_masks k
                WHERE k.dataset = s.dataset AND k.ordinal = s.ordinal) AS m ON true
            WHERE s.dataset = $1 AND s.ordinal > $2 ORDER BY s.ordinal LIMIT $3";
        let rows: Vec<SourceColumns> = sqlx::query_as(sql)
            .bind(dataset.as_uuid())
            .bind(after.unwrap_or(-1))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(Source::try_from).collect()
    }

    /// Imports that go on.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.importing", skip(self))]
    pub async fn importing(&self) -> Result<Vec<Import>, StoreError> {
        let sql = "-- importing\nSELECT id, import_uri, import_cursor FROM datasets WHERE importing ORDER BY id";
        let rows: Vec<(Uuid, String, Option<String>)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        let import = |(id, uri, cursor)| Import { dataset: DatasetId::from_uuid(id), uri, cursor };
        Ok(rows.into_iter().map(import).collect())
    }

    /// Notes how far an import came and what it could not take; `finished` ends it. False, and nothing changed, if the import is
    /// no longer at `from`: another coordinator went on with it.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.import_progress", skip(self, errors))]
    pub async fn import_progress(
        &self,
        dataset: DatasetId,
        from: Option<&str>,
        cursor: Option<&str>,
        errors: &[String],
        finished: bool,
    ) -> Result<bool, StoreError> {
        let sql = "-- import_progress
            UPDATE datasets SET import_cursor = $3, import_errors = import_errors || $4, importing = NOT $5
            WHERE id = $1 AND importing AND import_cursor IS NOT DISTINCT FROM $2";
        let updated = sqlx::query(sql)
            .bind(dataset.as_uuid())
            .bind(from)
            .bind(cursor)
            .bind(errors)
            .bind(finished)
            .execute(&self.pool)
            .await?;
        Ok(updated.rows_affected() == 1)
    }
}
