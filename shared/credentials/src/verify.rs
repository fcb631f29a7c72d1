//! Holding an output against its record, one finding a check, so that a report can say exactly what differs.

use crate::embed::{extract_record, strip_record};
use crate::raster::raster_digest;
use domain::record::{RECORD_SCHEMA, Record};
use domain::{Digest, canonical_json, digest_of};
use serde::Serialize;

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was checked: `record`, `recipe`, `raster`, `file`, `source`, `model:generator`, ...
    pub check: String,
    /// How it ended.
    #[serde(flatten)]
    pub result: Check,
}

/// How a check ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Check {
    /// It matches.
    Pass,
    /// It does not.
    Fail {
        /// What differs, naming both values.
        detail: String,
    },
    /// It could not be checked here, and why: not a failure, but not a proof either.
    Skipped {
        /// What was missing.
        detail: String,
    },
}

impl Finding {
    /// A finding named `check`.
    pub fn new(check: impl Into<String>, result: Check) -> Self {
        Self { check: check.into(), result }
    }

    /// True for a mismatch.
    pub const fn failed(&self) -> bool {
        matches!(self.result, Check::Fail { .. })
    }
}

/// Checks that need nothing but the file: the record is there and canonical, its recipe has the digest it claims, the pixels
/// and the file without the record are those it was written for. The record comes back when it could be read.
pub fn check_file(png: &[u8]) -> (Vec<Finding>, Option<Record>) {
    let (record, json) = match extract_record(png) {
        Ok(found) => found,
        Err(error) => return (vec![Finding::new("record", fail(chain(&error)))], None),
    };
    let canonical = match canonical_json(&record) {
        Ok(bytes) if bytes == json && record.schema == RECORD_SCHEMA => Check::Pass,
        Ok(_) if record.schema != RECORD_SCHEMA => {
            fail(format!("the record's schema is '{}'; this program reads '{RECORD_SCHEMA}'", record.schema))
        }
        Ok(_) => fail("the record is not in canonical form: it was changed after it was written".to_owned()),
        Err(error) => fail(chain(&error)),
    };
    let recipe = match digest_of(&record.recipe) {
        Ok(digest) => same("recipe", record.recipe_digest, digest),
        Err(error) => fail(chain(&error)),
    };
    let raster = match raster_digest(png) {
        Ok(digest) => same("raster", record.outcome.raster_sha256, digest),
        Err(error) => fail(chain(&error)),
    };
    let file = match strip_record(png) {
        Ok(bytes) => same("file without its record", record.outcome.unsigned_sha256, Digest::of(bytes)),
        Err(error) => fail(chain(&error)),
    };
    let findings = vec![
        Finding::new("record", canonical),
        Finding::new("recipe", recipe),
        Finding::new("raster", raster),
        Finding::new("file", file),
    ];
    (findings, Some(record))
}

/// Holds the bytes of something the record names (a source, a weights file) against the digest it names it by.
pub fn check_object(name: &str, expected: Digest, bytes: &[u8]) -> Finding {
    check_digest(name, expected, Digest::of(bytes))
}

/// As [`check_object`], for what was hashed already.
pub fn check_digest(name: &str, expected: Digest, found: Digest) -> Finding {
    Finding::new(name, same(name, expected, found))
}

fn same(what: &str, recorded: Digest, found: Digest) -> Check {
    if recorded == found {
        return Check::Pass;
    }
    fail(format!("the {what} has SHA-256 {found}, the record says {recorded}"))
}

const fn fail(detail: String) -> Check {
    Check::Fail { detail }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
