//! What `make peers` has measured of other task queues, where it has run.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::io::ErrorKind;
use testkit::workspace_root;

/// The systems side by side, and under which rules and on which machine.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn by_side() -> Result<Value> {
    let path = workspace_root().join("tests/bench/peers.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(json!({ "peers": [], "run": "tests/bench/peers.json is not there: run `make peers`" }));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let told: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    Ok(json!({ "peers": told["peers"], "run": { "machine": told["machine"], "rules": told["rules"] } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_told_by_its_numbers_or_by_the_reason_for_their_lack() {
        let told = by_side().unwrap();
        for system in told["peers"].as_array().unwrap() {
            assert!(system["name"].is_string(), "{system}");
            assert!(system["0ms"]["tasks_per_s"].is_number() || system["failures"].is_object(), "{system}");
        }
    }
}
