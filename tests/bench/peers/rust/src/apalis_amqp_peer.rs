//! apalis on RabbitMQ with its defaults, on a quorum queue.

use crate::Error;
use crate::effects::{enqueued, setting, slots, task};
use apalis::layers::WorkerBuilderExt as _;
use apalis::prelude::{BoxDynError, TaskSink as _, WorkerBuilder};
use apalis_amqp::{AmqpBackend, AmqpTask, Config};
use futures::Sink;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

const CHUNK: u64 = 1_000;

fn backend() -> Result<AmqpBackend<u64>, Error> {
    let config = Config::default().queue("peers").quorum(true);
    Ok(AmqpBackend::new_from_addr(setting("PEER_BROKER_URL")?)?.with_config(config))
}

pub async fn enqueue(count: u64) -> Result<(), Error> {
    let mut backend = backend()?;
    let began = Instant::now();
    for from in (0..count).step_by(CHUNK as usize) {
        backend.push_bulk((from..count.min(from + CHUNK)).collect()).await?;
    }
    enqueued(began)?;
    // it publishes without confirms: what the client still buffers is gone with a process that ends now (148 of 20,000 were)
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

pub async fn work() -> Result<(), Error> {
    let mut backend = backend()?;
    // a worker whose backend has no channel yet panics at its first poll (1.0.0), so it is opened as a producer opens it
    poll_fn(|context| Sink::<AmqpTask>::poll_ready(Pin::new(&mut backend), context)).await?;
    let worker = WorkerBuilder::new(format!("peer-{}", std::process::id()))
        .backend(backend)
        .concurrency(slots()?)
        .build(|no: u64| async move { task(no).await as Result<(), BoxDynError> });
    worker.run().await?;
    Ok(())
}
