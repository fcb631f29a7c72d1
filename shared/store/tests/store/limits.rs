//! Limits of jobs and projects where work is handed out, deadlines, single tasks, redrive by reason, and honest progress.

use crate::dispatching::inverts;
use crate::fairness::project;
use crate::world::{World, boot, edit, failed, fences, heartbeat, invert, message, train};
use domain::edit::{CfMapper, Method};
use domain::job_state::{JobEvent, JobState};
use domain::task_state::TaskState;
use domain::{Reason, Stage, TaskId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{ClaimedBatch, LeaderEpoch, LimitsChange, OutboxMessage, ProgressRow, ProjectChange, Surroundings};

const FINE: Surroundings = Surroundings { broker_connected: true, broker_blocked: false, outbox_bound: 100 };

async fn progress(world: &World, job: i64) -> ProgressRow {
    let row = world.store.job_by_seq(job).await.unwrap().unwrap();
    let counts = world.store.counts(job).await.unwrap();
    world.store.progress(&row, &counts, &FINE).await.unwrap()
}

async fn stall(world: &World, job: i64) -> Option<&'static str> {
    progress(world, job).await.stall.map(|stall| stall.code)
}

async fn worker(world: &World) {
    let beat = heartbeat(boot(), vec![]);
    world.store.heartbeat(&beat).await.unwrap();
}

async fn limit(world: &World, job: i64, change: LimitsChange) {
    assert!(world.store.change_limits(job, &change, None).await.unwrap());
}

/// Claims until nothing is given any more.
async fn all(world: &World, job: i64, each: i64) -> Vec<ClaimedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = world.claim(job, Stage::Invert, each).await {
        batches.push(batch);
    }
    batches
}

async fn waits(world: &World, job: i64) -> bool {
    world.store.backlog().await.unwrap().iter().all(|lane| lane.job_seq != job)
}

#[tokio::test]
async fn a_job_stops_at_its_budget_says_so_and_goes_on_with_a_larger_one() {
    let world = World::new().await;
    let epoch = world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    let job = world.job("budget", &inverts(0, 40)).await;
    worker(&world).await;
    limit(&world, job, LimitsChange { budget_gpu_seconds: Some(Some(0.45)), ..Default::default() }).await;
    // 100 ms are charged for each of four, then 50 ms are left: one more fits in part
    let batches = all(&world, job, 3).await;
    assert_eq!(batches.iter().map(ClaimedBatch::len).collect::<Vec<_>>(), [3, 1, 1]);
    assert!(waits(&world, job).await);
    assert_eq!(stall(&world, job).await, Some("budget"));
    // they took 50 ms each: the rest of the estimate is given back, 200 ms are left
    for batch in &batches {
        world.finish(boot(), batch).await;
    }
    world.store.fold_deltas("fold", epoch, 1000).await.unwrap();
    assert!(!waits(&world, job).await);
    assert_eq!(all(&world, job, 8).await.iter().map(ClaimedBatch::len).sum::<usize>(), 2);
    assert_eq!(world.job_state(job).await, JobState::Active);
    limit(&world, job, LimitsChange { budget_gpu_seconds: Some(None), ..Default::default() }).await;
    assert!(!waits(&world, job).await);
    assert_eq!(all(&world, job, 50).await.iter().map(ClaimedBatch::len).sum::<usize>(), 33);
    world.check_counts(job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_dispatchers_together_keep_to_the_concurrency_of_job_and_project() {
    let world = Arc::new(World::new().await);
    let first = world.job("first", &inverts(0, 100)).await;
    let second = world.job("second", &inverts(1000, 100)).await;
    limit(&world, first, LimitsChange { max_concurrent: Some(Some(2)), ..Default::default() }).await;
    let change = ProjectChange { max_batches: Some(Some(3)), ..Default::default() };
    world.store.change_project(world.project, &change).await.unwrap();
    let dispatchers: Vec<_> = (0..6)
        .map(|n| {
            let (world, job) = (world.clone(), if n % 2 == 0 { first } else { second });
            tokio::spawn(async move { all(&world, job, 4).await })
        })
        .collect();
    let mut batches = Vec::new();
    for dispatcher in dispatchers {
        batches.extend(dispatcher.await.unwrap());
    }
    let of = |job| batches.iter().filter(|b: &&ClaimedBatch| b.job.seq == job).count();
    assert_eq!(batches.len(), 3);
    assert!(of(first) <= 2, "{} batches of a job that may have 2", of(first));
    assert!(waits(&world, first).await && waits(&world, second).await);
    assert_eq!(stall(&world, second).await, Some("project_concurrency"));
    world.finish(boot(), &batches[0]).await;
    assert!(!waits(&world, second).await);
}

#[tokio::test]
async fn a_project_stops_at_its_quota_of_the_day() {
    let world = World::new().await;
    let epoch = world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    let lab = project(&world, "quota", 1.0).await;
    let job = world.job_of(lab, "q", &[Method::ClipNce(Default::default())], &inverts(0, 40)).await;
    worker(&world).await;
    let quota = |ms| ProjectChange { quota_ms_per_day: Some(ms), ..Default::default() };
    world.store.change_project(lab, &quota(Some(300.0))).await.unwrap();
    let batches = all(&world, job, 8).await;
    assert_eq!(batches.iter().map(ClaimedBatch::len).sum::<usize>(), 3);
    assert_eq!(stall(&world, job).await, Some("quota"));
    // 150 ms were not used; folded or not, they count alike
    world.finish(boot(), &batches[0]).await;
    let unfolded = all(&world, job, 8).await;
    world.store.fold_deltas("fold", epoch, 1000).await.unwrap();
    assert_eq!(unfolded.iter().map(ClaimedBatch::len).sum::<usize>(), 2, "one fits, and one more in part");
    assert_eq!(world.store.project("quota").await.unwrap().unwrap().used_ms, 350.0);
    assert!(waits(&world, job).await);
    // a day later all of it is there again
    world.sql("UPDATE project_usage SET hour = hour - interval '25 hours'").await;
    assert_eq!(all(&world, job, 3).await[0].len(), 3);
}

#[tokio::test]
async fn tasks_per_minute_are_kept_by_a_bucket() {
    let world = World::new().await;
    let job = world.job("slowly", &inverts(0, 400)).await;
    worker(&world).await;
    limit(&world, job, LimitsChange { tasks_per_minute: Some(Some(60.0)), ..Default::default() }).await;
    // ten seconds' worth at once, and then one a second
    let first: usize = all(&world, job, 4).await.iter().map(ClaimedBatch::len).sum();
    assert!((10..=11).contains(&first), "{first}");
    assert!(waits(&world, job).await);
    assert_eq!(stall(&world, job).await, Some("job_rate_limit"));
    world.sql("UPDATE rate_buckets SET refilled_at = refilled_at - interval '5 seconds'").await;
    let then: usize = all(&world, job, 4).await.iter().map(ClaimedBatch::len).sum();
    assert!((5..=6).contains(&then), "{then}");
    // an hour of rest saves up no more than the bucket holds
    world.sql("UPDATE rate_buckets SET refilled_at = refilled_at - interval '1 hour'").await;
    let then: usize = all(&world, job, 4).await.iter().map(ClaimedBatch::len).sum();
    assert!((10..=11).contains(&then), "{then}");
}

#[tokio::test]
async fn after_its_deadline_a_job_ends_with_what_it_has() {
    let world = World::new().await;
    let tasks = [invert(0), invert(1), invert(2), edit("late", 0, 0), edit("late", 0, 1), edit("late", 0, 2)];
    let job = world.job("late", &tasks).await;
    let (worker, batch) = world.run(job, Stage::Invert, 1).await;
    world.finish(worker, &batch).await;
    let edited = world.claim(job, Stage::Edit, 1).await.unwrap();
    world.finish(boot(), &edited).await;
    let (running, held) = world.run(job, Stage::Invert, 1).await;
    assert_eq!(world.store.expire_slice(10).await.unwrap().job_seq, None);
    limit(&world, job, LimitsChange { deadline: Some(Some(chrono::Utc::now())), ..Default::default() }).await;
    assert!(waits(&world, job).await);
    assert!(world.claim(job, Stage::Invert, 1).await.is_none(), "nothing is handed out after the deadline");
    assert_eq!(stall(&world, job).await, Some("deadline"));
    let mut cancelled = 0;
    while let Some(n) = Some(world.store.expire_slice(2).await.unwrap().tasks).filter(|n| *n > 0) {
        cancelled += n;
    }
    assert_eq!(cancelled, 3, "an inversion that was ready, and the edits behind two inversions");
    // what runs is finished
    assert_eq!(world.finish(running, &held).await.changed.len(), 1);
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Partial);
    assert_eq!(world.states(job).await, [("cancelled", 3), ("succeeded", 3)].into());
    let row = world.store.task(TaskId { job, no: 2 }).await.unwrap().unwrap();
    assert_eq!((row.task.state, row.cancelled_for.as_deref()), (TaskState::Cancelled, Some("deadline")));
    let log = world.store.audit_log(None, None, 5).await.unwrap();
    assert_eq!((log.len(), log[0].action.as_str(), log[0].actor.as_str()), (1, "job.deadline", "coordinator"));
    assert_eq!(world.store.rearm_producers(10).await.unwrap().rearmed, 0, "nobody waits for what was cancelled");
    world.check_counts(job).await;
}

fn revoke(held: &[store::Fence]) -> OutboxMessage {
    OutboxMessage { routing_key: String::new(), payload: json!({ "revoked": held.len() }), traceparent: None }
}

#[tokio::test]
async fn single_tasks_are_cancelled_and_no_result_of_theirs_is_accepted() {
    let world = World::new().await;
    let tasks: Vec<_> = (0..4).map(invert).chain((0..4).map(|o| edit("some", 0, o))).collect();
    let job = world.job("some", &tasks).await;
    let other = world.job("other", &[invert(2), edit("other", 0, 2)]).await;
    let (worker, batch) = world.run(job, Stage::Invert, 2).await;
    // one that runs, one that is ready and shared with another job, and one that does not exist
    let done = world.store.cancel_tasks(job, &[0, 2, 999], revoke).await.unwrap();
    assert_eq!((done.cancelled, done.held.len()), (4, 1), "with the edits that wait for the two");
    assert_eq!(done.held[0], fences(&batch)[0]);
    assert_eq!(world.number("SELECT (payload->>'revoked')::bigint FROM outbox WHERE kind = 'control'").await, 1);
    let applied = world.finish(worker, &batch).await;
    assert_eq!((applied.changed.len(), applied.stale), (1, vec![fences(&batch)[0]]));
    let seconds = world.store.seconds_since_cancel(&done.held).await.unwrap();
    assert!(seconds.is_some_and(|s| (0.0..60.0).contains(&s)), "{seconds:?}");
    assert_eq!(world.store.seconds_since_cancel(&fences(&batch)[1..]).await.unwrap(), None);
    assert_eq!(world.store.cancel_tasks(job, &[0, 2], revoke).await.unwrap().cancelled, 0, "once is enough");
    // the other job still wants what it shared
    assert_eq!(world.store.rearm_producers(10).await.unwrap().rearmed, 1);
    assert_eq!((world.complete(other, Stage::Invert).await, world.complete(other, Stage::Edit).await), (1, 1));
    world.complete(job, Stage::Invert).await;
    world.complete(job, Stage::Edit).await;
    let ends = world.store.settle_jobs(10).await.unwrap();
    assert_eq!(ends.iter().find(|s| s.job_seq == job).unwrap().state, JobState::Partial);
    world.check_counts(job).await;
    world.check_counts(other).await;
    // a training is not cancelled by itself
    let mapper = world.mapper_job("mapper", &[train(0), edit("mapper", 0, 1)]).await;
    let refused = world.store.cancel_tasks(mapper, &[0], revoke).await.unwrap();
    assert_eq!((refused.cancelled, refused.trainings), (0, vec![0]));
}

#[tokio::test]
async fn a_dry_run_of_redrive_tells_by_reason_what_the_real_one_does() {
    let world = World::new().await;
    let methods = [Method::CfMapper(CfMapper::default()), Method::ClipNce(Default::default())];
    let mut tasks = vec![train(0)];
    tasks.extend((0..6).map(invert));
    tasks.extend((0..6).flat_map(|o| [edit("dead", 0, o), edit("dead", 1, o)]));
    let job = world.job_of(world.project, "dead", &methods, &tasks).await;
    let (worker, training) = world.run(job, Stage::Train, 1).await;
    world.apply(worker, &[failed(fences(&training)[0], Reason::NonFinite)]).await;
    let (worker, batch) = world.run(job, Stage::Invert, 4).await;
    let reasons = [Reason::Corrupt, Reason::Corrupt, Reason::Truncated, Reason::TooLarge];
    let rows: Vec<_> = fences(&batch).into_iter().zip(reasons).map(|(f, r)| failed(f, r)).collect();
    world.apply(worker, &rows).await;
    world.complete(job, Stage::Invert).await;
    while world.store.dead_gates(100).await.unwrap() > 0 {}
    world.complete(job, Stage::Edit).await;
    for reason in [Some(Reason::TooLarge), Some(Reason::NonFinite), Some(Reason::Corrupt), None, None] {
        let before = world.job_state(job).await;
        let dry = world.store.retry_dead(job, reason, true).await.unwrap();
        assert_eq!(world.job_state(job).await, before);
        let real = world.store.retry_dead(job, reason, false).await.unwrap();
        assert_eq!((dry.tasks, &dry.reasons), (real.tasks, &real.reasons), "{reason:?}");
        world.check_counts(job).await;
        println!("{reason:?}: {:?}", real.reasons);
    }
    assert_eq!(world.number("SELECT count(*) FROM tasks WHERE state = 'dead'").await, 0);
    world.store.rearm_producers(10).await.unwrap();
    for stage in [Stage::Train, Stage::Invert, Stage::Edit] {
        world.complete(job, stage).await;
    }
    while let Some(batch) = world.claim_edit(job, Stage::Edit, Some(1), 8).await {
        world.finish(boot(), &batch).await;
    }
    assert_eq!(world.store.settle_jobs(10).await.unwrap()[0].state, JobState::Succeeded);
}

#[tokio::test]
async fn progress_tells_rate_time_left_and_what_was_saved() {
    let world = World::new().await;
    let epoch = world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    let fold = async || {
        world.store.fold_deltas("fold", epoch, 10_000).await.unwrap();
        world.store.fold_costs("fold", epoch, 10_000).await.unwrap();
        world.store.tick_rates("fold", epoch).await.unwrap();
    };
    worker(&world).await;
    let job = world.job("rated", &inverts(0, 100)).await;
    fold().await;
    assert_eq!(progress(&world, job).await.eta, None, "nothing is known yet");
    // 10 tasks in 20 seconds, then as many in 20 more
    for _ in 0..2 {
        let batch = world.claim(job, Stage::Invert, 10).await.unwrap();
        world.finish(boot(), &batch).await;
        world.sql("UPDATE job_rates SET at = at - interval '20 seconds'").await;
        fold().await;
    }
    assert_eq!(world.store.tick_rates("fold", epoch).await.unwrap(), 0, "too soon for another look");
    assert_eq!(world.store.tick_rates("fold", LeaderEpoch(epoch.0 + 1)).await.unwrap(), 0, "not the leader");
    let _running = world.claim(job, Stage::Invert, 1).await.unwrap();
    let told = progress(&world, job).await;
    let stage = &told.stages[0];
    assert!((stage.per_second.unwrap() - 0.5).abs() < 0.02, "{stage:?}");
    assert!((stage.estimate_ms.unwrap() - 50.0).abs() < 1e-6);
    let eta = told.eta.unwrap();
    assert!((eta.seconds - 160.0).abs() < 8.0 && eta.low <= eta.seconds && eta.seconds <= eta.high, "{eta:?}");
    assert_eq!((told.stall, told.spent_ms), (None, 1000.0));
    let seen = world.number(&format!("SELECT done FROM job_progress WHERE job_seq = {job}")).await;
    let rate = world.number("SELECT round(tasks_per_minute)::bigint FROM job_progress").await;
    assert!(seen == 20 && (28..=30).contains(&rate), "{seen} done, {rate} a minute");

    // the same sources again: what is done costs nothing, what is under way is taken at its estimate
    let again = world.job("again", &inverts(0, 21)).await;
    assert_eq!(progress(&world, again).await.saved_ms, 20.0 * 50.0 + 50.0);
}

#[tokio::test]
async fn a_job_that_stands_still_says_why() {
    let world = World::new().await;
    let job = world.job("still", &[invert(0), edit("still", 0, 0)]).await;
    assert_eq!(stall(&world, job).await, Some("no_workers"));
    worker(&world).await;
    assert_eq!(stall(&world, job).await, Some("turn"));
    world.store.transition(job, JobEvent::Pause, None).await.unwrap();
    assert_eq!(stall(&world, job).await, Some("paused"));
    world.store.transition(job, JobEvent::Resume, None).await.unwrap();
    let other = world.job("other", &[invert(0), edit("other", 0, 0)]).await;
    assert_eq!(stall(&world, other).await, Some("other_job"));
    let (worker, batch) = world.run(job, Stage::Invert, 1).await;
    assert_eq!(stall(&world, job).await, None);
    world.apply(worker, &[failed(fences(&batch)[0], Reason::StorageUnavailable)]).await;
    let told = progress(&world, job).await.stall.unwrap();
    assert_eq!(told.code, "retry_backoff");
    assert!(told.until.is_some());
    world.sql("UPDATE workers SET waits_for = 'storage'").await;
    assert_eq!(stall(&world, job).await, Some("storage_slow"));
    let mapper = world.mapper_job("mapper", &[invert(5), train(0), edit("mapper", 0, 5)]).await;
    world.sql("UPDATE workers SET waits_for = NULL").await;
    world.complete(mapper, Stage::Invert).await;
    let (_, _training) = world.run(mapper, Stage::Train, 1).await;
    let told = progress(&world, mapper).await.stall.unwrap();
    assert!(told.code == "training" && told.detail.contains("edit-0"), "{told:?}");
    // the broker: asked of the coordinator, told only while nothing runs
    let row = world.store.job_by_seq(other).await.unwrap().unwrap();
    let counts = world.store.counts(other).await.unwrap();
    let blocked = Surroundings { broker_blocked: true, ..FINE };
    let told = world.store.progress(&row, &counts, &blocked).await.unwrap().stall.unwrap();
    assert_eq!(told.code, "broker_blocked");
    let full = Surroundings { outbox_bound: 0, ..FINE };
    assert_eq!(world.store.progress(&row, &counts, &full).await.unwrap().stall.unwrap().code, "broker_blocked");
}

#[tokio::test]
async fn limits_come_with_the_job_and_are_read_back() {
    let world = World::new().await;
    let mut new = world.new_job(world.project, "limited", &[Method::default()]).await;
    new.spec.limits.max_concurrent = Some(2);
    new.spec.limits.budget_gpu_seconds = Some(60.0);
    new.spec.limits.deadline = "2030-01-01T00:00:00Z".parse().ok();
    let store::Submitted::Created(row) = world.store.submit(&new).await.unwrap() else { panic!("not created") };
    assert_eq!(row.limits, new.spec.limits);
    let change = LimitsChange {
        deadline: Some(None),
        tasks_per_minute: Some(Some(5.0)),
        priority: Some(3),
        ..Default::default()
    };
    limit(&world, row.seq, change).await;
    let row = world.store.job_by_seq(row.seq).await.unwrap().unwrap();
    assert_eq!((row.limits.deadline, row.limits.tasks_per_minute, row.priority), (None, Some(5.0), 3));
    assert_eq!(row.limits.max_concurrent, Some(2));
    assert!(!world.store.change_limits(row.seq + 1, &change, None).await.unwrap());
    world.write(row.seq, &Value::Null, &json!("end"), &[invert(0)], true).await;
    let lane = world.store.backlog().await.unwrap().remove(0);
    assert!(lane.limited && message(&world.claim(row.seq, Stage::Invert, 1).await.unwrap()).payload["n"] == 1);
}
