//! Turns a specification into a job that can be accepted: checks it once, looks its names up, and pins what they mean now
//! (the pack's digest, the images a mapper is trained on), so that later changes of a dataset do not change the job.

use crate::app::App;
use crate::http::problem::{ApiError, internal};
use crate::http::{datasets_list, packs_list};
use crate::{framable, keys, measurable};
use bytes::Bytes;
use domain::job::JobSpec;
use domain::{Digest, ProjectId, canonical_json, digest_of};
use packs::Manifest;
use store::{Dataset, NewEdit, NewJob, PackFacts, PackRow, Training};
use wire::broker::v1::TrainingSet;

/// Results of one source at most: a slice of tasks must hold at least one source.
pub const MOST_PER_SOURCE: usize = 10_000;
/// Tasks of one job at most; they are numbered in 31 bits.
const MOST_TASKS: i64 = 2_000_000_000;
/// Sources read at once.
const PAGE: i64 = 5_000;

/// What a specification names, looked up.
pub struct Checked {
    /// The dataset.
    pub dataset: Dataset,
    /// The pack.
    pub pack: PackRow,
    /// What is in it.
    pub manifest: Manifest,
}

/// Checks `spec` as far as that writes nothing.
///
/// # Errors
/// The first fault, naming the field and what is known instead.
pub async fn check(app: &App, project: ProjectId, spec: &JobSpec) -> Result<Checked, ApiError> {
    spec.validate()?;
    let dataset = ready(datasets_list::find(app, project, "dataset", &spec.dataset).await?)?;
    let pack = packs_list::find(app, &spec.pack).await?;
    let manifest = Manifest::from_toml(&pack.manifest).map_err(|e| internal("reading a registered pack", &e))?;
    measurable::check(&manifest, &dataset.name, &dataset.masks, spec)?;
    framable::check(&manifest, spec.frame, "dataset", &dataset)?;
    let per_source = spec.edits.len().saturating_mul(spec.strengths.len()).saturating_mul(spec.seeds.len());
    if per_source > MOST_PER_SOURCE || i64::try_from(per_source).is_ok_and(|n| (n + 1) * dataset.sources > MOST_TASKS) {
        return Err(ApiError::InvalidRequest(format!(
            "edits x strengths x seeds gives {per_source} results for each of {} sources; the limit is {MOST_PER_SOURCE} a \
             source and {MOST_TASKS} tasks a job, so split it into several jobs",
            dataset.sources
        )));
    }
    Ok(Checked { dataset, pack, manifest })
}

/// Checks `spec` and looks up what it names.
///
/// # Errors
/// The first fault, naming the field and what is known instead.
pub async fn resolve(
    app: &App,
    project: ProjectId,
    idempotency_key: String,
    submitted_by: Option<String>,
    spec: JobSpec,
) -> Result<NewJob, ApiError> {
    let Checked { dataset, pack, manifest } = check(app, project, &spec).await?;
    let mut edits = Vec::with_capacity(spec.edits.len());
    for (index, edit) in spec.edits.iter().enumerate() {
        let mapper = edit.method.given_mapper();
        let training = match mapper {
            Some(digest) => {
                given(app, index, digest).await?;
                None
            }
            None => training(app, project, (&manifest, pack.digest), &spec, index).await?,
        };
        let digest = canonical(edit)?;
        edits.push(NewEdit { slug: edit.slug(), spec: edit.clone(), digest, training, mapper });
    }
    Ok(NewJob {
        project,
        idempotency_key,
        submitted_by,
        traceparent: telemetry::traces::context(&tracing::Span::current()),
        spec_digest: canonical(&spec)?,
        spec,
        dataset: dataset.id,
        pack: PackFacts { name: pack.name, digest: pack.digest, manifest: pack.manifest_digest },
        edits,
    })
}

fn canonical<T: serde::Serialize>(value: &T) -> Result<Digest, ApiError> {
    digest_of(value).map_err(|error| internal("computing a digest", &error))
}

/// A dataset that holds still and holds something.
fn ready(dataset: Dataset) -> Result<Dataset, ApiError> {
    if dataset.importing {
        return Err(ApiError::ImportRunning(dataset.name));
    }
    if dataset.sources == 0 {
        return Err(ApiError::EmptyDataset(dataset.name));
    }
    Ok(dataset)
}

/// Makes sure that a mapper that an edit brings along is in the bucket.
async fn given(app: &App, index: usize, mapper: Digest) -> Result<(), ApiError> {
    if app.artifacts.exists(mapper).await? {
        return Ok(());
    }
    Err(ApiError::InvalidRequest(format!(
        "edits[{index}].method.mapper: there is no object {mapper}; upload the mapper's file with `cfx mapper add`"
    )))
}

/// Writes the list of training images to the bucket and names the mapper by it, for methods that train one.
async fn training(
    app: &App,
    project: ProjectId,
    (pack, digest): (&Manifest, Digest),
    spec: &JobSpec,
    index: usize,
) -> Result<Option<Training>, ApiError> {
    let (edit, frame) = (&spec.edits[index], spec.frame);
    let Some(mapper) = edit.method.training() else { return Ok(None) };
    let field = format!("edits[{index}].method.train_on");
    let dataset = ready(datasets_list::find(app, project, &field, mapper.train_on).await?)?;
    framable::check(pack, frame, &field, &dataset)?;
    let wanted = mapper.train_limit as usize;
    let mut set = TrainingSet::default();
    let mut after = None;
    while set.sources.len() < wanted {
        let page = app.store.sources(dataset.id, after, PAGE.min((wanted - set.sources.len()) as i64)).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.ordinal);
        set.sources.extend(page.iter().map(|s| s.sha256));
        if !frame.is_default() {
            set.framings.extend(page.into_iter().map(|s| frame.of(s.landmarks)));
        }
    }
    let body = canonical_json(&set).map_err(|e| internal("writing a training set", &e))?;
    let training_set = app.artifacts.put(Bytes::from(body)).await?;
    let mapper_key = keys::train(digest, training_set, edit, spec.precision);
    let mapper_key = mapper_key.map_err(|e| internal("computing a stage key", &e))?;
    Ok(Some(Training { mapper_key, training_set }))
}
