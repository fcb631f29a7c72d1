//! Projects: the tenants among whom GPU time is shared.

use crate::{Store, StoreError};
use domain::ProjectId;
use std::collections::BTreeSet;
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
    /// GPU milliseconds that may be charged within 24 hours.
    pub quota_ms_per_day: Option<f64>,
    /// Batches of all its jobs with workers at once.
    pub max_batches: Option<i32>,
    /// Tasks of all its jobs handed out per minute.
    pub tasks_per_minute: Option<f64>,
    /// GPU milliseconds charged within the last 24 hours (folded part).
    pub used_ms: f64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    weight: f64,
    served_ms: f64,
    quota_ms_per_day: Option<f64>,
    max_batches: Option<i32>,
    tasks_per_minute: Option<f64>,
    used_ms: f64,
}

impl From<Row> for Project {
    fn from(row: Row) -> Self {
        Self {
            id: ProjectId::from_uuid(row.id),
            name: row.name,
            weight: row.weight,
            served_ms: row.served_ms,
            quota_ms_per_day: row.quota_ms_per_day,
            max_batches: row.max_batches,
            tasks_per_minute: row.tasks_per_minute,
            used_ms: row.used_ms,
        }
    }
}

macro_rules! select_projects {
    ($rest:literal) => {
        concat!(
            "-- projects
            SELECT id, name, weight, served_ms, quota_ms_per_day, max_batches, tasks_per_minute,
                   (SELECT COALESCE(sum(charge_ms), 0) FROM project_usage u
                    WHERE u.project = p.id AND u.hour > now() - interval '24 hours') AS used_ms
            FROM projects p ",
            $rest
        )
    };
}

impl Store {
    /// The project of this name, made with weight 1 if there is none.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.ensure_project", skip(self))]
    pub async fn ensure_project(&self, name: &str) -> Result<ProjectId, StoreError> {
        if let Some(id) = self.project_id(name).await? {
            return Ok(id);
        }
        // DO UPDATE to itself, so that the row is returned even if another process made it first
        let sql = "-- ensure_project
            INSERT INTO projects (id, name) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id";
        let id: Uuid = sqlx::query_scalar(sql).bind(Uuid::now_v7()).bind(name).fetch_one(&self.pool).await?;
        Ok(ProjectId::from_uuid(id))
    }

    /// The id of the project of this name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.project_id", skip(self))]
    pub async fn project_id(&self, name: &str) -> Result<Option<ProjectId>, StoreError> {
        let sql = "-- project_id\nSELECT id FROM projects WHERE name = $1";
        let id: Option<Uuid> = sqlx::query_scalar(sql).bind(name).fetch_optional(&self.pool).await?;
        Ok(id.map(ProjectId::from_uuid))
    }

    /// The project of this id.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    #[tracing::instrument(name = "db.project_by_id", skip(self))]
    pub async fn project_by_id(&self, id: ProjectId) -> Result<Project, StoreError> {
        let row: Option<Row> =
            sqlx::query_as(select_projects!("WHERE id = $1")).bind(id.as_uuid()).fetch_optional(&self.pool).await?;
        row.map(Project::from).ok_or_else(|| StoreError::Missing { what: format!("project {id}") })
    }

    /// The project of this name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.project", skip(self))]
    pub async fn project(&self, name: &str) -> Result<Option<Project>, StoreError> {
        let sql = select_projects!("WHERE name = $1");
        let row: Option<Row> = sqlx::query_as(sql).bind(name).fetch_optional(&self.pool).await?;
        Ok(row.map(Project::from))
    }

    /// All projects by name.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.projects", skip(self))]
    pub async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(select_projects!("ORDER BY name")).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Project::from).collect())
    }

    /// Those of the jobs of these numbers that belong to a project named.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.jobs_within", skip_all)]
    pub async fn jobs_within(&self, jobs: &[i64], projects: &[String]) -> Result<BTreeSet<i64>, StoreError> {
        let sql = "-- jobs_within
            SELECT j.seq FROM jobs j JOIN projects p ON p.id = j.project WHERE j.seq = ANY($1) AND p.name = ANY($2)";
        let found: Vec<i64> = sqlx::query_scalar(sql).bind(jobs).bind(projects).fetch_all(&self.pool).await?;
        Ok(found.into_iter().collect())
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
