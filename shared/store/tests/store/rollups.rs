//! Counts equal the tasks at every snapshot, whatever goes on (I6).

use crate::world::{World, boot, edit, failed, fences, invert, successes};
use domain::job_state::{JobEvent, JobState};
use domain::{Reason, Stage};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{OutcomeRow, Phase};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_equal_the_tasks_at_random_moments_of_a_busy_job() {
    let world = Arc::new(World::new().await);
    let policy = domain::RetryPolicy { base: Duration::from_millis(5), ..world.policy };
    let tasks: Vec<_> = (0..8)
        .map(invert)
        .chain((0..400).map(|i| match edit("busy", 0, i % 8) {
            store::NewTask::Edit { edit_no, ordinal, strength, needs, .. } => store::NewTask::Edit {
                edit_no,
                ordinal,
                strength,
                seed: i.cast_unsigned(),
                key: crate::world::key(&format!("busy {i}")),
                needs,
            },
            other => other,
        }))
        .collect();
    let job = world.job("busy", &tasks).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut parts = Vec::new();
    for seed in 0..4 {
        let (world, stop) = (world.clone(), stop.clone());
        parts.push(tokio::spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed);
            while !stop.load(Ordering::Relaxed) {
                let stage = if rng.random_bool(0.5) { Stage::Invert } else { Stage::Edit };
                let Some(batch) = world.claim(job, stage, rng.random_range(1..9)).await else {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                };
                let worker = boot();
                if rng.random_bool(0.8) {
                    world.store.started(worker, &fences(&batch)).await.unwrap();
                }
                let rows: Vec<_> = successes(&batch)
                    .into_iter()
                    .map(|row| match rng.random_range(0..10) {
                        0 => failed(row.fence(), Reason::StorageUnavailable),
                        1 if stage == Stage::Edit => failed(row.fence(), Reason::NonFinite),
                        2 => OutcomeRow::Yielded { fence: row.fence(), checkpoint: None, done: 0.1, gpu_ms: 3.0 },
                        _ => row,
                    })
                    .collect();
                world.store.apply_outcomes(worker, &rows, &policy).await.unwrap();
            }
        }));
    }
    {
        let (world, stop) = (world.clone(), stop.clone());
        parts.push(tokio::spawn(async move {
            let epoch = world.store.acquire("fold", "one", Duration::from_secs(60)).await.unwrap().unwrap();
            while !stop.load(Ordering::Relaxed) {
                world.store.fold_deltas("fold", epoch, 37).await.unwrap();
                world.store.fold_verdicts("fold", epoch, 5).await.unwrap();
                world.store.due_retries(20).await.unwrap();
                world.store.settle_jobs(5).await.unwrap();
            }
        }));
    }
    for _ in 0..200 {
        world.check_counts(job).await;
        if world.job_state(job).await.is_terminal() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // then an operator revives, and the user cancels in the middle of it
    if world.job_state(job).await == JobState::Partial {
        world.store.retry_dead(job, None, false).await.unwrap();
    }
    world.check_counts(job).await;
    world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(50).await.unwrap() > 0 {
        world.check_counts(job).await;
    }
    stop.store(true, Ordering::Relaxed);
    for part in parts {
        part.await.unwrap();
    }
    world.check_counts(job).await;
    let counts = world.store.counts(job).await.unwrap();
    assert!(counts.iter().all(|c| c.phase.is_terminal() || c.n == 0), "{counts:?}");
    let succeeded = counts.iter().find(|c| c.stage == Stage::Edit && c.phase == Phase::Succeeded).unwrap();
    assert_eq!(succeeded.n, world.number("SELECT count(*) FROM results").await);
    assert_eq!(succeeded.gpu_ms, 50.0 * succeeded.n as f64);
    let verdicts = &world.store.verdicts(job).await.unwrap()[&0];
    assert_eq!(succeeded.n, verdicts.accepted + verdicts.rejected + verdicts.unjudged, "{verdicts:?}");
}

#[tokio::test]
async fn only_the_leader_folds_and_leadership_passes_on() {
    let world = World::new().await;
    let job = world.job("folded", &[invert(0)]).await;
    let minute = Duration::from_secs(60);
    let first = world.store.acquire("fold", "one", minute).await.unwrap().unwrap();
    assert_eq!(world.store.acquire("fold", "one", minute).await.unwrap(), Some(first), "renewing keeps the epoch");
    assert_eq!(world.store.acquire("fold", "two", minute).await.unwrap(), None);
    world.store.resign("fold", "one").await.unwrap();
    let second = world.store.acquire("fold", "two", minute).await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(world.store.fold_deltas("fold", first, 100).await.unwrap(), 0);
    assert_eq!(world.store.fold_deltas("fold", second, 100).await.unwrap(), 1);
    assert_eq!(world.store.fold_deltas("fold", second, 100).await.unwrap(), 0);
    world.check_counts(job).await;
}
