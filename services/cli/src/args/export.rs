//! `cfx job export`.

use crate::export::Format;
use clap::Args;
use exports::Splits;

#[derive(Args, Debug)]
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
