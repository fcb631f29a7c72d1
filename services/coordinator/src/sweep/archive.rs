//! Brings the archive in the bucket up to what is registered and asked for.

use super::Reconciler;
use crate::app::App;
use crate::archive;
use crate::error::LoopError;
use std::time::Duration;

/// Jobs of one step.
const SLICE: i64 = 50;

/// The loop's body.
pub struct Archive {
    /// What it works with.
    pub app: App,
}

impl Reconciler for Archive {
    const NAME: &'static str = "archive";
    /// Documents of a dataset are as many as its sources.
    const PATIENCE: Duration = Duration::from_secs(900);

    async fn run_once(&self) -> Result<u64, LoopError> {
        let App { store, artifacts, .. } = &self.app;
        let mut written = 0;
        for pack in store.unarchived_packs().await? {
            archive::pack(store, artifacts, &pack).await?;
            written += 1;
        }
        for dataset in store.unarchived_datasets().await? {
            written += archive::dataset(store, artifacts, dataset.id).await?;
        }
        for job in store.unarchived_jobs(SLICE).await? {
            archive::job(store, artifacts, &job).await?;
            written += 1;
        }
        for (seq, id) in store.unarchived_cancels(SLICE).await? {
            archive::cancel(store, artifacts, seq, id).await?;
            written += 1;
        }
        Ok(written)
    }
}
