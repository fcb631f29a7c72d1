//! Training images to a text mapper, at most one slice at a time.
//!
//! The images' latents are found by the pack's encoder and kept under a stage key of their own, so that every text of a job, and
//! every slice, encodes them once between them.

use super::frame::framed;
use super::{Desk, Told, share};
use crate::gpu::Networks;
use crate::stages::ended::Ended;
use crate::stages::train::{Trained, Training, join_parts};
use crate::stages::{fetch, upload};
use crate::watch::Watch;
use domain::edit::EditSpec;
use domain::inversion::Inversion;
use domain::{Digest, Reason, Stage, StageKey};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wire::broker::v1::{Outcome, TrainItem, TrainingSet};

/// Training images encoded at once.
const PART: usize = 32;

pub(super) async fn run(desk: Desk<'_>, edit: &EditSpec, item: &TrainItem, slot: OwnedSemaphorePermit) -> Told {
    let mut busy = Duration::ZERO;
    let result = train(desk, edit, item, slot, &mut busy).await;
    desk.line.reporter.add_busy(busy);
    Told { result, gpu_ms: share(busy, 1) }
}

async fn train(
    desk: Desk<'_>,
    edit: &EditSpec,
    item: &TrainItem,
    slot: OwnedSemaphorePermit,
    busy: &mut Duration,
) -> Result<Outcome, Ended> {
    let line = desk.line;
    if let Some(outcome) = desk.earlier(item.fence, &item.key.result_key()).await {
        return Ok(outcome);
    }
    let networks = desk.networks().await?;
    let latents = latents(desk, &networks, item.training_set, busy).await?;
    let checkpoint = fetch::checkpoint(&line.artifacts, item.checkpoint).await?;
    desk.ready(0)?;
    let watch = Watch::slicing(Arc::clone(&desk.tasks[0]), line.drain.clone(), line.slice);
    let training = Training { edit: edit.clone(), set: item.training_set, latents, checkpoint };
    let computed = line.gpu.train(&networks, training, watch).await;
    *busy += computed.time;
    let trained = computed.value?;
    if desk.tasks[0].is_cancelled() {
        return Err(Ended::Cancelled);
    }
    let _finishing = desk.finish(slot).await;
    match trained {
        Trained::Done(mapper) => {
            let artifact = upload::artifact(&line.artifacts, mapper).await?;
            upload::pointer(&line.artifacts, item.key, Outcome::Stored { key: item.key, artifact }).await
        }
        Trained::Yielded(checkpoint, done) => {
            let checkpoint = Some(upload::artifact(&line.artifacts, checkpoint).await?);
            Ok(Outcome::Yielded { checkpoint, done })
        }
        Trained::Diverged { failure: Ended::Failed { reason, detail }, curve } => {
            let curve = upload::artifact(&line.artifacts, curve).await?;
            Err(Ended::failed(reason, format!("{detail}; the losses of every step are in the artifact {curve}")))
        }
        Trained::Diverged { failure, .. } => Err(failure),
    }
}

/// The file of the training images' latents, from the bucket or computed now.
async fn latents(desk: Desk<'_>, networks: &Networks, set: Digest, busy: &mut Duration) -> Result<Vec<u8>, Ended> {
    let line = desk.line;
    let by = Inversion::Encoder {};
    let Networks { pack, precision } = networks;
    let key = StageKey::new(Stage::Invert, pack.digest, &[set], &("training-set", by), *precision)
        .map_err(Ended::internal)?;
    if let Some(Outcome::Stored { artifact, .. }) = upload::earlier(&line.artifacts, &key.result_key()).await {
        return fetch::artifact(&line.artifacts, artifact).await;
    }
    let list = fetch::artifact(&line.artifacts, set).await?;
    let list: TrainingSet = serde_json::from_slice(&list).map_err(Ended::internal)?;
    let mut latents = Vec::with_capacity(list.sources.len());
    let mut refused = None;
    let images: Vec<_> = list.items().collect();
    for part in images.chunks(PART) {
        desk.ready(0)?;
        let images =
            fetch::all(part.to_vec(), async |(digest, framing)| framed(desk, networks, digest, &framing).await);
        let mut rasters = Vec::with_capacity(part.len());
        for ((digest, _), found) in part.iter().zip(images.await) {
            *busy += found.time;
            match found.image {
                Ok(image) => rasters.push(image.raster),
                Err(Ended::Failed { reason, detail })
                    if reason.class() == domain::FailureClass::Data && reason != Reason::MissingSource =>
                {
                    // One bad image among hundreds must not cost the mapper, and which ones are bad is a fact of the set. That one
                    // is missing is a fact of the bucket: the mapper would depend on the day.
                    tracing::warn!(%digest, %reason, detail, "a training image is left out");
                    refused = Some((reason, detail));
                }
                Err(ended) => return Err(ended),
            }
        }
        if !rasters.is_empty() {
            let encoded = line.gpu.encode_part(networks, rasters).await;
            *busy += encoded.time;
            latents.extend(encoded.value?);
        }
    }
    if latents.is_empty() {
        let (reason, detail) = refused.unwrap_or((Reason::MissingSource, "the training set is empty".to_owned()));
        return Err(Ended::failed(reason, format!("no training image can be used; the last one: {detail}")));
    }
    tracing::info!(images = latents.len(), of = list.sources.len(), "encoded a training set");
    // Every latent of a generator has two layers per doubling from 4 px, less the first's second: 2 log2(R) - 2.
    let n_latent = 2 * pack.resolution().ilog2() as usize - 2;
    let file = join_parts(&latents, n_latent)?;
    let artifact = upload::artifact(&line.artifacts, file.clone()).await?;
    upload::pointer(&line.artifacts, key, Outcome::Stored { key, artifact }).await?;
    Ok(file)
}
