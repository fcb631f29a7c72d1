//! Ending in good order: the first signal drains, the second ends at once.
//!
//! On the first SIGTERM or SIGINT (or a `Drain` from the coordinator) the worker takes no more work. A batch that is staged but not
//! begun is handed back; training stops at a checkpoint; a running edit or inversion gets the grace period to finish, and is handed
//! back after it. Nothing burns an attempt.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How far the end has come. Cheap to clone, readable from any thread.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    over: CancellationToken,
}

impl Drain {
    /// True once no more work is to be begun.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// True once running work is to be handed back as it is.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits for [`Drain::is_begun`].
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Begins to drain; the grace period runs from now. A second call changes nothing.
    pub fn begin(&self, grace: Duration) {
        if self.is_begun() {
            return;
        }
        self.begun.cancel();
        let over = self.over.clone();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            over.cancel();
        });
    }

    /// Listens for signals from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals(&self, grace: Duration) -> std::io::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let drain = self.clone();
        tokio::spawn(async move {
            let mut signals = 0;
            loop {
                let code = tokio::select! { _ = terminate.recv() => 143, _ = interrupt.recv() => 130 };
                signals += 1;
                if signals > 1 {
                    tracing::warn!("a second signal: ending at once; what is held is taken back when it is missed");
                    std::process::exit(code);
                }
                tracing::info!(grace_seconds = grace.as_secs(), "a signal: draining; a second one ends at once");
                drain.begin(grace);
            }
        });
        Ok(())
    }
}
