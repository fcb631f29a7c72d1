//! The SQL and `domain::task_state::Task::on` must agree on every state and event.

use crate::world::{World, boot, edit, edited, failed, fences, invert, key, train};
use domain::ids::Epoch;
use domain::task_state::{Task, TaskEvent, TaskState};
use domain::{BatchId, BootId, Reason, Stage, TaskId};
use std::time::Duration;
use store::{Fence, OutcomeRow};
use uuid::Uuid;

/// Where the task under test stands before the event.
#[derive(Clone, Copy, PartialEq, Debug)]
enum From {
    Blocked,
    Ready,
    Dispatched,
    Running,
    RetryWait,
    Paused,
    Succeeded,
    Dead,
    DeadOfProducer,
    Cancelled,
}

const STATES: [From; 10] = [
    From::Blocked,
    From::Ready,
    From::Dispatched,
    From::Running,
    From::RetryWait,
    From::Paused,
    From::Succeeded,
    From::Dead,
    From::DeadOfProducer,
    From::Cancelled,
];

/// The events; `ProducerDied` comes by two ways, the latent's and the gate's.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Event {
    Unblock,
    LatentDied,
    MapperDied,
    Dispatch,
    Start(Epoch),
    Finish(Epoch),
    Yield(Epoch),
    Fail(Epoch, Reason),
    Lose,
    Due,
    Pause,
    Resume,
    Cancel,
    Revive,
}

const CURRENT: Epoch = 5;

const EVENTS: [Event; 19] = [
    Event::Unblock,
    Event::LatentDied,
    Event::MapperDied,
    Event::Dispatch,
    Event::Start(CURRENT),
    Event::Start(CURRENT - 1),
    Event::Finish(CURRENT),
    Event::Finish(CURRENT - 1),
    Event::Yield(CURRENT),
    Event::Yield(CURRENT - 1),
    Event::Fail(CURRENT, Reason::StorageUnavailable),
    Event::Fail(CURRENT, Reason::Truncated),
    Event::Fail(CURRENT, Reason::Internal),
    Event::Fail(CURRENT + 1, Reason::Internal),
    Event::Lose,
    Event::Due,
    Event::Pause,
    Event::Resume,
    Event::Revive,
];

/// Number of the edit under test; 0 is the latent's producer, 1 the mapper's.
const EDIT: i32 = 2;
const LATENT: i32 = 0;
const MAPPER: i32 = 1;

fn worker() -> BootId {
    BootId::from_uuid(Uuid::from_u128(7))
}

#[tokio::test]
async fn every_state_and_event_ends_as_the_state_machine_says() {
    let world = World::new().await;
    let mut seen = 0;
    for from in STATES {
        for event in EVENTS.into_iter().chain([Event::Cancel]) {
            one_cell(&world, from, event).await;
            seen += 1;
        }
    }
    assert_eq!(seen, STATES.len() * 20);
}

async fn one_cell(world: &World, from: From, event: Event) {
    // a world of its own for each cell, in the same database: nothing of the last one is live
    world.sql("UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE state <> 'cancelled'").await;
    world.sql("DELETE FROM stage_artifacts; DELETE FROM workers").await;
    let name = format!("{from:?} {event:?}");
    let job = world.mapper_job(&name, &[invert(0), train(0), edit(&name, 0, 0)]).await;
    let gated = event == Event::MapperDied;
    put(world, job, from, gated).await;
    let id = TaskId { job, no: EDIT };
    let before = world.store.task(id).await.unwrap().unwrap().task;
    happen(world, job, &name, event).await;
    let after = world.store.task(id).await.unwrap().unwrap().task;

    let event_of_domain = match event {
        Event::Unblock => TaskEvent::Unblock,
        Event::LatentDied | Event::MapperDied => TaskEvent::ProducerDied,
        Event::Dispatch => TaskEvent::Dispatch { batch: batch_of(&after) },
        Event::Start(epoch) => TaskEvent::Start { epoch, boot: worker() },
        Event::Finish(epoch) => TaskEvent::Finish { epoch },
        Event::Yield(epoch) => TaskEvent::Yield { epoch },
        Event::Fail(epoch, reason) => TaskEvent::Fail { epoch, reason },
        Event::Lose if from == From::Running => TaskEvent::Lose { reason: Reason::WorkerLost },
        Event::Lose => TaskEvent::Lose { reason: Reason::NeverStarted },
        Event::Due => TaskEvent::Due,
        Event::Pause => TaskEvent::Pause,
        // its latent is not there
        Event::Resume => TaskEvent::Resume { waits: true },
        Event::Cancel => TaskEvent::Cancel,
        Event::Revive => TaskEvent::Revive,
    };
    // a latent that dies finds its ready followers past needing it: only a gate reaches those
    let unreachable = event == Event::LatentDied && from == From::Ready;
    let expected =
        if unreachable { before.clone() } else { before.on(&event_of_domain, &world.policy).unwrap_or(before) };
    assert_eq!(after, expected, "{from:?} on {event:?}");
    world.check_counts(job).await;
}

fn batch_of(task: &Task) -> BatchId {
    match task.state {
        TaskState::Dispatched { batch } => batch,
        _ => BatchId::from_uuid(Uuid::nil()),
    }
}

/// Puts the edit into the state at epoch 5, with its counts, and opens its gate unless the gate is what the test is about.
async fn put(world: &World, job: i64, from: From, gated: bool) {
    if !gated {
        world.sql(format!("UPDATE job_edits SET gate = 'open', mapper = digest WHERE job_seq = {job}")).await;
    }
    let (state, facts) = match from {
        From::Blocked => ("blocked", ""),
        From::Ready => ("ready", ""),
        From::Dispatched => ("dispatched", ", batch = gen_random_uuid(), held_since = now(), charged = 100"),
        From::Running => (
            "running",
            ", batch = gen_random_uuid(), held_since = now(), charged = 100, boot = '00000000-0000-0000-0000-000000000007'",
        ),
        From::RetryWait => ("retry_wait", ", next_at = now() + interval '1 hour', reason = 'storage_unavailable'"),
        From::Paused => ("paused", ""),
        From::Succeeded => ("succeeded", ""),
        From::Dead => ("dead", ", reason = 'worker_lost'"),
        From::DeadOfProducer => ("dead", ", reason = 'producer_dead'"),
        From::Cancelled => ("cancelled", ""),
    };
    world
        .sql(format!(
            "UPDATE tasks SET state = '{state}', epoch = {CURRENT}{facts} WHERE job_seq = {job} AND no = {EDIT};
             INSERT INTO count_deltas (job_seq, stage, state, n) VALUES ({job}, 'edit', 'blocked', -1);
             INSERT INTO count_deltas (job_seq, stage, state, reason, n)
             SELECT job_seq, stage, state, CASE WHEN state = 'dead' THEN reason ELSE '' END, 1
             FROM tasks WHERE job_seq = {job} AND no = {EDIT}"
        ))
        .await;
}

async fn happen(world: &World, job: i64, name: &str, event: Event) {
    let task = TaskId { job, no: EDIT };
    let key = key(&format!("{name} 0 0"));
    match event {
        Event::Unblock => {
            let (boot, batch) = world.run(job, Stage::Invert, 1).await;
            world.finish(boot, &batch).await;
        }
        Event::LatentDied => kill(world, job, Stage::Invert, LATENT).await,
        Event::MapperDied => kill(world, job, Stage::Train, MAPPER).await,
        Event::Dispatch => {
            // a ready edit always has its latent in the bucket; the producer is done as it would be
            world.sql("UPDATE stage_artifacts SET state = 'done', artifact = key WHERE stage = 'invert'").await;
            world.claim(job, Stage::Edit, 1).await;
        }
        Event::Start(epoch) => {
            world.store.started(worker(), &[Fence { task, epoch }]).await.unwrap();
        }
        Event::Finish(epoch) => {
            world.apply(worker(), &[edited(Fence { task, epoch }, key)]).await;
        }
        Event::Yield(epoch) => {
            let fence = Fence { task, epoch };
            world.apply(worker(), &[OutcomeRow::Yielded { fence, checkpoint: None, done: 0.5, gpu_ms: 1.0 }]).await;
        }
        Event::Fail(epoch, reason) => {
            world.apply(worker(), &[failed(Fence { task, epoch }, reason)]).await;
        }
        Event::Lose => {
            world.sql(format!("UPDATE tasks SET held_since = now() - interval '1 hour' WHERE job_seq = {job} AND held_since IS NOT NULL")).await;
            world.sql("DELETE FROM outbox").await;
            world.store.never_started(Duration::from_secs(60), 100).await.unwrap();
            world
                .store
                .lost_workers(Duration::from_secs(45), Duration::from_secs(3), 100, &world.policy)
                .await
                .unwrap();
        }
        Event::Due => {
            world.sql(format!("UPDATE tasks SET next_at = now() WHERE job_seq = {job} AND next_at IS NOT NULL")).await;
            world.store.due_retries(100).await.unwrap();
        }
        Event::Pause => {
            world.store.pause_tasks(job, &[EDIT]).await.unwrap();
        }
        Event::Resume => {
            world.store.resume_tasks(job, &[EDIT]).await.unwrap();
        }
        Event::Cancel => {
            world.store.transition(job, domain::job_state::JobEvent::Cancel, None).await.unwrap();
            while world.store.cancel_tasks_slice(100).await.unwrap() > 0 {}
        }
        Event::Revive => {
            world.store.retry_dead(job, None, false).await.unwrap();
        }
    }
}

async fn kill(world: &World, job: i64, stage: Stage, no: i32) {
    let (boot, batch) = world.run(job, stage, 1).await;
    assert_eq!(fences(&batch)[0].task.no, no);
    world.apply(boot, &[failed(fences(&batch)[0], Reason::Corrupt)]).await;
    while world.store.dead_gates(100).await.unwrap() > 0 {}
}

#[tokio::test]
async fn limits_end_retries_as_the_state_machine_says() {
    let world = World::new().await;
    let job = world.job("limits", &[invert(0), invert(1)]).await;
    for (no, reason) in [(0, Reason::Internal), (1, Reason::StorageUnavailable)] {
        let id = TaskId { job, no };
        let mut model = world.store.task(id).await.unwrap().unwrap().task;
        while !model.state.is_terminal() {
            let batch = world.claim(job, Stage::Invert, 1).await.unwrap();
            assert_eq!(fences(&batch)[0].task, id);
            model = model.on(&TaskEvent::Dispatch { batch: batch.batch }, &world.policy).unwrap();
            world.apply(boot(), &[failed(fences(&batch)[0], reason)]).await;
            model = model.on(&TaskEvent::Fail { epoch: model.epoch, reason }, &world.policy).unwrap();
            let row = world.store.task(id).await.unwrap().unwrap();
            assert_eq!(row.task, model);
            if let Some(next_at) = row.next_at {
                let failures = model.attempts.max(model.losses);
                let wait = (next_at - row.updated_at).to_std().unwrap();
                assert!(wait <= world.policy.backoff(failures, 1.0), "{wait:?} after {failures} failures");
                world.sql(format!("UPDATE tasks SET next_at = now() WHERE job_seq = {job} AND no = {no}")).await;
                assert_eq!(world.store.due_retries(10).await.unwrap(), 1);
                model = model.on(&TaskEvent::Due, &world.policy).unwrap();
            }
        }
        assert_eq!(model.state, TaskState::Dead { reason });
    }
    world.check_counts(job).await;
}
