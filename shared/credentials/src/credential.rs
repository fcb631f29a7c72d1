//! Content Credentials (C2PA 2.2) in and out of images: the only module that speaks to the `c2pa` crate.
//!
//! What is signed is the whole file, so the record inside it too, and beside it the record's digest as an assertion: a program that
//! keeps the credential and drops the rest still tells which record is meant.

use crate::chain::{Anchors, Certificates};
use crate::companion::Companion;
use crate::container::Container;
use crate::jumbf;
use crate::keys::{Algorithm, KeyError, Signer};
use domain::Digest;
use domain::record::{Detail, TRAINED_ALGORITHMIC_MEDIA, WrittenRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fmt;
use std::io::Cursor;
use std::sync::Arc;

/// Label of the assertion that holds the record's digest.
pub const RECORD_ASSERTION: &str = "org.counterfactory.record";

/// Schema of that assertion.
pub(crate) const ASSERTION_SCHEMA: &str = "counterfactory/assertion/1";

/// Room for a signature and its header beside the certificates, bytes.
const SIGNATURE_ROOM: usize = 256;
/// How the definition of a credential names the source.
pub(crate) const SOURCE: &str = "source";

thread_local! {
    /// Why the key did not sign, on its way around the library, which keeps but the text of it.
    static REFUSAL: Cell<Option<KeyError>> = const { Cell::new(None) };
}

/// A credential that could not be made, or read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The key did not sign.
    #[error("the credential cannot be signed")]
    Key(#[from] KeyError),
    /// There is none.
    #[error("the file carries no credential; was it written again by another program?")]
    None,
    /// No credential can be put into, or read from, this file.
    #[error("the credential cannot be written or read: {0}")]
    Failed(String),
}

/// Makes credentials with one key; cheap to share.
#[derive(Clone)]
pub struct Issuer {
    signer: Signer,
    context: Arc<c2pa::Context>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("key_id", &self.certificates().key_id()).finish_non_exhaustive()
    }
}

/// The image that was edited, as a credential names it.
#[derive(Clone, Copy, Debug)]
pub struct Ingredient<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// Its file, where it carries a credential of its own, which is then kept inside the new one.
    pub credentialed: Option<&'a [u8]>,
}

impl Issuer {
    /// Signs with `signer`.
    ///
    /// # Errors
    /// When its certificate is not for signing, or the library refuses its settings.
    pub fn new(signer: Signer) -> Result<Self, CredentialError> {
        let certificates = signer.certificates();
        certificates.for_signing().map_err(KeyError::Chain)?;
        let algorithm = match certificates.algorithm() {
            Algorithm::Es256 => c2pa::SigningAlg::Es256,
            Algorithm::Ed25519 => c2pa::SigningAlg::Ed25519,
        };
        let key = Arc::clone(&signer);
        let sign = move |_: *const (), message: &[u8]| {
            key.sign(message).map_err(|error| {
                let told = c2pa::Error::OtherError(error.to_string().into());
                REFUSAL.set(Some(error));
                told
            })
        };
        let chain = certificates.pem_without_anchors();
        // What is reserved and not needed stays in the file as zeros: ten kilobytes by default. The text of a certificate is a third
        // longer than its bytes, and the signature fits into the difference.
        let reserved = chain.len() + SIGNATURE_ROOM;
        let mut callback = c2pa::CallbackSigner::new(sign, algorithm, chain);
        callback.reserve_size = reserved;
        let settings = json!({
            // The signature was made a moment ago, by a key that was checked when it was loaded.
            "verify": { "verify_after_sign": false, "verify_after_reading": true },
            "builder": { "thumbnail": { "enabled": false } },
        });
        let context = context(&settings)?.with_signer(callback).into_shared();
        Ok(Self { signer, context })
    }

    /// Whose credentials these are.
    pub fn certificates(&self) -> &Certificates {
        self.signer.certificates()
    }

    /// `file` with a credential that names `record`, of which `detail` may leave. Call it last: any change of the file afterwards
    /// breaks the credential. A credential that is already there becomes no part of the new one; give the source's as `source`.
    ///
    /// # Errors
    /// When the key does not sign or `file` is no whole image.
    pub fn issue(
        &self,
        file: &[u8],
        record: &WrittenRecord,
        detail: Detail,
        source: Ingredient<'_>,
    ) -> Result<Vec<u8>, CredentialError> {
        let container = Container::of(file).map_err(|error| CredentialError::Failed(error.to_string()))?;
        let mut out = Cursor::new(Vec::with_capacity(file.len() + (16 << 10)));
        let title = match detail {
            Detail::Full => record.source_uri().rsplit('/').next().filter(|name| !name.is_empty()),
            Detail::Minimal | Detail::Standard => None,
        };
        let definition = definition(container.media_type(), record, detail);
        let mut builder = self.builder(&definition, title, source)?;
        builder.save_to_stream(container.media_type(), &mut Cursor::new(file), &mut out).map_err(failed)?;
        Ok(out.into_inner())
    }

    /// A builder of `definition` with the source, called `title`, as its ingredient [`SOURCE`].
    pub(crate) fn builder(
        &self,
        definition: &Value,
        title: Option<&str>,
        source: Ingredient<'_>,
    ) -> Result<c2pa::Builder, CredentialError> {
        let mut builder = c2pa::Builder::from_shared_context(&self.context)
            .with_definition(definition.to_string().as_str())
            .map_err(failed)?;
        let ingredient = json!({
            "title": title.unwrap_or(SOURCE),
            "format": source.media_type,
            "relationship": "inputTo",
            "label": SOURCE,
        });
        // Whoever prepared the source may have been less careful.
        let safe = |bytes: &&[u8]| jumbf::check_embedded(bytes, source.media_type).is_ok();
        match source.credentialed.filter(safe) {
            Some(bytes) => {
                let media_type = source.media_type;
                builder
                    .add_ingredient_from_stream(ingredient.to_string(), media_type, &mut Cursor::new(bytes))
                    .map_err(failed)?;
            }
            None => {
                builder.add_ingredient(c2pa::Ingredient::from_json(&ingredient.to_string()).map_err(failed)?);
            }
        }
        Ok(builder)
    }
}

/// The manifest's definition: the picture was created as a whole by a trained model, from the source, and then says which record
/// tells more.
fn definition(media_type: &str, record: &WrittenRecord, detail: Detail) -> Value {
    let agent = agent(record);
    let source_type = record.outcome.digital_source_type.as_deref().unwrap_or(TRAINED_ALGORITHMIC_MEDIA);
    let mut parameters = json!({ "ingredientIds": [SOURCE] });
    let mut assertion = json!({
        "schema": ASSERTION_SCHEMA,
        "record_schema": record.schema,
        "record_digest": record.digest(),
        "raster_sha256": record.outcome.raster_sha256,
        "detail": detail,
        "watermark": record.outcome.watermark,
    });
    if detail > Detail::Minimal {
        assertion["recipe_digest"] = json!(record.recipe_digest);
        assertion["source_sha256"] = json!(record.recipe.source.sha256);
        assertion["pack"] = json!(record.recipe.pack);
        parameters["description"] = json!(record.recipe.text.target);
    }
    json!({
        "claim_generator_info": [agent],
        "format": media_type,
        "title": record.outcome.raster_sha256,
        "assertions": [
            { "label": "c2pa.actions.v2", "data": { "actions": [{
                "action": "c2pa.created",
                "digitalSourceType": source_type,
                "softwareAgent": agent,
                "when": record.execution.finished_at.to_rfc3339(),
                "parameters": parameters,
            }] } },
            { "label": RECORD_ASSERTION, "data": assertion },
        ],
    })
}

/// The program that made the picture.
pub(crate) fn agent(record: &WrittenRecord) -> Value {
    json!({ "name": "Counterfactory", "version": record.execution.version })
}

/// What a credential says, and what became of the checks of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Credential {
    /// How far it can be relied on.
    pub state: State,
    /// Codes of what failed (C2PA 2.2 §15.2), with the library's explanations.
    pub failures: Vec<String>,
    /// Who signed it.
    pub signed_by: Option<String>,
    /// The program that wrote it.
    pub written_by: Option<String>,
    /// How the picture came about, by the first action.
    pub digital_source_type: Option<String>,
    /// Our assertion; none in a credential of another program.
    pub record: Option<RecordClaim>,
    /// Titles of the inputs, and whether each brought a credential of its own.
    pub ingredients: Vec<(String, bool)>,
}

/// How far a credential can be relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The file, the claim or the signature was changed, or the certificate does not hold.
    Invalid,
    /// Signed by somebody and unchanged since.
    Valid,
    /// Signed by a key that a given anchor vouches for, and unchanged since.
    Trusted,
}

/// The assertion [`RECORD_ASSERTION`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RecordClaim {
    /// SHA-256 of the record's canonical JSON.
    pub record_digest: Digest,
    /// How much of the record left with the file.
    pub detail: Detail,
    /// What the file is to the record.
    #[serde(flatten)]
    pub role: Role,
}

/// What a file with a credential is to the record that the credential names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Role {
    /// A file of another kind that the record names by its digest.
    Companion {
        /// Which.
        role: Companion,
        /// SHA-256 of the file before anything was put into it: what the record calls it.
        sha256: Digest,
    },
    /// The output that the record was written for.
    Output {
        /// SHA-256 of the decoded picture.
        raster_sha256: Digest,
    },
}

/// Reads and checks the credential of an image.
///
/// # Errors
/// [`CredentialError::None`] when there is none; [`CredentialError::Failed`] when it cannot even be taken apart.
pub fn read_credential(file: &[u8], anchors: &Anchors) -> Result<Credential, CredentialError> {
    let container = Container::of(file).map_err(|error| CredentialError::Failed(error.to_string()))?;
    jumbf::check_embedded(file, container.media_type()).map_err(refused)?;
    let context = reading(anchors)?;
    let reader = c2pa::Reader::from_context(context).with_stream(container.media_type(), Cursor::new(file));
    reader.map(|reader| told(&reader)).map_err(absent)
}

/// Reads and checks the credential `manifest` that travels beside `file`.
///
/// # Errors
/// As [`read_credential`].
pub fn read_credential_beside(
    file: &[u8],
    media_type: &str,
    manifest: &[u8],
    anchors: &Anchors,
) -> Result<Credential, CredentialError> {
    jumbf::check(manifest).map_err(refused)?;
    let reader = c2pa::Reader::from_context(reading(anchors)?);
    let reader = reader.with_manifest_data_and_stream(manifest, media_type, Cursor::new(file));
    reader.map(|reader| told(&reader)).map_err(absent)
}

/// Whether a source image, of any format, carries a credential, and the record that it names if it is one of our outputs.
pub fn credential_of_source(file: &[u8], media_type: &str) -> (bool, Option<Digest>) {
    let Ok(context) = reading(&Anchors::default()) else { return (false, None) };
    // It could not be kept inside the output's: who signs that would have to read it.
    if jumbf::check_embedded(file, media_type).is_err() {
        return (false, None);
    }
    match c2pa::Reader::from_context(context).with_stream(media_type, Cursor::new(file)) {
        Ok(reader) => (true, told(&reader).record.map(|claim| claim.record_digest)),
        Err(c2pa::Error::JumbfNotFound | c2pa::Error::UnsupportedType) => (false, None),
        // It is there, if damaged: what becomes of it is for whoever signs the output to say.
        Err(_) => (true, None),
    }
}

fn told(reader: &c2pa::Reader) -> Credential {
    let results = reader.validation_results();
    let failed = results.and_then(|r| r.active_manifest()).map(|codes| codes.failure().as_slice()).unwrap_or_default();
    let say = |status: &c2pa::validation_status::ValidationStatus| match status.explanation() {
        Some(text) => format!("{}: {text}", status.code()),
        None => status.code().to_owned(),
    };
    let manifest = reader.active_manifest();
    let first_action = manifest.and_then(|m| {
        let actions: Option<Value> = ["c2pa.actions.v2", "c2pa.actions"].iter().find_map(|l| m.find_assertion(l).ok());
        actions.map(|actions| actions["actions"][0]["digitalSourceType"].clone())
    });
    let generator = manifest.and_then(|m| m.claim_generator_info.as_ref()?.first().cloned());
    Credential {
        state: match reader.validation_state() {
            c2pa::ValidationState::Invalid => State::Invalid,
            c2pa::ValidationState::Valid => State::Valid,
            c2pa::ValidationState::Trusted => State::Trusted,
        },
        failures: failed.iter().map(say).collect(),
        signed_by: manifest.and_then(|m| m.common_name().or_else(|| m.issuer())),
        written_by: generator.map(|info| info.name),
        digital_source_type: first_action.and_then(|value| value.as_str().map(str::to_owned)),
        record: manifest.and_then(|m| m.find_assertion(RECORD_ASSERTION).ok()),
        ingredients: manifest.map(ingredients).unwrap_or_default(),
    }
}

fn ingredients(manifest: &c2pa::Manifest) -> Vec<(String, bool)> {
    let each = manifest.ingredients().iter();
    each.map(|i| (i.title().unwrap_or_default().to_owned(), i.active_manifest().is_some())).collect()
}

fn reading(anchors: &Anchors) -> Result<c2pa::Context, CredentialError> {
    let mut settings = json!({ "verify": { "verify_trust": !anchors.is_empty(), "remote_manifest_fetch": false } });
    if !anchors.is_empty() {
        settings["trust"] = json!({ "user_anchors": anchors.pem() });
    }
    context(&settings)
}

fn context(settings: &Value) -> Result<c2pa::Context, CredentialError> {
    let settings = c2pa::settings::Settings::new().with_json(&settings.to_string()).map_err(failed)?;
    c2pa::Context::new().with_settings(settings).map_err(failed)
}

fn refused(why: &'static str) -> CredentialError {
    CredentialError::Failed(why.to_owned())
}

fn absent(error: c2pa::Error) -> CredentialError {
    match error {
        c2pa::Error::JumbfNotFound => CredentialError::None,
        other => failed(other),
    }
}

pub(crate) fn failed(error: c2pa::Error) -> CredentialError {
    match REFUSAL.take() {
        Some(error) => CredentialError::Key(error),
        None => CredentialError::Failed(error.to_string()),
    }
}
