//! Runs: one seed each, on an installation that is used as long as nothing went wrong on it.
#![expect(clippy::print_stdout, reason = "it is run by people and by make, and its words are its output")]

use crate::fault::{ALL, Fault, Scene};
use crate::history::{self, Snapshots};
use crate::report::{Ran, Report};
use crate::rig::Rig;
use crate::scenario;
use anyhow::Result;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::workspace_root;

/// A job of which nothing has ended for so long, once its fault is over, is lost: longer than any time-out of the protocol as it is
/// set here.
const PATIENCE: Duration = Duration::from_secs(120);

/// Seeds after which an installation is rebuilt and another one begun.
const GENERATION: usize = 40;

/// Which seeds, and what of them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Only faults whose name begins with this.
    pub only: Option<String>,
    /// The first seeds take the faults of the matrix one after the other; the others draw, one in two a pair. Off, every seed draws,
    /// as it does when it is replayed alone.
    pub matrix_first: bool,
    /// Stops before a seed that would begin after this time.
    pub limit: Option<Duration>,
    /// After the last seed, and after each forty, the database is made again from the bucket.
    pub rebuild: bool,
    /// Set, it ends the run before the next seed.
    pub stop: Arc<AtomicBool>,
    /// Where the report and the evidence go.
    pub folder: PathBuf,
}

impl Plan {
    /// `count` seeds from `first` on, the matrix first.
    pub fn new(first: u64, count: u64) -> Self {
        let folder = workspace_root().join(".local/faults");
        Self {
            seeds: (first..first + count).collect(),
            only: None,
            matrix_first: true,
            limit: None,
            rebuild: true,
            stop: Arc::default(),
            folder,
        }
    }
}

/// Makes the runs and writes the report.
///
/// # Errors
/// When the harness itself fails; what the project does wrong is a violation in the report.
pub async fn all(plan: &Plan) -> Result<Report> {
    let began = Instant::now();
    let mut rig = Rig::start().await?;
    let skipped: Vec<(String, String)> = ALL
        .iter()
        .filter(|fault| plan.only.as_ref().is_none_or(|only| fault.name().starts_with(only)))
        .filter_map(|fault| fault.skipped(&rig).map(|why| (fault.name(), why)))
        .collect();
    let possible: Vec<Fault> = ALL
        .into_iter()
        .filter(|fault| fault.skipped(&rig).is_none())
        .filter(|fault| plan.only.as_ref().is_none_or(|only| fault.name().starts_with(only)))
        .collect();
    anyhow::ensure!(!possible.is_empty(), "no fault has that name, or none of that name can be made here");
    let (mut ran, mut unmade) = (Vec::new(), Vec::new());
    for (place, seed) in plan.seeds.iter().enumerate() {
        if plan.limit.is_some_and(|limit| began.elapsed() > limit) {
            eprintln!("the time is up after {place} of {} seeds", plan.seeds.len());
            break;
        }
        if plan.stop.load(Ordering::Relaxed) {
            eprintln!("stopped after {place} of {} seeds", plan.seeds.len());
            break;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(*seed);
        let faults = choose(plan, place, &possible, &mut rng);
        let one = match faults[..] {
            [fault] if fault.is_scenario() => {
                rig.heal().await?;
                rig.api.ready().await;
                scenario::run(&rig, *seed, fault, &mut rng).await
            }
            _ => one(&rig, *seed, &faults, &mut rng).await,
        };
        let one = match one {
            Ok(one) => one,
            Err(error) => {
                let what = format!("seed {seed}, {faults:?}: {error:#}");
                eprintln!("the harness failed: {what}");
                std::fs::create_dir_all(&plan.folder)?;
                std::fs::write(plan.folder.join(format!("unmade-{seed}.txt")), format!("{what}\n\n{}", rig.outputs()))?;
                unmade.push(what);
                drop(rig);
                rig = Rig::start().await?;
                continue;
            }
        };
        let notes = rig.take_notes();
        std::fs::create_dir_all(&plan.folder)?;
        append(&plan.folder.join("history.log"), &notes)?;
        let names: Vec<String> = faults.iter().map(|f| f.name()).collect();
        println!("seed {seed}: {} | recovered in {} s | {}", names.join(" + "), shown(one.recovery_s), verdict(&one));
        let broken = !one.violations.is_empty();
        if broken {
            let evidence = format!("{}\n\n{}\n\n{}", one.violations.join("\n"), notes.join("\n"), rig.outputs());
            std::fs::write(plan.folder.join(format!("seed-{seed}.txt")), evidence)?;
            // what went wrong may have left its mark: the next seed gets a fresh installation
            drop(rig);
            rig = Rig::start().await?;
        }
        ran.push(one);
        // the last of a generation: what it left in the bucket must be all that is needed
        if plan.rebuild && !broken && ((place + 1) % GENERATION == 0 || place + 1 == plan.seeds.len()) {
            rig.heal().await?;
            rig.api.ready().await;
            let scenario::Found { recovery_s, violations } = scenario::rebuilt::run(&rig).await?;
            let rebuilt =
                Ran { seed: *seed, name: "12 rebuilt from the bucket (I12)".to_owned(), recovery_s, violations };
            println!("after seed {seed}: rebuilt from the bucket in {} s | {}", shown(recovery_s), verdict(&rebuilt));
            append(&plan.folder.join("history.log"), &rig.take_notes())?;
            ran.push(rebuilt);
            if place + 1 < plan.seeds.len() {
                drop(rig);
                rig = Rig::start().await?;
            }
        }
        let report = Report { unmade: unmade.clone(), ..Report::of(&ran, &skipped) };
        report.write(&plan.folder.join("report.json"))?;
    }
    Ok(Report { unmade, ..Report::of(&ran, &skipped) })
}

fn choose(plan: &Plan, place: usize, possible: &[Fault], rng: &mut ChaCha8Rng) -> Vec<Fault> {
    if plan.matrix_first && place < possible.len() {
        return vec![possible[place]];
    }
    // safe: the list is not empty, which `all` has checked
    let first = *possible.choose(rng).unwrap_or(&Fault::Calm);
    if first.is_scenario() {
        return vec![first];
    }
    let fits = |fault: &Fault| fault.place() != first.place() && !fault.is_scenario();
    let others: Vec<Fault> = possible.iter().copied().filter(fits).collect();
    match others.choose(rng) {
        Some(second) if rng.random_bool(0.5) => vec![first, *second],
        _ => vec![first],
    }
}

async fn one(rig: &Rig, seed: u64, faults: &[Fault], rng: &mut ChaCha8Rng) -> Result<Ran> {
    rig.heal().await?;
    rig.api.ready().await;
    rig.note(format!("seed {seed}: {faults:?}"));
    for fault in faults {
        fault.prepare(rig, rng).await?;
    }
    let (job, seq) = rig.api.submit(seed).await?;
    rig.note(format!("job {seq} ({job}) is submitted"));
    let scene = Scene { project: "default", job, seq };
    let begun = rng.random_range(0..30);
    let far =
        history::until(PATIENCE, || async { history::progress(rig, seq).await.map(|(n, end)| n >= begun || end) });
    if !far.await {
        rig.note("the job did not come under way");
    }
    let snapshots = Snapshots::default();
    let (mut recovery_s, mut ended) = (None, false);
    let breaking = async {
        let held = history::under_way(rig, seq).await?;
        rig.note(format!("{} hand-outs are under way; the fault strikes", held.len()));
        strike(rig, &scene, faults, rng).await?;
        rig.note("the fault is over");
        let over = Instant::now();
        let back = history::until(PATIENCE, || async { Ok(history::still_under_way(rig, seq, &held).await? == 0) });
        if back.await && !held.is_empty() {
            recovery_s = Some(over.elapsed().as_secs_f64());
        }
        ended = history::until_ended(rig, seq, PATIENCE).await;
        rig.note(format!("the job {}", if ended { "has ended" } else { "has not ended" }));
        snapshots.end();
        Ok::<_, anyhow::Error>(())
    };
    let (broken, ()) = tokio::join!(breaking, async { snapshots.take(rig, seq).await });
    broken?;
    let mut violations = history::violations(rig, seq, &snapshots).await?;
    if faults.iter().any(|fault| fault.may_cancel()) {
        violations.retain(|what| !what.starts_with("I1: a job whose end"));
    }
    if !ended {
        violations.push(format!("I1: the job has not ended, and for {PATIENCE:?} none of its tasks has"));
    }
    let name = if let [fault] = faults { fault.name() } else { "pairs".to_owned() };
    Ok(Ran { seed, name, recovery_s, violations })
}

/// All at once, each with random numbers of its own, so that a pair strikes as its members would alone.
async fn strike(rig: &Rig, scene: &Scene, faults: &[Fault], rng: &mut ChaCha8Rng) -> Result<()> {
    match faults {
        [one] => one.strike(rig, scene, rng).await,
        [one, two, ..] => {
            let mut own = ChaCha8Rng::seed_from_u64(rng.random());
            let later = Duration::from_millis(rng.random_range(0..800));
            let (first, second) = tokio::join!(one.strike(rig, scene, rng), async {
                tokio::time::sleep(later).await;
                two.strike(rig, scene, &mut own).await
            });
            first.and(second)
        }
        [] => Ok(()),
    }
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}"))
}

fn verdict(ran: &Ran) -> String {
    if ran.violations.is_empty() { "ok".to_owned() } else { format!("VIOLATED: {}", ran.violations.join("; ")) }
}

fn append(path: &Path, lines: &[String]) -> Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{}", lines.join("\n"))?)
}
