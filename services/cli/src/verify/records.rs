//! The record that an image speaks of: inside it, or found by its digest beside it or at the server.

use super::Found;
use crate::args::VerifyArgs;
use crate::commands::Context;
use credentials::verify::{canonical, check_against};
use credentials::{Check, Finding, Level, Told};
use domain::Digest;
use domain::record::Record;

/// The record, and what was found on the way.
pub async fn find(at: &Context, args: &VerifyArgs, file: &[u8], told: Told) -> (Option<Found>, Vec<Finding>) {
    let digest = told.digest();
    if let Told::Record { record, .. } = told {
        return (Some(Found { record, digest }), Vec::new());
    }
    let (record, text) = match read(at, args, digest).await {
        Ok(found) => found,
        Err(check) => return (None, vec![Finding::new(Level::Record, "record", check)]),
    };
    let mut findings = vec![Finding::new(Level::Record, "record", canonical(&text))];
    findings.extend(check_against(file, &record, &text));
    (Some(Found { record, digest }), findings)
}

/// The record of this digest with its text, found beside the seal or at the server.
///
/// # Errors
/// Why not: skipped where it is not at hand, failed where what is there is another one.
pub async fn read(at: &Context, args: &VerifyArgs, digest: Digest) -> Result<(Box<Record>, Vec<u8>), Check> {
    let text = text(at, args, digest).await.map_err(|detail| Check::Skipped { detail })?;
    let fail = |detail| Check::Fail { detail };
    if Digest::of(&text) != digest {
        return Err(fail(format!("what was found under the record's digest {digest} is another one")));
    }
    let record =
        serde_json::from_slice(&text).map_err(|error| fail(format!("the record {digest} cannot be read: {error}")))?;
    Ok((record, text))
}

/// The record's text: `records/<digest>.json` beside the seal, or what the server has.
async fn text(at: &Context, args: &VerifyArgs, digest: Digest) -> Result<Vec<u8>, String> {
    if let Some(folder) = &args.seal {
        let path = folder.join("records").join(format!("{digest}.json"));
        if let Ok(text) = std::fs::read(&path) {
            return Ok(text);
        }
    }
    if args.offline {
        return Err(format!("the record {digest} does not travel with the image, and --offline was given"));
    }
    let asked = at.client.blob(digest).await;
    asked.map_err(|error| {
        format!("the record {digest} does not travel with the image, and the server could not give it: {error}")
    })
}
