//! Signs what leaves beside an output: its reconstruction and its latents, once each, on the first demand.
//!
//! Workers do not sign them: equal inversions must give equal files, which later work finds by their digests, and a signature has a
//! time in it. A crash between signing and keeping the row leaves an object that nothing names; the next demand signs again.

use crate::app::App;
use crate::http::problem::{ApiError, internal};
use artifacts::ArtifactClass;
use bytes::Bytes;
use credentials::credential::credential_of_source;
use credentials::{Companion, CredentialError, Ingredient, Issuer};
use domain::Digest;
use domain::record::{WrittenRecord, media_type};
use store::CompanionRow;
use wire::http::v1::SignedCompanion;

/// The companion of the output whose record this is the digest of, signed.
///
/// # Errors
/// When an object is gone, nobody signs, or a service fails.
pub async fn signed(app: &App, companion: Companion, record: Digest) -> Result<SignedCompanion, ApiError> {
    // its text as it was written, of whatever version, is an object
    let text = object(app, "record", record).await?;
    let record: WrittenRecord = serde_json::from_slice(&text).map_err(|error| internal("reading a record", &error))?;
    let artifact = companion.of(&record);
    let row = match app.store.companion(artifact, companion.name()).await? {
        Some(row) => row,
        None => sign(app, companion, record).await?,
    };
    let (sha256, credential) = if companion.is_picture() { (row.signed, None) } else { (artifact, Some(row.signed)) };
    Ok(SignedCompanion { kind: companion.name().to_owned(), sha256, credential, artifact, record: row.record })
}

async fn sign(app: &App, companion: Companion, record: WrittenRecord) -> Result<CompanionRow, ApiError> {
    let (artifact, digest) = (companion.of(&record), record.digest());
    let file = object(app, companion.name(), artifact).await?;
    let source = object(app, "source", record.recipe.source.sha256).await?;
    let signer = app.signing.signer();
    let key_id = signer.certificates().key_id();
    let work = move || {
        let media_type = media_type(&record.recipe.source.format);
        let (credentialed, _) = credential_of_source(&source, &media_type);
        let ingredient = Ingredient { media_type: &media_type, credentialed: credentialed.then_some(source.as_ref()) };
        let issuer = Issuer::new(signer)?;
        if companion.is_picture() {
            issuer.issue_reconstruction(&file, &record, ingredient)
        } else {
            issuer.issue_beside(&file, &record, companion, ingredient)
        }
    };
    let signed = tokio::task::spawn_blocking(work).await.map_err(|error| internal("signing", &error))?;
    let signed = signed.map_err(|error| match error {
        CredentialError::Key(error) => {
            tracing::error!(%error, "a companion is not signed");
            ApiError::Unavailable("the key does not sign")
        }
        other => internal("signing a companion", &other),
    })?;
    let signed = app.artifacts.put(Bytes::from(signed)).await?;
    let row = CompanionRow { artifact, signed, record: digest, key_id };
    Ok(app.store.keep_companion(companion.name(), &row).await?)
}

async fn object(app: &App, what: &str, digest: Digest) -> Result<Bytes, ApiError> {
    match app.artifacts.get(digest).await {
        Err(error) if error.class() == ArtifactClass::Missing => {
            Err(ApiError::NotFound(format!("the {what} {digest} is not in the bucket")))
        }
        other => Ok(other?),
    }
}
