//! What workers say, as changes of tasks: every message is applied under its fences, in one transaction, and only then
//! acknowledged. A repeated, late or stale message changes nothing and is acknowledged too.

use crate::app::App;
use crate::believed;
use crate::config;
use broker::Verdict;
use broker::topology::{OUTCOMES, is_control_queue};
use domain::{BootId, Reason};
use std::time::Duration;
use store::{Applied, EditedRow, ErrorClass, HeartbeatRow, OutboxMessage, OutcomeRow, RunningTask, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};
use wire::broker::v1::{Control, Edited, Fence, FromWorker, Heartbeat, ItemOutcome, Outcome};

/// Messages in hand at once: each takes a connection to the database, and other work needs some too.
const IN_HAND: u16 = 8;
/// Longest that one may take: see [`crate::sweep::Reconciler::PATIENCE`].
const PATIENCE: Duration = Duration::from_secs(90);

/// Consumes until `stop`; what is in hand then is finished.
pub async fn run(app: App, stop: CancellationToken) {
    let settings = config::broker(&app.config);
    let handler = async |message: FromWorker, trace: Option<String>| {
        // heartbeats come without: nobody asked for them
        let span = match &trace {
            Some(trace) => telemetry::traces::processing(OUTCOMES, Some(trace)),
            None => Span::none(),
        };
        tokio::time::timeout(PATIENCE, handle(&app, message).instrument(span)).await.unwrap_or_else(|_| {
            tracing::warn!("a worker's message was not applied within {PATIENCE:?} and will come again");
            Verdict::Requeue
        })
    };
    broker::consume_outcomes(settings, IN_HAND, stop, app.listening.clone(), handler).await;
}

/// Applies one message.
async fn handle(app: &App, message: FromWorker) -> Verdict {
    let kind = match &message {
        FromWorker::Started { .. } => "started",
        FromWorker::Heartbeat(_) => "heartbeat",
        FromWorker::Outcomes { .. } => "outcomes",
        FromWorker::Stopped { .. } => "stopped",
        FromWorker::Goodbye { .. } => "goodbye",
    };
    metrics::counter!("cfx_worker_messages_total", "message" => kind).increment(1);
    let applied = match message {
        FromWorker::Started { boot, tasks, .. } => started(app, boot, &tasks).await,
        FromWorker::Heartbeat(heartbeat) if !believed::is_class(&heartbeat.class) => {
            let what = format!("a class of {} characters that makes no queue's name", heartbeat.class.chars().count());
            Err(StoreError::Unstorable { what: "heartbeat", cause: what })
        }
        FromWorker::Heartbeat(heartbeat) => heard(app, heartbeat).await,
        FromWorker::Outcomes { boot, items, .. } => finished(app, boot, items).await,
        FromWorker::Stopped { boot, tasks, after_ms } => stopped(app, boot, &tasks, after_ms).await,
        FromWorker::Goodbye { boot } => app.store.goodbye(boot).await,
    };
    telemetry::crash_point("o.after_apply");
    match applied {
        Ok(()) => Verdict::Ack,
        Err(error) if error.class() == ErrorClass::Retryable => {
            tracing::warn!(kind, error = chain(&error), "a worker's message could not be applied and will come again");
            Verdict::Requeue
        }
        Err(error) => {
            // Coming again would not help. The tasks it speaks of are found by the sweeps.
            tracing::error!(kind, error = chain(&error), "a worker's message cannot be applied");
            metrics::counter!("cfx_worker_messages_refused_total", "message" => kind).increment(1);
            Verdict::Ack
        }
    }
}

async fn started(app: &App, boot: BootId, tasks: &[Fence]) -> Result<(), StoreError> {
    let fences: Vec<store::Fence> = tasks.iter().map(|f| inner(*f)).collect();
    let stale = app.store.started(boot, &fences).await?;
    revoke(app, boot, stale).await
}

async fn heard(app: &App, heartbeat: Heartbeat) -> Result<(), StoreError> {
    let row = HeartbeatRow {
        boot: heartbeat.boot,
        name: believed::name(&heartbeat.name),
        class: heartbeat.class,
        device: believed::name(&heartbeat.device),
        version: believed::name(&heartbeat.version),
        draining: heartbeat.draining,
        running: heartbeat
            .running
            .iter()
            .map(|p| RunningTask { task: p.fence.task, epoch: p.fence.epoch, done: believed::done(p.done) })
            .collect(),
        images: i64::try_from(heartbeat.images).unwrap_or(i64::MAX),
        busy_ms: i64::try_from(heartbeat.busy_ms).unwrap_or(i64::MAX),
        waits_for: heartbeat.waits_for.map(|waits| waits.name().to_owned()),
        control_queue: heartbeat.control_queue.filter(|queue| is_control_queue(queue)),
        memory_bytes: heartbeat.memory_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        device_memory: heartbeat.device_memory.and_then(believed::device_memory),
    };
    let stale = app.store.heartbeat(&row).await?;
    app.wake.dispatch.notify_one();
    revoke(app, row.boot, stale).await
}

/// Measures how long cancelled work kept the device after the cancel was acknowledged, by the database's clock. The way of this
/// message is counted in: it is an upper bound.
async fn stopped(app: &App, boot: BootId, tasks: &[Fence], after_ms: f64) -> Result<(), StoreError> {
    let fences: Vec<store::Fence> = tasks.iter().map(|f| inner(*f)).collect();
    if let Some(seconds) = app.store.seconds_since_cancel(&fences).await? {
        metrics::histogram!("cfx_cancel_to_idle_seconds").record(seconds);
        tracing::info!(%boot, tasks = tasks.len(), seconds, after_ms, "cancelled work has left the device");
    }
    Ok(())
}

/// Tells the worker to drop hand-outs that are not its own any more.
async fn revoke(app: &App, boot: BootId, stale: Vec<store::Fence>) -> Result<(), StoreError> {
    if stale.is_empty() {
        return Ok(());
    }
    tracing::info!(%boot, tasks = stale.len(), "a worker holds hand-outs that are not current; they are revoked");
    let tasks = stale.into_iter().map(|f| Fence { task: f.task, epoch: f.epoch }).collect();
    let control = Control::Revoke { boot: Some(boot), tasks };
    let unstorable = |error: serde_json::Error| StoreError::Unstorable { what: "revocation", cause: error.to_string() };
    let payload = serde_json::to_value(&control).map_err(unstorable)?;
    app.store.send_control(&OutboxMessage { routing_key: String::new(), payload, traceparent: None }).await?;
    app.wake.relay.notify_one();
    Ok(())
}

async fn finished(app: &App, boot: BootId, items: Vec<ItemOutcome>) -> Result<(), StoreError> {
    let rows: Vec<OutcomeRow> = items.into_iter().map(row).collect();
    let policy = app.config.tuning.retries();
    match app.store.apply_outcomes(boot, &rows, &policy).await {
        Ok(applied) => told(boot, &rows, &applied),
        Err(error) if error.class() == ErrorClass::Retryable => return Err(error),
        // One item that cannot be stored must not hurt its batch-mates: each is applied alone, and the culprit fails.
        Err(_) => {
            for row in rows {
                let one = std::slice::from_ref(&row);
                let applied = match app.store.apply_outcomes(boot, one, &policy).await {
                    Err(error) if error.class() == ErrorClass::Permanent => {
                        let failed = [unstorable(&row, &error)];
                        app.store.apply_outcomes(boot, &failed, &policy).await?
                    }
                    other => other?,
                };
                told(boot, one, &applied);
            }
        }
    }
    app.wake.dispatch.notify_one();
    app.wake.settle.notify_one();
    Ok(())
}

fn told(boot: BootId, rows: &[OutcomeRow], applied: &Applied) {
    for row in rows.iter().filter(|row| !applied.stale.contains(&row.fence())) {
        let kind = match row {
            OutcomeRow::Stored { .. } => "stored",
            OutcomeRow::Edited(_) => "edited",
            OutcomeRow::Yielded { .. } => "yielded",
            OutcomeRow::Failed { fence, reason, detail, .. } => {
                tracing::info!(task = %fence.task, %reason, detail, "a task failed");
                metrics::counter!("cfx_task_failures_total", "reason" => reason.code()).increment(1);
                "failed"
            }
        };
        metrics::counter!("cfx_outcomes_total", "kind" => kind).increment(1);
    }
    if !applied.stale.is_empty() {
        metrics::counter!("cfx_stale_outcomes_total").increment(applied.stale.len() as u64);
        tracing::info!(%boot, tasks = applied.stale.len(), "outcomes were late or doubled and changed nothing");
    }
}

/// The failure of an outcome that the database refuses for good.
fn unstorable(row: &OutcomeRow, error: &StoreError) -> OutcomeRow {
    let fence = row.fence();
    tracing::error!(task = %fence.task, error = chain(error), "an outcome cannot be stored; its task fails");
    let detail = "the coordinator could not store the outcome; its log has the details".to_owned();
    OutcomeRow::Failed { fence, reason: Reason::Internal, detail, gpu_ms: 0.0 }
}

const fn inner(fence: Fence) -> store::Fence {
    store::Fence { task: fence.task, epoch: fence.epoch }
}

fn row(item: ItemOutcome) -> OutcomeRow {
    let fence = inner(item.fence);
    let gpu_ms = believed::gpu_ms(item.gpu_ms);
    match item.outcome {
        Outcome::Stored { key, artifact } => OutcomeRow::Stored { fence, key, artifact, gpu_ms },
        Outcome::Edited(edited) => {
            let Edited { key, image, reconstruction, record_digest, record } = *edited;
            believed::edited(EditedRow { fence, key, image, reconstruction, record_digest, record, gpu_ms })
        }
        Outcome::Yielded { checkpoint, done } => {
            OutcomeRow::Yielded { fence, checkpoint, done: believed::done(done), gpu_ms }
        }
        Outcome::Failed { reason, detail } => {
            OutcomeRow::Failed { fence, reason, detail: believed::detail(&detail), gpu_ms }
        }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
