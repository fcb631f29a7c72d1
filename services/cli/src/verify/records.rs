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
    let text = match text(at, args, digest).await {
        Ok(text) => text,
        Err(detail) => return (None, vec![Finding::new(Level::Record, "record", Check::Skipped { detail })]),
    };
    let fail = |detail: String| (None, vec![Finding::new(Level::Record, "record", Check::Fail { detail })]);
    if Digest::of(&text) != digest {
        return fail(format!("what was found under the record's digest {digest} is another one"));
    }
    let record: Box<Record> = match serde_json::from_slice(&text) {
        Ok(record) => record,
        Err(error) => return fail(format!("the record {digest} cannot be read: {error}")),
    };
    let mut findings = vec![Finding::new(Level::Record, "record", canonical(&text))];
    findings.extend(check_against(file, &record, &text));
    (Some(Found { record, digest }), findings)
}

/// The record's text: `records/<digest>.json` beside the seal, or what the server has.
pub async fn text(at: &Context, args: &VerifyArgs, digest: Digest) -> Result<Vec<u8>, String> {
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
