//! apalis on Postgres with its defaults (batches of 10, orphans after 300 s), with the listener that its documentation adds, so that
//! idle workers wake at once.

use crate::Error;
use crate::effects::{enqueued, setting, slots, task};
use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{BoxDynError, TaskSink as _, WorkerBuilder};
use apalis_postgres::{Config, PgPool, PostgresStorage};
use std::time::Instant;

const QUEUE: &str = "peers";
/// Jobs of one INSERT.
const CHUNK: u64 = 1_000;

async fn pool() -> Result<PgPool, Error> {
    Ok(PgPool::connect(&setting("PEER_DATABASE_URL")?).await?)
}

fn config() -> Config {
    Config::default().queue(QUEUE)
}

pub async fn setup() -> Result<(), Error> {
    Ok(PostgresStorage::setup(&pool().await?).await?)
}

pub async fn enqueue(count: u64) -> Result<(), Error> {
    let pool = pool().await?;
    let mut storage = PostgresStorage::<u64>::new(&pool).with_config(config());
    let began = Instant::now();
    for from in (0..count).step_by(CHUNK as usize) {
        storage.push_bulk((from..count.min(from + CHUNK)).collect()).await?;
    }
    enqueued(began)
}

pub async fn work() -> Result<(), Error> {
    let pool = pool().await?;
    let storage = PostgresStorage::<u64>::new(&pool).with_config(config()).with_pubsub();
    let worker = WorkerBuilder::new(format!("peer-{}-{:?}", std::process::id(), Instant::now()))
        .backend(storage)
        .concurrency(slots()?)
        .build(|no: u64| async move { task(no).await as Result<(), BoxDynError> });
    worker.run().await?;
    Ok(())
}
