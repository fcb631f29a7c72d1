//! Bells between loops of one process. A bell only makes things sooner: every loop also looks by itself, because the work may
//! come from another coordinator.

use std::time::Duration;
use tokio::sync::Notify;

/// One bell per loop that waits for work.
#[derive(Debug, Default)]
pub struct Wake {
    /// A job was submitted.
    pub enqueue: Notify,
    /// Tasks became ready, or a worker became free.
    pub dispatch: Notify,
    /// Rows lie in the outbox.
    pub relay: Notify,
    /// A dataset wants its import.
    pub import: Notify,
    /// A job was cancelled, or its last task may have ended.
    pub settle: Notify,
}

/// Waits for `bell`, at most `longest`. A bell rung while nobody waited is remembered (one permit).
pub async fn wait(bell: Option<&Notify>, longest: Duration) {
    match bell {
        None => tokio::time::sleep(longest).await,
        Some(bell) => {
            let _ = tokio::time::timeout(longest, bell.notified()).await;
        }
    }
}
