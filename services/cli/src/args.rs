//! The command line, as clap reads it.

mod access;
mod audit;

pub use access::{ConfigCommand, KeyCommand, KeyCreateArgs};
pub use audit::AuditArgs;

use crate::export::Format;
use clap::{Args as ClapArgs, Parser, Subcommand};
use domain::Frame;
use domain::accept::RejectReason;
use domain::edit::Method;
use exports::Splits;
use std::path::PathBuf;

/// A combination of flags that clap cannot refuse by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Text-driven counterfactual image editing at dataset scale.
#[derive(Parser, Debug)]
#[command(name = "cfx", version, about, propagate_version = true)]
pub struct Args {
    /// Address of the coordinator. [default: the profile's, or http://127.0.0.1:8080]
    #[arg(long, env = "CFX_SERVER", global = true)]
    pub server: Option<String>,
    /// Project (tenant) to act for. [default: the profile's, or the key's own, or `default`]
    #[arg(long, env = "CFX_PROJECT", global = true)]
    pub project: Option<String>,
    /// Which profile of the configuration file to use. Keys come from CFX_API_KEY, CFX_API_KEY_FILE or the profile.
    #[arg(long, env = "CFX_PROFILE", global = true)]
    pub profile: Option<String>,
    /// The configuration file. [default: counterfactory/cfx.toml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, env = "CFX_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// A note of who acts, for the audit log, which names the key besides; the user's login name if not given.
    #[arg(long, env = "CFX_ACTOR", global = true)]
    pub actor: Option<String>,
    /// Print JSON instead of tables and bars.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Register images.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Register and check model packs.
    #[command(subcommand)]
    Pack(PackCommand),
    /// Use mappers that were trained elsewhere.
    #[command(subcommand)]
    Mapper(MapperCommand),
    /// Submit jobs and follow them.
    #[command(subcommand)]
    Job(JobCommand),
    /// List and download edited images.
    #[command(subcommand)]
    Result(ResultCommand),
    /// Share GPU time among projects.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Audit a classifier by a job's counterfactuals: how often edits change its decision, and how often reconstructions do.
    Audit(Box<AuditArgs>),
    /// Print who changed what, latest first.
    AuditLog {
        /// At most this many entries.
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Print the record inside an edited image.
    Inspect {
        /// An image written by a worker.
        file: PathBuf,
    },
    /// Hold edited images against their records, credentials and seals; exit code 4 if anything differs.
    Verify(VerifyArgs),
    /// Keys that sign results.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// API keys: who may do what.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print what the key in use allows.
    Whoami,
    /// Try a key, read from the terminal or from stdin, and keep it under a profile.
    Login,
    /// The configuration file and its profiles.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages.
    Man {
        /// Folder to write into; created if new.
        dir: PathBuf,
    },
    /// Check the coordinator and everything it depends on.
    Doctor,
}

#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// List the keys that sign, or did.
    List,
    /// Write the installation's trust anchors, for `cfx verify --anchors` and other verifiers.
    Export {
        /// File to write, PEM.
        to: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub enum ProjectCommand {
    /// List projects with their shares, limits and GPU time of the last 24 hours.
    List,
    /// Change a project's share or limits; 0 takes a limit away.
    Set(ProjectSetArgs),
}

#[derive(ClapArgs, Debug)]
pub struct ProjectSetArgs {
    /// The project; made if new.
    pub name: String,
    /// Share of the GPUs relative to other projects that wait for some.
    #[arg(long)]
    pub weight: Option<f64>,
    /// GPU-seconds that may be charged within 24 hours.
    #[arg(long)]
    pub quota_gpu_seconds_per_day: Option<f64>,
    /// Batches of all its jobs with workers at once.
    #[arg(long)]
    pub max_concurrent: Option<u32>,
    /// Tasks of all its jobs handed out per minute.
    #[arg(long)]
    pub tasks_per_minute: Option<f64>,
}

#[derive(Subcommand, Debug)]
pub enum DatasetCommand {
    /// Upload and register images from folders, globs, manifests (.csv, .jsonl) or an s3:// prefix. Safe to repeat.
    Add {
        /// Name of the dataset; created if new.
        name: String,
        /// Folders, globs, manifest files, single images, or one s3://bucket/prefix.
        #[arg(required = true)]
        sources: Vec<String>,
        /// A folder of masks, as NAME=FOLDER: for each image the file of the same stem, white where the image may change. Repeat for
        /// several. Images that are registered already get the masks they lack.
        #[arg(long = "mask", value_name = "NAME=FOLDER")]
        masks: Vec<String>,
        /// End with exit code 0 even if rows were refused (they are still listed).
        #[arg(long)]
        skip_bad: bool,
    },
    /// List datasets.
    List,
    /// Print one dataset: its images with labels and masks.
    Show {
        /// Name of the dataset.
        name: String,
        /// At most this many images; 0 for all.
        #[arg(long, default_value_t = 20)]
        limit: u64,
    },
}

#[derive(Subcommand, Debug)]
pub enum PackCommand {
    /// Make a pack of checkpoints as others publish them; nothing in them is executed.
    Import(Box<ImportArgs>),
    /// Upload a pack's files and register it.
    Add {
        /// Folder with pack.toml.
        folder: PathBuf,
    },
    /// List registered packs.
    List {
        /// Say of each pack what its parts are for, how large they are, and which other packs share them.
        #[arg(long)]
        parts: bool,
    },
    /// Prove a pack on disk: every file against its digest, every header against its size.
    Verify {
        /// Folder with pack.toml.
        folder: PathBuf,
        /// First write the digests of the files as they are into pack.toml.
        #[arg(long)]
        write: bool,
    },
}

/// Every checkpoint may be a torch zip or legacy file, a TorchScript archive, an NVIDIA pickle or safetensors.
#[derive(ClapArgs, Debug)]
pub struct ImportArgs {
    /// Folder to make the pack in; it must not exist.
    pub folder: PathBuf,
    /// Name of the pack; that of the folder if not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Version of the pack.
    #[arg(long = "pack-version", id = "pack_version", default_value = "1.0.0")]
    pub version: String,
    /// One sentence for lists.
    #[arg(long, default_value = "")]
    pub description: String,
    /// Licence of the weights, as an SPDX expression where there is one.
    #[arg(long, default_value = "")]
    pub license: String,
    /// What else a user must know about rights.
    #[arg(long, default_value = "")]
    pub license_notes: String,
    /// Generator: rosinality .pt, or NVIDIA's .pkl of stylegan2, stylegan2-ada or stylegan3. Without it, the decoder in --encoder.
    #[arg(long)]
    pub generator: Option<PathBuf>,
    /// Inversion encoder: .pt of e4e, pSp or ReStyle.
    #[arg(long)]
    pub encoder: Option<PathBuf>,
    /// CLIP that edits are optimised against: OpenAI's .pt, open_clip's or Hugging Face's weights.
    #[arg(long)]
    pub clip: PathBuf,
    /// Its tokenizer: bpe_simple_vocab_16e6.txt(.gz), merges.txt or tokenizer.json. Looked for beside the weights if not given.
    #[arg(long)]
    pub clip_merges: Option<PathBuf>,
    /// Its activation, where neither the format nor a config beside the weights tells it.
    #[arg(long, value_parser = ["quick-gelu", "gelu"])]
    pub clip_activation: Option<String>,
    /// How generated images are brought to its size.
    #[arg(long, value_parser = ["none", "area", "bicubic-aa", "bicubic"], default_value = "bicubic-aa")]
    pub clip_resize: String,
    /// A second CLIP, which is never optimised against.
    #[arg(long)]
    pub clip_second: Option<PathBuf>,
    /// Its tokenizer.
    #[arg(long, requires = "clip_second")]
    pub clip_second_merges: Option<PathBuf>,
    /// Its activation.
    #[arg(long, value_parser = ["quick-gelu", "gelu"], requires = "clip_second")]
    pub clip_second_activation: Option<String>,
    /// Identity network: model_ir_se50.pth.
    #[arg(long)]
    pub identity: Option<PathBuf>,
    /// What the identity network looks at: the face within an FFHQ frame, or the whole image.
    #[arg(long, value_parser = ["ffhq-crop", "whole-image"], default_value = "ffhq-crop")]
    pub identity_input: String,
    /// Perceptual network: LPIPS heads or state dict, or vgg19_conv.pth.
    #[arg(long)]
    pub perceptual: Option<PathBuf>,
    /// torchvision's AlexNet or VGG16 under LPIPS heads that come alone.
    #[arg(long, requires = "perceptual")]
    pub perceptual_trunk: Option<PathBuf>,
    /// Face detector, for jobs with `frame = "ffhq"`: pnet.pt, rnet.pt and onet.pt of facenet-pytorch, or its MTCNN in one file.
    #[arg(long, num_args = 1..=3, value_name = "FILE")]
    pub detector: Vec<PathBuf>,
    /// Neutral text that edits depart from.
    #[arg(long, default_value = "a face")]
    pub neutral: String,
    /// A prompt with {} where the text goes; repeat for several. A few plain ones if not given.
    #[arg(long = "template")]
    pub templates: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub enum MapperCommand {
    /// Take a mapper out of a checkpoint of CF-CLIP or StyleCLIP; nothing in it is executed.
    Import {
        /// The checkpoint, for example best_model.pt.
        checkpoint: PathBuf,
        /// Folder of the pack it is for.
        #[arg(long)]
        pack: PathBuf,
        /// The mapper's file, .safetensors; it must not exist.
        #[arg(long)]
        out: PathBuf,
        /// Take it although the generator in its file differs from the pack's, or the file has none.
        #[arg(long)]
        any_generator: bool,
    },
    /// Upload a mapper's file; jobs name it by the digest that this prints.
    Add {
        /// A file of `cfx mapper import`, or a mapper that was kept.
        file: PathBuf,
    },
}

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

#[derive(ClapArgs, Debug)]
pub struct ExportArgs {
    /// The job's id.
    pub job: String,
    /// Form of the dataset.
    #[arg(long, value_enum)]
    pub format: Format,
    /// Folder, or s3://bucket/prefix with the AWS_* settings of this machine (CFX_EXPORT_S3_ENDPOINT for a store that is not AWS).
    #[arg(long)]
    pub to: String,
    /// Splits with their shares, by a hash of each source's bytes, so that no source lies in two of them. A label `split` of the
    /// dataset's goes first.
    #[arg(long, value_name = "NAME=SHARE,...", default_value = "train=1")]
    pub split: Splits,
    /// Only this edit (its name or slug).
    #[arg(long)]
    pub edit: Option<String>,
    /// Only results that meet every rule of acceptance; without it rejected ones are kept, with their reasons.
    #[arg(long)]
    pub accepted: bool,
    /// Also write each source's reconstruction: the unedited render that edits are compared with.
    #[arg(long)]
    pub reconstructions: bool,
    /// Size of a WebDataset shard at most, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub shard_mib: u64,
    /// Licence of the dataset, as an SPDX expression or an address.
    #[arg(long)]
    pub license: Option<String>,
    /// Who answers for the dataset.
    #[arg(long)]
    pub creator: Option<String>,
    /// How the dataset is to be cited.
    #[arg(long)]
    pub citation: Option<String>,
    /// Where the dataset will be found.
    #[arg(long)]
    pub url: Option<String>,
    /// What its users must be told, by Croissant's RAI vocabulary, for example dataBiases="..."; repeat for several.
    #[arg(long, value_name = "PROPERTY=TEXT")]
    pub rai: Vec<String>,
}

/// What a job may take at most.
#[derive(ClapArgs, Debug)]
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

#[derive(ClapArgs, Debug)]
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

#[derive(Subcommand, Debug)]
pub enum ResultCommand {
    /// List a job's edited images with their scores.
    List {
        /// The job's id.
        job: String,
        /// Only this edit (its name or slug).
        #[arg(long)]
        edit: Option<String>,
        /// Only results of this verdict.
        #[arg(long, value_parser = ["accepted", "rejected", "unjudged"])]
        verdict: Option<String>,
        /// Only results rejected for this, among other reasons perhaps.
        #[arg(long, value_parser = RejectReason::ALL.map(RejectReason::name))]
        reason: Option<String>,
        /// At most this many; 0 for all.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Download a job's edited images into a folder, with results.jsonl. Repeating fetches only what is missing.
    Fetch {
        /// The job's id.
        job: String,
        /// Folder to write into; created if new.
        #[arg(long)]
        to: PathBuf,
        /// Only this edit (its name or slug).
        #[arg(long)]
        edit: Option<String>,
        /// Only results that meet every rule of acceptance.
        #[arg(long)]
        accepted: bool,
        /// Also fetch each source's reconstruction: the unedited render that edits are compared with.
        #[arg(long)]
        reconstructions: bool,
        /// Also fetch the latents before and after each edit: safetensors, `w_plus [n_latent, w_dim]`, each with its credential beside it.
        #[arg(long)]
        latents: bool,
    },
}

#[derive(ClapArgs, Debug)]
pub struct VerifyArgs {
    /// Images, folders that are searched for them, or a job, whose results are fetched.
    #[arg(required = true, value_name = "FILE|DIR|JOB")]
    pub files: Vec<PathBuf>,
    /// Root certificates that may vouch for a signer, PEM. [default: those of the server]
    #[arg(long, value_name = "FILE")]
    pub anchors: Vec<PathBuf>,
    /// The seal of the job, as `cfx job seal` writes it: a folder with attestation.dsse.json and manifest.jsonl. [default: the folder
    /// that is verified, or the server]
    #[arg(long, value_name = "DIR")]
    pub seal: Option<PathBuf>,
    /// Render each image again from its record and compare the pixels: needs the worker, its networks, and time.
    #[arg(long)]
    pub replay: bool,
    /// By how many levels of 0 to 255 a pixel may differ in a replay.
    #[arg(long, default_value_t = 0, requires = "replay")]
    pub tolerance: u8,
    /// Device of the replay. [default: the kind that the record names]
    #[arg(long, requires = "replay")]
    pub device: Option<String>,
    /// The worker that replays. [default: the one beside cfx]
    #[arg(long, value_name = "PATH", requires = "replay")]
    pub worker: Option<PathBuf>,
    /// Do not call it a failure that an image is not signed: for outputs of versions that did not sign.
    #[arg(long)]
    pub allow_unsigned: bool,
    /// The pack the images were made with: its weights are hashed again.
    #[arg(long)]
    pub pack: Option<PathBuf>,
    /// The source image, or the folder the sources lie in.
    #[arg(long)]
    pub source: Option<PathBuf>,
    /// Ask no server: what is not on this machine is skipped.
    #[arg(long)]
    pub offline: bool,
}
