//! Whatever a lost message or process leaves behind is found and moved on.

use crate::world::{World, boot, fences, heartbeat, invert};
use domain::job_state::JobState;
use domain::task_state::TaskState;
use domain::{Reason, Stage};
use std::time::Duration;
use store::{HeartbeatRow, RunningTask, WorkerState};

const SILENCE: Duration = Duration::from_secs(45);
const GONE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_silent_workers_tasks_come_back_and_a_live_ones_stay() {
    let world = World::new().await;
    let job = world.job("lost", &[invert(0), invert(1)]).await;
    let (silent, first) = world.run(job, Stage::Invert, 1).await;
    let (alive, second) = world.run(job, Stage::Invert, 1).await;
    let holds = |batch| vec![RunningTask { task: fences(batch)[0].task, epoch: 1, done: 0.5 }];
    assert_eq!(world.store.heartbeat(&heartbeat(silent, holds(&first))).await.unwrap(), []);
    assert_eq!(world.store.heartbeat(&heartbeat(alive, holds(&second))).await.unwrap(), []);
    assert_eq!(world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed, []);
    world
        .sql(format!("UPDATE workers SET last_seen = now() - interval '46 s' WHERE boot = '{}'", silent.as_uuid()))
        .await;
    let applied = world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap();
    assert_eq!(applied.changed, [fences(&first)[0].task]);
    let task = world.store.task(fences(&first)[0].task).await.unwrap().unwrap().task;
    assert_eq!((task.state, task.losses), (TaskState::RetryWait { reason: Reason::WorkerLost }, 1));
    let state = |row: &store::WorkerRow| row.state;
    let workers = world.store.workers().await.unwrap();
    assert_eq!(workers.iter().map(state).collect::<Vec<_>>(), [WorkerState::Live, WorkerState::Lost]);
    // it comes back: what it holds is not its own any more, but it counts again
    assert_eq!(world.store.heartbeat(&heartbeat(silent, holds(&first))).await.unwrap(), fences(&first));
    assert_eq!(world.store.workers().await.unwrap().iter().filter(|w| w.state == WorkerState::Live).count(), 2);
    assert_eq!(world.number("SELECT count(*) FROM attempts WHERE outcome = 'lost'").await, 1);
    world.check_counts(job).await;
}

#[tokio::test]
async fn the_tasks_of_a_worker_whose_queue_is_gone_come_back_before_its_silence_counts() {
    let world = World::new().await;
    let job = world.job("gone", &[invert(0), invert(1)]).await;
    let (dead, first) = world.run(job, Stage::Invert, 1).await;
    let (alive, second) = world.run(job, Stage::Invert, 1).await;
    let holds = |batch| vec![RunningTask { task: fences(batch)[0].task, epoch: 1, done: 0.5 }];
    let beat =
        |boot, batch, queue: &str| HeartbeatRow { control_queue: Some(queue.into()), ..heartbeat(boot, holds(batch)) };
    world.store.heartbeat(&beat(dead, &first, "a")).await.unwrap();
    world.store.heartbeat(&beat(alive, &second, "b")).await.unwrap();
    let mut queues = world.store.control_queues().await.unwrap();
    queues.sort();
    assert_eq!(queues, ["a", "b"]);
    world.store.note_reachable(&[], &["a".into(), "b".into()]).await.unwrap();
    assert_eq!(
        world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed,
        [],
        "it may come back"
    );
    world.sql("UPDATE workers SET unreachable_since = now() - interval '4 s'").await;
    // noticed again, which does not begin anew; and one has a new queue
    world.store.note_reachable(&[], &["a".into()]).await.unwrap();
    world.store.heartbeat(&beat(alive, &second, "c")).await.unwrap();
    let applied = world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap();
    assert_eq!(applied.changed, [fences(&first)[0].task]);
    let detail = "SELECT count(*) FROM tasks WHERE detail LIKE 'its worker lost its connection%'";
    assert_eq!(world.number(detail).await, 1);
    assert_eq!(world.store.control_queues().await.unwrap(), ["c"]);
    // one that was out of reach and is there again has all its time again
    world.store.note_reachable(&[], &["c".into()]).await.unwrap();
    world.sql("UPDATE workers SET unreachable_since = now() - interval '2 s' WHERE state = 'live'").await;
    world.store.note_reachable(&["c".into()], &[]).await.unwrap();
    assert_eq!(
        world.number("SELECT count(*) FROM workers WHERE state = 'live' AND unreachable_since IS NULL").await,
        1
    );
}

#[tokio::test]
async fn a_task_its_living_worker_forgot_comes_back() {
    let world = World::new().await;
    let job = world.job("forgotten", &[invert(0)]).await;
    let (worker, batch) = world.run(job, Stage::Invert, 1).await;
    world.store.heartbeat(&heartbeat(worker, vec![])).await.unwrap();
    assert_eq!(
        world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed,
        [],
        "too early to tell"
    );
    world.sql("UPDATE tasks SET held_since = now() - interval '2 minutes' WHERE state = 'running'").await;
    let held = RunningTask { task: fences(&batch)[0].task, epoch: 1, done: 0.25 };
    world.store.heartbeat(&heartbeat(worker, vec![held])).await.unwrap();
    assert_eq!(world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed, [], "it holds it");
    world.store.heartbeat(&heartbeat(worker, vec![])).await.unwrap();
    assert_eq!(world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed.len(), 1);
}

#[tokio::test]
async fn what_a_worker_left_at_its_goodbye_comes_back() {
    let world = World::new().await;
    let job = world.job("bye", &[invert(0)]).await;
    let (worker, _) = world.run(job, Stage::Invert, 1).await;
    world.store.heartbeat(&heartbeat(worker, vec![])).await.unwrap();
    world.store.goodbye(worker).await.unwrap();
    world.store.heartbeat(&heartbeat(worker, vec![])).await.unwrap();
    assert_eq!(world.store.workers().await.unwrap()[0].state, WorkerState::Gone, "a late heartbeat wakes no dead");
    assert_eq!(world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed, []);
    world.sql("UPDATE workers SET last_seen = now() - interval '11 s'").await;
    assert_eq!(world.store.lost_workers(SILENCE, GONE, 10, &world.policy).await.unwrap().changed.len(), 1);
    assert_eq!(world.store.old_workers(Duration::from_secs(5), 10).await.unwrap(), 1);
}

#[tokio::test]
async fn a_batch_nobody_started_comes_back_unless_it_still_waits_for_the_broker() {
    let world = World::new().await;
    let job = world.job("unheard", &[invert(0)]).await;
    world.claim(job, Stage::Invert, 1).await.unwrap();
    world.sql("UPDATE tasks SET held_since = now() - interval '10 minutes' WHERE state = 'dispatched'").await;
    let patience = Duration::from_secs(300);
    assert_eq!(world.store.never_started(patience, 10).await.unwrap(), 0);
    world.store.relay_slice(10, async |rows| rows.iter().map(|r| r.id).collect()).await.unwrap();
    assert_eq!(world.store.never_started(patience, 10).await.unwrap(), 1);
    assert_eq!(world.store.never_started(patience, 10).await.unwrap(), 0);
    world.sql("UPDATE batches SET created_at = now() - interval '1 day'; UPDATE attempts SET ended_at = now() - interval '1 day'").await;
    assert_eq!(world.store.old_batches(Duration::from_secs(3600), 10).await.unwrap(), 1);
    assert_eq!(world.store.old_attempts(Duration::from_secs(3600), 10).await.unwrap(), 0, "nobody tried it");
    world.check_counts(job).await;
}

#[tokio::test]
async fn messages_of_batches_taken_back_leave_the_outbox() {
    let world = World::new().await;
    let job = world.job("stale", &[invert(0)]).await;
    world.claim(job, Stage::Invert, 1).await.unwrap();
    world.sql("UPDATE outbox SET created_at = now() - interval '1 hour'").await;
    assert_eq!(world.store.stale_outbox(Duration::from_secs(60), 10).await.unwrap(), 0, "it is still to be sent");
    world.store.transition(job, domain::job_state::JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(10).await.unwrap() > 0 {}
    assert_eq!(world.store.stale_outbox(Duration::from_secs(60), 10).await.unwrap(), 1);
}

#[tokio::test]
async fn jobs_settle_by_how_their_tasks_ended() {
    let world = World::new().await;
    let job = world.job("done", &[invert(0), crate::world::edit("done", 0, 0)]).await;
    assert_eq!(world.store.settle_jobs(10).await.unwrap(), []);
    world.complete(job, Stage::Invert).await;
    world.store.transition(job, domain::job_state::JobEvent::Pause, None).await.unwrap();
    assert_eq!(world.store.settle_jobs(10).await.unwrap(), []);
    world.store.transition(job, domain::job_state::JobEvent::Resume, None).await.unwrap();
    let batch = world.claim(job, Stage::Edit, 1).await.unwrap();
    world.store.transition(job, domain::job_state::JobEvent::Pause, None).await.unwrap();
    // work under way goes on while the job is paused, and may end it
    world.finish(boot(), &batch).await;
    let settled = world.store.settle_jobs(10).await.unwrap();
    assert_eq!((settled[0].job_seq, settled[0].state), (job, JobState::Succeeded));
    assert_eq!(world.store.settle_jobs(10).await.unwrap(), []);
    assert!(world.store.job_by_seq(job).await.unwrap().unwrap().finished_at.is_some());
}
