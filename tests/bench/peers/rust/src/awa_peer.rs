//! awa with its defaults: queue storage, heartbeats every 30 s, rescue of what was unseen for 90 s.

use crate::Error;
use crate::effects::{enqueued, setting, slots, task};
use awa::{
    Client, InsertOpts, JobArgs, JobError, JobResult, QueueConfig, QueueStorage, QueueStorageConfig, migrations,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::time::Instant;

const QUEUE: &str = "peers";
/// Jobs of one COPY.
const CHUNK: u64 = 1_000;

#[derive(Serialize, Deserialize, JobArgs)]
struct Nap {
    no: u64,
}

async fn pool() -> Result<PgPool, Error> {
    Ok(PgPool::connect(&setting("PEER_DATABASE_URL")?).await?)
}

pub async fn setup() -> Result<(), Error> {
    Ok(migrations::run(&pool().await?).await?)
}

pub async fn enqueue(count: u64) -> Result<(), Error> {
    let pool = pool().await?;
    let storage = QueueStorage::new(QueueStorageConfig::default())?;
    let options = || InsertOpts { queue: QUEUE.to_owned(), ..InsertOpts::default() };
    let began = Instant::now();
    for from in (0..count).step_by(CHUNK as usize) {
        let nos = from..count.min(from + CHUNK);
        let jobs =
            nos.map(|no| awa::model::insert::params_with(&Nap { no }, options())).collect::<Result<Vec<_>, _>>()?;
        storage.enqueue_params_copy(&pool, &jobs).await?;
    }
    enqueued(began)
}

pub async fn work() -> Result<(), Error> {
    let config = QueueConfig { max_workers: u32::try_from(slots()?)?, ..QueueConfig::default() };
    let client = Client::builder(pool().await?)
        .queue(QUEUE, config)
        .register::<Nap, _, _>(|nap: Nap, _| async move {
            task(nap.no).await.map_err(|error| JobError::terminal(error.to_string()))?;
            Ok(JobResult::Completed)
        })
        .build()?;
    client.start().await?;
    std::future::pending().await
}
