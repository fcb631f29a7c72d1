//! Ending in good order: the first signal drains, the second ends at once.
//!
//! On the first SIGTERM or SIGINT (or a `Drain` from the coordinator) the worker takes no more work. A batch that is staged but not
//! begun is handed back; training stops at a checkpoint; a running edit or inversion gets the grace period to finish, and is handed
//! back after it. Nothing burns an attempt. A lost device ends the process the same way, at once and with a failure, so that whoever
//! supervises it starts a fresh one.

use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How far the end has come. Cheap to clone, readable from any thread.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    over: CancellationToken,
    lost: CancellationToken,
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

    /// Ends the process without grace: no call to the device will work again, so what is held goes back at once.
    pub fn device_lost(&self) {
        self.lost.cancel();
        self.begun.cancel();
        self.over.cancel();
    }

    /// True if the process ends because its device is gone.
    pub fn is_device_lost(&self) -> bool {
        self.lost.is_cancelled()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lost_device_leaves_no_grace_and_is_remembered() {
        let drain = Drain::default();
        drain.begin(Duration::from_secs(3600));
        assert!(drain.is_begun() && !drain.is_over() && !drain.is_device_lost());
        drain.device_lost();
        assert!(drain.is_begun() && drain.is_over() && drain.is_device_lost());
    }
}
