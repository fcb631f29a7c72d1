//! Who is next: shares by weight, priorities that age, turns among jobs, and costs learnt from outcomes.

use crate::dispatching::inverts;
use crate::world::{World, boot, edit, fences, invert, message, successes};
use domain::edit::{ClipNce, Method};
use domain::{Digest, ProjectId, Stage};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{ClaimRequest, ClaimedBatch, LeaderEpoch, OutcomeRow};

pub async fn project(world: &World, name: &str, weight: f64) -> ProjectId {
    let id = world.store.ensure_project(name).await.unwrap();
    assert!(world.store.set_weight(name, weight).await.unwrap());
    world.dataset(id, 8).await;
    id
}

/// Claims and finishes `n` batches as a dispatcher would, one after the other. Returns batches per job.
pub async fn dispatch(world: &World, n: usize) -> BTreeMap<i64, usize> {
    let mut served = BTreeMap::new();
    for _ in 0..n {
        let lane = world.store.backlog().await.unwrap().into_iter().next().unwrap();
        let request = ClaimRequest {
            job_seq: lane.job_seq,
            stage: lane.stage,
            edit_no: lane.edit_no,
            limit: 2,
            class: "cpu".into(),
            estimate_ms: 100.0,
            limited: lane.limited,
        };
        let batch = world.store.claim_batch(&request, message).await.unwrap().unwrap();
        world.finish(crate::world::boot(), &batch).await;
        world.store.fold_deltas("fold", LeaderEpoch(1), 1000).await.unwrap();
        *served.entry(lane.job_seq).or_insert(0) += 1;
    }
    served
}

#[tokio::test]
async fn projects_share_by_weight_and_idling_hoards_no_credit() {
    let world = World::new().await;
    world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap();
    let methods = [Method::ClipNce(Default::default())];
    let heavy = project(&world, "heavy", 3.0).await;
    let light = project(&world, "light", 1.0).await;
    let late = project(&world, "late", 1.0).await;
    let first = world.job_of(heavy, "heavy", &methods, &inverts(0, 400)).await;
    let second = world.job_of(light, "light", &methods, &inverts(1000, 400)).await;
    let served = dispatch(&world, 40).await;
    assert_eq!((served[&first], served[&second]), (30, 10));
    // 30 batches of 2 at 50 ms: the measured time, not the estimate, was charged
    assert_eq!(world.store.project("heavy").await.unwrap().unwrap().served_ms, 3000.0);
    // it did nothing so far, and gets a fifth from now on, not everything until it has caught up
    let third = world.job_of(late, "late", &methods, &inverts(2000, 400)).await;
    let served = dispatch(&world, 50).await;
    assert!((8..=12).contains(&served[&third]), "{served:?}");
    assert!((27..=33).contains(&served[&first]), "{served:?}");
}

#[tokio::test]
async fn priority_then_the_job_served_least() {
    let world = World::new().await;
    world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap();
    let one = world.job("one", &inverts(0, 40)).await;
    let two = world.job("two", &inverts(100, 40)).await;
    let served = dispatch(&world, 10).await;
    assert_eq!((served[&one], served[&two]), (5, 5));
    let urgent = world.job("urgent", &inverts(200, 6)).await;
    world.sql(format!("UPDATE jobs SET priority = 5 WHERE seq = {urgent}")).await;
    assert_eq!(dispatch(&world, 3).await, [(urgent, 3)].into());
    // waiting grows into priority: an hour without a hand-out is worth six steps, an hour since it was submitted nothing
    let urgent = world.job("urgent again", &inverts(300, 6)).await;
    world.sql(format!("UPDATE jobs SET priority = 5 WHERE seq = {urgent}")).await;
    world.sql(format!("UPDATE jobs SET created_at = now() - interval '1 hour' WHERE seq IN ({one}, {two})")).await;
    world.sql(format!("UPDATE batches SET created_at = now() - interval '1 hour' WHERE job_seq = {two}")).await;
    assert_eq!(dispatch(&world, 3).await, [(two, 1), (urgent, 2)].into());
}

/// A dispatcher with `workers` workers of one class that answer by the store's own interface, in simulated time: a worker takes the
/// next batch as soon as it is free, and each task takes what its job's tasks take. As the coordinator does, up to four batches are
/// claimed for one project before the order is asked for again, and three batches per worker are handed out.
struct Simulation<'a> {
    world: &'a World,
    /// Milliseconds of one task, by job.
    task_ms: BTreeMap<i64, f64>,
    /// When each worker is free again.
    free_at: Vec<f64>,
    queue: std::collections::VecDeque<ClaimedBatch>,
}

impl Simulation<'_> {
    async fn fill(&mut self) {
        let window = self.free_at.len() * 3;
        while self.queue.len() < window {
            let lanes = self.world.store.backlog().await.unwrap();
            let estimates = self.world.store.estimates().await.unwrap();
            let Some(first) = lanes.first() else { return };
            let mut burst = 0;
            for lane in lanes.iter().filter(|lane| lane.project == first.project) {
                while burst < 4 && self.queue.len() < window {
                    let cost = lane.cost.as_ref();
                    let learnt = cost.and_then(|c| estimates.task_ms(Some("cpu"), lane.pack, lane.stage, c));
                    let request = ClaimRequest {
                        job_seq: lane.job_seq,
                        stage: lane.stage,
                        edit_no: lane.edit_no,
                        limit: 4,
                        class: "cpu".into(),
                        estimate_ms: learnt.unwrap_or(200.0),
                        limited: lane.limited,
                    };
                    let Some(batch) = self.world.store.claim_batch(&request, message).await.unwrap() else { break };
                    self.queue.push_back(batch);
                    burst += 1;
                }
            }
            if burst == 0 {
                return;
            }
        }
    }

    /// Runs until `end` (milliseconds of simulated time). Returns the GPU milliseconds that each job's outcomes told.
    async fn run(&mut self, end: f64) -> BTreeMap<i64, f64> {
        let mut served = BTreeMap::new();
        loop {
            self.fill().await;
            let worker = (0..self.free_at.len()).min_by(|a, b| self.free_at[*a].total_cmp(&self.free_at[*b])).unwrap();
            let Some(batch) = self.queue.pop_front() else { return served };
            if self.free_at[worker] >= end {
                self.queue.push_front(batch);
                return served;
            }
            let job = fences(&batch)[0].task.job;
            let each = self.task_ms[&job];
            let mut rows = successes(&batch);
            for row in &mut rows {
                if let OutcomeRow::Stored { gpu_ms, .. } = row {
                    *gpu_ms = each;
                }
            }
            self.free_at[worker] += each * rows.len() as f64;
            *served.entry(job).or_insert(0.0) += each * rows.len() as f64;
            self.world.apply(boot(), &rows).await;
            self.world.store.fold_deltas("fold", LeaderEpoch(1), 10_000).await.unwrap();
            self.world.store.fold_costs("fold", LeaderEpoch(1), 10_000).await.unwrap();
        }
    }
}

/// I9: over a window in which everybody has work, a project of weight w gets at least 0.8 w of the GPU time, whatever its tasks cost.
#[tokio::test]
async fn a_project_gets_its_weight_of_the_gpu_time_over_a_backlogged_window() {
    let world = World::new().await;
    world.store.acquire("fold", "test", Duration::from_secs(600)).await.unwrap();
    let methods = [Method::ClipNce(Default::default())];
    let mut task_ms = BTreeMap::new();
    let mut weights = BTreeMap::new();
    // costs that differ by a factor of twenty, and a first guess that fits none of them
    for (index, (name, weight, ms)) in
        [("half", 5.0, 100.0), ("third", 3.0, 40.0), ("fifth", 2.0, 800.0)].into_iter().enumerate()
    {
        let id = project(&world, name, weight).await;
        let job = world.job_of(id, name, &methods, &inverts(10_000 * index as i64, 4000)).await;
        task_ms.insert(job, ms);
        weights.insert(job, weight / 10.0);
    }
    let mut simulation = Simulation { world: &world, task_ms, free_at: vec![0.0; 4], queue: Default::default() };
    // half a minute to settle, then five half minutes of four GPUs
    simulation.run(30_000.0).await;
    for window in 1..4 {
        let served = simulation.run(30_000.0 * f64::from(window + 1)).await;
        let all: f64 = served.values().sum();
        for (job, weight) in &weights {
            let share = served.get(job).copied().unwrap_or(0.0) / all;
            println!("window {window}: job {job} of weight {weight} got {share:.3}");
            assert!(share >= 0.8 * weight, "job {job} of weight {weight} got {share:.3} of the GPU time: {served:?}");
        }
    }
}

#[tokio::test]
async fn a_job_of_one_image_goes_next_beside_a_job_of_thousands() {
    let world = World::new().await;
    world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap();
    let methods = [Method::ClipNce(Default::default())];
    let big = world.job("big", &inverts(0, 20_000)).await;
    assert_eq!(dispatch(&world, 40).await, [(big, 40)].into());
    // it has worked for hours: that makes it neither more urgent nor less
    world.sql(format!("UPDATE jobs SET created_at = now() - interval '5 hours' WHERE seq = {big}")).await;
    // in the same project it is the very next
    let one = world.job("one", &inverts(50_000, 1)).await;
    assert_eq!(dispatch(&world, 2).await, [(one, 1), (big, 1)].into());
    // and in another project at the latest after one burst of the first
    let other = project(&world, "other", 1.0).await;
    let alone = world.job_of(other, "alone", &methods, &inverts(60_000, 1)).await;
    let served = dispatch(&world, 5).await;
    assert_eq!(served[&alone], 1, "{served:?}");
}

#[tokio::test]
async fn a_newcomer_does_not_stop_its_neighbours_until_it_has_caught_up() {
    let world = World::new().await;
    world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap();
    let old = world.job("old", &inverts(0, 400)).await;
    dispatch(&world, 30).await;
    let new = world.job("new", &inverts(1000, 400)).await;
    let served = dispatch(&world, 20).await;
    assert_eq!((served[&old], served[&new]), (10, 10));
    // one that was paused meanwhile starts level again, too
    world.store.transition(old, domain::job_state::JobEvent::Pause, None).await.unwrap();
    dispatch(&world, 20).await;
    world.store.transition(old, domain::job_state::JobEvent::Resume, None).await.unwrap();
    let served = dispatch(&world, 20).await;
    assert_eq!((served[&old], served[&new]), (10, 10));
}

#[tokio::test]
async fn a_new_job_of_a_known_pack_starts_with_the_learnt_estimate() {
    let world = World::new().await;
    let epoch = world.store.acquire("fold", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    let steps = |steps| [Method::ClipNce(ClipNce { steps, ..Default::default() })];
    let first = world.job_of(world.project, "first", &steps(100), &[invert(0), edit("first", 0, 0)]).await;
    assert_eq!(world.store.estimates().await.unwrap(), store::Estimates::default());
    world.complete(first, Stage::Invert).await;
    world.complete(first, Stage::Edit).await;
    assert_eq!(world.store.fold_costs("fold", LeaderEpoch(epoch.0 + 1), 100).await.unwrap(), 0, "not the leader");
    assert_eq!(world.store.fold_costs("fold", epoch, 100).await.unwrap(), 2);
    // another job, with three times the steps: 50 ms at 100 steps are 150 ms at 300
    let second = world.job_of(world.project, "second", &steps(300), &[edit("second", 0, 0)]).await;
    let lane = world.store.backlog().await.unwrap().into_iter().find(|lane| lane.job_seq == second).unwrap();
    let cost = lane.cost.unwrap();
    let estimates = world.store.estimates().await.unwrap();
    let on = |class, pack| estimates.task_ms(class, pack, Stage::Edit, &cost);
    assert!((on(Some("cpu"), lane.pack).unwrap() - 150.0).abs() < 1e-6);
    assert!((on(Some("cuda"), lane.pack).unwrap() - 150.0).abs() < 1e-6, "another class's figure beats a guess");
    assert_eq!(on(Some("cpu"), Digest::of("another pack")), None);
    // what was learnt fades: a pack that became ten times slower is believed within some dozen tasks
    let tasks: Vec<_> = (0..8).flat_map(|o| [invert(o), edit("slow", 0, o)]).collect();
    let slow = world.job_of(world.project, "slow", &steps(100), &tasks).await;
    world.complete(slow, Stage::Invert).await;
    while let Some(batch) = world.claim(slow, Stage::Edit, 8).await {
        let mut rows = successes(&batch);
        for row in &mut rows {
            if let OutcomeRow::Edited(row) = row {
                row.gpu_ms = 500.0;
            }
        }
        world.apply(boot(), &rows).await;
    }
    world.store.fold_costs("fold", epoch, 100).await.unwrap();
    let estimates = world.store.estimates().await.unwrap();
    let now = estimates.task_ms(Some("cpu"), lane.pack, Stage::Edit, &cost).unwrap();
    assert!(now > 1200.0 && now <= 1500.0, "{now}");
}

#[tokio::test]
async fn what_is_lost_or_cancelled_costs_no_more_than_the_time_it_was_held() {
    let world = World::new().await;
    let owner = project(&world, "unlucky", 1.0).await;
    let methods = [Method::ClipNce(Default::default())];
    let charged = "SELECT COALESCE(sum(charge_ms), 0)::bigint FROM count_deltas";
    // a minute is charged for what a worker had for three seconds when it was lost
    let job = world.job_of(owner, "lost", &methods, &inverts(0, 1)).await;
    let (_, batch) = world.run(job, Stage::Invert, 1).await;
    assert_eq!(batch.len(), 1);
    world
        .sql(format!(
            "UPDATE tasks SET charged = 60000, held_since = now() - interval '3 seconds' WHERE job_seq = {job}"
        ))
        .await;
    world.sql("DELETE FROM count_deltas".to_owned()).await;
    world.sql(format!("INSERT INTO count_deltas (job_seq, stage, state, n, charge_ms) VALUES ({job}, 'invert', 'running', 0, 60000)")).await;
    world.sql("UPDATE workers SET state = 'lost'".to_owned()).await;
    let lost = world
        .store
        .lost_workers(Duration::from_secs(1), Duration::from_secs(1), 10, &domain::RetryPolicy::default())
        .await
        .unwrap();
    assert_eq!(lost.changed.len(), 1);
    let left = world.number(charged).await;
    assert!((3000..5000).contains(&left), "{left} ms stay charged");

    // cancelled before anybody began: nothing is charged
    world.sql("DELETE FROM count_deltas".to_owned()).await;
    let job = world.job_of(owner, "cancelled", &methods, &inverts(100, 4)).await;
    world.claim(job, Stage::Invert, 4).await.unwrap();
    assert!(world.number(charged).await > 0);
    let event = domain::job_state::JobEvent::Cancel;
    world.store.transition(job, event, None).await.unwrap();
    while world.store.cancel_tasks_slice(10).await.unwrap() > 0 {}
    assert_eq!(world.number(charged).await, 0);
}
