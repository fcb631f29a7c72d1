//! Whether the source, the mask, the mapper and the weights are at hand and are those that a record names.

use crate::args::VerifyArgs;
use crate::commands::Context;
use anyhow::Result;
use credentials::{Check, Finding, Level, check_digest, check_object};
use domain::Digest;
use domain::record::Record;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a record's source lies on this machine: as it was given by hand, or registered from.
pub fn source_path(args: &VerifyArgs, record: &Record) -> Option<PathBuf> {
    let uri = record.source_uri();
    match &args.source {
        Some(path) if path.is_dir() => Some(path.join(uri.rsplit('/').next().unwrap_or_default())),
        Some(path) => Some(path.clone()),
        None => uri.strip_prefix("file://").map(PathBuf::from),
    }
}

/// What records name, hashed once for all files.
pub struct Inputs<'a> {
    at: &'a Context,
    args: &'a VerifyArgs,
    pack: Option<packs::Pack>,
    known: BTreeMap<(String, Digest), Finding>,
}

impl<'a> Inputs<'a> {
    /// With the pack that was given, if one was.
    pub fn new(at: &'a Context, args: &'a VerifyArgs) -> Result<Self> {
        let pack = args.pack.as_deref().map(packs::Pack::open).transpose()?;
        Ok(Self { at, args, pack, known: BTreeMap::new() })
    }

    /// Level 4 for one record.
    pub async fn check(&mut self, record: &Record) -> Vec<Finding> {
        let mut findings = vec![self.source(record).await];
        let named = [("mask", record.recipe.mask), ("mapper", record.recipe.mapper)];
        for (name, digest) in named.into_iter().filter_map(|(name, digest)| Some((name, digest?))) {
            findings.push(self.once(name, digest).await);
        }
        for (role, digest) in &record.recipe.models {
            findings.push(self.model(role, *digest).await);
        }
        findings
    }

    async fn source(&self, record: &Record) -> Finding {
        let expected = record.recipe.source.sha256;
        // a path given by hand must be there; one remembered from registration may be on another machine
        match source_path(self.args, record).map(|path| (std::fs::read(&path), path)) {
            Some((Ok(bytes), _)) => return check_object("source", expected, &bytes),
            Some((Err(error), path)) if self.args.source.is_some() => {
                let detail = format!("{} cannot be read: {error}", path.display());
                return Finding::new(Level::Inputs, "source", Check::Fail { detail });
            }
            _ => {}
        }
        self.ask_server("source", expected).await
    }

    async fn model(&mut self, role: &str, expected: Digest) -> Finding {
        let name = format!("model:{role}");
        let key = (name.clone(), expected);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let path = self.pack.as_ref().map(|pack| {
            let file = pack.manifest().files().into_iter().find(|file| file.role.key() == role);
            file.map(|file| pack.path(&file))
        });
        let fail = |detail| Finding::new(Level::Inputs, &name, Check::Fail { detail });
        let finding = match path {
            // weights can be larger than the memory
            Some(Some(path)) => match packs::weights::file_digest(&path) {
                Ok(found) => check_digest(&name, expected, found),
                Err(error) => fail(format!("{} cannot be read: {error}", path.display())),
            },
            Some(None) => fail(format!("the pack has no file for the role '{role}'")),
            None => self.ask_server(&name, expected).await,
        };
        self.known.insert(key, finding.clone());
        finding
    }

    async fn once(&mut self, name: &str, expected: Digest) -> Finding {
        let key = (name.to_owned(), expected);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let finding = self.ask_server(name, expected).await;
        self.known.insert(key, finding.clone());
        finding
    }

    async fn ask_server(&self, name: &str, expected: Digest) -> Finding {
        let skip = |detail| Finding::new(Level::Inputs, name, Check::Skipped { detail });
        if self.args.offline {
            return skip("not on this machine, and --offline was given".to_owned());
        }
        match self.at.client.blob(expected).await {
            Ok(bytes) => check_object(name, expected, &bytes),
            Err(error) => skip(format!("not on this machine, and the server could not give it: {error}")),
        }
    }
}
