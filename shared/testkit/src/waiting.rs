//! Waiting for a fact instead of sleeping for a guess.

use std::future::Future;
use std::time::{Duration, Instant};

/// Asks `condition` every 50 ms until it gives `Some`, and returns that.
///
/// # Panics
/// When `timeout` has passed; the message names `what` was waited for, so name it as a fact ("the job is done").
#[track_caller]
pub fn wait_until<T, F, Fut>(what: &str, timeout: Duration, mut condition: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(began.elapsed() < timeout, "waited {timeout:?} in vain until {what} (at {caller})");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
