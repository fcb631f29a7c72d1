//! Level 5: outputs rendered again by the worker, from their records, and compared pixel by pixel. What the records name is brought
//! together in a temporary folder first, from this machine or the server.

use super::Found;
use super::inputs::source_path;
use crate::args::VerifyArgs;
use crate::commands::Context;
use crate::output;
use anyhow::{Context as _, Result, bail};
use credentials::{Check, Container, Finding, Level};
use domain::Digest;
use packs::Manifest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use wire::http::v1::{Pack, Page};

/// Files of one call of the worker: it opens the pack once for them, and a command line has its limits.
const FILES: usize = 500;

/// What came of one replay: the finding, and the worker's own words.
pub struct Replayed {
    pub index: usize,
    pub finding: Finding,
    pub told: Option<Value>,
}

/// Outputs to render again.
pub struct Replays<'a> {
    at: &'a Context,
    args: &'a VerifyArgs,
    folder: TempDir,
    /// Reports by pack, with the files that stand for them.
    by_pack: BTreeMap<Digest, Vec<(usize, PathBuf)>>,
}

impl<'a> Replays<'a> {
    /// None yet.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new(at: &'a Context, args: &'a VerifyArgs) -> Result<Self> {
        let folder = tempfile::tempdir().context("there is no place for temporary files")?;
        for name in ["outputs", "sources", "mappers", "masks"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        Ok(Self { at, args, folder, by_pack: BTreeMap::new() })
    }

    /// Takes an output whose other findings are sound; the finding if it cannot be rendered again here.
    pub async fn note(&mut self, index: usize, name: &Path, bytes: &[u8], found: &Found) -> Option<Finding> {
        match self.bring(index, name, bytes, found).await {
            Ok(file) => {
                self.by_pack.entry(found.record.recipe.pack).or_default().push((index, file));
                None
            }
            Err(error) => Some(skipped(format!("{error:#}"))),
        }
    }

    async fn bring(&self, index: usize, name: &Path, bytes: &[u8], found: &Found) -> Result<PathBuf> {
        let recipe = &found.record.recipe;
        let local = source_path(self.args, &found.record).and_then(|path| std::fs::read(path).ok());
        self.object("sources", "source", recipe.source.sha256, local).await?;
        for (folder, what, digest) in [("mappers", "mapper", recipe.mapper), ("masks", "mask", recipe.mask)] {
            if let Some(digest) = digest {
                self.object(folder, what, digest, None).await?;
            }
        }
        let container = Container::of(bytes).with_context(|| name.display().to_string())?;
        // An output that carries no record is known to the worker by its record alone.
        let (ending, content) = match credentials::extract_record(bytes) {
            Ok(_) => (container.name(), bytes.to_vec()),
            Err(_) => ("json", domain::canonical_json(&found.record)?),
        };
        let file = self.folder.path().join("outputs").join(format!("{index:08}.{ending}"));
        std::fs::write(&file, content).with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(file)
    }

    async fn object(&self, folder: &str, what: &str, digest: Digest, local: Option<Vec<u8>>) -> Result<()> {
        let path = self.folder.path().join(folder).join(digest.to_string());
        if path.exists() {
            return Ok(());
        }
        let bytes = match local.filter(|bytes| Digest::of(bytes) == digest) {
            Some(bytes) => bytes,
            None if self.args.offline => bail!("the {what} {digest} is not on this machine, and --offline was given"),
            None => self.at.client.blob(digest).await.with_context(|| format!("the {what} {digest} is not at hand"))?,
        };
        if Digest::of(&bytes) != digest {
            bail!("the {what} {digest} arrived damaged; run the command again");
        }
        std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Renders all of them.
    ///
    /// # Errors
    /// When there is no worker to do it.
    pub async fn run(self) -> Result<Vec<Replayed>> {
        if self.by_pack.is_empty() {
            return Ok(Vec::new());
        }
        let worker =
            crate::audit::classify::worker(self.args.worker.as_deref()).context("--replay renders with the worker")?;
        let mut replayed = Vec::new();
        for (digest, outputs) in &self.by_pack {
            match self.pack(*digest).await {
                Ok(pack) => {
                    for part in outputs.chunks(FILES) {
                        replayed.extend(self.render(&worker, &pack, part)?);
                    }
                }
                Err(error) => replayed.extend(outputs.iter().map(|(index, _)| Replayed {
                    index: *index,
                    finding: skipped(format!("{error:#}")),
                    told: None,
                })),
            }
        }
        Ok(replayed)
    }

    /// The pack's folder: the one given, if it is that pack, or what the server has.
    async fn pack(&self, digest: Digest) -> Result<PathBuf> {
        if let Some(folder) = &self.args.pack
            && packs::Pack::open(folder)?.manifest().digest() == digest
        {
            return Ok(folder.clone());
        }
        if self.args.offline {
            bail!("the pack {digest} is not on this machine (--pack DIR), and --offline was given");
        }
        let packs: Page<Pack> = self.at.client.get("/v1/packs").await?;
        let pack = packs.items.into_iter().find(|pack| pack.digest == digest);
        let pack = pack.with_context(|| format!("the server has no pack {digest}; name its folder with --pack DIR"))?;
        let text = self.at.client.blob(pack.manifest).await?;
        let manifest = Manifest::from_toml(&String::from_utf8_lossy(&text))?;
        let folder = self.folder.path().join(format!("pack-{digest}"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("pack.toml"), &text)?;
        for file in manifest.files() {
            let path = folder.join(file.file);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            output::note(format!("fetching {} of the pack {}", file.file, pack.name));
            std::fs::write(&path, self.at.client.blob(file.sha256).await?)?;
        }
        for document in &manifest.documents {
            // their bytes are no part of a pack's identity, but the folder must have them
            std::fs::write(folder.join(document), "")?;
        }
        Ok(folder)
    }

    fn render(&self, worker: &Path, pack: &Path, outputs: &[(usize, PathBuf)]) -> Result<Vec<Replayed>> {
        let mut command = Command::new(worker);
        command.args(["replay", "--json", "--pack"]).arg(pack);
        for name in ["source", "mapper", "mask"] {
            command.arg(format!("--{name}")).arg(self.folder.path().join(format!("{name}s")));
        }
        command.arg("--tolerance").arg(self.args.tolerance.to_string());
        if let Some(device) = &self.args.device {
            command.arg("--device").arg(device);
        }
        command.args(outputs.iter().map(|(_, file)| file)).stdin(Stdio::null()).stderr(Stdio::inherit());
        let said = command.output().with_context(|| format!("{} cannot be run", worker.display()))?;
        let lines: Vec<Value> =
            String::from_utf8_lossy(&said.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let by_file =
            |file: &Path| lines.iter().find(|line| line["file"].as_str().is_some_and(|f| Path::new(f) == file));
        let each = outputs.iter().map(|(index, file)| {
            let told = by_file(file).cloned();
            let finding = match &told {
                None => skipped(format!("the worker said nothing of it ({})", said.status)),
                Some(told) => finding(told, self.args.tolerance),
            };
            Replayed { index: *index, finding, told }
        });
        Ok(each.collect())
    }
}

fn finding(told: &Value, tolerance: u8) -> Finding {
    if let Some(error) = told["error"].as_str() {
        return skipped(error.to_owned());
    }
    let within = told["max_abs"].as_u64().is_some_and(|levels| levels <= u64::from(tolerance));
    if told["exact"] == true || within {
        return Finding::new(Level::Replay, "replay", Check::Pass);
    }
    let far = match (told["max_abs"].as_u64(), told["psnr"].as_f64()) {
        (Some(levels), Some(psnr)) => format!("by at most {levels} levels, PSNR {psnr:.1} dB"),
        _ => "by how much is not known".to_owned(),
    };
    let differing = told["environment"].as_array().into_iter().flatten();
    let fields: Vec<String> = differing
        .map(|field| {
            format!("{} was {} and is {}", field["field"].as_str().unwrap_or("?"), field["recorded"], field["here"])
        })
        .collect();
    let why =
        if fields.is_empty() { "nothing recorded of the environment differs".to_owned() } else { fields.join("; ") };
    let detail = format!("rendered again, the picture differs {far}; {why}");
    Finding::new(Level::Replay, "replay", Check::Fail { detail })
}

fn skipped(detail: String) -> Finding {
    Finding::new(Level::Replay, "replay", Check::Skipped { detail })
}
