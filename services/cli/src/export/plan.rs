//! What an export is to be: the job, the form, the choices. Fixed before the first byte is written.

use super::Sink;
use crate::args::{ExportArgs, UsageError};
use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use domain::edit::EditSpec;
use domain::{Digest, JobId};
use exports::{Made, Rai, Row, Splits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wire::http::v1::{Job, Pair};

/// The form of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Images in folders with a metadata.jsonl per split, as Hugging Face's datasets loads them.
    Imagefolder,
    /// Shards of tar, as WebDataset streams them.
    Webdataset,
    /// The image folder with a metadata.parquet per split.
    Parquet,
    /// The image folder with croissant.json, MLCommons' description of a dataset.
    Croissant,
    /// PROV-O as JSON-LD, without images.
    Prov,
}

/// What an export was made of and how. One that is run again must be the same.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Identity {
    job: JobId,
    format: Format,
    edit: Option<String>,
    accepted: bool,
    reconstructions: bool,
    split: String,
    shard_bytes: u64,
    /// When the job ended: it may have been retried since.
    finished_at: Option<DateTime<Utc>>,
    about: About,
}

/// What only its owner can say of a dataset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct About {
    /// Licence.
    pub license: Option<String>,
    /// Who answers for it.
    pub creator: Option<String>,
    /// How it is to be cited.
    pub citation: Option<String>,
    /// Where it will be found.
    pub url: Option<String>,
    /// What users must be told.
    pub rai: Rai,
}

/// What is to be exported.
#[derive(Debug)]
pub struct Plan {
    /// The job, which has ended.
    pub job: Job,
    /// What is compared with an earlier run.
    pub identity: Identity,
    splits: Splits,
}

/// The properties of Croissant's RAI vocabulary that `--rai` takes.
const RAI: [&str; 20] = [
    "annotationsPerItem",
    "annotatorDemographics",
    "dataAnnotationAnalysis",
    "dataAnnotationPlatform",
    "dataAnnotationProtocol",
    "dataBiases",
    "dataCollection",
    "dataCollectionMissingData",
    "dataCollectionRawData",
    "dataCollectionTimeframe",
    "dataCollectionType",
    "dataImputationProtocol",
    "dataLimitations",
    "dataManipulationProtocol",
    "dataPreprocessingProtocol",
    "dataReleaseMaintenancePlan",
    "dataSocialImpact",
    "dataUseCases",
    "machineAnnotationTools",
    "personalSensitiveInformation",
];

impl About {
    /// As flags say it.
    ///
    /// # Errors
    /// When a property is not one of the vocabulary.
    pub fn of(args: &ExportArgs) -> Result<Self> {
        let mut rai = BTreeMap::new();
        for given in &args.rai {
            let known = given.split_once('=').filter(|(property, _)| RAI.contains(property));
            let Some((property, text)) = known else {
                bail!(UsageError(format!("--rai '{given}' is not PROPERTY=TEXT with one of {}", RAI.join(", "))));
            };
            rai.insert(property.to_owned(), text.to_owned());
        }
        let ExportArgs { license, creator, citation, url, .. } = args;
        let (license, creator) = (license.clone(), creator.clone());
        Ok(Self { license, creator, citation: citation.clone(), url: url.clone(), rai })
    }
}

impl Plan {
    /// For a job that has ended.
    ///
    /// # Errors
    /// When the job goes on, or has no such edit.
    pub fn new(job: Job, args: &ExportArgs) -> Result<Self> {
        if !job.state.is_terminal() {
            bail!(
                "job {} is {}, and results that come later would be missing; wait for it (`cfx job watch {0}`) or cancel it",
                job.id,
                job.state.name()
            );
        }
        let edit = args.edit.as_deref().map(|wanted| find_edit(&job, wanted)).transpose()?;
        let identity = Identity {
            job: job.id,
            format: args.format,
            edit,
            accepted: args.accepted,
            reconstructions: args.reconstructions,
            split: args.split.to_string(),
            shard_bytes: args.shard_mib << 20,
            finished_at: job.finished_at,
            about: About::of(args)?,
        };
        Ok(Self { job, identity, splits: args.split.clone() })
    }

    /// Refuses to mix two exports in one place.
    ///
    /// # Errors
    /// When `other` is of another job, or of another form.
    pub fn same_place(&self, other: &Identity, sink: &Sink) -> Result<()> {
        let place = |identity: &Identity| Identity { finished_at: None, about: About::default(), ..identity.clone() };
        if place(&self.identity) == place(other) {
            return Ok(());
        }
        let told = |what: &str, one: &str, two: &str| format!("{what} {two} in place of {one}");
        let mut differs = Vec::new();
        let (theirs, ours) = (serde_json::to_value(place(other))?, serde_json::to_value(place(&self.identity))?);
        if let (Some(theirs), Some(ours)) = (theirs.as_object(), ours.as_object()) {
            let changed = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value));
            differs.extend(changed.map(|(key, value)| {
                told(key, &theirs.get(key).map(ToString::to_string).unwrap_or_default(), &value.to_string())
            }));
        }
        bail!("{sink} holds another export ({}); choose another place, or repeat that one", differs.join(", "))
    }

    /// The form.
    pub const fn format(&self) -> Format {
        self.identity.format
    }

    /// Whether reconstructions belong to it.
    pub const fn reconstructions(&self) -> bool {
        self.identity.reconstructions
    }

    /// Whether results are left out by their verdict.
    pub const fn is_filtered(&self) -> bool {
        self.identity.accepted
    }

    /// What only its owner can say.
    pub const fn about(&self) -> &About {
        &self.identity.about
    }

    /// The largest a shard may become.
    pub const fn shard_bytes(&self) -> u64 {
        self.identity.shard_bytes
    }

    /// Where a page of its pairs is asked for.
    pub fn page(&self, after: Option<&str>, rows: u32) -> String {
        let mut path = format!("/v1/jobs/{}/pairs?limit={rows}", self.job.id);
        if let Some(edit) = &self.identity.edit {
            path += &format!("&edit={edit}");
        }
        if self.identity.accepted {
            path += "&verdict=accepted";
        }
        if let Some(after) = after {
            path += &format!("&after={after}");
        }
        path
    }

    /// Whether a failure belongs to it: those of other edits do not.
    pub fn concerns(&self, edit: Option<&str>) -> bool {
        self.identity.edit.is_none() || edit.is_none() || edit == self.identity.edit.as_deref()
    }

    /// How the names of edited images end.
    pub const fn ending(&self) -> &'static str {
        self.job.spec.output.format.extension()
    }

    /// The split of a pair.
    pub fn split(&self, pair: &Pair) -> String {
        self.splits.of(&pair.result.source, pair.labels.get("split").map(String::as_str))
    }

    /// The pair's row, without the names of files.
    pub fn row(&self, pair: &Pair) -> Row {
        let Pair { result, labels, steps, .. } = pair;
        let edit = self.job.spec.edits.iter().find(|edit| edit.slug() == result.edit);
        let made = Made {
            task: result.task,
            ordinal: result.ordinal,
            edit: &result.edit,
            strength: result.strength,
            seed: result.seed,
            steps: *steps,
            verdict: result.verdict,
            rejected_for: &result.rejected_for,
            source: result.source,
            image: result.image,
            reconstruction: self.reconstructions().then_some(result.reconstruction),
            record: result.record,
            metrics: &result.metrics,
            labels,
        };
        Row::of(&made, edit, self.split(pair))
    }

    /// A short name for folders: equal for equal places only.
    pub fn folder_of(to: &str) -> String {
        Digest::of(to).to_string()[..16].to_owned()
    }
}

fn find_edit(job: &Job, wanted: &str) -> Result<String> {
    let fits = |edit: &&EditSpec| edit.slug() == wanted || edit.name.as_deref() == Some(wanted);
    if let Some(edit) = job.spec.edits.iter().find(fits) {
        return Ok(edit.slug());
    }
    let slugs: Vec<String> = job.spec.edits.iter().map(EditSpec::slug).collect();
    bail!(UsageError(format!("job {} has no edit '{wanted}'; it has {}", job.id, slugs.join(", "))))
}
