//! Asks a classifier: fetches the images of a job, and has `worker score` look at them. `cfx` itself never loads libtorch.

use super::Role;
use super::scores::digest_of;
use crate::args::AuditArgs;
use crate::client::Client;
use crate::output;
use anyhow::{Context as _, Result, bail};
use domain::record::{FaceFacts, Record};
use domain::{Digest, Frame, digest_of as digest_of_json};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wire::http::v1::{EditResult, Job, Pack};

const PARALLEL: usize = 8;

/// The scores of all images of `results`, as a file below `args.to`. Images that are there are not fetched again, and images that this
/// classifier has scored before are not scored again.
///
/// # Errors
/// When an image cannot be fetched, no worker is found, or the worker refuses, with what it said.
pub async fn run(client: &Client, args: &AuditArgs, job: &Job, results: &[EditResult]) -> Result<PathBuf> {
    let worker = worker(args.worker.as_deref())?;
    let packs: Vec<Pack> = client.all("/v1/packs", 0).await?;
    let pack = packs.iter().find(|pack| pack.name == job.spec.pack);
    let resolution =
        pack.with_context(|| format!("the pack '{}' is not registered any more", job.spec.pack))?.resolution;
    let images = args.to.join("images");
    std::fs::create_dir_all(&images).with_context(|| format!("{} cannot be created", images.display()))?;
    let wanted: BTreeSet<Digest> =
        results.iter().flat_map(|result| Role::ALL.map(|role| digest_of(result, role))).collect();
    fetch(client, &images, &wanted).await?;
    let mut command = Command::new(&worker);
    command.arg("score").arg("--images").arg(&images).args(["--resolution", &resolution.to_string()]);
    if job.spec.frame == Frame::Ffhq {
        let faces = args.to.join("faces.json");
        let text = serde_json::to_vec_pretty(&faces_of(client, results).await?)?;
        std::fs::write(&faces, text).with_context(|| format!("{} cannot be written", faces.display()))?;
        command.arg("--faces").arg(&faces);
    }
    let scores = args.to.join(format!("scores-{}.csv", &identity(args, resolution)?.to_string()[..16]));
    command.arg("--out").arg(&scores).args(flags(args));
    output::note(format!("scoring {} images", wanted.len()));
    // its words are for the user, and stdout is for results
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{} cannot be run", worker.display()))?;
    if !status.success() {
        bail!("the worker could not score the images ({status}); what it said stands above");
    }
    Ok(scores)
}

/// What the worker is told of the classifier.
fn flags(args: &AuditArgs) -> Vec<String> {
    let mut flags = Vec::new();
    let mut give = |name: &str, value: Option<String>| {
        flags.extend(value.into_iter().flat_map(|value| [format!("--{name}"), value]));
    };
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    give("classifier", args.classifier.as_deref().map(path));
    give("pack", args.pack.as_deref().map(path));
    give("head", args.head.clone());
    give("image-size", args.image_size.map(|size| size.to_string()));
    give("mean", (!args.mean.is_empty()).then(|| list(&args.mean)));
    give("std", (!args.std.is_empty()).then(|| list(&args.std)));
    give("classes", (!args.classes.is_empty()).then(|| args.classes.join(",")));
    give("device", args.device.clone());
    give("threads", args.threads.map(|threads| threads.to_string()));
    flags.extend(args.probabilities.then(|| "--probabilities".to_owned()));
    flags
}

/// Another classifier, or another way of showing it the images, must not go on with the scores of this one.
fn identity(args: &AuditArgs, resolution: u32) -> Result<Digest> {
    let file =
        |path: &Path| packs::weights::file_digest(path).with_context(|| format!("{} cannot be read", path.display()));
    let of_pack = args.pack.as_ref().map(|pack| file(&pack.join("pack.toml"))).transpose()?;
    let classifier = args.classifier.as_deref().map(file).transpose()?;
    let seen = json!({
        "classifier": classifier, "pack": of_pack, "head": args.head, "image_size": args.image_size, "mean": args.mean, "std": args.std,
        "classes": args.classes, "probabilities": args.probabilities, "resolution": resolution,
    });
    Ok(digest_of_json(&seen)?)
}

/// The worker given, or the one beside this program.
///
/// # Errors
/// When there is none.
pub fn worker(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let beside = std::env::current_exe().ok().and_then(|cfx| Some(cfx.parent()?.join("worker")));
    let beside = beside.filter(|path| path.is_file());
    beside.context("there is no worker beside cfx; name it with --worker PATH")
}

async fn fetch(client: &Client, folder: &Path, wanted: &BTreeSet<Digest>) -> Result<()> {
    let one = |digest: Digest| async move {
        let path = folder.join(digest.to_string());
        if std::fs::read(&path).is_ok_and(|bytes| Digest::of(bytes) == digest) {
            return Ok(());
        }
        let bytes = client.blob(digest).await.with_context(|| format!("the image {digest} cannot be fetched"))?;
        if Digest::of(&bytes) != digest {
            bail!("the image {digest} arrived damaged; run the command again");
        }
        // renamed, so that a file of that name is whole; the part begins with a dot, and the worker passes it over
        let part = folder.join(format!(".{digest}.part"));
        let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, &path));
        written.with_context(|| format!("{} cannot be written", path.display()))
    };
    stream::iter(wanted.iter().map(|digest| Ok(one(*digest)))).try_buffer_unordered(PARALLEL).try_collect().await
}

/// The face of each source, as its records say: sources are shown to the classifier as they were to the networks.
async fn faces_of(client: &Client, results: &[EditResult]) -> Result<BTreeMap<Digest, FaceFacts>> {
    let one_each: BTreeMap<Digest, Digest> = results.iter().map(|result| (result.source, result.record)).collect();
    let face = |(source, record): (Digest, Digest)| async move {
        let bytes = client.blob(record).await.with_context(|| format!("the record {record} cannot be fetched"))?;
        let record: Record = serde_json::from_slice(&bytes).with_context(|| format!("the record {record}"))?;
        Ok::<_, anyhow::Error>(record.recipe.source.face.map(|face| (source, face)))
    };
    let faces: Vec<_> = stream::iter(one_each).map(face).buffered(PARALLEL).try_collect().await?;
    Ok(faces.into_iter().flatten().collect())
}
