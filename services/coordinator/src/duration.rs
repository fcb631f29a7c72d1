//! Durations as people write them in a settings file: `500ms`, `45s`, `10m`, `2h`.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// A text that is not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a duration; write a whole number with a unit, such as 500ms, 45s, 10m or 2h")]
pub struct DurationError(pub String);

/// Reads `500ms`, `45s`, `10m` or `2h`.
///
/// # Errors
/// When the unit is missing or unknown, or the number is not whole.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let bad = || DurationError(text.to_owned());
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(bad)
}

/// For `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// As [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The same for a setting that may be absent.
///
/// # Errors
/// As [`parse`].
pub fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10m"), Ok(Duration::from_secs(600)));
        for bad in ["", "10", "s", "1.5s", "-1s", "10 s", "99999999999999999999h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
