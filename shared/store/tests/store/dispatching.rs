//! Hand-outs: no task twice, everything in the outbox, within the window.

use crate::world::{World, edit, fences, heartbeat, invert, source};
use domain::Stage;
use domain::edit::Method;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{ClaimedTasks, HeartbeatRow, NewTask, OutboxKind, SourceRow};
use tokio::sync::Barrier;

pub fn inverts(from: i64, n: i64) -> Vec<NewTask> {
    (from..from + n)
        .map(|o| NewTask::Invert { ordinal: o % 8, key: crate::world::key(&format!("unique {o}")) })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_dispatchers_hand_out_each_task_once() {
    let world = Arc::new(World::new().await);
    let job = world.job("raced", &inverts(0, 600)).await;
    let barrier = Arc::new(Barrier::new(6));
    let dispatchers: Vec<_> = (0..6)
        .map(|_| {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                let mut mine = Vec::new();
                barrier.wait().await;
                while let Some(batch) = world.claim(job, Stage::Invert, 7).await {
                    mine.extend(fences(&batch).into_iter().map(|f| f.task.no));
                }
                mine
            })
        })
        .collect();
    let mut all = Vec::new();
    for dispatcher in dispatchers {
        all.extend(dispatcher.await.unwrap());
    }
    let distinct: BTreeSet<i32> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (600, 600));
    assert_eq!(world.number("SELECT sum((payload->>'n')::int)::bigint FROM outbox").await, 600);
    assert_eq!(world.number("SELECT count(*) FROM tasks WHERE epoch <> 1").await, 0);
    world.check_counts(job).await;
}

#[tokio::test]
async fn a_claim_while_a_slice_is_written_does_not_wait_for_it() {
    let world = World::new().await;
    let job = world.job("busy", &inverts(0, 4)).await;
    let mut writer = world.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM jobs WHERE seq = $1 FOR NO KEY UPDATE").bind(job).execute(&mut *writer).await.unwrap();
    let claim = tokio::time::timeout(Duration::from_secs(5), world.claim(job, Stage::Invert, 4));
    assert_eq!(claim.await.unwrap().unwrap().len(), 4);
    writer.rollback().await.unwrap();
}

#[tokio::test]
async fn the_relay_publishes_what_was_claimed_until_it_is_confirmed() {
    let world = World::new().await;
    let job = world.job("told", &inverts(0, 6)).await;
    let batches =
        [world.claim(job, Stage::Invert, 4).await.unwrap(), world.claim(job, Stage::Invert, 4).await.unwrap()];
    let mut seen = Vec::new();
    let relayed = world
        .store
        .relay_slice(10, |rows| {
            seen = rows.clone();
            async move { vec![rows[0].id] }
        })
        .await
        .unwrap();
    assert_eq!((relayed.taken, relayed.confirmed), (2, 1));
    assert_eq!(seen[0].kind, OutboxKind::Work { batch: batches[0].batch });
    let first_try = seen[1].message_id;
    let relayed = world
        .store
        .relay_slice(10, |rows| {
            seen = rows.clone();
            async move { rows.iter().map(|r| r.id).collect() }
        })
        .await
        .unwrap();
    assert_eq!((relayed.taken, relayed.confirmed, seen[0].message_id), (1, 1, first_try));
    assert_eq!(world.store.outbox_depth().await.unwrap().0, 0);
}

#[tokio::test]
async fn two_relays_never_publish_the_same_message_at_once() {
    let world = World::new().await;
    let job = world.job("told", &inverts(0, 4)).await;
    world.claim(job, Stage::Invert, 2).await.unwrap();
    world.claim(job, Stage::Invert, 2).await.unwrap();
    let other = world.store.clone();
    let outer = world.store.relay_slice(1, async |rows| {
        let mut ids: Vec<i64> = rows.iter().map(|r| r.id).collect();
        let mine = ids[0];
        other
            .relay_slice(10, async |rows| {
                assert!(rows.iter().all(|r| r.id != mine));
                ids.clear();
                rows.iter().map(|r| r.id).collect()
            })
            .await
            .unwrap();
        vec![mine]
    });
    assert_eq!(outer.await.unwrap().confirmed, 1);
    assert_eq!(world.store.outbox_depth().await.unwrap().0, 0);
}

#[tokio::test]
async fn paused_jobs_are_skipped_and_the_window_counts_batches() {
    let world = World::new().await;
    let job = world.job("windowed", &[invert(0), invert(1), invert(2), edit("windowed", 0, 0)]).await;
    let worker = heartbeat(crate::world::boot(), vec![]);
    world.store.heartbeat(&worker).await.unwrap();
    world.store.heartbeat(&HeartbeatRow { boot: crate::world::boot(), draining: true, ..worker }).await.unwrap();
    world.claim(job, Stage::Invert, 1).await.unwrap();
    world.run(job, Stage::Invert, 1).await;
    let window = world.store.window_state().await.unwrap();
    assert_eq!((window.len(), window[0].workers, window[0].in_flight[&Stage::Invert]), (1, 1, 2));
    world.store.transition(job, domain::job_state::JobEvent::Pause, None).await.unwrap();
    assert_eq!(world.store.backlog().await.unwrap(), []);
    assert!(world.claim(job, Stage::Invert, 1).await.is_none());
    world.store.transition(job, domain::job_state::JobEvent::Resume, None).await.unwrap();
    assert_eq!(world.store.backlog().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_edit_that_is_confined_to_a_mask_is_handed_out_with_it() {
    let world = World::new().await;
    let dataset = world.store.dataset(world.project, "set").await.unwrap().unwrap();
    let hair = domain::Digest::of("a mask");
    let masked = SourceRow {
        masks: [("hair".to_owned(), hair), ("skin".to_owned(), domain::Digest::of("another"))].into(),
        ..source(1)
    };
    world.store.add_sources(dataset.id, &[masked]).await.unwrap();
    let confined = serde_json::json!({ "kind": "clip-nce", "region": { "mask": "hair" } });
    let methods = [serde_json::from_value(confined).unwrap(), Method::ClipNce(Default::default())];
    let tasks: Vec<_> = (0..3).map(invert).chain((0..3).flat_map(|o| [edit("m", 0, o), edit("m", 1, o)])).collect();
    let job = world.job_of(world.project, "m", &methods, &tasks).await;
    world.complete(job, Stage::Invert).await;
    for (edit_no, expected) in [(0, [None, Some(hair), None]), (1, [None; 3])] {
        let batch = world.claim_edit(job, Stage::Edit, Some(edit_no), 8).await.unwrap();
        let ClaimedTasks::Edit { tasks, .. } = &batch.tasks else { panic!("{batch:?}") };
        assert_eq!(tasks.iter().map(|t| t.mask).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn what_lost_its_worker_three_times_goes_out_alone() {
    let world = World::new().await;
    let job = world.job("deadly", &inverts(0, 6)).await;
    let lose = format!(
        "INSERT INTO attempts (job_seq, no, epoch, outcome, reason) SELECT {job}, 1, -n, 'lost', 'worker_lost' FROM generate_series(1, 3) AS n"
    );
    world.sql(format!("UPDATE tasks SET losses = 3 WHERE job_seq = {job} AND no IN (1, 4)")).await;
    world.sql(lose).await;
    let mut batches = Vec::new();
    while let Some(batch) = world.claim(job, Stage::Invert, 4).await {
        batches.push(fences(&batch).into_iter().map(|f| f.task.no).collect::<Vec<_>>());
    }
    // what the bucket refused three times is no suspect
    assert_eq!(batches, [vec![0, 2, 3], vec![1], vec![4, 5]]);
    world.check_counts(job).await;
}
