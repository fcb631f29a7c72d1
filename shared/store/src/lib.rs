//! What is kept: the only crate with sqlx, and Postgres the only truth.
//!
//! **Owns** the schema in `migrations/` and every statement on it, one file per aggregate. Each operation is one named
//! transaction (tracing span `db.<name>`, and a `-- <name>` comment that shows in `pg_stat_activity`).
//!
//! **Never** knows messages or HTTP: payloads of the outbox come in as JSON from the caller. Never decides by any clock but the
//! database's. Never changes a task without appending to `count_deltas` in the same statement (in the same transaction where
//! slices are written: COPY returns nothing to count), and never accepts a worker's word without its fence.
//!
//! **After a crash** a transaction that was under way did not happen. What a lost process left half done (tasks handed out,
//! jobs half written, keys whose producer is gone) is found and moved on by the sweeps in [`sweep`], each bounded and safe to
//! repeat by any number of coordinators.
//!
//! ## Row locks, in the order in which they are taken
//! A job's row: transitions (pause, cancel, settle, revive) take it `FOR UPDATE`; writing a slice of tasks takes it
//! `FOR NO KEY UPDATE`; hand-outs, starts and outcomes take it `FOR KEY SHARE`. So writers of tasks never stop hand-outs, and a
//! cancel waits for outcomes that are being committed, after which none is accepted (invariant I8). Then tasks, then
//! `stage_artifacts`, then the tasks that wait for them. Where two transactions still meet crosswise Postgres ends one of them,
//! and it is run again here.

mod api_keys;
mod archive;
mod attempts;
mod audit;
mod columns;
mod companions;
mod counts;
mod datasets;
mod dispatch;
mod enqueue;
mod error;
mod estimates;
mod fairness;
mod figures;
mod idempotency;
mod job_control;
mod jobs;
mod landmarks;
mod leader;
mod limits;
mod lineage;
mod masks;
mod outbox;
mod outcomes;
mod packs;
mod pairs;
mod progress;
mod projects;
mod rebuild;
mod redrive;
mod results;
mod reviews;
mod scores;
mod seals;
mod sessions;
mod signing_keys;
pub mod sweep;
mod task_control;
mod task_pause;
mod tasks;
mod verdicts;
mod workers;

pub use api_keys::{ApiKeyRow, KeyToProve, NewApiKey};
pub use archive::DatasetArchive;
pub use attempts::Attempt;
pub use audit::{AuditEntry, Deed};
pub use companions::CompanionRow;
pub use counts::{Count, Mismatch, Phase, ReasonCount};
pub use datasets::{Added, Dataset, Duplicate, Import, Source, SourceRow};
pub use dispatch::{
    ClaimRequest, ClaimedBatch, ClaimedEdit, ClaimedInvert, ClaimedSource, ClaimedTasks, ClaimedTrain, ClassWindow,
};
pub use enqueue::{NewTask, SliceOutcome};
pub use error::{ErrorClass, StoreError, TransitionError};
pub use estimates::Estimates;
pub use fairness::Backlog;
pub use figures::{Minute, QueueDepth};
pub use idempotency::{KeptAnswer, KeyedRequest, KeyedState};
pub use jobs::{EditRow, Gate, JobFilter, JobRow, NewEdit, NewJob, PackFacts, Submitted, Training};
pub use leader::LeaderEpoch;
pub use limits::{Hold, LimitsChange, ProjectChange};
pub use masks::MaskConflict;
pub use outbox::{OutboxKind, OutboxMessage, OutboxRow, Relayed};
pub use outcomes::{Applied, EditedRow, OutcomeRow};
pub use packs::{PackAdded, PackRow};
pub use pairs::PairFacts;
pub use progress::{Eta, ProgressRow, StageProgress, Stall, Surroundings};
pub use projects::Project;
pub use rebuild::{PointedAt, Pointer, Restored};
pub use redrive::Retried;
pub use results::{RecordRow, ResultFilter, ResultRow};
pub use reviews::Review;
pub use scores::{ByScore, Score, UnknownScore};
pub use seals::{SealRow, SealedFile, Unsealed};
pub use signing_keys::{OwnAuthority, OwnKey, PublicKey};
pub use task_control::CancelledTasks;
pub use task_pause::PausedTasks;
pub use tasks::{Fence, TaskRow};
pub use verdicts::{EditVerdicts, UnknownVerdict, VerdictKind};
pub use workers::{DeviceMemory, HeartbeatRow, RunningTask, WorkerRow, WorkerState};

use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use std::time::Duration;

/// Every migration this version knows.
static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// How to reach the database.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Most connections of this process.
    pub max_connections: u32,
}

/// The store. Cheap to clone: all clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

/// How long a connection that is given back may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Whether a connection answers that is given back to the pool. One that was cut off amid a statement, by a network and not by the
/// server, never does: the pool itself would wait for it, and have a place fewer for ever.
async fn answers(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let asked = tokio::time::timeout(ANSWERS_WITHIN, connection.ping()).await;
    asked.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|()| true)
}

impl Store {
    /// Connects, with limits that keep a stuck statement or a forgotten transaction from holding back vacuum for all.
    ///
    /// # Errors
    /// When the URL cannot be read or the server does not answer.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let options: PgConnectOptions = config.url.parse()?;
        let options = options.application_name("counterfactory").options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "15s"),
            ("idle_in_transaction_session_timeout", "15s"),
            // compiling a plan costs more than any statement here
            ("jit", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_secs(10))
            .after_release(|connection, _| Box::pin(answers(connection)))
            .connect_with(options)
            .await?;
        Ok(Self { pool })
    }

    /// Brings the schema up to this version. Safe to call from several processes at once, and while an older version is served: a
    /// migration that meets its transactions crosswise is one transaction itself, and begins again.
    ///
    /// # Errors
    /// When a migration fails or one that is applied differs from the one this version knows.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // a newer version's migrations may be there already: while versions are mixed, each must serve both
        let mut migrator = Migrator { ..Migrator::DEFAULT };
        migrator.migrations = MIGRATOR.migrations.clone();
        migrator.set_ignore_missing(true);
        let mut pause = Duration::from_millis(100);
        loop {
            let mut connection = self.pool.acquire().await?;
            let Err(error) = migrator.run(&mut *connection).await else { return Ok(()) };
            // with it goes the lock that keeps other migrators away
            connection.close().await?;
            if !error::is_deadlock(&error) || pause > Duration::from_secs(10) {
                return Err(error.into());
            }
            tracing::warn!(%error, "a migration met the work of an older version crosswise; trying again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// Whether the database answers and has every migration this version needs (a newer schema is fine).
    ///
    /// # Errors
    /// [`StoreError::SchemaBehind`] names the first missing migration.
    #[tracing::instrument(name = "db.check", skip_all)]
    pub async fn check(&self) -> Result<(), StoreError> {
        let sql = "-- check\nSELECT version FROM _sqlx_migrations WHERE success";
        let applied: Vec<i64> = match sqlx::query_scalar(sql).fetch_all(&self.pool).await {
            Err(error) if error::is_undefined_table(&error) => Vec::new(),
            other => other?,
        };
        match MIGRATOR.iter().find(|m| !applied.contains(&m.version)) {
            None => Ok(()),
            Some(missing) => Err(StoreError::SchemaBehind { missing: missing.version }),
        }
    }

    /// Waits until every connection is given back, and closes them.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
