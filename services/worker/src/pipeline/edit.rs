//! Latents to edited images with their records.

use super::{Desk, Told, Way, all_ended, join, share, split};
use crate::gpu::Networks;
use crate::signing::Unsigned;
use crate::stages::edit::{Edited, Input, Plan};
use crate::stages::ended::Ended;
use crate::stages::invert::LatentNote;
use crate::stages::record::{self, Context};
use crate::stages::{fetch, timed, upload};
use crate::watch::Watch;
use chrono::Utc;
use credentials::{embed_record, put_xmp};
use domain::edit::EditSpec;
use domain::inversion::Inversion;
use domain::record::{Links, WrittenRecord, media_type};
use domain::{Digest, Output};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use wire::broker::v1::{self, EditItem, Outcome};

/// What the batch asks for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub edit: &'a EditSpec,
    pub inversion: &'a Inversion,
    pub mapper: Option<Digest>,
}

pub(super) async fn run(desk: Desk<'_>, asked: Asked<'_>, items: &[EditItem], slot: OwnedSemaphorePermit) -> Vec<Told> {
    let (began, started_at, line) = (Instant::now(), Utc::now(), desk.line);
    let (networks, mapper) = match open(desk, asked).await {
        Ok(open) => open,
        Err(ended) => return all_ended(items.len(), &ended),
    };
    // Beside the staging: the first batch of a pack reads all of its files.
    let reading = spawn_blocking({
        let pack = Arc::clone(&networks.pack);
        move || pack.tensors()
    });
    let staged = fetch::all(0..items.len(), async |index: usize| {
        let item = &items[index];
        let object = item.key.image_key(desk.batch.job, item.fence.task.no);
        if let Some(told) = desk.settled(index, item.fence, &object).await {
            return Way::Ended(told);
        }
        stage(desk, asked.edit, item, networks.pack.resolution()).await.into()
    })
    .await;
    let (on, ends) = split(staged);
    let count = on.len();
    if count == 0 {
        return join(ends, []);
    }
    let fetch_ms = share(began.elapsed(), count);
    let (mut places, mut notes, mut inputs) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (note, input)) in on {
        places.push(place);
        notes.push(note);
        inputs.push(input);
    }
    let tasks = places.iter().map(|&place| Arc::clone(&desk.tasks[place])).collect();
    let watch = Watch::finishing(tasks, line.drain.clone(), line.slice);
    let plan = Plan { edit: asked.edit.clone(), mapper, goal: networks.pack.goal(&asked.edit.text) };
    let computed = line.gpu.edit(&networks, plan, inputs, watch).await;
    let _finishing = desk.finish(slot).await;
    line.reporter.add_busy(computed.time);
    let gpu_ms = share(computed.time, count);
    let (text, edited) = match computed.value {
        Ok(batch) => batch,
        Err(ended) => {
            let told = |place| (place, Told { result: Err(ended.clone()), gpu_ms });
            return join(ends, places.into_iter().map(told));
        }
    };
    let tensors = match reading.await.map_err(Ended::internal).and_then(|read| read.map_err(Ended::internal)) {
        Ok(tensors) => tensors,
        Err(ended) => {
            let told = |place| (place, Told { result: Err(ended.clone()), gpu_ms });
            return join(ends, places.into_iter().map(told));
        }
    };
    let context = Context {
        pack: &networks.pack,
        tensors: &tensors,
        environment: line.gpu.environment(),
        precision: networks.precision,
        text: &text,
        inversion: asked.inversion,
        edit: asked.edit,
        mapper: asked.mapper,
        boot: line.reporter.boot(),
        batch: desk.batch.batch,
        started_at,
        fetch_ms,
        output: &desk.batch.output,
        watermarker: &line.watermarker,
    };
    let stored = fetch::all(places.into_iter().zip(notes).zip(edited), async |((place, note), edited)| {
        let result = match edited {
            Ok(edited) => store(desk, &context, &items[place], &note, edited).await,
            Err(ended) => desk.halted(ended).await,
        };
        (place, Told { result, gpu_ms })
    })
    .await;
    join(ends, stored)
}

/// The networks, and the mapper's file if the edit has one.
async fn open(desk: Desk<'_>, asked: Asked<'_>) -> Result<(Networks, Option<Vec<u8>>), Ended> {
    let networks = desk.networks().await?;
    let mapper = match asked.mapper {
        Some(digest) => Some(fetch::artifact(&desk.line.artifacts, digest).await?),
        None => None,
    };
    Ok((networks, mapper))
}

async fn stage(
    desk: Desk<'_>,
    edit: &EditSpec,
    item: &EditItem,
    resolution: u32,
) -> Result<(LatentNote, Input), Ended> {
    let artifacts = &desk.line.artifacts;
    let latent = fetch::latent(artifacts, item.latent, item.source.sha256).await?;
    let mask = match edit.method.guards().mask() {
        Some(name) => {
            Some(fetch::mask(artifacts, name, item.mask, &item.source, &latent.note.source, resolution).await?)
        }
        None => None,
    };
    let input = Input {
        latent: latent.bytes,
        reconstruction: latent.reconstruction,
        source: item.source.sha256,
        mask,
        strength: item.strength,
        seed: item.seed,
        key: item.key,
        checkpoint: fetch::checkpoint(artifacts, item.checkpoint).await?,
    };
    Ok((latent.note, input))
}

async fn store(
    desk: Desk<'_>,
    context: &Context<'_>,
    item: &EditItem,
    note: &LatentNote,
    mut edited: Edited,
) -> Result<Outcome, Ended> {
    let artifacts = &desk.line.artifacts;
    let latent = upload::artifact(artifacts, std::mem::take(&mut edited.latent)).await?;
    let drawn = context.draw(&edited).await?;
    let links = Links {
        job: desk.batch.job,
        task: item.fence.task,
        project: desk.batch.project.clone(),
        dataset: desk.batch.dataset.clone(),
        source: item.source.ordinal,
        source_uri: Some(item.source.uri.clone()),
        submitter: desk.batch.submitter.clone(),
        parents: Vec::new(),
        pack: None,
        license: None,
    };
    let own = record::Item {
        note,
        source_latent: item.latent,
        mask: item.mask,
        strength: item.strength,
        seed: item.seed,
        epoch: item.fence.epoch,
        links,
        edited: &edited,
        drawn: &drawn,
        key: Some(item.key),
        latent,
    };
    let record = timed("record", || record::write(context, own))?;
    let file = sign(desk, context.output, item, note, &drawn.file, &record).await?;
    let record_digest = upload::artifact(artifacts, record.text().into()).await?;
    let image = upload::artifact(artifacts, file).await?;
    let told = v1::Edited { key: item.key, image, reconstruction: note.reconstruction, record_digest, record };
    upload::pointer(artifacts, item.key, Outcome::Edited(Box::new(told))).await
}

/// The file with its record, the note for other programs and the credential, in this order: what comes later signs what was before.
async fn sign(
    desk: Desk<'_>,
    output: &Output,
    item: &EditItem,
    note: &LatentNote,
    file: &[u8],
    record: &WrittenRecord,
) -> Result<Vec<u8>, Ended> {
    let file = timed("record", || {
        let told = embed_record(file, record, output.detail).map_err(Ended::internal)?;
        put_xmp(&told, record, output.detail).map_err(Ended::internal)
    })?;
    // What a source brings along is passed on. Latents of earlier versions do not tell whether there is anything.
    let credentialed = note.origin.is_none_or(|origin| origin.credentialed);
    let source = match credentialed {
        true => Some(fetch::artifact(&desk.line.artifacts, item.source.sha256).await?.into()),
        false => None,
    };
    let record = Arc::new(record.clone());
    let media_type = media_type(&note.source.format);
    desk.line.signing.sign(Unsigned { file, record, detail: output.detail, media_type, source }).await
}
