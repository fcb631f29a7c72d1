//! Registered packs. A name never changes its content: other networks need another name.

use crate::columns::Place;
use crate::{Store, StoreError};
use domain::Digest;

/// A registered pack.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackRow {
    /// Its unique name.
    pub name: String,
    /// Its identity: over the canonical manifest with the digest of every file.
    pub digest: Digest,
    /// The object that holds `pack.toml`'s text.
    pub manifest_digest: Digest,
    /// `pack.toml`'s text.
    pub manifest: String,
    /// Side of its images in pixels.
    pub resolution: i32,
}

/// What registering a pack did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PackAdded {
    /// It is registered.
    Added,
    /// It was registered already, with the same content.
    Same,
    /// The name belongs to other content.
    Conflict {
        /// The digest under that name.
        existing: Digest,
    },
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    digest: Vec<u8>,
    manifest_digest: Vec<u8>,
    manifest: String,
    resolution: i32,
}

impl TryFrom<Row> for PackRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let at = Place { table: "packs", row: &row.name };
        Ok(Self {
            digest: at.digest("digest", &row.digest)?,
            manifest_digest: at.digest("manifest_digest", &row.manifest_digest)?,
            manifest: row.manifest,
            resolution: row.resolution,
            name: row.name,
        })
    }
}

impl Store {
    /// Registers a pack whose files are in the bucket already.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.add_pack", skip_all, fields(pack = pack.name))]
    pub async fn add_pack(&self, pack: &PackRow) -> Result<PackAdded, StoreError> {
        let sql = "-- add_pack
            INSERT INTO packs (name, digest, manifest_digest, manifest, resolution) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (name) DO NOTHING";
        let inserted = sqlx::query(sql)
            .bind(&pack.name)
            .bind(pack.digest.as_bytes().as_slice())
            .bind(pack.manifest_digest.as_bytes().as_slice())
            .bind(&pack.manifest)
            .bind(pack.resolution)
            .execute(&self.pool)
            .await?;
        if inserted.rows_affected() == 1 {
            return Ok(PackAdded::Added);
        }
        match self.pack(&pack.name).await? {
            Some(existing) if existing.digest == pack.digest => Ok(PackAdded::Same),
            Some(existing) => Ok(PackAdded::Conflict { existing: existing.digest }),
            None => Err(StoreError::Missing { what: format!("pack '{}' (it went while it was added)", pack.name) }),
        }
    }

    /// The pack of this name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.pack", skip(self))]
    pub async fn pack(&self, name: &str) -> Result<Option<PackRow>, StoreError> {
        let sql = "-- pack\nSELECT name, digest, manifest_digest, manifest, resolution FROM packs WHERE name = $1";
        let row: Option<Row> = sqlx::query_as(sql).bind(name).fetch_optional(&self.pool).await?;
        row.map(PackRow::try_from).transpose()
    }

    /// All packs, by name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.packs", skip(self))]
    pub async fn packs(&self) -> Result<Vec<PackRow>, StoreError> {
        let sql = "-- packs\nSELECT name, digest, manifest_digest, manifest, resolution FROM packs ORDER BY name";
        let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        rows.into_iter().map(PackRow::try_from).collect()
    }
}
