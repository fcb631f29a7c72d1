//! For how long something has been connected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Since when a connection is up, if it is; clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Uptime(Arc<Mutex<Connected>>);

#[derive(Clone, Copy, Debug, Default)]
enum Connected {
    /// Not once so far.
    #[default]
    Never,
    Since(Instant),
    /// It was, and is no more.
    Lost,
}

impl Uptime {
    /// How long it has been up without a break; none while it is not.
    pub fn get(&self) -> Option<Duration> {
        match self.now() {
            Connected::Since(since) => Some(since.elapsed()),
            Connected::Never | Connected::Lost => None,
        }
    }

    /// Whether it has ever been up, so that it can be: address, account and certificates are right.
    pub fn has_been_up(&self) -> bool {
        !matches!(self.now(), Connected::Never)
    }

    fn now(&self) -> Connected {
        // safe to go on after a panic elsewhere: it is one value
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, up: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match (up, *state) {
            (true, _) => Connected::Since(Instant::now()),
            (false, Connected::Never) => Connected::Never,
            (false, _) => Connected::Lost,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_up_once_is_known_to_be_reachable() {
        let (uptime, seen) = (Uptime::default(), |uptime: &Uptime| (uptime.get().is_some(), uptime.has_been_up()));
        uptime.set(false);
        assert_eq!(seen(&uptime), (false, false));
        uptime.clone().set(true);
        assert_eq!(seen(&uptime), (true, true));
        uptime.set(false);
        assert_eq!(seen(&uptime), (false, true));
    }
}
