//! What `cfx audit` is asked for.

use clap::{ArgGroup, Args as ClapArgs};
use std::path::PathBuf;

/// The classifier is given as scores, as a TorchScript file, or as a judge of a pack.
#[derive(ClapArgs, Debug)]
#[command(group = ArgGroup::new("said").args(["scores", "classifier", "pack"]).required(true).multiple(true))]
pub struct AuditArgs {
    /// The job's id.
    pub job: String,
    /// What the classifier said: a CSV with sha256, file or task, and label, score or score_CLASS, of sources, reconstructions and
    /// edits.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["classifier", "pack"])]
    pub scores: Option<PathBuf>,
    /// A TorchScript file, from B x 3 x S x S images to B x classes or B numbers, run by the worker; or, with --pack, the weights of a judge with that
    /// pack's heads.
    #[arg(long, value_name = "FILE")]
    pub classifier: Option<PathBuf>,
    /// Folder of a pack whose judge is the classifier.
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    /// Which of the judge's heads is audited.
    #[arg(long, requires = "pack")]
    pub head: Option<String>,
    /// Folder for report.html, report.json, flips.csv and pairs.csv, and for images that are fetched; created if new.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Only this edit (its name or slug).
    #[arg(long)]
    pub edit: Option<String>,
    /// A label of the dataset to compare groups by; repeat for several.
    #[arg(long = "group", value_name = "LABEL")]
    pub groups: Vec<String>,
    /// Names of the classes, in order.
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<String>,
    /// The class whose presence is the decision. [default: the second of two classes; of more, any change of class is a flip]
    #[arg(long, value_name = "CLASS")]
    pub positive: Option<String>,
    /// At which `score` a single score decides for the second class.
    #[arg(long, default_value_t = 0.5, requires = "scores", allow_negative_numbers = true)]
    pub threshold: f64,
    /// Go on without pairs of which an image has no score; the report says how many.
    #[arg(long)]
    pub allow_missing: bool,
    /// Seed of the bootstrap intervals.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Height and width of the images that a TorchScript file takes, px. [default: the pack's]
    #[arg(long, value_name = "PX", requires = "classifier")]
    pub image_size: Option<u32>,
    /// Means that are subtracted from images in [0, 1], one or one a channel. [default: 0]
    #[arg(long, value_delimiter = ',', requires = "classifier", allow_negative_numbers = true)]
    pub mean: Vec<f64>,
    /// By what they are divided afterwards. [default: 1]
    #[arg(long, value_delimiter = ',', requires = "classifier")]
    pub std: Vec<f64>,
    /// The TorchScript file gives probabilities, not logits.
    #[arg(long, requires = "classifier")]
    pub probabilities: bool,
    /// The worker's program. [default: the one beside cfx]
    #[arg(long, value_name = "PATH", conflicts_with = "scores")]
    pub worker: Option<PathBuf>,
    /// Where the worker computes: `cpu`, `cuda` or `cuda:N`.
    #[arg(long, conflicts_with = "scores")]
    pub device: Option<String>,
    /// CPU threads of one operation.
    #[arg(long, conflicts_with = "scores")]
    pub threads: Option<usize>,
}
