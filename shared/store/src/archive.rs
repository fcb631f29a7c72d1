//! Which rows the archive in the bucket still lacks. The archive is what a lost database is rebuilt from, besides the results
//! themselves: what was registered and what was asked for. Writing it is the caller's; here stands how far it is.

use crate::jobs::{Row, select_jobs};
use crate::{JobRow, PackRow, Store, StoreError};
use domain::{DatasetId, JobId, ProjectId};
use uuid::Uuid;

/// How far a dataset is archived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatasetArchive {
    /// The dataset.
    pub id: DatasetId,
    /// Who owns it.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// Sources it has.
    pub sources: i64,
    /// Sources before this ordinal are archived.
    pub archived: i64,
    /// One more whenever archived sources change: see [`Store::sources_archived`].
    pub changes: i64,
}

type DatasetColumns = (Uuid, Uuid, String, i64, i64, i64);

fn dataset_archive((id, project, name, sources, archived, changes): DatasetColumns) -> DatasetArchive {
    let (id, project) = (DatasetId::from_uuid(id), ProjectId::from_uuid(project));
    DatasetArchive { id, project, name, sources, archived, changes }
}

impl Store {
    /// The key that the job was submitted under.
    ///
    /// # Errors
    /// When there is no such job, or the database fails.
    #[tracing::instrument(name = "db.idempotency_key", skip(self))]
    pub async fn idempotency_key(&self, job_seq: i64) -> Result<String, StoreError> {
        let sql = "-- idempotency_key\nSELECT idempotency_key FROM jobs WHERE seq = $1";
        let key: Option<String> = sqlx::query_scalar(sql).bind(job_seq).fetch_optional(&self.pool).await?;
        key.ok_or_else(|| StoreError::Missing { what: format!("job {job_seq}") })
    }

    /// Jobs that the archive lacks, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unarchived_jobs", skip(self))]
    pub async fn unarchived_jobs(&self, limit: i64) -> Result<Vec<JobRow>, StoreError> {
        let sql = select_jobs!("WHERE NOT j.archived ORDER BY j.seq LIMIT $1");
        let rows: Vec<Row> = sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await?;
        rows.into_iter().map(JobRow::try_from).collect()
    }

    /// Notes that the archive has the job.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.job_archived", skip(self))]
    pub async fn job_archived(&self, job_seq: i64) -> Result<(), StoreError> {
        let sql = "-- job_archived\nUPDATE jobs SET archived = true WHERE seq = $1 AND NOT archived";
        sqlx::query(sql).bind(job_seq).execute(&self.pool).await?;
        Ok(())
    }

    /// Cancelled jobs of which the archive does not know that they are.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unarchived_cancels", skip(self))]
    pub async fn unarchived_cancels(&self, limit: i64) -> Result<Vec<(i64, JobId)>, StoreError> {
        let sql = "-- unarchived_cancels
            SELECT seq, id FROM jobs WHERE state = 'cancelled' AND NOT cancel_archived ORDER BY seq LIMIT $1";
        let rows: Vec<(i64, Uuid)> = sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|(seq, id)| (seq, JobId::from_uuid(id))).collect())
    }

    /// Notes that the archive knows of the cancel. A cancelled job stays cancelled, so nothing can have changed meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.cancel_archived", skip(self))]
    pub async fn cancel_archived(&self, job_seq: i64) -> Result<(), StoreError> {
        let sql = "-- cancel_archived\nUPDATE jobs SET cancel_archived = true WHERE seq = $1";
        sqlx::query(sql).bind(job_seq).execute(&self.pool).await?;
        Ok(())
    }

    /// Packs that the archive lacks.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unarchived_packs", skip(self))]
    pub async fn unarchived_packs(&self) -> Result<Vec<PackRow>, StoreError> {
        let sql = "-- unarchived_packs\nSELECT name FROM packs WHERE NOT archived ORDER BY name";
        let names: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.pool).await?;
        let mut packs = Vec::with_capacity(names.len());
        for name in names {
            packs.extend(self.pack(&name).await?);
        }
        Ok(packs)
    }

    /// Notes that the archive has the pack. A registered pack never changes.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.pack_archived", skip(self))]
    pub async fn pack_archived(&self, name: &str) -> Result<(), StoreError> {
        let sql = "-- pack_archived\nUPDATE packs SET archived = true WHERE name = $1";
        sqlx::query(sql).bind(name).execute(&self.pool).await?;
        Ok(())
    }

    /// How far the dataset is archived.
    ///
    /// # Errors
    /// When there is no such dataset, or the database fails.
    #[tracing::instrument(name = "db.dataset_archive", skip(self))]
    pub async fn dataset_archive(&self, id: DatasetId) -> Result<DatasetArchive, StoreError> {
        let sql = "-- dataset_archive
            SELECT id, project, name, sources, archived, archive_changes FROM datasets WHERE id = $1";
        let row: Option<DatasetColumns> = sqlx::query_as(sql).bind(id.as_uuid()).fetch_optional(&self.pool).await?;
        row.map(dataset_archive).ok_or_else(|| StoreError::Missing { what: format!("dataset {id}") })
    }

    /// Datasets with sources that the archive lacks.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unarchived_datasets", skip(self))]
    pub async fn unarchived_datasets(&self) -> Result<Vec<DatasetArchive>, StoreError> {
        let sql = "-- unarchived_datasets
            SELECT id, project, name, sources, archived, archive_changes FROM datasets WHERE archived < sources ORDER BY id";
        let rows: Vec<DatasetColumns> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(dataset_archive).collect())
    }

    /// Notes that the sources from `seen.archived` to before `end` are archived as they were at `seen`. False, and nothing noted,
    /// if they may have changed since, or somebody else archived them.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.sources_archived", skip(self))]
    pub async fn sources_archived(&self, seen: &DatasetArchive, end: i64) -> Result<bool, StoreError> {
        let sql = "-- sources_archived
            UPDATE datasets SET archived = $4 WHERE id = $1 AND archived = $2 AND archive_changes = $3";
        let update = sqlx::query(sql).bind(seen.id.as_uuid()).bind(seen.archived).bind(seen.changes).bind(end);
        Ok(update.execute(&self.pool).await?.rows_affected() == 1)
    }
}
