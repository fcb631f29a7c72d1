//! Writing tasks, by the store's own path.

use crate::rig::Rig;
use anyhow::{Context as _, Result, bail};
use domain::edit::EditSpec;
use domain::job::JobSpec;
use domain::{Digest, StageKey, digest_of};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::{JobRow, NewEdit, NewJob, NewTask, PackFacts, SliceOutcome, Submitted};

/// Rows of one slice, as the coordinator writes them.
const SLICE: u64 = 50_000;

/// Writes a job of `rows` tasks, an inversion and an edit in turn. The coordinator is held meanwhile: it would write the job itself.
///
/// # Errors
/// When the store fails.
pub async fn measure(rig: &mut Rig, rows: u64) -> Result<(JobRow, Value)> {
    rig.coordinator.freeze()?;
    let written = write(rig, rows).await;
    rig.coordinator.thaw()?;
    written
}

async fn write(rig: &Rig, rows: u64) -> Result<(JobRow, Value)> {
    let job = submit(rig).await?;
    let (mut cursor, mut made, mut slices) = (Value::Null, Duration::ZERO, Vec::new());
    let mut from = 0;
    while from < rows {
        let to = rows.min(from + SLICE);
        let began = Instant::now();
        let tasks: Vec<NewTask> = (from..to).map(task).collect::<Result<_>>()?;
        made += began.elapsed();
        let next = json!(to);
        let began = Instant::now();
        let outcome = rig.store.write_slice(job.seq, &cursor, &next, &tasks, to == rows).await?;
        slices.push((to - from) as f64 / began.elapsed().as_secs_f64());
        let SliceOutcome::Written { .. } = outcome else { bail!("a slice was not written: {outcome:?}") };
        (cursor, from) = (next, to);
    }
    let seconds: f64 = slices.iter().map(|rate| SLICE as f64 / rate).sum();
    slices.sort_by(f64::total_cmp);
    let told = json!({
        "rows": rows,
        "rows_per_s": rows as f64 / seconds,
        "slice_rows_per_s": { "slowest": slices.first(), "median": slices.get(slices.len() / 2), "fastest": slices.last() },
        "keys_made_s": made.as_secs_f64(),
        "how": "store::write_slice, one job, one connection; making the rows is not counted",
    });
    Ok((job, told))
}

/// The row of this number: even ones invert, odd ones edit what the one before inverts.
fn task(no: u64) -> Result<NewTask> {
    let ordinal = i64::try_from(no / 2 % crate::SIMULATED_SOURCES.unsigned_abs())?;
    let latent = StageKey(Digest::of(format!("scale latent {}", no / 2)));
    Ok(if no.is_multiple_of(2) {
        NewTask::Invert { ordinal, key: latent }
    } else {
        let key = StageKey(Digest::of(format!("scale edit {}", no / 2)));
        NewTask::Edit { edit_no: 0, ordinal, strength: 1.0, seed: no, key, needs: latent }
    })
}

async fn submit(rig: &Rig) -> Result<JobRow> {
    let spec: JobSpec = serde_json::from_value(json!({
        "name": "scale", "dataset": "simulated", "pack": "facesjs-64",
        "edits": [{ "text": "a face with green hair", "method": { "kind": "clip-nce", "steps": 1 } }],
    }))?;
    let project = rig.store.ensure_project("default").await?;
    let dataset = rig.store.dataset(project, "simulated").await?.context("the dataset is there")?;
    let edit = |spec: &EditSpec| -> Result<NewEdit> {
        Ok(NewEdit { slug: spec.slug(), digest: digest_of(spec)?, spec: spec.clone(), training: None, mapper: None })
    };
    let new = NewJob {
        project,
        idempotency_key: uuid::Uuid::new_v4().to_string(),
        traceparent: None,
        submitted_by: None,
        spec_digest: digest_of(&spec)?,
        dataset: dataset.id,
        pack: PackFacts { name: "facesjs-64".into(), digest: Digest::of("pack"), manifest: Digest::of("manifest") },
        edits: spec.edits.iter().map(edit).collect::<Result<_>>()?,
        spec,
    };
    match rig.store.submit(&new).await? {
        Submitted::Created(job) => Ok(job),
        other => bail!("the job was not created: {other:?}"),
    }
}
