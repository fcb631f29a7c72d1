//! `cfx dataset`.

use clap::Subcommand;

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
