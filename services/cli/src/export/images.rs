//! Images from the coordinator to where they belong. What arrives is held against its digest.

use super::Work;
use super::plan::Plan;
use super::staging::Staged;
use crate::client::{Client, ClientError};
use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use domain::{Digest, TaskId};
use exports::{Row, extension};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use wire::http::v1::Pair;

/// Images on their way at once.
const PARALLEL: usize = 8;
/// Tries of a download that breaks off or arrives damaged.
const TRIES: u32 = 3;
/// Bytes of sources that are kept for the edits that follow.
const KEPT: usize = 16 << 20;
/// Images of a folder at most, three of a number: file systems, and hubs of datasets, want few files in one folder.
const FOLDER: i64 = 1_000;

/// The extensions of [`extension`], by their place here and one more.
const EXTENSIONS: [&str; 7] = ["png", "jpg", "gif", "bmp", "tiff", "webp", "bin"];

/// Which sources are in place, and as what: a byte each, so that it stays small beside any number of edits.
#[derive(Debug, Default)]
pub struct Placed(Vec<u8>);

impl Placed {
    fn get(&self, ordinal: i64) -> Option<&'static str> {
        let place = usize::try_from(ordinal).ok()?;
        EXTENSIONS.get(usize::from(*self.0.get(place)?).checked_sub(1)?).copied()
    }

    fn set(&mut self, ordinal: i64, extension: &str) {
        let known = EXTENSIONS.iter().position(|known| *known == extension);
        let (Ok(place), Some(known)) = (usize::try_from(ordinal), known) else { return };
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        // safe to narrow: there are seven
        self.0[place] = known as u8 + 1;
    }

    /// Takes note of a row of an earlier run.
    pub fn note(&mut self, row: &Row) {
        let extension = row.source_file_name.rsplit('.').next().unwrap_or_default();
        if let Ok(ordinal) = row.source_id.parse() {
            self.set(ordinal, extension);
        }
    }
}

/// Gets an object, again if it breaks off on the way.
async fn fetch(client: &Client, digest: Digest, what: &str, task: TaskId) -> Result<Bytes> {
    let mut tries = 0;
    loop {
        tries += 1;
        match client.blob(digest).await {
            Ok(bytes) if Digest::of(&bytes) == digest => return Ok(bytes.into()),
            Ok(_) | Err(ClientError::Unreadable { .. }) if tries < TRIES => {}
            Ok(_) => bail!("the {what} of task {task} arrives damaged; run the command again, it goes on where it was"),
            Err(error) => return Err(error).with_context(|| format!("the {what} of task {task} cannot be fetched")),
        }
    }
}

/// Brings the images of a page into folders, sources that are not placed yet first; the rows that name them.
pub async fn place(work: &Work<'_>, placed: &mut Placed, pairs: &[Pair], check: bool) -> Result<Vec<Staged>> {
    let missing: BTreeMap<i64, &Pair> = pairs
        .iter()
        .filter(|pair| placed.get(pair.result.ordinal).is_none())
        .map(|pair| (pair.result.ordinal, pair))
        .collect();
    let mut sources =
        stream::iter(missing.into_values().map(|pair| place_source(work, pair))).buffer_unordered(PARALLEL);
    while let Some((ordinal, extension)) = sources.try_next().await? {
        placed.set(ordinal, extension);
    }
    drop(sources);
    let edited = pairs.iter().map(|pair| {
        let extension = placed.get(pair.result.ordinal).unwrap_or("bin");
        place_edited(work, pair, extension, check)
    });
    stream::iter(edited).buffered(PARALLEL).try_collect().await
}

fn source_name(ordinal: i64, extension: &str) -> String {
    format!("images/{:04}/{ordinal:06}.source.{extension}", ordinal / FOLDER)
}

async fn place_source(work: &Work<'_>, pair: &Pair) -> Result<(i64, &'static str)> {
    let (ordinal, digest) = (pair.result.ordinal, pair.result.source);
    let bytes = fetch(work.client, digest, "source", pair.result.task).await?;
    let extension = extension(&bytes);
    let name = format!("{}/{}", work.plan.split(pair), source_name(ordinal, extension));
    work.sink.put(&name, bytes, digest).await?;
    Ok((ordinal, extension))
}

async fn place_edited(work: &Work<'_>, pair: &Pair, extension: &str, check: bool) -> Result<Staged> {
    let mut row = work.plan.row(pair);
    let folder = format!("{}/", row.split);
    let number = pair.result.task.no;
    row.source_file_name = source_name(pair.result.ordinal, extension);
    let ending = work.plan.ending();
    row.edited_file_name = format!("images/{:04}/{number:08}.edited.{ending}", i64::from(number) / FOLDER);
    let task = pair.result.task;
    put_once(work, &format!("{folder}{}", row.edited_file_name), pair.result.image, ("edited image", task), check)
        .await?;
    if let Some(artifact) = row.recon_sha256 {
        let signed = work.client.signed_reconstruction(&pair.result).await?;
        // Edits of one source share it, unless they were computed in batches of other shapes: then they differ in rounding.
        let (ordinal, hex) = (pair.result.ordinal, artifact.to_string());
        let name = format!("images/{:04}/{ordinal:06}-{}.recon.png", ordinal / FOLDER, &hex[..8]);
        put_once(work, &format!("{folder}{name}"), signed, ("reconstruction", task), true).await?;
        row.recon_sha256 = Some(signed);
        row.recon_file_name = Some(name);
    }
    Ok(Staged { folder, row })
}

/// Brings an image to its place, unless `check` finds it there.
async fn put_once(work: &Work<'_>, name: &str, digest: Digest, what: (&str, TaskId), check: bool) -> Result<()> {
    if check && work.sink.has(name, digest).await? {
        return Ok(());
    }
    let bytes = fetch(work.client, digest, what.0, what.1).await?;
    work.sink.put(name, bytes, digest).await
}

/// Sources that were fetched a moment ago: edits of one source follow one another.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<(VecDeque<(Digest, Bytes)>, usize)>,
}

impl Recent {
    fn get(&self, digest: Digest) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.0.iter().find(|(other, _)| *other == digest).map(|(_, bytes)| bytes.clone())
    }

    fn keep(&self, digest: Digest, bytes: &Bytes) {
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (queue, size) = &mut *kept;
        queue.push_back((digest, bytes.clone()));
        *size += bytes.len();
        while *size > KEPT {
            let Some((_, oldest)) = queue.pop_front() else { break };
            *size -= oldest.len();
        }
    }
}

/// The files of one sample of a shard.
#[derive(Debug)]
pub struct Sample {
    /// Its key.
    pub key: String,
    /// Its row.
    pub row: Row,
    /// Suffixes and bytes.
    pub files: Vec<(String, Bytes)>,
}

/// Fetches the images of a page, in order, a few at a time.
pub fn samples<'a>(
    work: &'a Work<'a>,
    recent: &'a Recent,
    pairs: &'a [Pair],
) -> impl futures_util::Stream<Item = Result<Sample>> + 'a {
    stream::iter(pairs.iter().map(move |pair| sample(work.client, work.plan, recent, pair))).buffered(PARALLEL)
}

async fn sample(client: &Client, plan: &Plan, recent: &Recent, pair: &Pair) -> Result<Sample> {
    let (result, task) = (&pair.result, pair.result.task);
    let source = match recent.get(result.source) {
        Some(bytes) => bytes,
        None => {
            let bytes = fetch(client, result.source, "source", task).await?;
            recent.keep(result.source, &bytes);
            bytes
        }
    };
    let key = format!("{:06}-{:08}", task.job, task.no);
    let mut row = plan.row(pair);
    let mut files = vec![(format!("source.{}", extension(&source)), source)];
    row.source_file_name = format!("{key}.{}", files[0].0);
    let edited = fetch(client, result.image, "edited image", task).await?;
    let ending = plan.ending();
    files.push((format!("edited.{ending}"), edited));
    row.edited_file_name = format!("{key}.edited.{ending}");
    if row.recon_sha256.is_some() {
        let signed = client.signed_reconstruction(result).await?;
        files.push(("recon.png".to_owned(), fetch(client, signed, "reconstruction", task).await?));
        row.recon_sha256 = Some(signed);
        row.recon_file_name = Some(format!("{key}.recon.png"));
    }
    Ok(Sample { key, row, files })
}
