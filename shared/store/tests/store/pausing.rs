//! Single tasks are held back and let go, whatever happens to what they wait for meanwhile.

use crate::world::{World, edit, failed, fences, invert};
use domain::job_state::{JobEvent, JobState};
use domain::task_state::TaskState;
use domain::{Reason, Stage, TaskId};
use store::PausedTasks;

async fn state(world: &World, job: i64, no: i32) -> TaskState {
    world.store.task(TaskId { job, no }).await.unwrap().unwrap().task.state
}

const fn paused(paused: u64, held: u64) -> PausedTasks {
    PausedTasks { paused, held }
}

#[tokio::test]
async fn a_paused_task_is_not_handed_out_and_its_job_does_not_end() {
    let world = World::new().await;
    let job = world.job("held", &[invert(0), invert(1), invert(2)]).await;
    let (worker, running) = world.run(job, Stage::Invert, 1).await;
    assert_eq!(world.store.pause_tasks(job, &[0, 1, 7]).await.unwrap(), paused(1, 1));
    assert_eq!(world.store.pause_tasks(job, &[1]).await.unwrap(), paused(0, 0), "twice is once");
    world.finish(worker, &running).await;
    let (worker, rest) = world.run(job, Stage::Invert, 10).await;
    assert_eq!(fences(&rest).iter().map(|f| f.task.no).collect::<Vec<_>>(), [2]);
    world.finish(worker, &rest).await;
    assert!(world.claim(job, Stage::Invert, 10).await.is_none());
    world.check_counts(job).await;
    assert_eq!(world.store.settle_jobs(10).await.unwrap(), []);
    assert_eq!(world.store.resume_tasks(job, &[0, 1, 2]).await.unwrap(), 1);
    let (worker, last) = world.run(job, Stage::Invert, 10).await;
    world.finish(worker, &last).await;
    assert_eq!(world.store.settle_jobs(10).await.unwrap().len(), 1);
    world.check_counts(job).await;
}

#[tokio::test]
async fn a_resumed_edit_finds_the_latent_that_came_or_died_meanwhile() {
    let world = World::new().await;
    let tasks = [invert(0), invert(1), edit("late", 0, 0), edit("late", 0, 1)];
    let job = world.job("late", &tasks).await;
    assert_eq!(world.store.pause_tasks(job, &[2, 3]).await.unwrap(), paused(2, 0));
    let (worker, batch) = world.run(job, Stage::Invert, 1).await;
    world.finish(worker, &batch).await;
    assert_eq!(state(&world, job, 2).await, TaskState::Paused, "its latent does not wake it");
    let (worker, batch) = world.run(job, Stage::Invert, 1).await;
    world.apply(worker, &[failed(fences(&batch)[0], Reason::Corrupt)]).await;
    assert_eq!(state(&world, job, 3).await, TaskState::Paused);
    assert_eq!(world.store.resume_tasks(job, &[2, 3]).await.unwrap(), 2);
    assert_eq!(state(&world, job, 2).await, TaskState::Ready);
    // the latent that failed is produced anew, and tells again why it cannot be
    assert_eq!(state(&world, job, 3).await, TaskState::Blocked);
    assert_eq!(world.store.rearm_producers(10).await.unwrap().rearmed, 1);
    let (worker, batch) = world.run(job, Stage::Invert, 10).await;
    world.apply(worker, &[failed(fences(&batch)[0], Reason::Corrupt)]).await;
    assert_eq!(state(&world, job, 3).await, TaskState::Dead { reason: Reason::ProducerDead });
    world.check_counts(job).await;
}

#[tokio::test]
async fn paused_tasks_end_with_their_job_their_deadline_or_what_they_wait_for() {
    let world = World::new().await;
    let job = world.job("cancelled", &[invert(0), edit("cancelled", 0, 0)]).await;
    world.store.pause_tasks(job, &[0, 1]).await.unwrap();
    world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(1).await.unwrap() > 0 {}
    assert_eq!(state(&world, job, 0).await, TaskState::Cancelled);
    assert_eq!(world.store.resume_tasks(job, &[0, 1]).await.unwrap(), 0);
    world.check_counts(job).await;

    let job = world.job("single", &[invert(1), edit("single", 0, 1)]).await;
    world.store.pause_tasks(job, &[1]).await.unwrap();
    let revoke = |_: &[store::Fence]| store::OutboxMessage {
        routing_key: String::new(),
        payload: serde_json::Value::Null,
        traceparent: None,
    };
    assert_eq!(world.store.cancel_tasks(job, &[0], revoke).await.unwrap().cancelled, 2, "a paused follower goes too");
    world.check_counts(job).await;

    let job = world.job("expired", &[invert(2)]).await;
    world.store.pause_tasks(job, &[0]).await.unwrap();
    world.sql(format!("UPDATE jobs SET deadline = now() - interval '1 s' WHERE seq = {job}")).await;
    assert_eq!(world.store.expire_slice(10).await.unwrap().tasks, 1);
    assert_eq!(world.store.settle_jobs(10).await.unwrap().iter().filter(|s| s.job_seq == job).count(), 1);
    assert_eq!(world.store.job_by_seq(job).await.unwrap().unwrap().state, JobState::Cancelled);
    world.check_counts(job).await;
}
