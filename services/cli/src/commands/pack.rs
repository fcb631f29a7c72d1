//! `cfx pack add|list|verify`.

use super::Context;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use domain::Digest;
use packs::{Manifest, Pack, PackFile, Role};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wire::http::v1::{NewPack, Pack as Registered};

/// Proves the pack, uploads the files that the bucket lacks, registers the manifest.
pub async fn add(at: &Context, folder: &Path) -> Result<u8> {
    let pack = Pack::open(folder)?;
    let report = pack.verify();
    if !report.is_sound() {
        return refuse(at, &report);
    }
    for file in pack.manifest().files() {
        if at.client.has_blob(file.sha256).await? {
            continue;
        }
        let path = pack.path(&file);
        if !at.json {
            output::note(format!("uploading {}", path.display()));
        }
        at.client.put_blob_file(file.sha256, &path).await.with_context(|| format!("uploading {}", path.display()))?;
    }
    let manifest = pack.manifest_text().to_owned();
    at.client.put_blob(Digest::of(&manifest), manifest.clone().into_bytes()).await?;
    let registered: Registered = at.client.post("/v1/packs", &NewPack { manifest }).await?;
    if at.json {
        output::json(&registered)?;
    } else {
        output::line(format!("{} {}", registered.name, registered.digest));
    }
    Ok(exit::OK)
}

/// A part of a registered pack.
#[derive(Serialize)]
struct Part {
    role: Role,
    purpose: &'static str,
    sha256: Digest,
    /// Bytes in the bucket; none if the object is gone.
    bytes: Option<u64>,
    /// Other packs that have the same file, which is stored once.
    shared_with: Vec<String>,
}

/// A registered pack and its parts.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    pack: Registered,
    /// Bytes of all parts.
    bytes: u64,
    parts: Vec<Part>,
}

/// All registered packs with their sizes in the bucket; with `parts`, what each is made of.
pub async fn list(at: &Context, parts: bool) -> Result<u8> {
    let packs: Vec<Registered> = at.client.all("/v1/packs", 0).await?;
    let mut users: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    let mut manifests = Vec::new();
    for pack in packs {
        let text = String::from_utf8(at.client.blob(pack.manifest).await?).context("a manifest that is no text")?;
        let manifest = Manifest::from_toml(&text)?;
        for file in manifest.files() {
            users.entry(file.sha256).or_default().insert(pack.name.clone());
        }
        manifests.push((pack, manifest));
    }
    let mut sizes = BTreeMap::new();
    for digest in users.keys() {
        sizes.insert(*digest, at.client.blob_size(*digest).await?);
    }
    let part = |pack: &Registered, file: &PackFile<'_>| Part {
        role: file.role,
        purpose: file.role.purpose(),
        sha256: file.sha256,
        bytes: sizes.get(&file.sha256).copied().flatten(),
        shared_with: users
            .get(&file.sha256)
            .into_iter()
            .flatten()
            .filter(|name| **name != pack.name)
            .cloned()
            .collect(),
    };
    let listed = manifests.into_iter().map(|(pack, manifest)| {
        let files = manifest.files();
        let parts: Vec<_> = files.iter().map(|file| part(&pack, file)).collect();
        let once: BTreeMap<_, _> = parts.iter().map(|part| (part.sha256, part.bytes.unwrap_or(0))).collect();
        Listed { bytes: once.values().sum(), parts, pack }
    });
    let listed: Vec<_> = listed.collect();
    if at.json {
        output::json(&listed)?;
        return Ok(exit::OK);
    }
    if parts {
        let bytes = |part: &Part| part.bytes.map_or_else(|| "missing".to_owned(), |bytes| bytes.to_string());
        let row = |pack: &Listed, part: &Part| {
            let cells = [pack.pack.name.clone(), part.role.to_string(), bytes(part), part.sha256.to_string()];
            let shared = if part.shared_with.is_empty() { "-".to_owned() } else { part.shared_with.join(" ") };
            cells.into_iter().chain([shared, part.purpose.to_owned()]).collect()
        };
        let rows: Vec<Vec<String>> =
            listed.iter().flat_map(|pack| pack.parts.iter().map(move |part| row(pack, part))).collect();
        output::table(&["PACK", "PART", "BYTES", "SHA-256", "SHARED WITH", "USED FOR"], &rows);
    } else {
        let row = |p: &Listed| {
            let size = p.pack.resolution;
            vec![p.pack.name.clone(), format!("{size}x{size}"), p.bytes.to_string(), p.pack.digest.to_string()]
        };
        output::table(&["NAME", "SIZE", "BYTES", "DIGEST"], &listed.iter().map(row).collect::<Vec<_>>());
    }
    let (all, once): (u64, u64) = (listed.iter().map(|pack| pack.bytes).sum(), sizes.values().copied().flatten().sum());
    if all > once {
        output::note(format!("{once} bytes in the bucket; {} more if shared parts were not stored once", all - once));
    }
    Ok(exit::OK)
}

/// Everything that can be said about a pack on disk without loading it. Exit code 4 if anything is wrong.
pub fn verify(at: &Context, folder: &Path, write: bool) -> Result<u8> {
    let pack = if write { packs::seal(folder)? } else { Pack::open(folder)? };
    let report = pack.verify();
    if !report.is_sound() {
        return refuse(at, &report);
    }
    if at.json {
        output::json(&report)?;
        return Ok(exit::OK);
    }
    let rows = report.files.iter().map(|file| {
        let parameters = file.weights.as_ref().map_or_else(|| "-".to_owned(), |w| w.parameters.to_string());
        vec![file.role.to_string(), file.file.clone(), file.bytes.to_string(), parameters, file.sha256.to_string()]
    });
    output::table(&["ROLE", "FILE", "BYTES", "PARAMETERS", "SHA-256"], &rows.collect::<Vec<_>>());
    output::line(format!("{} is sound: {}", pack.manifest().name, report.pack));
    Ok(exit::OK)
}

fn refuse(at: &Context, report: &packs::VerifyReport) -> Result<u8> {
    if at.json {
        output::json(report)?;
    } else {
        for problem in &report.problems {
            output::line(format!("FAIL {problem}"));
        }
    }
    Ok(exit::VERIFICATION_FAILED)
}
