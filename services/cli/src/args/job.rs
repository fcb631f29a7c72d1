//! `cfx job`.

use super::ExportArgs;
use clap::{Args, Subcommand};
use domain::edit::Method;
use domain::{Frame, Precision};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub enum JobCommand {
    /// Submit a job from a file (TOML, YAML or JSON) or from flags.
    Submit(Box<SubmitArgs>),
    /// List jobs, newest first.
    List {
        /// Only jobs in this state.
        #[arg(long)]
        state: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Print one job: counts by stage and state, rates and time left, why it stands still, failures by reason, accepted yield by edit.
    Status {
        /// The job's id.
        job: String,
    },
    /// Follow a job until it ends. Exit code 3 if items failed.
    Watch {
        /// The job's id.
        job: String,
    },
    /// Stop handing out work of the job, or single tasks of it; running work goes on.
    Pause {
        /// The job's id.
        job: String,
        /// Only this task, for example 412-17; repeat for several. The job goes on.
        #[arg(long = "task")]
        tasks: Vec<String>,
    },
    /// Hand out work again.
    Resume {
        /// The job's id.
        job: String,
        /// Only this task, for example 412-17; repeat for several.
        #[arg(long = "task")]
        tasks: Vec<String>,
    },
    /// End the job, or single tasks of it; running work stops.
    Cancel {
        /// The job's id.
        job: String,
        /// Only this task, for example 412-17; repeat for several. The job goes on.
        #[arg(long = "task")]
        tasks: Vec<String>,
    },
    /// Change what a job may take at most, or its priority; 0 takes a limit away.
    Set {
        /// The job's id.
        job: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Take the deadline away.
        #[arg(long, conflicts_with = "deadline")]
        no_deadline: bool,
        /// Higher goes first within the project.
        #[arg(long, allow_negative_numbers = true)]
        priority: Option<i16>,
    },
    /// Try dead tasks again.
    Retry {
        /// The job's id.
        job: String,
        /// Only tasks dead for this reason, for example `truncated`.
        #[arg(long)]
        reason: Option<String>,
        /// Count them by reason, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what an ended job came to, as it was signed; --to writes the files that verifiers read.
    Seal {
        /// The job's id.
        job: String,
        /// Folder for the files.
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Write an ended job's results as a dataset: sources beside edited images, with captions, scores and verdicts. Run again, it goes
    /// on where it was interrupted.
    Export(Box<ExportArgs>),
    /// List a job's tasks.
    Tasks {
        /// The job's id.
        job: String,
        /// Only tasks in this state, for example `dead`.
        #[arg(long)]
        state: Option<String>,
    },
}

/// What a job may take at most.
#[derive(Args, Debug)]
pub struct LimitArgs {
    /// Batches with workers at once.
    #[arg(long)]
    pub max_concurrent: Option<u32>,
    /// GPU-seconds after which nothing more is handed out; what runs is finished.
    #[arg(long)]
    pub budget_gpu_seconds: Option<f64>,
    /// When what was not begun is cancelled, for example 2026-12-24T18:00:00Z.
    #[arg(long)]
    pub deadline: Option<chrono::DateTime<chrono::Utc>>,
    /// Tasks handed out per minute.
    #[arg(long)]
    pub tasks_per_minute: Option<f64>,
}

#[derive(Args, Debug)]
pub struct SubmitArgs {
    /// Job file: .toml, .yaml, .yml or .json. Flags below override or complete it.
    pub file: Option<PathBuf>,
    /// Make what this image shows of other sources: its recipe is the job's, which the job file and flags override.
    #[arg(long, value_name = "IMAGE")]
    pub like: Option<PathBuf>,
    /// Name shown to people.
    #[arg(long)]
    pub name: Option<String>,
    /// Registered dataset to edit.
    #[arg(long)]
    pub dataset: Option<String>,
    /// Registered pack to use.
    #[arg(long)]
    pub pack: Option<String>,
    /// Target text; repeat for several edits.
    #[arg(long = "text")]
    pub texts: Vec<String>,
    /// Neutral text that the targets depart from.
    #[arg(long, default_value = "a face")]
    pub neutral: String,
    /// Method of the edits given by --text.
    #[arg(long, value_parser = Method::NAMES, default_value = "cf-mapper")]
    pub method: String,
    /// Start the method from the values of a publication in place of the measured defaults.
    #[arg(long, value_parser = ["repro-2022"])]
    pub preset: Option<String>,
    /// Dataset the text mappers are trained on, for methods that train one.
    #[arg(long)]
    pub train_on: Option<String>,
    /// Digest of a mapper's file to use in place of training one.
    #[arg(long, value_name = "SHA-256", conflicts_with = "train_on")]
    pub mapper: Option<String>,
    /// Which part of a source is edited: its centred square, or the face in it, framed as in FFHQ.
    #[arg(long, value_parser = Frame::NAMES)]
    pub frame: Option<String>,
    /// What images are computed in: `bf16` takes half the memory, and is, as `tf32`, what GPUs multiply fastest. [default: fp32]
    #[arg(long, value_parser = Precision::NAMES)]
    pub precision: Option<String>,
    /// Strengths, for example 0.5,1,1.5.
    #[arg(long, value_delimiter = ',')]
    pub strengths: Vec<f64>,
    /// Seeds, for example 0,1,2.
    #[arg(long, value_delimiter = ',')]
    pub seeds: Vec<u64>,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// A repeated submit with the same key is the same job.
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// Follow the job until it ends.
    #[arg(long)]
    pub watch: bool,
}
