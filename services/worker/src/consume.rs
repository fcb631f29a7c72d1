//! The pull loop: one batch computing, one staged behind it, and no more taken.
//!
//! A slot is held from before a batch is asked for until its tensor work is done, so at most two batches are between the queue and
//! the end of their computation. Uploading and reporting go on beside the next batch's computation, for two batches at most.

use crate::pipeline::{self, Line};
use crate::settle;
use broker::WorkQueue;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// One computing and one staged.
const SLOTS: usize = 2;

/// Pulls until the worker drains, then waits for what is in hand.
pub async fn run(line: Arc<Line>, mut queue: WorkQueue) {
    let slots = Arc::new(Semaphore::new(SLOTS));
    let mut in_hand = JoinSet::new();
    loop {
        // Safe because the semaphore is never closed.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the slots stay open"),
            () = line.drain.begun() => break,
        };
        let delivery = tokio::select! {
            delivery = queue.next() => delivery,
            () = line.drain.begun() => break,
        };
        let Some(taken) = settle::take(delivery, &line.held, &line.reporter, &line.drain).await else { continue };
        tracing::info!(batch = %taken.batch.batch, stage = %taken.batch.stage(), items = taken.holding.tasks.len(), "took a batch");
        in_hand.spawn(pipeline::run(Arc::clone(&line), taken, slot));
        while let Some(ended) = in_hand.try_join_next() {
            report_panic(ended);
        }
    }
    drop(queue);
    tracing::info!(batches = in_hand.len(), "no more work is taken; finishing what is in hand");
    while let Some(ended) = in_hand.join_next().await {
        report_panic(ended);
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // Its tasks are no longer in the heartbeat, so the coordinator takes them back.
        tracing::error!(%error, "a batch ended in a panic");
    }
}
