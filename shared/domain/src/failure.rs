//! Why a task failed, what that means for its next attempt, and how long to wait.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use utoipa::ToSchema;

/// A stable reason code, kept with the task, shown to people and counted in metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The source object is not in the bucket.
    MissingSource,
    /// The edit is confined to a mask, and the source has none of that name.
    MissingMask,
    /// The job frames faces, the source has no landmarks, and the pack has no detector.
    MissingLandmarks,
    /// The source's landmarks are of no face in the image: outside of it, or all in one place.
    BadLandmarks,
    /// The pack's detector sees no face in the image.
    NoFace,
    /// The bytes are no image in any known format.
    NotAnImage,
    /// A known image format that is not supported (for example an animation codec).
    UnsupportedFormat,
    /// The image ends before its last pixel.
    Truncated,
    /// The image is damaged.
    Corrupt,
    /// A side below the minimum.
    TooSmall,
    /// More pixels than the limit: refused before decoding.
    TooLarge,
    /// More than one frame: no frame is *the* image.
    Animated,
    /// The bytes do not have the digest they were registered under.
    DigestMismatch,
    /// The optimisation produced a number that is not finite for this item.
    NonFinite,
    /// The text has more tokens than the text encoder's context.
    TextTooLong,
    /// The target text says nothing to CLIP beyond the neutral text.
    NoDirection,
    /// The stage this task waits for is dead.
    ProducerDead,
    /// The bucket could not be reached or answered with a server error.
    StorageUnavailable,
    /// Nobody signed the image: the coordinators, or the program that keeps the key, did not answer.
    SigningUnavailable,
    /// Out of memory even for this item alone.
    OutOfMemory,
    /// The device was lost or reset.
    DeviceLost,
    /// The worker was not heard of for too long.
    WorkerLost,
    /// Handed out, but no worker said it started.
    NeverStarted,
    /// The worker refused the batch: its pack cannot be loaded.
    PackInvalid,
    /// A defect of ours; the message says what was seen.
    Internal,
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The surroundings failed, not the item: tried again, capped apart from the attempts.
    Retryable,
    /// The item itself is at fault: quarantined at once with its reason.
    Data,
    /// Something is wrong with us: tried again a few times, then dead.
    Bug,
}

impl Reason {
    /// All reasons, in the order of the reference table.
    pub const ALL: [Self; 25] = [
        Self::MissingSource,
        Self::MissingMask,
        Self::MissingLandmarks,
        Self::BadLandmarks,
        Self::NoFace,
        Self::NotAnImage,
        Self::UnsupportedFormat,
        Self::Truncated,
        Self::Corrupt,
        Self::TooSmall,
        Self::TooLarge,
        Self::Animated,
        Self::DigestMismatch,
        Self::NonFinite,
        Self::TextTooLong,
        Self::NoDirection,
        Self::ProducerDead,
        Self::StorageUnavailable,
        Self::SigningUnavailable,
        Self::OutOfMemory,
        Self::DeviceLost,
        Self::WorkerLost,
        Self::NeverStarted,
        Self::PackInvalid,
        Self::Internal,
    ];

    /// The class of the failure.
    pub const fn class(self) -> FailureClass {
        match self {
            Self::MissingSource
            | Self::MissingMask
            | Self::MissingLandmarks
            | Self::BadLandmarks
            | Self::NoFace
            | Self::NotAnImage
            | Self::UnsupportedFormat
            | Self::Truncated
            | Self::Corrupt
            | Self::TooSmall
            | Self::TooLarge
            | Self::Animated
            | Self::DigestMismatch
            | Self::NonFinite
            | Self::TextTooLong
            | Self::NoDirection
            | Self::ProducerDead => FailureClass::Data,
            Self::StorageUnavailable
            | Self::SigningUnavailable
            | Self::OutOfMemory
            | Self::DeviceLost
            | Self::WorkerLost
            | Self::NeverStarted => FailureClass::Retryable,
            Self::PackInvalid | Self::Internal => FailureClass::Bug,
        }
    }

    /// The code as stored and shown, for example `too_small`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingSource => "missing_source",
            Self::MissingMask => "missing_mask",
            Self::MissingLandmarks => "missing_landmarks",
            Self::BadLandmarks => "bad_landmarks",
            Self::NoFace => "no_face",
            Self::NotAnImage => "not_an_image",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::TooSmall => "too_small",
            Self::TooLarge => "too_large",
            Self::Animated => "animated",
            Self::DigestMismatch => "digest_mismatch",
            Self::NonFinite => "non_finite",
            Self::TextTooLong => "text_too_long",
            Self::NoDirection => "no_direction",
            Self::ProducerDead => "producer_dead",
            Self::StorageUnavailable => "storage_unavailable",
            Self::SigningUnavailable => "signing_unavailable",
            Self::OutOfMemory => "out_of_memory",
            Self::DeviceLost => "device_lost",
            Self::WorkerLost => "worker_lost",
            Self::NeverStarted => "never_started",
            Self::PackInvalid => "pack_invalid",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|r| r.code() == text).ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// A reason code that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a failure reason known to this version")]
pub struct UnknownReason(pub String);

/// How often and how soon a failed task is tried again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryPolicy {
    /// Failures of class `Bug` before the task is dead.
    pub max_attempts: i16,
    /// Failures of class `Retryable` before the task is dead.
    pub max_losses: i16,
    /// The first back-off ceiling; it doubles with every failure.
    pub base: Duration,
    /// The largest back-off ceiling.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, max_losses: 10, base: Duration::from_secs(1), cap: Duration::from_secs(300) }
    }
}

impl RetryPolicy {
    /// Full-jitter back-off (AWS architecture blog, "Exponential Backoff And Jitter"): uniform in
    /// `0..=min(cap, base * 2^(failures - 1))`. `uniform` is a random number in `[0, 1)`.
    pub fn backoff(&self, failures: i16, uniform: f64) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0).min(20);
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.cap);
        ceiling.mul_f64(uniform.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_what_it_writes_in_text_and_json() {
        for reason in Reason::ALL {
            assert_eq!(reason.code().parse::<Reason>(), Ok(reason));
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }

    #[test]
    fn back_off_doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(1, 1.0), Duration::from_secs(1));
        assert_eq!(policy.backoff(4, 1.0), Duration::from_secs(8));
        assert_eq!(policy.backoff(30, 1.0), Duration::from_secs(300));
        assert_eq!(policy.backoff(4, 0.0), Duration::ZERO);
    }
}
