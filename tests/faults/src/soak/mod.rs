//! The soak: one installation for an hour or longer, under load all the time, with faults at moments that a seed chooses. What is
//! kept for a while only must stay of one size, and so must memory, connections, open files and queues of processes that live on.
//!
//! - [`load`] keeps two projects of unequal weight backlogged, and holds every job that ends against the invariants.
//! - [`sample`] writes down sizes, every quarter of a minute.
//! - [`judge`] says whether they are flat, by bounds with reasons, and how the two projects shared (I9).
//! - [`report`] is what is left: `.local/soak/report.json`, written again with every sample, so that a run that is stopped has one.
//!
//! The run begins without faults: after a warm-up a transaction holds its snapshot while others read, for a sixth of the time, and
//! its pace is held against that before and after (fault 16). From then on faults strike, one after the other, until the last minute.

pub mod judge;
pub mod load;
pub mod report;
pub mod sample;

use crate::fault::{ALL, Fault};
use crate::history;
use crate::rig::Rig;
use crate::setup::Setup;
use anyhow::{Context as _, Result};
use load::Load;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use report::{Pinned, Report, Struck};
use sample::{Sample, Samples};
use sqlx::Connection as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Times as in the fault harness, and short retention, so that what is kept for days is kept and dropped many times an hour.
const SETTINGS: &str = r#"
[tuning]
poll = "200ms"
sweep = "500ms"
worker_lost = "4s"
never_started = "6s"
batch_invert = 6
batch_mapper = 6
batch_optimise = 4
batch_most = 6
keep_attempts = "2m"
keep_tasks = "1m"
"#;

/// Before anything is measured: caches fill, plans are made.
const WARM_UP: Duration = Duration::from_secs(60);
/// At the end, what was broken last gets back to its pace.
const CALM_END: Duration = Duration::from_secs(60);
/// Longest time that open jobs may take once nothing is submitted any more.
const DRAIN: Duration = Duration::from_secs(300);

/// How long, and which faults.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Minutes under load.
    pub minutes: u64,
    /// Chooses faults and moments.
    pub seed: u64,
    /// Where samples and the report go.
    pub folder: PathBuf,
}

/// Makes the run. `stop` ends it early; what was measured until then is judged.
///
/// # Errors
/// When the harness itself fails.
pub async fn run(plan: &Plan, stop: impl Future<Output = ()>) -> Result<Report> {
    std::fs::create_dir_all(&plan.folder)?;
    let setup = Setup {
        settings: SETTINGS,
        executor: "sleep:150ms",
        log: "warn",
        disk_mib: 2000,
        binaries: None,
        spare_first: true,
    };
    let rig = Rig::start_as(setup).await?;
    let load = Load::prepare(&rig).await?;
    let samples = Samples::create(&plan.folder)?;
    let mut report = Report::new(plan);
    let whole = Duration::from_secs(60 * plan.minutes);
    let began = Instant::now();
    let told = Told::default();
    {
        let breaking = breaking(&rig, &load, plan, &told);
        let mut sampling = std::pin::pin!(async {
            loop {
                let sample = Sample::take(&rig, &load).await;
                samples.push(sample)?;
                told.hand_to(&mut report);
                report.judge(&samples.all(), &load);
                report.write(&plan.folder)?;
                sleep(sample::EVERY).await;
            }
            #[expect(unreachable_code, reason = "it gives the block its type")]
            Ok::<(), anyhow::Error>(())
        });
        tokio::select! {
            ended = &mut sampling => ended?,
            broken = breaking => broken?,
            () = load.keep_up(&rig) => {}
            () = sleep(whole) => {}
            () = stop => {}
        }
    }
    told.hand_to(&mut report);
    report.minutes = began.elapsed().as_secs_f64() / 60.0;
    rig.heal().await?;
    let drained = timeout(DRAIN, load.drain(&rig)).await.is_ok();
    samples.push(Sample::take(&rig, &load).await)?;
    if !drained {
        load.violated(format!("I1: jobs have not ended {DRAIN:?} after the last was submitted"));
    }
    report.shares(&rig, &samples.all()).await?;
    report.judge(&samples.all(), &load);
    report.ended = true;
    report.write(&plan.folder)?;
    if report.is_bad() {
        std::fs::write(plan.folder.join("outputs.txt"), rig.outputs())?;
    }
    Ok(report)
}

/// What happened, for the report.
#[derive(Debug)]
pub enum Event {
    /// A fault struck.
    Struck(Struck),
    /// The held snapshot is over.
    Pinned(Pinned),
}

/// What happened and is not yet in the report.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Event>>);

impl Told {
    fn tell(&self, event: Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn hand_to(&self, report: &mut Report) {
        let events = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        events.into_iter().for_each(|event| report.note(event));
    }
}

async fn breaking(rig: &Rig, load: &Load, plan: &Plan, told: &Told) -> Result<()> {
    let began = Instant::now();
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    sleep(WARM_UP).await;
    let pin = Duration::from_secs(10 * plan.minutes);
    // before and after, because others use the machine too
    let before = pace(load, pin / 4).await;
    let held = hold_snapshot(rig, load, pin).await.context("the snapshot that is held")?;
    let free = f64::midpoint(before, pace(load, pin / 4).await);
    told.tell(Event::Pinned(Pinned { minutes: pin.as_secs_f64() / 60.0, free_per_s: free, held_per_s: held }));
    let possible = possible(rig);
    let last = Duration::from_secs(60 * plan.minutes).saturating_sub(CALM_END);
    while began.elapsed() < last {
        sleep(Duration::from_secs_f64(rng.random_range(8.0..25.0))).await;
        // safe: the list is not empty, `Fault::WorkerKilled` is always possible
        let fault = *possible.choose(&mut rng).unwrap_or(&Fault::WorkerKilled);
        let at_s = began.elapsed().as_secs_f64();
        let struck = strike(rig, load, fault, &mut rng).await;
        let error = struck.err().map(|error| format!("{error:#}"));
        told.tell(Event::Struck(Struck { at_s, fault: fault.name(), error }));
        rig.heal().await?;
        rig.api.ready().await;
        rig.take_notes();
    }
    std::future::pending().await
}

/// Not here: what ends the processes that are watched, and what takes back rows, which would make every size incomparable.
fn possible(rig: &Rig) -> Vec<Fault> {
    let fits = |fault: &Fault| {
        fault.skipped(rig).is_none() && !fault.is_scenario() && !matches!(fault, Fault::ClocksOff | Fault::CommitsLost)
    };
    ALL.into_iter().filter(|fault| *fault != Fault::Calm && fits(fault)).collect()
}

async fn strike(rig: &Rig, load: &Load, fault: Fault, rng: &mut ChaCha8Rng) -> Result<()> {
    let scene = load.some_job(rng, fault.may_cancel()).context("no job is open")?;
    fault.prepare(rig, rng).await?;
    fault.strike(rig, &scene, rng).await
}

/// Tasks per second over a time.
async fn pace(load: &Load, time: Duration) -> f64 {
    let (began, first) = (Instant::now(), load.done());
    sleep(time).await;
    (load.done() - first) / began.elapsed().as_secs_f64()
}

/// Holds a snapshot and reads all the time; the pace meanwhile.
async fn hold_snapshot(rig: &Rig, load: &Load, time: Duration) -> Result<f64> {
    let mut holder = sqlx::PgConnection::connect(&rig.database.url()).await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks").execute(&mut holder).await?;
    let mut reader = sqlx::PgConnection::connect(&rig.database.url()).await?;
    let reading = async {
        loop {
            sqlx::raw_sql(history::READ).execute(&mut reader).await?;
            sleep(Duration::from_millis(200)).await;
        }
        #[expect(unreachable_code, reason = "it gives the block its type")]
        Ok::<(), anyhow::Error>(())
    };
    let held = tokio::select! {
        read = reading => { read?; 0.0 }
        held = pace(load, time) => held,
    };
    sqlx::raw_sql("COMMIT").execute(&mut holder).await?;
    Ok(held)
}
