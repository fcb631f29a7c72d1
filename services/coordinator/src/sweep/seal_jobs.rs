//! Seals jobs that have ended.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use crate::seal::{self, SealError};
use std::time::Duration;

/// The loop's body.
pub struct SealJobs {
    /// What it works with.
    pub app: App,
}

impl Reconciler for SealJobs {
    const NAME: &'static str = "seal_jobs";
    const EAGER: bool = true;
    /// A step reads all results of a job and writes the files of its seal.
    const PATIENCE: Duration = Duration::from_secs(3600);

    async fn run_once(&self) -> Result<u64, LoopError> {
        if !self.app.config.tuning.seal {
            return Ok(0);
        }
        let Some(job) = self.app.store.unsealed().await? else { return Ok(0) };
        match seal::run(&self.app, job).await {
            Ok(true) => {
                tracing::info!(job = %job.id, "a job was sealed");
                Ok(1)
            }
            Ok(false) | Err(SealError::Elsewhere) => Ok(0),
            Err(SealError::Loop(error)) => Err(error),
            Err(error) => Err(LoopError::Unreadable { job: job.seq, what: format!("it cannot be sealed: {error}") }),
        }
    }
}
