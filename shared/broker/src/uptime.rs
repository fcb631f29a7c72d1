//! For how long something has been connected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Since when a connection is up, if it is; clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Uptime(Arc<Mutex<Option<Instant>>>);

impl Uptime {
    /// How long it has been up without a break; none while it is not.
    pub fn get(&self) -> Option<Duration> {
        // safe to go on after a panic elsewhere: it is one value
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    pub(crate) fn set(&self, up: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = up.then(Instant::now);
    }
}
