//! Packs for stories: the demo's, changed so that a story can tell it apart or watch it travel.

use anyhow::{Context as _, Result};
use domain::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A pack in a folder of its own, with what its files are.
#[derive(Debug)]
pub struct PackFolder {
    /// The folder.
    pub folder: PathBuf,
    /// Every file by its digest: its name and its length.
    pub files: BTreeMap<Digest, (String, u64)>,
}

/// A copy of the demo pack called `name` in `folder`, whose generator has a note of so many MiB before its tensors: the same networks
/// in a file that takes several pieces to send. All other files are the demo's, byte by byte.
pub fn padded_pack(folder: &Path, name: &str, mebibytes: usize) -> Result<PackFolder> {
    let demo = testkit::workspace_root().join("deploy/demo/pack");
    let folder = folder.join(format!("pack-{name}"));
    std::fs::create_dir_all(&folder)?;
    for entry in std::fs::read_dir(&demo)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let generator = folder.join("generator.safetensors");
    std::fs::write(&generator, padded(&std::fs::read(&generator)?, mebibytes << 20)?)?;
    let manifest = folder.join("pack.toml");
    let text = std::fs::read_to_string(&manifest)?.replacen("name = \"facesjs-64\"", &format!("name = \"{name}\""), 1);
    std::fs::write(&manifest, text)?;
    let status = std::process::Command::new(testkit::workspace_binary("cfx")?)
        .args(["pack", "verify", "--write"])
        .arg(&folder)
        .stdout(std::process::Stdio::null())
        .status()?;
    anyhow::ensure!(status.success(), "the changed pack is not sound: {status}");
    PackFolder::read(folder)
}

impl PackFolder {
    /// What lies in a pack's folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(folder: PathBuf) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".safetensors") || name == "bpe_merges.txt" {
                let bytes = std::fs::read(&path)?;
                files.insert(Digest::of(&bytes), (name, bytes.len() as u64));
            }
        }
        Ok(Self { folder, files })
    }

    /// The digest of the file called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn digest(&self, name: &str) -> Result<Digest> {
        let found = self.files.iter().find(|(_, (file, _))| file == name);
        found.map(|(digest, _)| *digest).with_context(|| format!("no {name} in {}", self.folder.display()))
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|(_, bytes)| bytes).sum()
    }
}

/// A safetensors file with a note of `length` bytes in its header.
fn padded(file: &[u8], length: usize) -> Result<Vec<u8>> {
    let (prefix, rest) = file.split_first_chunk::<8>().context("no safetensors file")?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*prefix) as usize).context("cut short")?;
    let mut header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header)?;
    header.insert("__metadata__".to_owned(), serde_json::json!({ "padding": "x".repeat(length) }));
    let mut json = serde_json::to_vec(&header)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes()[..], &json, data].concat())
}
