//! `cfx pack` and `cfx mapper`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

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
#[derive(Args, Debug)]
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
