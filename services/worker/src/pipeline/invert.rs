//! Sources to latents.

use super::frame::framed;
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
    let networks = match desk.networks().await {
        Ok(networks) => networks,
        Err(ended) => return all_ended(items.len(), &ended),
    };
    let staged = fetch::all(0..items.len(), async |index: usize| {
        let item = &items[index];
        if let Some(told) = desk.settled(index, item.fence, &item.key.result_key()).await {
            return Way::Ended(told);
        }
        let found = framed(desk, &networks, item.source.sha256, &item.framing).await;
        let gpu_ms = found.gpu_ms();
        line.reporter.add_busy(found.time);
        match found.image {
            Ok(prepared) => {
                let facts = fetch::facts(item.source.sha256, &prepared);
                match fetch::checkpoint(&line.artifacts, item.checkpoint).await {
                    Ok(checkpoint) => Way::On((Source { prepared, facts, key: item.key, checkpoint }, gpu_ms)),
                    Err(ended) => Way::Ended(Told { result: Err(ended), gpu_ms }),
                }
            }
            Err(ended) => Way::Ended(Told { result: Err(ended), gpu_ms }),
        }
    })
    .await;
    let (on, ends) = split(staged);
    let (places, found): (Vec<_>, Vec<_>) = on.into_iter().unzip();
    let (sources, found_ms): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let count = sources.len();
    if count == 0 {
        return join(ends, []);
    }
    let tasks = places.iter().map(|&place| Arc::clone(&desk.tasks[place])).collect();
    let watch = Watch::finishing(tasks, line.drain.clone(), line.slice);
    let computed = line.gpu.invert(&networks, inversion.clone(), sources, watch).await;
    let _finishing = desk.finish(slot).await;
    line.reporter.add_busy(computed.time);
    let gpu_ms = share(computed.time, count);
    let inverted = match computed.value {
        Ok(inverted) => inverted,
        Err(ended) => (0..count).map(|_| Err(ended.clone())).collect(),
    };
    let stored = fetch::all(places.into_iter().zip(found_ms).zip(inverted), async |((place, found_ms), inverted)| {
        let result = match inverted {
            Ok(inverted) => store(desk, &items[place], inverted).await,
            Err(ended) => desk.halted(ended).await,
        };
        (place, Told { result, gpu_ms: found_ms + gpu_ms })
    })
    .await;
    join(ends, stored)
}

async fn store(desk: Desk<'_>, item: &InvertItem, inverted: Inverted) -> Result<Outcome, Ended> {
    let artifacts = &desk.line.artifacts;
    upload::artifact(artifacts, inverted.reconstruction).await?;
    let artifact = upload::artifact(artifacts, inverted.latent).await?;
    upload::pointer(artifacts, item.key, Outcome::Stored { key: item.key, artifact }).await
}
