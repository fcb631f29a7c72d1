//! `cfx verify`: hold files against the records they carry. What can be proven offline is; the source and the weights are
//! hashed again from this machine when they are here, else from the server's bucket, else reported as skipped.

use super::Context;
use crate::args::VerifyArgs;
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use credentials::{Check, Finding, check_digest, check_file, check_object};
use domain::Digest;
use domain::record::Record;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Verified {
    file: PathBuf,
    passed: bool,
    findings: Vec<Finding>,
}

pub async fn run(at: &Context, args: &VerifyArgs) -> Result<u8> {
    let mut reports = Vec::new();
    let mut weights = Weights::new(args.pack.as_deref())?;
    let (mut reconstructions, mut bare) = (BTreeSet::new(), BTreeMap::new());
    for file in files(&args.files)? {
        let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let (mut findings, record) = check_file(&bytes);
        match record {
            Some(record) => {
                findings.push(source(at, args, &record).await);
                findings.extend(weights.check(at, args, &record).await);
                // what a changed record names proves nothing
                if !findings.iter().any(Finding::failed) {
                    reconstructions.insert(record.outcome.reconstruction);
                }
            }
            None => drop(bare.insert(reports.len(), Digest::of(&bytes))),
        }
        let passed = !findings.iter().any(Finding::failed);
        reports.push(Verified { file, passed, findings });
    }
    // Reconstructions carry no record of their own: the records of the edits made of them name them.
    for (report, digest) in bare {
        if reconstructions.contains(&digest) {
            reports[report].passed = true;
            reports[report].findings = vec![Finding::new("reconstruction", Check::Pass)];
        }
    }
    if at.json {
        output::json(&reports)?;
    } else {
        reports.iter().for_each(print);
    }
    let failed = reports.iter().filter(|r| !r.passed).count();
    if failed > 0 {
        output::note(format!("{failed} of {} files do not match their records", reports.len()));
    }
    Ok(if failed == 0 { exit::OK } else { exit::VERIFICATION_FAILED })
}

fn print(report: &Verified) {
    output::line(format!("{} {}", if report.passed { "ok  " } else { "FAIL" }, report.file.display()));
    for finding in &report.findings {
        match &finding.result {
            Check::Pass => output::line(format!("       pass  {}", finding.check)),
            Check::Fail { detail } => output::line(format!("       FAIL  {}: {detail}", finding.check)),
            Check::Skipped { detail } => output::line(format!("       skip  {}: {detail}", finding.check)),
        }
    }
}

fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in arguments {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
            let entry = entry.with_context(|| format!("{} cannot be listed", path.display()))?;
            if entry.path().extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
                files.push(entry.into_path());
            }
        }
    }
    if files.is_empty() {
        bail!("no PNG file in what was named");
    }
    Ok(files)
}

async fn source(at: &Context, args: &VerifyArgs, record: &Record) -> Finding {
    let expected = record.recipe.source.sha256;
    let uri = &record.recipe.source.uri;
    let name = uri.rsplit('/').next().unwrap_or_default();
    let local = match &args.source {
        Some(path) if path.is_dir() => Some(path.join(name)),
        Some(path) => Some(path.clone()),
        None => uri.strip_prefix("file://").map(PathBuf::from),
    };
    // a path given by hand must be there; one remembered from registration may be on another machine
    match local.map(|path| (std::fs::read(&path), path)) {
        Some((Ok(bytes), _)) => return check_object("source", expected, &bytes),
        Some((Err(error), path)) if args.source.is_some() => {
            let detail = format!("{} cannot be read: {error}", path.display());
            return Finding::new("source", Check::Fail { detail });
        }
        _ => {}
    }
    from_server(at, args, "source", expected).await
}

async fn from_server(at: &Context, args: &VerifyArgs, name: &str, expected: Digest) -> Finding {
    if args.offline {
        return Finding::new(
            name,
            Check::Skipped { detail: "not on this machine, and --offline was given".to_owned() },
        );
    }
    match at.client.blob(expected).await {
        Ok(bytes) => check_object(name, expected, &bytes),
        Err(error) => {
            let detail = format!("not on this machine, and the server could not give it: {error}");
            Finding::new(name, Check::Skipped { detail })
        }
    }
}

/// The weights of the pack, hashed once for all files.
struct Weights {
    local: Option<packs::Pack>,
    known: BTreeMap<(String, Digest), Finding>,
}

impl Weights {
    fn new(pack: Option<&Path>) -> Result<Self> {
        let local = pack.map(packs::Pack::open).transpose()?;
        Ok(Self { local, known: BTreeMap::new() })
    }

    async fn check(&mut self, at: &Context, args: &VerifyArgs, record: &Record) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (role, expected) in &record.recipe.models {
            let key = (role.clone(), *expected);
            if let Some(known) = self.known.get(&key) {
                findings.push(known.clone());
                continue;
            }
            let name = format!("model:{role}");
            let path = self.local.as_ref().and_then(|pack| {
                let file = pack.manifest().files().into_iter().find(|file| file.role.key() == role)?;
                Some(pack.path(&file))
            });
            let finding = match path {
                // weights can be larger than the memory
                Some(path) => match packs::weights::file_digest(&path) {
                    Ok(found) => check_digest(&name, *expected, found),
                    Err(error) => Finding::new(
                        &name,
                        Check::Fail { detail: format!("{} cannot be read: {error}", path.display()) },
                    ),
                },
                None if self.local.is_some() => {
                    let detail = format!("the pack has no file for the role '{role}'");
                    Finding::new(&name, Check::Fail { detail })
                }
                None => from_server(at, args, &name, *expected).await,
            };
            self.known.insert(key, finding.clone());
            findings.push(finding);
        }
        findings
    }
}
