//! What can go wrong with the store, and whether trying again helps.

use domain::job_state::NotNow;

/// A failed operation on the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("the schema could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The schema is older than this version needs.
    #[error("the database lacks migration {missing}; run `coordinator migrate`")]
    SchemaBehind {
        /// Version of the first missing migration.
        missing: i64,
    },
    /// A row that this version cannot read.
    #[error("{table}.{column} of {row} cannot be read: {cause}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Which row.
        row: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Something that a caller named by its number does not exist.
    #[error("there is no {what}")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// A value that cannot be stored.
    #[error("{what} cannot be stored: {cause}")]
    Unstorable {
        /// What it is.
        what: &'static str,
        /// Why.
        cause: String,
    },
}

/// What an error means for the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorClass {
    /// The surroundings failed; the same call may succeed later.
    Retryable,
    /// The same call will fail again: a defect, or a schema of another version.
    Permanent,
}

impl StoreError {
    /// Whether trying again can help.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Database(error) if is_passing(error) => ErrorClass::Retryable,
            Self::SchemaBehind { .. } => ErrorClass::Retryable,
            _ => ErrorClass::Permanent,
        }
    }

    /// True if Postgres ended the transaction because it met another one crosswise: it may be run again at once.
    pub(crate) fn is_collision(&self) -> bool {
        let Self::Database(error) = self else { return false };
        // 40001 serialization_failure, 40P01 deadlock_detected
        matches!(sqlstate(error).as_deref(), Some("40001" | "40P01"))
    }
}

/// Why a job could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// No such job.
    #[error("there is no such job")]
    Missing,
    /// Its state does not accept the event.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TransitionError {
    pub(crate) fn is_collision(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_collision())
    }
}

impl From<sqlx::Error> for TransitionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned())
}

pub(crate) fn is_undefined_table(error: &sqlx::Error) -> bool {
    sqlstate(error).as_deref() == Some("42P01")
}

fn is_passing(error: &sqlx::Error) -> bool {
    match sqlstate(error) {
        // connection failure, collisions, insufficient resources, lock not available, operator intervention (shutdown,
        // statement timeout), the system's errors (a disk that cannot be written), idle-in-transaction timeout
        Some(code) => ["08", "40", "53", "55", "57", "58", "25P03"].iter().any(|class| code.starts_with(class)),
        None => matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        ),
    }
}

/// 40P01 deadlock_detected, in a migration.
pub(crate) fn is_deadlock(error: &sqlx::migrate::MigrateError) -> bool {
    use sqlx::migrate::MigrateError;
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    error.as_database_error().is_some_and(|e| e.code().as_deref() == Some("40P01"))
}

/// Runs a transaction again, a few times, when Postgres ended it because it met another one crosswise. The expression is
/// evaluated anew each time, so it must have no side effect outside its transaction.
macro_rules! retrying {
    ($attempt:expr) => {{
        let mut tries = 0;
        loop {
            match $attempt {
                Err(error) if tries < 4 && error.is_collision() => {
                    tries += 1;
                    tracing::debug!(tries, "two transactions met crosswise; trying again");
                }
                other => break other,
            }
        }
    }};
}
pub(crate) use retrying;
