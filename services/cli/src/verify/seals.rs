//! Whether a job's seal names an image and its record: the envelope's signature, the manifest's digest, the manifest's line.

use super::Found;
use crate::args::VerifyArgs;
use crate::client::Client;
use crate::commands::Context;
use bytes::Bytes;
use credentials::dsse::{self, Sealed};
use credentials::{Anchors, Check, Finding, Level};
use domain::{Digest, JobId};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use wire::http::v1::{JobSeal, JobSeals};

/// File names of a seal.
pub const ATTESTATION: &str = "attestation.dsse.json";
/// Where an export keeps the job's seal.
pub const FOLDER: &str = "seal";
/// One line an output.
pub const MANIFEST: &str = "manifest.jsonl";

/// The files of a seal, the attestation last.
///
/// # Errors
/// When one cannot be fetched, or its name leads out of the seal's folder.
pub async fn files(client: &Client, seal: &JobSeal) -> anyhow::Result<Vec<(String, Bytes)>> {
    let mut files = Vec::new();
    let named = seal.files.iter().map(|file| (file.name.as_str(), file.sha256));
    for (name, digest) in named.chain([(ATTESTATION, seal.attestation)]) {
        anyhow::ensure!(
            !name.contains(['/', '\\']) && name != "..",
            "the seal names a file '{name}' outside of its folder"
        );
        let bytes = client.blob(digest).await?;
        anyhow::ensure!(Digest::of(&bytes) == digest, "{name} arrived damaged; run the command again");
        files.push((name.to_owned(), bytes.into()));
    }
    Ok(files)
}

/// What a line of a manifest must say.
#[derive(Deserialize)]
struct Line {
    sha256: Digest,
    record_digest: Digest,
}

/// A seal that holds: what it names, by record.
struct Open {
    images: HashMap<Digest, Digest>,
    trust: Check,
}

/// Seals, opened once each.
pub struct Seals<'a> {
    at: &'a Context,
    args: &'a VerifyArgs,
    anchors: Anchors,
    known: BTreeMap<Source, Result<Open, Check>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Folder(PathBuf),
    Server(JobId),
}

impl<'a> Seals<'a> {
    pub fn new(at: &'a Context, args: &'a VerifyArgs, anchors: Anchors) -> Self {
        Self { at, args, anchors, known: BTreeMap::new() }
    }

    /// Level 3 for one image.
    pub async fn check(&mut self, file: &Path, bytes: &[u8], found: &Found) -> Finding {
        Finding::new(Level::Seal, "seal", self.result(file, bytes, found).await)
    }

    async fn result(&mut self, file: &Path, bytes: &[u8], found: &Found) -> Check {
        let Some(source) = self.source(file, found) else {
            return skip("there is no seal beside it, and --offline was given");
        };
        if !self.known.contains_key(&source) {
            let opened = self.open(&source).await;
            self.known.insert(source.clone(), opened);
        }
        match &self.known[&source] {
            Err(check) => check.clone(),
            Ok(open) => match open.images.get(&found.digest) {
                None => fail(format!("the seal's manifest does not name the record {}", found.digest)),
                Some(image) if *image != Digest::of(bytes) => fail(format!(
                    "the seal's manifest names another file for this record: {image}, not {}",
                    Digest::of(bytes)
                )),
                Some(_) => open.trust.clone(),
            },
        }
    }

    /// Where the seal is looked for: what was given, the folder of the file or one above it, the server.
    fn source(&self, file: &Path, found: &Found) -> Option<Source> {
        if let Some(folder) = &self.args.seal {
            return Some(Source::Folder(folder.clone()));
        }
        let sealed = |folder: &Path| folder.join(ATTESTATION).is_file().then(|| folder.to_owned());
        let above = file.ancestors().skip(1).take(4);
        let beside =
            above.flat_map(|folder| [folder.join(FOLDER), folder.to_owned()]).find_map(|folder| sealed(&folder));
        let server = (!self.args.offline).then_some(Source::Server(found.record.links.job));
        beside.map(Source::Folder).or(server)
    }

    async fn open(&self, source: &Source) -> Result<Open, Check> {
        let (envelope, manifest) = match source {
            Source::Folder(folder) => {
                let read = |name: &str| {
                    let path = folder.join(name);
                    std::fs::read(&path).map_err(|error| fail(format!("{} cannot be read: {error}", path.display())))
                };
                (read(ATTESTATION)?, read(MANIFEST)?)
            }
            Source::Server(job) => self.fetch(*job).await?,
        };
        let sealed = dsse::open(&envelope, &[], &self.anchors, None).map_err(|error| fail(error.to_string()))?;
        let named = sealed.statement.subject.iter().find(|subject| subject.name == MANIFEST);
        let named =
            named.and_then(dsse::Subject::sha256).ok_or_else(|| fail(format!("the seal names no {MANIFEST}")))?;
        if named != Digest::of(&manifest) {
            return Err(fail(format!("{MANIFEST} has SHA-256 {}, the seal says {named}", Digest::of(&manifest))));
        }
        let mut images = HashMap::new();
        for line in manifest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line =
                serde_json::from_slice(line).map_err(|e| fail(format!("{MANIFEST} cannot be read: {e}")))?;
            images.insert(line.record_digest, line.sha256);
        }
        Ok(Open { images, trust: trust(&sealed) })
    }

    async fn fetch(&self, job: JobId) -> Result<(Vec<u8>, Vec<u8>), Check> {
        let away =
            |error: crate::client::ClientError| skip(format!("the server could not give the seal of {job}: {error}"));
        let seals: JobSeals = self.at.client.get(&format!("/v1/jobs/{job}/seals")).await.map_err(away)?;
        let Some(seal) = seals.seals.first() else {
            return Err(skip(format!("{job} has not been sealed: it has not ended, or did so a moment ago")));
        };
        let manifest = seal.files.iter().find(|file| file.name == MANIFEST);
        let manifest = manifest.ok_or_else(|| fail(format!("the seal of {job} has no {MANIFEST}")))?.sha256;
        let envelope = self.at.client.blob(seal.attestation).await.map_err(away)?;
        Ok((envelope, self.at.client.blob(manifest).await.map_err(away)?))
    }
}

fn trust(sealed: &Sealed) -> Check {
    match &sealed.trust {
        Some(Ok(())) => Check::Pass,
        Some(Err(distrust)) => fail(format!("the seal holds, but {distrust}")),
        None => skip(format!(
            "the seal holds; it is signed by '{}', and no anchors were given that could vouch for it",
            sealed.signed_by
        )),
    }
}

const fn fail(detail: String) -> Check {
    Check::Fail { detail }
}

fn skip(detail: impl Into<String>) -> Check {
    Check::Skipped { detail: detail.into() }
}
