//! One job on so many workers, from its submission to its end.

use crate::Arguments;
use crate::pictures;
use crate::rig::Rig;
use crate::worker::{Reading, STAGES, Worker};
use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

const TEXT: &str = "a face with green hair";
/// Images that the mapper is trained on, and the steps of that: it is applied, and how well it edits is not looked at.
const TRAINED_ON: usize = 32;
const TRAINING_STEPS: u32 = 20;
/// Jobs before which every worker must have done something.
const WARM_UPS: usize = 20;
/// An inversion and an edit.
const TASKS_OF_IMAGE: f64 = 2.0;
/// How often it is looked whether a job has ended.
const LOOK: Duration = Duration::from_millis(5);

const ENDED: &str =
    "SELECT count(*) FROM jobs WHERE seq = $1 AND state IN ('succeeded', 'partial', 'failed', 'cancelled')";
const RESULTS: &str = "SELECT count(*) FROM results WHERE job_seq = $1";
/// What the records tell of judging, in microseconds.
const JUDGED: &str =
    "SELECT coalesce(1000 * sum((record -> 'execution' -> 'milliseconds' ->> 'judge')::float8), 0)::bigint
    FROM records WHERE job_seq = $1";

fn mapper() -> Value {
    json!({ "kind": "cf-mapper", "train_on": "training", "train_limit": TRAINED_ON, "steps": TRAINING_STEPS })
}

/// Trains the mapper that every later job applies.
///
/// # Errors
/// When it cannot be trained.
pub async fn train(rig: &Rig, faces: &[Vec<u8>]) -> Result<()> {
    rig.dataset_of("training", &pictures::fresh(faces, "training", TRAINED_ON)?).await?;
    let worker = Worker::start(rig)?;
    done(rig, faces, &Asked { name: "trained", images: 1, method: mapper() }).await?;
    worker.end().await
}

/// Both kinds of jobs on `workers` workers that have warmed up.
///
/// # Errors
/// When the installation fails, or an image does.
pub async fn measure(rig: &Rig, faces: &[Vec<u8>], workers: usize, arguments: &Arguments) -> Result<Vec<Value>> {
    let optimised = |steps: u32| json!({ "kind": "clip-nce", "steps": steps });
    let all: Vec<Worker> = (0..workers).map(|_| Worker::start(rig)).collect::<Result<_>>()?;
    warm_up(rig, faces, &all, &optimised(1)).await?;
    let mut told = Vec::new();
    for (method, images) in [(mapper(), arguments.images), (optimised(arguments.steps), arguments.optimised)] {
        let kind = method["kind"].as_str().unwrap_or_default().to_owned();
        let before = read(&all).await?;
        let ended = done(rig, faces, &Asked { name: &format!("{kind}-{workers}"), images, method }).await?;
        let mut spent = Reading::default();
        for (now, before) in read(&all).await?.iter().zip(&before) {
            spent = spent.and(&now.since(before));
        }
        let run = tell(&kind, workers, images, ended, &spent);
        println!("{kind}, {workers} workers: {:.2} images/s", images as f64 / ended.seconds);
        told.push(run);
    }
    for worker in all {
        worker.end().await?;
    }
    Ok(told)
}

async fn read(workers: &[Worker]) -> Result<Vec<Reading>> {
    let mut readings = Vec::with_capacity(workers.len());
    for worker in workers {
        readings.push(worker.read().await?);
    }
    Ok(readings)
}

/// Small jobs until every worker has the pack's networks in memory and has edited.
async fn warm_up(rig: &Rig, faces: &[Vec<u8>], workers: &[Worker], method: &Value) -> Result<()> {
    for round in 0..WARM_UPS {
        let name = format!("warm-up-{}-{round}", workers.len());
        done(rig, faces, &Asked { name: &name, images: 8 * workers.len(), method: method.clone() }).await?;
        let readings = read(workers).await?;
        if readings.iter().all(|reading| reading.of("invert") > 0.0 && reading.of("edit") > 0.0) {
            return Ok(());
        }
    }
    anyhow::bail!("after {WARM_UPS} jobs one of {} workers has still done nothing; see its log", workers.len())
}

struct Asked<'a> {
    name: &'a str,
    images: usize,
    method: Value,
}

#[derive(Clone, Copy)]
struct Ended {
    /// From the submission until the job had ended.
    seconds: f64,
    /// Seconds that the workers spent on judging.
    judging: f64,
}

/// A job on a dataset of its own, until it has ended.
async fn done(rig: &Rig, faces: &[Vec<u8>], asked: &Asked<'_>) -> Result<Ended> {
    let Asked { name, images, method } = asked;
    rig.dataset_of(name, &pictures::fresh(faces, name, *images)?).await?;
    let spec = json!({
        "name": name, "dataset": name, "pack": "facesjs-64", "edits": [{ "text": TEXT, "method": method }],
    });
    let began = Instant::now();
    let (id, seq) = rig.submit(&spec).await?;
    rig.reaches(ENDED, seq, 1, LOOK).await?;
    let seconds = began.elapsed().as_secs_f64();
    let results = rig.number(RESULTS, seq).await?;
    ensure!(results == i64::try_from(*images)?, "the job {id} ({name}) has {results} results of {images}");
    Ok(Ended { seconds, judging: rig.number(JUDGED, seq).await? as f64 / 1e6 })
}

fn tell(kind: &str, workers: usize, images: usize, ended: Ended, spent: &Reading) -> Value {
    let count = images as f64;
    let mut stages = Map::new();
    for ((stage, ..), seconds) in STAGES.iter().zip(spent.seconds) {
        // the device judges within the request that edits
        let parts = match *stage {
            "edit" => vec![("edit", seconds - ended.judging), ("judge", ended.judging)],
            other => vec![(other, seconds)],
        };
        stages.extend(parts.into_iter().map(|(stage, seconds)| (stage.to_owned(), json!(1e3 * seconds / count))));
    }
    let all = workers as f64 * ended.seconds;
    let device = spent.of("invert") + spent.of("edit");
    json!({
        "method": kind,
        "workers": workers,
        "images": images,
        "seconds": ended.seconds,
        "images_per_s": count / ended.seconds,
        "stages_ms_per_image": stages,
        "waiting_ms_per_image": 1e3 * (all - device) / count,
        "device_busy": device / all,
        "cpu_ms_per_image": { "tensors": 1e3 * spent.tensors / count, "others": 1e3 * spent.others / count },
        "beside_tensors_and_pixels_cpu_ms_per_task":
            1e3 * (spent.others - spent.of("prepare") - spent.of("encode")) / count / TASKS_OF_IMAGE,
    })
}
