//! Sources to latents.

use super::{Desk, Told, Way, all_ended, join, share, split};
use crate::stages::ended::Ended;
use crate::stages::invert::{Inverted, Source};
use crate::stages::{fetch, upload};
use crate::watch::Watch;
use domain::inversion::Inversion;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wire::broker::v1::{InvertItem, Outcome};

pub(super) async fn run(
    desk: Desk<'_>,
    inversion: &Inversion,
    items: &[InvertItem],
    slot: OwnedSemaphorePermit,
) -> Vec<Told> {
    let line = desk.line;
    let pack = match desk.pack().await {
        Ok(pack) => pack,
        Err(ended) => return all_ended(items.len(), &ended),
    };
    let staged = fetch::all(0..items.len(), async |index: usize| {
        let item = &items[index];
        if let Some(told) = desk.settled(index, item.fence, &item.key.result_key()).await {
            return Way::Ended(told);
        }
        stage(desk, item, pack.resolution()).await.into()
    })
    .await;
    let (on, ends) = split(staged);
    let (places, sources): (Vec<_>, Vec<_>) = on.into_iter().unzip();
    let count = sources.len();
    if count == 0 {
        return join(ends, []);
    }
    let tasks = places.iter().map(|&place| Arc::clone(&desk.tasks[place])).collect();
    let watch = Watch::finishing(tasks, line.drain.clone(), line.slice);
    let computed = line.gpu.invert(&pack, inversion.clone(), sources, watch).await;
    let _finishing = desk.finish(slot).await;
    line.reporter.add_busy(computed.time);
    let gpu_ms = share(computed.time, count);
    let inverted = match computed.value {
        Ok(inverted) => inverted,
        Err(ended) => (0..count).map(|_| Err(ended.clone())).collect(),
    };
    let stored = fetch::all(places.into_iter().zip(inverted), async |(place, inverted)| {
        let result = match inverted {
            Ok(inverted) => store(desk, &items[place], inverted).await,
            Err(ended) => desk.halted(ended).await,
        };
        (place, Told { result, gpu_ms })
    })
    .await;
    join(ends, stored)
}

async fn stage(desk: Desk<'_>, item: &InvertItem, resolution: u32) -> Result<Source, Ended> {
    let artifacts = &desk.line.artifacts;
    let (prepared, facts) = fetch::source(artifacts, &item.source, resolution).await?;
    Ok(Source { prepared, facts, key: item.key, checkpoint: fetch::checkpoint(artifacts, item.checkpoint).await? })
}

async fn store(desk: Desk<'_>, item: &InvertItem, inverted: Inverted) -> Result<Outcome, Ended> {
    let artifacts = &desk.line.artifacts;
    upload::artifact(artifacts, inverted.reconstruction).await?;
    let artifact = upload::artifact(artifacts, inverted.latent).await?;
    upload::pointer(artifacts, item.key, Outcome::Stored { key: item.key, artifact }).await
}
