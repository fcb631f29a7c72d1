//! Credentials for what an output's record names beside the output: the reconstruction that it is compared with, and the latents.
//!
//! They carry no record of their own: equal inversions serve many edits, and give equal files. So they are signed when they leave,
//! and the credential says by which record they are named, and as what. Pictures have it inside; of other files it travels beside them.

use crate::chain::Anchors;
use crate::container::Container;
use crate::credential::{
    ASSERTION_SCHEMA, Credential, CredentialError, Ingredient, Issuer, RECORD_ASSERTION, Role, SOURCE, agent, failed,
    read_credential, read_credential_beside,
};
use crate::embed::strip_record;
use crate::verify::{Check, Finding, Level, chain, credential_findings, same};
use crate::xmp::put_xmp;
use domain::Digest;
use domain::record::{Detail, Record, TRAINED_ALGORITHMIC_MEDIA, WrittenRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Cursor;

/// Media type under which files are signed that C2PA knows no form of.
const BYTES: &str = "application/octet-stream";
/// How data came about that a trained model made, by C2PA's own vocabulary (2.2, §18.15): IPTC's NewsCodes have media only.
const TRAINED_ALGORITHMIC_DATA: &str = "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData";

/// What a record names beside its output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Companion {
    /// The source as the generator draws it, unedited (PNG).
    Reconstruction,
    /// The edited latent (safetensors, `w_plus [n_latent, w_dim]`).
    Latent,
    /// The latent that the edit started from, with the item's own noise and weights where the inversion found any (safetensors).
    SourceLatent,
}

impl Companion {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Reconstruction, Self::Latent, Self::SourceLatent];

    /// As it is called in addresses and credentials.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reconstruction => "reconstruction",
            Self::Latent => "latent",
            Self::SourceLatent => "source-latent",
        }
    }

    /// What `record` calls it.
    pub const fn of(self, record: &Record) -> Digest {
        match self {
            Self::Reconstruction => record.outcome.reconstruction,
            Self::Latent => record.outcome.latent,
            Self::SourceLatent => record.recipe.source_latent,
        }
    }

    /// Whether its credential is inside the file.
    pub const fn is_picture(self) -> bool {
        matches!(self, Self::Reconstruction)
    }
}

impl std::str::FromStr for Companion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|companion| companion.name() == text);
        found.ok_or_else(|| format!("'{text}' is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl Issuer {
    /// `file`, the reconstruction's PNG that `record` names, with the unsigned note that it was generated and a credential inside.
    /// Nothing but the record's digest leaves with it: what was asked for concerns the edit.
    ///
    /// # Errors
    /// As [`Issuer::issue`]; and when `record` names another file.
    pub fn issue_reconstruction(
        &self,
        file: &[u8],
        record: &WrittenRecord,
        source: Ingredient<'_>,
    ) -> Result<Vec<u8>, CredentialError> {
        let kind = Container::of(file).map_err(|error| CredentialError::Failed(error.to_string()))?.media_type();
        let definition = definition(file, kind, record, Companion::Reconstruction)?;
        let noted = put_xmp(file, record, Detail::Minimal).map_err(|e| CredentialError::Failed(e.to_string()))?;
        let mut out = Cursor::new(Vec::with_capacity(noted.len() + (16 << 10)));
        let mut builder = self.builder(&definition, None, source)?;
        builder.save_to_stream(kind, &mut Cursor::new(noted), &mut out).map_err(failed)?;
        Ok(out.into_inner())
    }

    /// A credential that travels beside `file`, the latent that `record` names as `companion` (`.c2pa`).
    ///
    /// # Errors
    /// When the key does not sign, or `record` names another file.
    pub fn issue_beside(
        &self,
        file: &[u8],
        record: &WrittenRecord,
        companion: Companion,
        source: Ingredient<'_>,
    ) -> Result<Vec<u8>, CredentialError> {
        let mut builder = self.builder(&definition(file, BYTES, record, companion)?, None, source)?;
        builder.set_no_embed(true);
        let mut unchanged = Cursor::new(Vec::with_capacity(file.len()));
        builder.save_to_stream(BYTES, &mut Cursor::new(file), &mut unchanged).map_err(failed)
    }
}

fn definition(
    file: &[u8],
    media_type: &str,
    record: &WrittenRecord,
    companion: Companion,
) -> Result<Value, CredentialError> {
    let sha256 = Digest::of(file);
    if sha256 != companion.of(record) {
        let (name, named) = (companion.name(), companion.of(record));
        return Err(CredentialError::Failed(format!("the {name} has SHA-256 {sha256}, the record names {named}")));
    }
    let agent = agent(record);
    let source_type = if companion.is_picture() { TRAINED_ALGORITHMIC_MEDIA } else { TRAINED_ALGORITHMIC_DATA };
    Ok(json!({
        "claim_generator_info": [agent],
        "format": media_type,
        "title": sha256,
        "assertions": [
            { "label": "c2pa.actions.v2", "data": { "actions": [{
                "action": "c2pa.created",
                "digitalSourceType": source_type,
                "softwareAgent": agent,
                "parameters": { "ingredientIds": [SOURCE] },
            }] } },
            { "label": RECORD_ASSERTION, "data": {
                "schema": ASSERTION_SCHEMA,
                "record_schema": record.schema,
                "record_digest": record.digest(),
                "detail": Detail::Minimal,
                "role": companion,
                "sha256": sha256,
            } },
        ],
    }))
}

/// A file whose credential says that it is a companion, and what was found about both: `file` (the bytes are those that the
/// credential was written for), `credential`, `trust`.
#[derive(Debug)]
pub struct Accompanied {
    /// What it is.
    pub companion: Companion,
    /// What the record that the credential names calls it.
    pub sha256: Digest,
    /// SHA-256 of that record.
    pub record: Digest,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Its credential.
    pub credential: Credential,
}

/// Checks a companion by the credential inside it, or `beside` it; none where there is none that says so.
pub fn check_companion(file: &[u8], beside: Option<&[u8]>, anchors: &Anchors) -> Option<Accompanied> {
    let credential = match beside {
        Some(manifest) => read_credential_beside(file, BYTES, manifest, anchors),
        None => read_credential(file, anchors),
    };
    let credential = credential.ok()?;
    let claim = credential.record.as_ref()?;
    let (Role::Companion { role: companion, sha256 }, record) = (claim.role, claim.record_digest) else { return None };
    let bare = match beside {
        Some(_) => Ok(Digest::of(file)),
        None => strip_record(file).map(Digest::of),
    };
    let bytes = match bare {
        Ok(found) => same("file without what was put into it", sha256, found),
        Err(error) => Check::Fail { detail: chain(&error) },
    };
    let mut findings = vec![Finding::new(Level::Bytes, "file", bytes)];
    findings.extend(credential_findings(&credential, anchors));
    Some(Accompanied { companion, sha256, record, findings, credential })
}

/// Whether a companion's record calls it `named`: `record`.
pub fn check_named(companion: Companion, sha256: Digest, named: Digest) -> Finding {
    Finding::new(Level::Record, "record", same(companion.name(), named, sha256))
}
