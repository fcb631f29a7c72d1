//! Work that jobs share: single flight, followers, gates, and producers that die or are cancelled.

use crate::world::{World, edit, failed, fences, invert, key, successes, train};
use domain::edit::{CfMapper, Method};
use domain::job_state::{JobEvent, JobState};
use domain::{Reason, Stage};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{ClaimedTasks, Gate, NewTask, SliceOutcome};
use tokio::sync::Barrier;

fn tasks(name: &str, n: i64) -> Vec<NewTask> {
    (0..n).flat_map(|o| [invert(o), edit(name, 0, o)]).collect()
}

#[tokio::test]
async fn two_jobs_invert_once_and_both_go_on() {
    let world = World::new().await;
    let first = world.job("first", &tasks("first", 4)).await;
    let second = world.submit(world.project, "second", &[Method::ClipNce(Default::default())]).await;
    let outcome = world.write(second, &Value::Null, &json!(1), &tasks("second", 4), true).await;
    assert_eq!(outcome, SliceOutcome::Written { tasks: 4, memoised: 4 });
    let (worker, batch) = world.run(first, Stage::Invert, 4).await;
    assert_eq!(world.finish(worker, &batch).await.unblocked, 8);
    assert_eq!(world.complete(first, Stage::Edit).await, 4);
    assert_eq!(world.complete(second, Stage::Edit).await, 4);
    // a third one finds the latents done
    let third = world.job("third", &tasks("third", 4)).await;
    assert_eq!(world.states(third).await, [("ready", 4)].into());
    let batch = world.claim(third, Stage::Edit, 1).await.unwrap();
    let ClaimedTasks::Edit { tasks, .. } = &batch.tasks else { panic!("{batch:?}") };
    assert_eq!(tasks[0].latent, domain::Digest::of(format!("artifact of {}", key("latent 0"))));
    assert_eq!(tasks[0].source.uri, "faces/000.png");
    assert_eq!(world.store.job_by_seq(third).await.unwrap().unwrap().memoised, 4);
    for job in [first, second, third] {
        world.check_counts(job).await;
    }
}

/// The wake-up must not be lost when followers are written while their producer finishes (or dies).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_written_while_the_producer_ends_are_not_forgotten() {
    let world = Arc::new(World::new().await);
    for round in 0..30 {
        let latent = key(&format!("contended {round}"));
        let producer = world.job(&format!("producer {round}"), &[NewTask::Invert { ordinal: 0, key: latent }]).await;
        let (worker, batch) = world.run(producer, Stage::Invert, 1).await;
        let mut followers = Vec::new();
        for i in 0..3 {
            followers.push(
                world
                    .submit(world.project, &format!("follower {round} {i}"), &[Method::ClipNce(Default::default())])
                    .await,
            );
        }
        let barrier = Arc::new(Barrier::new(4));
        let mut parts = Vec::new();
        for job in followers.clone() {
            let (world, barrier) = (world.clone(), barrier.clone());
            parts.push(tokio::spawn(async move {
                let task = NewTask::Edit {
                    edit_no: 0,
                    ordinal: 0,
                    strength: 1.0,
                    seed: 0,
                    key: key(&format!("{job}")),
                    needs: latent,
                };
                let tasks = [NewTask::Invert { ordinal: 0, key: latent }, task];
                barrier.wait().await;
                world.write(job, &Value::Null, &json!(1), &tasks, true).await;
            }));
        }
        let dies = round % 3 == 2;
        {
            let (world, barrier) = (world.clone(), barrier.clone());
            parts.push(tokio::spawn(async move {
                let rows = if dies { vec![failed(fences(&batch)[0], Reason::Corrupt)] } else { successes(&batch) };
                barrier.wait().await;
                assert_eq!(world.apply(worker, &rows).await.changed.len(), 1);
            }));
        }
        for part in parts {
            part.await.unwrap();
        }
        if dies {
            // those that came too late to die with it get a producer of their own, adopted or rearmed
            world.store.rearm_producers(10).await.unwrap();
            for job in followers.clone() {
                world.complete(job, Stage::Invert).await;
            }
        }
        for job in followers {
            let no = world
                .store
                .tasks(job, None, None, 9)
                .await
                .unwrap()
                .iter()
                .find(|t| t.stage == Stage::Edit)
                .unwrap()
                .id
                .no;
            let state = world.state(job, no).await;
            assert!(state == "ready" || (dies && state == "dead"), "round {round}: {state}");
            world.check_counts(job).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_written_at_once_produce_each_latent_once() {
    let world = Arc::new(World::new().await);
    let mut jobs = Vec::new();
    for i in 0..4 {
        jobs.push(world.submit(world.project, &format!("at once {i}"), &[Method::ClipNce(Default::default())]).await);
    }
    let writers: Vec<_> = jobs
        .iter()
        .map(|&job| {
            let world = world.clone();
            tokio::spawn(async move {
                let mut tasks = tasks(&format!("at once {job}"), 8);
                if job % 2 == 0 {
                    tasks.reverse();
                }
                world.write(job, &Value::Null, &json!(1), &tasks, true).await
            })
        })
        .collect();
    let mut memoised = 0;
    for writer in writers {
        let SliceOutcome::Written { memoised: n, .. } = writer.await.unwrap() else { panic!("not written") };
        memoised += n;
    }
    assert_eq!(memoised, 24);
    assert_eq!(world.number("SELECT count(*) FROM tasks WHERE stage = 'invert'").await, 8);
}

#[tokio::test]
async fn a_dead_latent_takes_its_followers_in_every_job_and_nobody_else() {
    let world = World::new().await;
    let first = world.job("first", &tasks("first", 2)).await;
    let second = world.job("second", &tasks("second", 2)).await;
    let (worker, batch) = world.run(first, Stage::Invert, 2).await;
    let rows = [failed(fences(&batch)[0], Reason::Truncated), successes(&batch).remove(1)];
    let applied = world.apply(worker, &rows).await;
    assert_eq!((applied.changed.len(), applied.died, applied.unblocked), (2, 2, 2));
    assert_eq!(world.states(first).await, [("dead", 2), ("ready", 1), ("succeeded", 1)].into());
    assert_eq!(world.states(second).await, [("dead", 1), ("ready", 1)].into());
    for job in [first, second] {
        world.complete(job, Stage::Edit).await;
        world.check_counts(job).await;
    }
    let states: Vec<_> = world.store.settle_jobs(10).await.unwrap().iter().map(|s| s.state).collect();
    assert_eq!(states, [JobState::Partial, JobState::Partial]);
    let reasons = world.store.reasons(first).await.unwrap();
    assert_eq!(
        reasons.iter().map(|r| (r.reason, r.n)).collect::<Vec<_>>(),
        [(Reason::Truncated, 1), (Reason::ProducerDead, 1)]
    );
}

#[tokio::test]
async fn reviving_rearms_the_producer_and_its_followers() {
    let world = World::new().await;
    let job = world.job("again", &tasks("again", 2)).await;
    let (worker, batch) = world.run(job, Stage::Invert, 2).await;
    let rows: Vec<_> = fences(&batch).into_iter().map(|f| failed(f, Reason::Corrupt)).collect();
    world.apply(worker, &rows).await;
    world.store.rearm_producers(10).await.unwrap();
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Failed);
    let dry = world.store.retry_dead(job, Some(Reason::Corrupt), true).await.unwrap();
    assert_eq!((dry.tasks, dry.state, world.job_state(job).await), (4, JobState::Failed, JobState::Failed));
    assert_eq!(world.store.retry_dead(job, Some(Reason::Truncated), false).await.unwrap().tasks, 0);
    let real = world.store.retry_dead(job, Some(Reason::Corrupt), false).await.unwrap();
    assert_eq!((real.tasks, real.state), (4, JobState::Active));
    assert_eq!(world.states(job).await, [("blocked", 2), ("ready", 2)].into());
    assert_eq!(world.store.rearm_producers(10).await.unwrap().rearmed, 0, "its own producers are back");
    world.complete(job, Stage::Invert).await;
    world.complete(job, Stage::Edit).await;
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Succeeded);
    world.check_counts(job).await;
}

#[tokio::test]
async fn reviving_a_follower_whose_producer_was_another_jobs_gets_a_producer() {
    let world = World::new().await;
    let theirs = world.job("theirs", &tasks("theirs", 1)).await;
    let ours = world.job("ours", &tasks("ours", 1)).await;
    let (worker, batch) = world.run(theirs, Stage::Invert, 1).await;
    world.apply(worker, &[failed(fences(&batch)[0], Reason::Corrupt)]).await;
    assert_eq!(world.store.retry_dead(ours, None, false).await.unwrap().tasks, 1);
    assert_eq!(world.store.rearm_producers(10).await.unwrap().rearmed, 1);
    assert_eq!(world.complete(ours, Stage::Invert).await, 1);
    assert_eq!(world.complete(ours, Stage::Edit).await, 1);
    world.check_counts(ours).await;
}

#[tokio::test]
async fn a_cancelled_producer_moves_to_a_job_that_waits() {
    let world = World::new().await;
    let first = world.mapper_job("first", &[vec![train(0)], tasks("first", 2)].concat()).await;
    let second = world.mapper_job("second", &[vec![train(0)], tasks("second", 2)].concat()).await;
    assert_eq!(world.states(second).await, [("blocked", 2)].into());
    let (worker, running) = world.run(first, Stage::Train, 1).await;
    world.store.transition(first, JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(2).await.unwrap() > 0 {}
    assert_eq!(world.finish(worker, &running).await.changed, []);
    let rearmed = world.store.rearm_producers(10).await.unwrap();
    assert_eq!((rearmed.rearmed, rearmed.forgotten), (3, 0));
    assert_eq!(world.complete(second, Stage::Train).await, 1);
    assert_eq!(world.complete(second, Stage::Invert).await, 2);
    assert_eq!(world.complete(second, Stage::Edit).await, 2);
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Succeeded);
    for job in [first, second] {
        world.check_counts(job).await;
    }
}

#[tokio::test]
async fn a_key_nobody_waits_for_is_forgotten_and_produced_anew() {
    let world = World::new().await;
    let job = world.job("alone", &tasks("alone", 1)).await;
    world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(10).await.unwrap() > 0 {}
    assert_eq!(world.store.rearm_producers(10).await.unwrap().forgotten, 1);
    let next = world.job("next", &tasks("next", 1)).await;
    assert_eq!(world.states(next).await, [("blocked", 1), ("ready", 1)].into());
}

#[tokio::test]
async fn an_orphan_is_adopted_by_the_next_job_that_writes_it() {
    let world = World::new().await;
    let job = world.job("dies", &tasks("dies", 1)).await;
    world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(10).await.unwrap() > 0 {}
    let next = world.job("next", &tasks("next", 1)).await;
    assert_eq!(world.states(next).await, [("blocked", 1), ("ready", 1)].into());
    assert_eq!(world.store.rearm_producers(10).await.unwrap(), Default::default());
    assert_eq!(world.complete(next, Stage::Invert).await, 1);
    assert_eq!(world.complete(next, Stage::Edit).await, 1);
}

#[tokio::test]
async fn edits_without_a_written_producer_get_one() {
    let world = World::new().await;
    let job = world.mapper_job("bare", &[edit("bare", 0, 3)]).await;
    assert_eq!(world.store.rearm_producers(10).await.unwrap().rearmed, 2);
    assert_eq!(world.complete(job, Stage::Train).await, 1);
    assert_eq!(world.complete(job, Stage::Invert).await, 1);
    assert_eq!(world.complete(job, Stage::Edit).await, 1);
}

#[tokio::test]
async fn a_gate_holds_edits_back_until_the_mapper_is_there_in_every_job() {
    let world = World::new().await;
    let first = world.mapper_job("first", &[vec![train(0)], tasks("first", 2)].concat()).await;
    let second = world.mapper_job("second", &[vec![train(0)], tasks("second", 2)].concat()).await;
    world.complete(first, Stage::Invert).await;
    assert_eq!(world.states(second).await, [("ready", 2)].into());
    assert!(world.claim(first, Stage::Edit, 1).await.is_none());
    let lanes: Vec<_> = world.store.backlog().await.unwrap().iter().map(|l| (l.job_seq, l.stage)).collect();
    assert_eq!(lanes, [(first, Stage::Train)]);
    world.complete(first, Stage::Train).await;
    for job in [first, second] {
        let gate = world.store.edits(job).await.unwrap()[0].gate;
        assert_eq!(gate, Gate::Open { mapper: domain::Digest::of(format!("artifact of {}", key("mapper 0"))) });
        assert_eq!(world.complete(job, Stage::Edit).await, 2);
    }
    // and a later job finds it open from the start
    let third = world.mapper_job("third", &[vec![train(0)], tasks("third", 2)].concat()).await;
    assert!(matches!(world.store.edits(third).await.unwrap()[0].gate, Gate::Open { .. }));
    assert_eq!(world.complete(third, Stage::Edit).await, 2);
}

#[tokio::test]
async fn a_dead_mapper_ends_its_edits_but_not_the_others_and_can_be_revived() {
    let world = World::new().await;
    let methods = [Method::CfMapper(CfMapper::default()), Method::ClipNce(Default::default())];
    let mut all = vec![train(0)];
    for ordinal in 0..3 {
        all.extend([invert(ordinal), edit("both", 0, ordinal), edit("both", 1, ordinal)]);
    }
    let job = world.job_of(world.project, "both", &methods, &all).await;
    world.complete(job, Stage::Invert).await;
    let (worker, batch) = world.run(job, Stage::Train, 1).await;
    world.apply(worker, &[failed(fences(&batch)[0], Reason::NonFinite)]).await;
    assert_eq!(world.store.dead_gates(2).await.unwrap(), 2);
    assert_eq!(world.store.dead_gates(2).await.unwrap(), 1);
    assert_eq!(world.store.dead_gates(2).await.unwrap(), 0);
    while let Some(batch) = world.claim_edit(job, Stage::Edit, Some(1), 2).await {
        world.finish(crate::world::boot(), &batch).await;
    }
    world.store.rearm_producers(10).await.unwrap();
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Partial);
    assert_eq!(world.store.retry_dead(job, Some(Reason::NonFinite), false).await.unwrap().tasks, 4);
    // the latents are there, so its edits wait for the gate alone
    assert_eq!(world.states(job).await, [("ready", 4), ("succeeded", 6)].into());
    assert_eq!(world.store.dead_gates(10).await.unwrap(), 0);
    assert!(world.claim(job, Stage::Edit, 1).await.is_none());
    world.complete(job, Stage::Train).await;
    assert_eq!(world.complete(job, Stage::Edit).await, 3);
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Succeeded);
    world.check_counts(job).await;
}

#[tokio::test]
async fn a_mapper_that_died_elsewhere_before_the_slice_was_written_is_tried_again() {
    let world = World::new().await;
    let first = world.mapper_job("first", &[train(0)]).await;
    let (worker, batch) = world.run(first, Stage::Train, 1).await;
    let late = world.submit(world.project, "late", &[Method::CfMapper(CfMapper::default())]).await;
    world.apply(worker, &[failed(fences(&batch)[0], Reason::NonFinite)]).await;
    assert_eq!(world.store.edits(late).await.unwrap()[0].gate, Gate::Dead);
    world.write(late, &Value::Null, &json!(1), &[vec![train(0)], tasks("late", 1)].concat(), true).await;
    assert_eq!(world.store.edits(late).await.unwrap()[0].gate, Gate::Waiting);
    assert_eq!(world.store.dead_gates(10).await.unwrap(), 0);
    for stage in [Stage::Train, Stage::Invert, Stage::Edit] {
        assert_eq!(world.complete(late, stage).await, 1);
    }
    world.check_counts(late).await;
}

/// The same race as above, but with the slice held still between writing its followers and its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finish_waits_for_the_slice_that_writes_its_followers() {
    let world = Arc::new(World::new().await);
    let producer = world.job("producer", &[invert(0)]).await;
    let (worker, batch) = world.run(producer, Stage::Invert, 1).await;
    let job = world.submit(world.project, "follower", &[Method::CfMapper(CfMapper::default())]).await;
    let mapper = key("mapper 0");
    world.sql(format!("INSERT INTO stage_artifacts (key, stage, state, artifact) VALUES ('\\x{mapper}', 'train', 'done', '\\x{mapper}')")).await;
    // opening the gate is what a slice does last: hold its row
    let mut gate = world.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM job_edits WHERE job_seq = $1 FOR UPDATE").bind(job).execute(&mut *gate).await.unwrap();
    let slice = tokio::spawn({
        let world = world.clone();
        async move { world.write(job, &Value::Null, &json!(1), &tasks("follower", 1), true).await }
    });
    waiting(&world, 1).await;
    let finish = tokio::spawn({
        let world = world.clone();
        async move { world.finish(worker, &batch).await }
    });
    waiting(&world, 2).await;
    gate.rollback().await.unwrap();
    assert_eq!(slice.await.unwrap(), SliceOutcome::Written { tasks: 1, memoised: 1 });
    assert_eq!(finish.await.unwrap().unblocked, 1);
    assert_eq!(world.complete(job, Stage::Edit).await, 1);
}

/// Waits until `n` statements in this database wait for locks.
async fn waiting(world: &World, n: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let what = format!("{n} statements wait for locks");
    testkit::wait_until(&what, std::time::Duration::from_secs(10), async || {
        (world.number(sql).await == n).then_some(())
    })
    .await;
}
