//! Measured, not asserted: `cargo test -p store throughput -- --ignored --nocapture`.

use crate::world::{World, boot, key, successes};
use domain::Stage;
use domain::edit::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::{NewTask, SliceOutcome};

const SOURCES: i64 = 100_000;
const SLICE: i64 = 25_000;

#[tokio::test]
#[ignore = "takes a minute; prints figures"]
async fn enqueue_claim_and_finish_at_200_000_tasks() {
    let world = World::new().await;
    let job = world.submit(world.project, "large", &[Method::ClipNce(Default::default())]).await;
    let begun = Instant::now();
    let mut cursor = Value::Null;
    for from in (0..SOURCES).step_by(SLICE as usize) {
        let mut tasks = Vec::new();
        for o in from..from + SLICE {
            let latent = key(&format!("large latent {o}"));
            // eight images stand for all sources: the table of sources is not what is measured
            tasks.push(NewTask::Invert { ordinal: o % 8, key: latent });
            let key = key(&format!("large edit {o}"));
            tasks.push(NewTask::Edit { edit_no: 0, ordinal: o % 8, strength: 1.0, seed: 0, key, needs: latent });
        }
        let next = json!(from + SLICE);
        let at = Instant::now();
        let outcome = world.write(job, &cursor, &next, &tasks, from + SLICE == SOURCES).await;
        assert!(matches!(outcome, SliceOutcome::Written { .. }));
        println!("slice of {} rows: {:.2} s", tasks.len(), at.elapsed().as_secs_f64());
        cursor = next;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("enqueue: {} rows in {seconds:.2} s, {:.0} rows/s", 2 * SOURCES, 2.0 * SOURCES as f64 / seconds);

    let epoch = world.store.acquire("fold", "test", Duration::from_secs(600)).await.unwrap().unwrap();
    for stage in [Stage::Invert, Stage::Edit] {
        let (mut claim, mut finish, mut backlog) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for _ in 0..200 {
            let at = Instant::now();
            assert!(!world.store.backlog().await.unwrap().is_empty());
            backlog += at.elapsed();
            let at = Instant::now();
            let batch = world.claim(job, stage, 32).await.unwrap();
            claim += at.elapsed();
            let rows = successes(&batch);
            let at = Instant::now();
            assert_eq!(world.apply(boot(), &rows).await.changed.len(), 32);
            finish += at.elapsed();
            world.store.fold_deltas("fold", epoch, 1000).await.unwrap();
        }
        let ms = |d: Duration| d.as_secs_f64() * 1000.0 / 200.0;
        println!(
            "{stage}: backlog {:.2} ms, claim of 32 {:.2} ms, finish of 32 {:.2} ms",
            ms(backlog),
            ms(claim),
            ms(finish)
        );
    }
    let at = Instant::now();
    world.store.counts(job).await.unwrap();
    println!("counts: {:.2} ms", at.elapsed().as_secs_f64() * 1000.0);
    let at = Instant::now();
    world.store.transition(job, domain::job_state::JobEvent::Cancel, None).await.unwrap();
    println!("cancel acknowledged: {:.2} ms", at.elapsed().as_secs_f64() * 1000.0);
    let at = Instant::now();
    let mut cancelled = 0;
    loop {
        match world.store.cancel_tasks_slice(10_000).await.unwrap() {
            0 => break,
            n => cancelled += n,
        }
    }
    println!("cancelled {cancelled} tasks in {:.2} s", at.elapsed().as_secs_f64());
    world.check_counts(job).await;
}
