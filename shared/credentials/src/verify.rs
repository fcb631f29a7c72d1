//! Holding an output against its record, one finding a check, so that a report can say exactly what differs.
//!
//! Findings have levels, each of which rests on those before: see [`Level`].

use crate::chain::Anchors;
use crate::credential::{Credential, CredentialError, Role, State, read_credential};
use crate::embed::{Told, strip_record, told_by, told_text};
use crate::raster::decode;
use domain::record::{EXCERPT_SCHEMA, READABLE_SCHEMAS, RECORD_SCHEMA, Record};
use domain::{Digest, digest_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(into = "u8")]
pub enum Level {
    /// 0: the bytes are those that the record was written for.
    Bytes,
    /// 1: the credential holds, and a given anchor vouches for its signer.
    Credential,
    /// 2: the record is the one that the credential names.
    Record,
    /// 3: the record is in a job's manifest whose seal holds.
    Seal,
    /// 4: the source and the weights are at hand, and are those that the record names.
    Inputs,
    /// 5: the recipe was run again, and gives the same picture.
    Replay,
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level as Self
    }
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What it is about.
    pub level: Level,
    /// What was checked: `record`, `recipe`, `raster`, `file`, `credential`, `source`, `model:generator`, ...
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
    pub fn new(level: Level, check: impl Into<String>, result: Check) -> Self {
        Self { level, check: check.into(), result }
    }

    /// True for a mismatch.
    pub const fn failed(&self) -> bool {
        matches!(self.result, Check::Fail { .. })
    }
}

/// Checks that need nothing but the file: the record is there and canonical, its recipe has the digest it claims, the pixels
/// and the file without what was put into it are those it was written for. What the file says comes back when it could be read.
pub fn check_file(file: &[u8]) -> (Vec<Finding>, Option<Told>) {
    let (told, text) = match told_text(file).and_then(|text| Ok((told_by(text.clone())?, text))) {
        Ok(both) => both,
        Err(error) => return (vec![Finding::new(Level::Bytes, "record", fail(chain(&error)))], None),
    };
    let mut findings = vec![Finding::new(Level::Bytes, "record", canonical(&text))];
    match &told {
        Told::Record { record, .. } => findings.extend(check_against(file, record, &text)),
        Told::Excerpt(excerpt) if excerpt.recipe.is_some() || excerpt.recipe_digest.is_some() => {
            findings.push(Finding::new(Level::Bytes, "recipe", recipe_digest(&text)));
        }
        Told::Excerpt(_) => {}
    }
    (findings, Some(told))
}

/// Holds a file against a record that was found elsewhere, or inside it, and that was read from `text`.
pub fn check_against(file: &[u8], record: &Record, text: &[u8]) -> Vec<Finding> {
    let raster = match decode(file) {
        Ok((width, height, _)) if [width, height] != record.outcome.size => {
            let [w, h] = record.outcome.size;
            fail(format!("the raster has {width} x {height} pixels, the record says {w} x {h}"))
        }
        Ok((_, _, pixels)) => same("raster", record.outcome.raster_sha256, Digest::of(pixels)),
        Err(error) => fail(chain(&error)),
    };
    let bare = match strip_record(file) {
        Ok(bytes) => same("file without what was put into it", record.outcome.unsigned_sha256, Digest::of(bytes)),
        Err(error) => fail(chain(&error)),
    };
    let named = [("recipe", recipe_digest(text)), ("raster", raster), ("file", bare)];
    named.into_iter().map(|(name, check)| Finding::new(Level::Bytes, name, check)).collect()
}

/// Whether a record's text is as it was written: canonical JSON of a schema that this version reads.
pub fn canonical(text: &[u8]) -> Check {
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => return fail(format!("the record is no JSON: {error}")),
    };
    let schema = value["schema"].as_str().unwrap_or_default();
    if schema != EXCERPT_SCHEMA && !READABLE_SCHEMAS.contains(&schema) {
        return fail(format!(
            "the record's schema is '{schema}', which this program does not know; it reads up to '{RECORD_SCHEMA}'"
        ));
    }
    match domain::canonical_json(&value) {
        Ok(bytes) if bytes == text => Check::Pass,
        Ok(_) => fail("the record is not in canonical form: it was changed after it was written".to_owned()),
        Err(error) => fail(chain(&error)),
    }
}

/// Checks the credential of an image against `anchors`, and against what the file says of its record: `credential` (it holds),
/// `trust` (an anchor vouches for it), `digest` (it names this record).
pub fn check_credential(file: &[u8], told: Option<&Told>, anchors: &Anchors) -> (Vec<Finding>, Option<Credential>) {
    let credential = match read_credential(file, anchors) {
        Ok(credential) => credential,
        Err(error @ (CredentialError::None | CredentialError::Failed(_) | CredentialError::Key(_))) => {
            return (vec![Finding::new(Level::Credential, "credential", fail(chain(&error)))], None);
        }
    };
    let mut findings = credential_findings(&credential, anchors);
    if let (Some(told), Some(claim)) = (told, &credential.record) {
        let named = match claim.role {
            Role::Output { .. } => same("record", claim.record_digest, told.digest()),
            Role::Companion { role, .. } => fail(format!("the credential is for a {}, not for an output", role.name())),
        };
        findings.push(Finding::new(Level::Record, "digest", named));
    }
    (findings, Some(credential))
}

/// Whether the credential holds (`credential`), and an anchor vouches for its signer (`trust`).
pub(crate) fn credential_findings(credential: &Credential, anchors: &Anchors) -> Vec<Finding> {
    let holds = match (credential.state, &credential.record) {
        (State::Invalid, _) => fail(format!("the credential does not hold: {}", credential.failures.join("; "))),
        (_, None) => fail(format!(
            "the credential is not one of ours: it was written by {} and names no record",
            credential.written_by.as_deref().unwrap_or("an unnamed program")
        )),
        (State::Valid | State::Trusted, Some(_)) => Check::Pass,
    };
    let signer = credential.signed_by.as_deref().unwrap_or("somebody unnamed");
    let trust = match credential.state {
        State::Trusted => Check::Pass,
        State::Invalid => Check::Skipped { detail: "the credential does not hold".to_owned() },
        State::Valid if anchors.is_empty() => {
            let detail = format!("signed by '{signer}'; no anchors were given that could vouch for it");
            Check::Skipped { detail }
        }
        State::Valid => fail(format!("none of the given anchors vouches for its signer '{signer}'")),
    };
    vec![Finding::new(Level::Credential, "credential", holds), Finding::new(Level::Credential, "trust", trust)]
}

/// Holds the bytes of something the record names (a source, a weights file) against the digest it names it by.
pub fn check_object(name: &str, expected: Digest, bytes: &[u8]) -> Finding {
    check_digest(name, expected, Digest::of(bytes))
}

/// As [`check_object`], for what was hashed already.
pub fn check_digest(name: &str, expected: Digest, found: Digest) -> Finding {
    Finding::new(Level::Inputs, name, same(name, expected, found))
}

/// The recipe as it is written, not as this version reads it: what was added to it, or left out because it is the default, counts.
fn recipe_digest(text: &[u8]) -> Check {
    #[derive(Deserialize)]
    struct Claim {
        recipe: Value,
        recipe_digest: Digest,
    }
    let claim: Claim = match serde_json::from_slice(text) {
        Ok(claim) => claim,
        Err(error) => return fail(format!("the recipe cannot be read: {error}")),
    };
    match digest_of(&claim.recipe) {
        Ok(digest) => same("recipe", claim.recipe_digest, digest),
        Err(error) => fail(chain(&error)),
    }
}

/// Equal, or a failure that names both.
pub(crate) fn same(what: &str, recorded: Digest, found: Digest) -> Check {
    if recorded == found {
        return Check::Pass;
    }
    fail(format!("the {what} has SHA-256 {found}, the record says {recorded}"))
}

const fn fail(detail: String) -> Check {
    Check::Fail { detail }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
