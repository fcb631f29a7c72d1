//! How often somebody may ask: token buckets in this process, so n coordinators allow n times as much. They guard the coordinator
//! against a script gone wild; shares of GPU time are the dispatcher's.

use crate::access::{Principal, Who};
use crate::config::Limits;
use crate::http::problem::ApiError;
use domain::ApiKeyId;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// Buckets from which on full ones are looked for and dropped: a missing bucket is a full one.
const CROWD: usize = 10_000;

/// Whose bucket it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Asker {
    Key(ApiKeyId),
    Token(String),
}

/// The buckets.
pub struct RateLimits {
    requests: DefaultKeyedRateLimiter<Asker>,
    wrong_keys: DefaultKeyedRateLimiter<Option<IpAddr>>,
    clock: DefaultClock,
}

impl RateLimits {
    /// Full ones.
    pub fn new(limits: &Limits) -> Self {
        let number = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let requests = Quota::per_second(number(limits.requests_per_second)).allow_burst(number(limits.request_burst));
        let wrong_keys = Quota::per_minute(number(limits.wrong_keys_per_minute));
        Self {
            requests: RateLimiter::keyed(requests),
            wrong_keys: RateLimiter::keyed(wrong_keys),
            clock: DefaultClock::default(),
        }
    }

    /// Takes a request out of the asker's bucket. Programs on this machine have none: they may do worse to it.
    ///
    /// # Errors
    /// With the time after which there is one again.
    pub fn request(&self, principal: &Principal) -> Result<(), ApiError> {
        let asker = match &principal.who {
            Who::Local => return Ok(()),
            Who::Key { id, .. } => Asker::Key(*id),
            Who::Token { subject } => Asker::Token(subject.clone()),
        };
        self.take(&self.requests, &asker)
    }

    /// Takes a wrong key out of the address's bucket. A right key is never held back by the wrong ones of others.
    ///
    /// # Errors
    /// As [`RateLimits::request`].
    pub fn wrong_key(&self, from: Option<IpAddr>) -> Result<(), ApiError> {
        // An IPv6 host has a whole /64 to ask from.
        let network = from.map(|ip| match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
        });
        self.take(&self.wrong_keys, &network)
    }

    fn take<K: Hash + Eq + Clone>(&self, buckets: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<(), ApiError> {
        if buckets.len() > CROWD {
            buckets.retain_recent();
        }
        buckets.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            // whole seconds, as the header has them, never too early
            ApiError::TooMany { seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Reach;
    use domain::Scope;

    fn key(n: u128) -> Principal {
        let who = Who::Key { id: ApiKeyId::from_uuid(uuid::Uuid::from_u128(n)), name: "k".to_owned() };
        Principal { who, scope: Scope::Read, reach: Reach::All, expires_at: None }
    }

    #[test]
    fn each_key_has_its_own_bucket_and_is_told_when_to_come_back() {
        let limits = Limits { requests_per_second: 1, request_burst: 2, wrong_keys_per_minute: 3, ..Limits::default() };
        let rates = RateLimits::new(&limits);
        assert!(rates.request(&key(1)).is_ok() && rates.request(&key(1)).is_ok());
        assert!(matches!(rates.request(&key(1)), Err(ApiError::TooMany { seconds: 1 })));
        assert!(rates.request(&key(2)).is_ok(), "another key is not held back");
        assert!((0..9).all(|_| rates.request(&Principal::local()).is_ok()));
        let from = |text: &str| Some(text.parse().unwrap());
        assert!((0..3).all(|n| rates.wrong_key(from(&format!("2001:db8::{n}"))).is_ok()));
        assert!(matches!(rates.wrong_key(from("2001:db8::9")), Err(ApiError::TooMany { seconds: 1..=20 })));
        assert!(rates.wrong_key(from("2001:db8:1::9")).is_ok());
    }
}
