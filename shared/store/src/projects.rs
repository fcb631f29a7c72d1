//! Projects: the tenants among whom GPU time is shared.

use crate::{Store, StoreError};
use domain::ProjectId;
use uuid::Uuid;

/// A tenant.
#[derive(Clone, PartialEq, Debug)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its unique name.
    pub name: String,
    /// Its share of the GPUs relative to others, above 0.
    pub weight: f64,
    /// GPU milliseconds charged so far (folded part), raised to the others' level whenever it comes back from idling.
    pub served_ms: f64,
}

impl Store {
    /// The project of this name, made with weight 1 if there is none.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.ensure_project", skip(self))]
    pub async fn ensure_project(&self, name: &str) -> Result<ProjectId, StoreError> {
        if let Some(project) = self.project(name).await? {
            return Ok(project.id);
        }
        // DO UPDATE to itself, so that the row is returned even if another process made it first
        let sql = "-- ensure_project
            INSERT INTO projects (id, name) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";
        let id: Uuid = sqlx::query_scalar(sql).bind(Uuid::now_v7()).bind(name).fetch_one(&self.pool).await?;
        Ok(ProjectId::from_uuid(id))
    }

    /// The project of this name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.project", skip(self))]
    pub async fn project(&self, name: &str) -> Result<Option<Project>, StoreError> {
        let sql = "-- project\nSELECT id, name, weight, served_ms FROM projects WHERE name = $1";
        let row: Option<(Uuid, String, f64, f64)> = sqlx::query_as(sql).bind(name).fetch_optional(&self.pool).await?;
        Ok(row.map(|(id, name, weight, served_ms)| Project { id: ProjectId::from_uuid(id), name, weight, served_ms }))
    }

    /// Sets the project's share. False if there is no such project.
    ///
    /// # Errors
    /// When the database fails or `weight` is not above 0.
    #[tracing::instrument(name = "db.set_weight", skip(self))]
    pub async fn set_weight(&self, name: &str, weight: f64) -> Result<bool, StoreError> {
        let sql = "-- set_weight\nUPDATE projects SET weight = $2 WHERE name = $1";
        Ok(sqlx::query(sql).bind(name).bind(weight).execute(&self.pool).await?.rows_affected() == 1)
    }
}
