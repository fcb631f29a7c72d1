//! A result counts once, and only by the hand-out that is current.

use crate::world::{World, boot, edit, edited, fences, invert, successes};
use domain::job_state::JobEvent;
use domain::{Digest, Stage};
use std::sync::Arc;
use std::time::Duration;
use store::{ClaimedTasks, Fence, OutboxMessage, OutcomeRow};
use tokio::sync::Barrier;

async fn with_ready_edits(world: &World, name: &str, n: i64) -> i64 {
    let tasks: Vec<_> = (0..n).map(invert).chain((0..n).map(|o| edit(name, 0, o))).collect();
    let job = world.job(name, &tasks).await;
    world.complete(job, Stage::Invert).await;
    job
}

#[tokio::test]
async fn a_zombies_finish_changes_nothing_and_the_repeat_counts_once() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "zombie", 1).await;
    let (zombie, first) = world.run(job, Stage::Edit, 1).await;
    world.sql("UPDATE tasks SET held_since = now() - interval '1 hour' WHERE state = 'running'").await;
    let lost =
        world.store.lost_workers(Duration::from_secs(45), Duration::from_secs(3), 10, &world.policy).await.unwrap();
    assert_eq!(lost.changed.len(), 1);
    world.sql("UPDATE tasks SET next_at = now() WHERE state = 'retry_wait'").await;
    world.store.due_retries(10).await.unwrap();
    let (worker, second) = world.run(job, Stage::Edit, 1).await;

    let late = world.finish(zombie, &first).await;
    assert_eq!((late.changed.len(), late.stale), (0, fences(&first)));
    assert_eq!(world.state(job, 1).await, "running");
    assert_eq!(world.number("SELECT count(*) FROM results").await, 0);

    assert_eq!(world.finish(worker, &second).await.changed.len(), 1);
    let again = world.finish(worker, &second).await;
    assert_eq!((again.changed.len(), again.stale), (0, fences(&second)));
    let result = world.store.result(fences(&second)[0].task).await.unwrap().unwrap();
    assert_eq!((result.epoch, result.boot, result.seed), (2, worker, u64::MAX));
    assert_eq!(world.store.record(result.record).await.unwrap().unwrap().task, result.task);
    assert_eq!(world.number("SELECT count(*) FROM records").await, 1);
    world.check_counts(job).await;
}

#[tokio::test]
async fn one_message_with_the_same_item_twice_or_a_foreign_key_counts_what_is_right() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "odd", 2).await;
    let (worker, batch) = world.run(job, Stage::Edit, 2).await;
    let ClaimedTasks::Edit { tasks, .. } = &batch.tasks else { panic!("{batch:?}") };
    let twice = edited(tasks[0].fence, tasks[0].key);
    let foreign = edited(tasks[1].fence, tasks[0].key);
    let applied = world.apply(worker, &[twice.clone(), twice, foreign]).await;
    assert_eq!((applied.changed, applied.stale), (vec![tasks[0].fence.task], vec![tasks[1].fence]));
    assert_eq!(world.number("SELECT count(*) FROM results").await, 1);
    world.check_counts(job).await;
}

#[tokio::test]
async fn a_finish_before_its_start_counts_and_the_start_is_stale() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "early", 1).await;
    let batch = world.claim(job, Stage::Edit, 1).await.unwrap();
    let worker = boot();
    assert_eq!(world.finish(worker, &batch).await.changed.len(), 1);
    assert_eq!(world.store.started(worker, &fences(&batch)).await.unwrap(), fences(&batch));
    assert_eq!(world.state(job, 1).await, "succeeded");
}

#[tokio::test]
async fn a_start_said_twice_is_not_stale_but_another_workers_is() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "starts", 1).await;
    let (worker, batch) = world.run(job, Stage::Edit, 1).await;
    assert_eq!(world.store.started(worker, &fences(&batch)).await.unwrap(), []);
    assert_eq!(world.store.started(boot(), &fences(&batch)).await.unwrap(), fences(&batch));
    let unknown = Fence { epoch: 9, ..fences(&batch)[0] };
    assert_eq!(world.store.started(worker, &[unknown]).await.unwrap(), [unknown]);
}

#[tokio::test]
async fn after_a_cancel_nothing_starts_and_nothing_is_committed() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "cancelled", 3).await;
    let (worker, running) = world.run(job, Stage::Edit, 1).await;
    let staged = world.claim(job, Stage::Edit, 1).await.unwrap();
    let control =
        OutboxMessage { routing_key: String::new(), payload: serde_json::json!({"job": job}), traceparent: None };
    world.store.transition(job, JobEvent::Cancel, Some(control)).await.unwrap();

    // before any sweep
    assert_eq!(world.finish(worker, &running).await.stale, fences(&running));
    let failed = OutcomeRow::Yielded { fence: fences(&running)[0], checkpoint: None, done: 0.0, gpu_ms: 0.0 };
    assert_eq!(world.apply(worker, &[failed]).await.changed, []);
    assert_eq!(world.store.started(worker, &fences(&staged)).await.unwrap(), fences(&staged));
    assert!(world.claim(job, Stage::Edit, 1).await.is_none());
    assert_eq!(world.number("SELECT count(*) FROM outbox WHERE kind = 'control'").await, 1);

    let mut cancelled = 0;
    loop {
        match world.store.cancel_tasks_slice(2).await.unwrap() {
            0 => break,
            n => cancelled += n,
        }
    }
    assert_eq!(cancelled, 3);
    assert_eq!(world.finish(worker, &running).await.stale, fences(&running));
    assert_eq!(world.number("SELECT count(*) FROM results").await, 0);
    assert_eq!(world.number("SELECT count(*) FROM jobs WHERE cancel_pending").await, 0);
    world.check_counts(job).await;
}

#[tokio::test]
async fn a_process_that_does_not_hold_a_task_can_neither_end_nor_fail_it() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "forged", 1).await;
    let (worker, batch) = world.run(job, Stage::Edit, 1).await;
    let fence = fences(&batch)[0];
    let stranger = boot();
    let failed =
        OutcomeRow::Failed { fence, reason: domain::Reason::Truncated, detail: "a lie".to_owned(), gpu_ms: 1.0 };
    let yielded = OutcomeRow::Yielded { fence, checkpoint: None, done: 0.0, gpu_ms: 0.0 };
    for row in [failed, yielded] {
        assert_eq!(world.apply(stranger, &[row]).await.stale, [fence]);
    }
    assert_eq!(world.finish(stranger, &batch).await.stale, [fence]);
    assert_eq!((world.state(job, 1).await, world.number("SELECT count(*) FROM results").await), ("running", 0));
    assert_eq!(world.finish(worker, &batch).await.changed.len(), 1);
    world.check_counts(job).await;
}

/// I8 under contention: whatever the order in which a cancel and finishes meet, no result is committed after the cancel returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_result_is_committed_after_a_cancel_has_returned() {
    let world = Arc::new(World::new().await);
    for round in 0..12 {
        let name = format!("race {round}");
        let job = with_ready_edits(&world, &name, 8).await;
        let barrier = Arc::new(Barrier::new(5));
        let mut finishes = Vec::new();
        for _ in 0..4 {
            let (worker, batch) = world.run(job, Stage::Edit, 2).await;
            let (world, barrier) = (world.clone(), barrier.clone());
            finishes.push(tokio::spawn(async move {
                barrier.wait().await;
                world.finish(worker, &batch).await.changed.len() as i64
            }));
        }
        barrier.wait().await;
        world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
        let at_return = world.number(&format!("SELECT count(*) FROM results WHERE job_seq = {job}")).await;
        let mut finished = 0;
        for finish in finishes {
            finished += finish.await.unwrap();
        }
        let at_end = world.number(&format!("SELECT count(*) FROM results WHERE job_seq = {job}")).await;
        assert_eq!((at_return, finished), (at_end, at_end));
        while world.store.cancel_tasks_slice(100).await.unwrap() > 0 {}
        world.check_counts(job).await;
    }
}

#[tokio::test]
async fn results_and_records_are_append_only() {
    let world = World::new().await;
    let job = with_ready_edits(&world, "kept", 1).await;
    world.complete(job, Stage::Edit).await;
    for statement in ["UPDATE results SET gpu_ms = 0", "DELETE FROM results", "DELETE FROM records", "TRUNCATE records"]
    {
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&world.pool).await.unwrap_err();
        assert!(error.to_string().contains("append only"), "{statement}: {error}");
    }
    let digest = world.store.results(job, Default::default(), None, 10).await.unwrap()[0].record;
    let record = world.store.record(digest).await.unwrap().unwrap().record;
    assert_eq!(domain::digest_of(&record).unwrap(), digest, "a record survives jsonb with its digest");
    assert!(world.store.record(Digest::of("none")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_yield_keeps_the_checkpoint_and_burns_no_attempt() {
    let world = World::new().await;
    let job = world.mapper_job("slices", &[crate::world::train(0)]).await;
    let checkpoint = Digest::of("checkpoint");
    for (given, expected) in [(Some(checkpoint), 0.5), (None, 0.5)] {
        let (worker, batch) = world.run(job, Stage::Train, 1).await;
        let row = OutcomeRow::Yielded { fence: fences(&batch)[0], checkpoint: given, done: 0.5, gpu_ms: 7.0 };
        assert_eq!(world.apply(worker, &[row]).await.changed.len(), 1);
        let task = world.store.task(fences(&batch)[0].task).await.unwrap().unwrap();
        assert_eq!((task.checkpoint, task.done, task.task.attempts), (Some(checkpoint), expected, 0));
    }
    let (worker, batch) = world.run(job, Stage::Train, 1).await;
    let ClaimedTasks::Train { task, edit } = &batch.tasks else { panic!("{batch:?}") };
    assert_eq!((task.checkpoint, task.fence.epoch), (Some(checkpoint), 3));
    assert_eq!(edit.training.unwrap().training_set, task.training_set);
    world.apply(worker, &successes(&batch)).await;
    world.check_counts(job).await;
}
