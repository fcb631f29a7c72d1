//! Verification of images, level by level (see [`credentials::Level`]): what can be proven offline is; the rest is looked for on this
//! machine, then at the server, and else reported as skipped. Skipped is not proven: nothing here calls it so.

mod companions;
mod inputs;
mod records;
mod replay;
pub mod seals;
mod subjects;
pub mod trust;

pub use subjects::CREDENTIAL;

use crate::args::VerifyArgs;
use crate::commands::Context;
use crate::output;
use anyhow::{Result, bail};
use companions::Companions;
use credentials::{Check, Credential, Finding, Level, check_credential, check_file};
use domain::Digest;
use domain::record::Record;
use inputs::Inputs;
use replay::{Replayed, Replays};
use seals::Seals;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;
use subjects::Subject;

/// What was found about one file.
#[derive(Serialize, Default)]
pub struct Report {
    /// The file, or the task whose result it is.
    pub file: PathBuf,
    /// Nothing differs. What was skipped is listed among the findings.
    pub passed: bool,
    /// The highest level that is proven with all below it; none if not even the bytes are.
    pub proven: Option<Level>,
    /// What was checked.
    pub findings: Vec<Finding>,
    /// What the worker said of the replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<Value>,
    /// The credential, where one could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
}

/// Verifies everything that is named.
///
/// # Errors
/// When an argument names nothing, or what is given to verify with cannot be read.
pub async fn all(at: &Context, args: &VerifyArgs) -> Result<Vec<Report>> {
    let anchors = trust::anchors(at, args).await?;
    let mut seals = Seals::new(at, args, anchors.clone());
    let mut inputs = Inputs::new(at, args)?;
    let mut replays = args.replay.then(|| Replays::new(at, args)).transpose()?;
    let mut reports = Vec::new();
    let mut companions = Companions::default();
    let mut subjects = subjects::of(at, args)?;
    while let Some(subject) = subjects.next().await? {
        let Subject { name, bytes, beside } = subject;
        let (mut findings, told) = check_file(&bytes);
        let Some(told) = told else {
            if companions.take(reports.len(), &bytes, beside.as_deref(), &anchors) {
                reports.push(Report { file: name, ..Report::default() });
                continue;
            }
            if beside.is_some() {
                let detail = "the credential beside the file cannot be read, or is not for a latent".to_owned();
                let unreadable = Finding::new(Level::Credential, "credential", Check::Fail { detail });
                reports.push(report(name, vec![unreadable], None));
                continue;
            }
            companions.wait(reports.len(), &bytes);
            // Whose credential it is tells what became of the file; where there is none, the missing record says enough.
            let (of_credential, credential) = check_credential(&bytes, None, &anchors);
            findings.extend(credential.is_some().then_some(of_credential).into_iter().flatten());
            reports.push(report(name, findings, credential));
            continue;
        };
        let (credential_findings, credential) = check_credential(&bytes, Some(&told), &anchors);
        findings.extend(credential_findings.into_iter().map(|finding| lenient(args, &credential, finding)));
        let (record, found) = records::find(at, args, &bytes, told).await;
        findings.extend(found);
        if let Some(record) = record {
            findings.push(seals.check(&name, &bytes, &record).await);
            findings.extend(inputs.check(&record.record).await);
            if !findings.iter().any(Finding::failed) {
                companions.note(&record);
                if let Some(replays) = &mut replays {
                    findings.extend(replays.note(reports.len(), &name, &bytes, &record).await);
                }
            }
        }
        reports.push(report(name, findings, credential));
    }
    companions.settle(at, args, &mut reports).await;
    if let Some(replays) = replays {
        for Replayed { index, finding, told } in replays.run().await? {
            let Report { file, mut findings, credential, .. } = std::mem::take(&mut reports[index]);
            findings.push(finding);
            reports[index] = Report { replay: told, ..report(file, findings, credential) };
        }
    }
    if reports.is_empty() {
        bail!("no image in what was named");
    }
    Ok(reports)
}

/// A record that was found, with the digest it goes by.
pub struct Found {
    record: Box<Record>,
    digest: Digest,
}

fn lenient(args: &VerifyArgs, credential: &Option<Credential>, finding: Finding) -> Finding {
    match finding.result {
        Check::Fail { detail } if args.allow_unsigned && credential.is_none() => {
            Finding { result: Check::Skipped { detail }, ..finding }
        }
        _ => finding,
    }
}

fn report(file: PathBuf, findings: Vec<Finding>, credential: Option<Credential>) -> Report {
    let passed = !findings.iter().any(Finding::failed);
    let proven = |level: &Level| {
        let mut of_level = findings.iter().filter(|f| f.level == *level).peekable();
        of_level.peek().is_some() && of_level.all(|f| f.result == Check::Pass)
    };
    let levels = [Level::Bytes, Level::Credential, Level::Record, Level::Seal, Level::Inputs, Level::Replay];
    let proven = levels.into_iter().take_while(proven).last();
    Report { file, passed, proven, findings, replay: None, credential }
}

/// Prints a report for people.
pub fn print(report: &Report) {
    let verdict = if report.passed { "ok  " } else { "FAIL" };
    let proven =
        report.proven.map_or("nothing is proven".to_owned(), |level| format!("proven to level {}", u8::from(level)));
    output::line(format!("{verdict} {}  ({proven})", plain(&report.file.to_string_lossy())));
    for finding in &report.findings {
        let (level, check) = (u8::from(finding.level), plain(&finding.check));
        match &finding.result {
            Check::Pass => output::line(format!("     {level} pass  {check}")),
            Check::Fail { detail } => output::line(format!("     {level} FAIL  {check}: {}", plain(detail))),
            Check::Skipped { detail } => output::line(format!("     {level} skip  {check}: {}", plain(detail))),
        }
    }
}

/// Text from a file without what would move a terminal's cursor or turn the line around.
fn plain(text: &str) -> String {
    text.chars().map(|c| if output::steers(c) { '\u{fffd}' } else { c }).collect()
}
