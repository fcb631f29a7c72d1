//! Makes hand-outs ready again that no worker started: the broker lost the message, or it waits behind long work.
//!
//! Where messages only take longer than the patience, taking them back would hand the same tasks out for ever and start none: each
//! void message makes the next later still. So the patience doubles with every round that took something back, and comes down
//! again when nothing had to be taken back for as long as it lasts.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tasks of one step.
const SLICE: i64 = 1_000;
/// Doublings of the patience at most: 16 times what is set.
const DOUBLINGS: u32 = 4;

/// The loop's body.
pub struct NeverStarted {
    /// What it works with.
    pub app: App,
    /// How long it waits just now.
    pub patience: Patience,
}

impl Reconciler for NeverStarted {
    const NAME: &'static str = "never_started";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let patience = self.patience.now(self.app.config.tuning.never_started);
        let taken = self.app.store.never_started(patience, SLICE).await?;
        self.patience.took(taken, patience, Instant::now());
        if taken > 0 {
            let seconds = patience.as_secs_f64();
            tracing::warn!(tasks = taken, seconds, "hand-outs that nobody started were taken back");
            self.app.wake.dispatch.notify_one();
        }
        Ok(taken)
    }
}

/// How often the patience was doubled, and when that was last changed.
#[derive(Debug, Default)]
pub struct Patience(Mutex<(u32, Option<Instant>)>);

impl Patience {
    /// How long a hand-out may wait, where `set` is what was asked for.
    fn now(&self, set: Duration) -> Duration {
        set.saturating_mul(1 << self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Learns from a round.
    fn took(&self, tasks: u64, patience: Duration, at: Instant) {
        // safe to go on after a panic elsewhere: both parts are written at once
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (doublings, changed) = *state;
        if tasks > 0 {
            *state = ((doublings + 1).min(DOUBLINGS), Some(at));
        } else if doublings > 0 && changed.is_none_or(|changed| at.duration_since(changed) > patience) {
            *state = (doublings - 1, Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_while_hand_outs_come_back_and_shrinks_when_they_start() {
        let (patience, set, mut at) = (Patience::default(), Duration::from_secs(4), Instant::now());
        let mut round = |tasks| {
            let now = patience.now(set);
            at += now + Duration::from_millis(1);
            patience.took(tasks, now, at);
            now.as_secs()
        };
        assert_eq!([round(0), round(3), round(3), round(3), round(3), round(3), round(3)], [4, 4, 8, 16, 32, 64, 64]);
        assert_eq!([round(0), round(0), round(0), round(0), round(0), round(0)], [64, 32, 16, 8, 4, 4]);
    }

    #[test]
    fn one_quiet_round_within_the_patience_changes_nothing() {
        let (patience, set, at) = (Patience::default(), Duration::from_secs(4), Instant::now());
        patience.took(1, set, at);
        patience.took(0, set * 2, at + Duration::from_secs(1));
        assert_eq!(patience.now(set), set * 2);
    }
}
