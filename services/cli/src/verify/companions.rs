//! Reconstructions and latents: their credentials say which output's record names them, and that record is looked for among the outputs
//! that were verified with them, beside the seal, and at the server.

use super::{Found, Report, records, report};
use crate::args::VerifyArgs;
use crate::commands::Context;
use credentials::{Accompanied, Anchors, Check, Companion, Finding, Level, check_companion, check_named};
use domain::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// Files that wait until every output was looked at.
#[derive(Default)]
pub struct Companions {
    /// What the records of outputs that passed call their companions.
    known: BTreeMap<Digest, [Digest; Companion::ALL.len()]>,
    /// By their places among the reports.
    signed: BTreeMap<usize, Accompanied>,
    /// Files without record or credential: reconstructions as workers write them.
    bare: BTreeMap<usize, Digest>,
}

impl Companions {
    /// Takes note of an output's record that passed: what a changed record names proves nothing.
    pub fn note(&mut self, found: &Found) {
        self.known.insert(found.digest, Companion::ALL.map(|companion| companion.of(&found.record)));
    }

    /// Takes the file at `index` if it is a companion; `beside` is its credential, where it carries none inside.
    pub fn take(&mut self, index: usize, bytes: &[u8], beside: Option<&[u8]>, anchors: &Anchors) -> bool {
        let found = check_companion(bytes, beside, anchors);
        let taken = found.is_some();
        self.signed.extend(found.map(|found| (index, found)));
        taken
    }

    /// Takes note of a file that says nothing of itself.
    pub fn wait(&mut self, index: usize, bytes: &[u8]) {
        self.bare.insert(index, Digest::of(bytes));
    }

    /// Completes their reports.
    pub async fn settle(mut self, at: &Context, args: &VerifyArgs, reports: &mut [Report]) {
        for (index, found) in std::mem::take(&mut self.signed) {
            let Accompanied { companion, sha256, record, mut findings, credential } = found;
            findings.push(self.named(at, args, companion, sha256, record).await);
            let file = std::mem::take(&mut reports[index].file);
            reports[index] = report(file, findings, Some(credential));
        }
        let reconstructions: BTreeSet<&Digest> =
            self.known.values().map(|[reconstruction, ..]| reconstruction).collect();
        for (index, digest) in &self.bare {
            if reconstructions.contains(digest) {
                let named = Finding::new(Level::Bytes, "reconstruction", Check::Pass);
                let file = std::mem::take(&mut reports[*index].file);
                reports[*index] = report(file, vec![named], None);
            }
        }
    }

    async fn named(
        &mut self,
        at: &Context,
        args: &VerifyArgs,
        companion: Companion,
        sha256: Digest,
        record: Digest,
    ) -> Finding {
        if !self.known.contains_key(&record) {
            match records::read(at, args, record).await {
                Ok((found, _)) => self.note(&Found { record: found, digest: record }),
                Err(check) => return Finding::new(Level::Record, "record", check),
            }
        }
        check_named(companion, sha256, self.known[&record][companion as usize])
    }
}
