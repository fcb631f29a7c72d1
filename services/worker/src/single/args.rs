//! What `worker edit` is asked for, and the edit that this is.

use crate::config::KeySettings;
use anyhow::{Context as _, Result, bail};
use domain::accept::Acceptance;
use domain::edit::{EditSpec, Method, Selection, StrengthSearch};
use domain::job::MAX_SEED;
use domain::record::Detail;
use domain::{Frame, Framing, Output, OutputFormat, Precision};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What to edit, and how.
#[derive(clap::Args, Debug)]
pub struct EditArgs {
    /// Folder of the pack.
    #[arg(long, value_name = "DIR")]
    pub pack: PathBuf,
    /// The image to edit.
    #[arg(long, value_name = "IN")]
    pub image: PathBuf,
    /// Which part of the image is edited: its centred square, or the face in it, framed as in FFHQ.
    #[arg(long, value_parser = parse_frame, default_value = "centre-square")]
    pub frame: Frame,
    /// Where the face is, for --frame ffhq: a JSON list of 5 or 68 points [x, y], or a file with one. [default: the pack's detector
    /// looks for it]
    #[arg(long, value_name = "POINTS")]
    pub landmarks: Option<String>,
    /// What the edited image should show, for example "a face with green hair".
    #[arg(long)]
    pub text: String,
    /// What the image shows without the edit. [default: the pack's own neutral text]
    #[arg(long)]
    pub neutral: Option<String>,
    /// How the edit is made. [default: cf-mapper if a mapper or training images are given, else clip-nce]
    #[arg(long, value_parser = Method::NAMES)]
    pub method: Option<String>,
    /// Start from the values of a publication in place of the measured defaults.
    #[arg(long, value_parser = ["repro-2022"])]
    pub preset: Option<String>,
    /// A field of the method, as in a job file; repeat for several: --set latent_l2=0.2 --set layers=[0,5].
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// A rule of acceptance, as in a job file; repeat for several: --accept min_preservation=0.9.
    #[arg(long, value_name = "RULE=VALUE")]
    pub accept: Vec<String>,
    /// A trained mapper for this text.
    #[arg(long, value_name = "FILE", conflicts_with = "train_on")]
    pub mapper: Option<PathBuf>,
    /// A folder of images to train a mapper on first.
    #[arg(long, value_name = "DIR")]
    pub train_on: Option<PathBuf>,
    /// Where to keep the mapper that was trained.
    #[arg(long, value_name = "FILE", requires = "train_on")]
    pub save_mapper: Option<PathBuf>,
    /// Optimiser steps, of the edit or of the mapper's training. [default: the method's]
    #[arg(long)]
    pub steps: Option<u32>,
    /// Weight of the latent's change. [default: the method's]
    #[arg(long)]
    pub latent_l2: Option<f64>,
    /// An image that is white where the edit may change the image.
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Factors on the latent's change, such as 0.5,1,1.5: an image each.
    #[arg(long, alias = "strength", value_delimiter = ',', default_value = "1", allow_negative_numbers = true)]
    pub strengths: Vec<f64>,
    /// Take the smallest strength at which the judge is this sure of the target, at most the one given. [default: 0.9 if no
    /// probability is given]
    #[arg(long, value_name = "PROBABILITY", num_args = 0..=1, default_missing_value = "0.9")]
    pub strength_search: Option<f64>,
    /// Seed.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_SEED))]
    pub seed: u64,
    /// Gradient steps that refine the encoder's inversion.
    #[arg(long, default_value_t = 0)]
    pub refine: u32,
    /// The edited image with its record and credential inside: a PNG, JPEG or WebP, by its ending. With several strengths each goes to
    /// a file of its own: out-x0.5.png.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Also write the reconstruction: the image as the generator draws it, unedited.
    #[arg(long, value_name = "FILE")]
    pub reconstruction: Option<PathBuf>,
    /// Quality of a JPEG, 1 to 100.
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quality: u8,
    /// How much of the record leaves with the image.
    #[arg(long, default_value = "full", value_parser = Detail::NAMES)]
    pub detail: String,
    /// Do not sign the image.
    #[arg(long)]
    pub unsigned: bool,
    /// Folder of this machine's own signing key, which is made on first use. [default: counterfactory/keys under the user's data folder]
    #[arg(long, value_name = "DIR", env = "CFX_KEYS_DIR")]
    pub keys_dir: Option<PathBuf>,
    #[command(flatten)]
    pub key: KeySettings,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, env = "CFX_DEVICE")]
    pub device: Option<String>,
    /// CPU threads of one operation. [default: 1]
    #[arg(long, env = "CFX_THREADS")]
    pub threads: Option<usize>,
    /// How wide convolutions are computed on a CPU: `winograd`, or `direct`, which rounds less and is slower. [default: winograd]
    #[arg(long, env = "CFX_CONVOLUTIONS")]
    pub convolutions: Option<String>,
    /// What generator and guiding CLIP compute in: `fp32`, `tf32` (a GPU's faster products, three decimal digits) or `bf16` (half the
    /// memory; latents, losses and scores stay in single precision).
    #[arg(long, env = "CFX_PRECISION", default_value_t)]
    pub precision: Precision,
}

impl EditArgs {
    /// The edit, with the pack's `neutral` text where none is given.
    ///
    /// # Errors
    /// Names the argument or field that is wrong.
    pub fn spec(&self, neutral: &str) -> Result<EditSpec> {
        let spec = EditSpec {
            name: None,
            text: self.text.clone(),
            neutral: self.neutral.clone().unwrap_or_else(|| neutral.to_owned()),
            method: self.method()?,
            strength_search: self
                .strength_search
                .map(|probability| StrengthSearch { probability, ..StrengthSearch::default() }),
            accept: self.rules()?,
            only: Selection::default(),
        };
        spec.validate(0)?;
        if let Some(strength) = self.strengths.iter().find(|s| !s.is_finite() || s.abs() > 10.0) {
            bail!("--strengths: {strength} is not between -10 and 10");
        }
        if spec.method.guards().mask().is_some() && self.mask.is_none() {
            bail!("the edit is confined to a mask; give it with --mask FILE");
        }
        Ok(spec)
    }

    /// How the image is written.
    ///
    /// # Errors
    /// When its name's ending is of no format that carries a record.
    pub fn output(&self) -> Result<Output> {
        let ending = self.out.extension().unwrap_or_default().to_string_lossy();
        let Some(format) = OutputFormat::of_extension(&ending) else {
            bail!("--out {}: end it in .png, .jpg or .webp", self.out.display());
        };
        let detail = serde_json::from_value(json!(self.detail)).context("--detail")?;
        Ok(Output { format, quality: self.quality, detail })
    }

    /// How the image is framed.
    ///
    /// # Errors
    /// When the landmarks are none, or belong to no frame.
    pub fn framing(&self) -> Result<Framing> {
        let Some(given) = &self.landmarks else { return Ok(self.frame.of(None)) };
        if self.frame.is_default() {
            bail!("--landmarks say where a face is; give --frame ffhq with them");
        }
        let text = if given.trim_start().starts_with('[') {
            given.clone()
        } else {
            std::fs::read_to_string(given).with_context(|| format!("cannot read the landmarks {given}"))?
        };
        let landmarks = serde_json::from_str(&text).context("--landmarks")?;
        Ok(self.frame.of(Some(landmarks)))
    }

    fn method(&self) -> Result<Method> {
        let given = self.mapper.is_some() || self.train_on.is_some();
        let kind = self.method.as_deref().unwrap_or(if given { "cf-mapper" } else { "clip-nce" });
        let mut fields = Map::from_iter([("kind".to_owned(), json!(kind))]);
        fields.extend(self.preset.as_ref().map(|preset| ("preset".to_owned(), json!(preset))));
        fields.extend(self.steps.map(|steps| ("steps".to_owned(), json!(steps))));
        fields.extend(self.latent_l2.map(|weight| ("latent_l2".to_owned(), json!(weight))));
        for pair in &self.set {
            fields.extend([field("--set", pair)?]);
        }
        if let Some(path) = &self.mask {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            fields.entry("region").or_insert_with(|| json!({ "mask": name }));
        }
        let method: Method =
            serde_json::from_value(Value::Object(fields)).with_context(|| format!("--method {kind}"))?;
        match (method.training().is_some(), given) {
            (false, true) => bail!("{kind} uses no mapper; leave out --mapper and --train-on"),
            (true, false) => bail!("{kind} needs --mapper FILE or --train-on DIR"),
            _ => Ok(method),
        }
    }

    fn rules(&self) -> Result<Acceptance> {
        let fields = self.accept.iter().map(|pair| field("--accept", pair)).collect::<Result<Map<_, _>>>()?;
        serde_json::from_value(Value::Object(fields)).context("--accept")
    }

    /// Where the image of a strength goes.
    pub fn out_of(&self, strength: f64) -> PathBuf {
        if self.strengths.len() == 1 {
            return self.out.clone();
        }
        let stem = self.out.file_stem().unwrap_or_default().to_string_lossy();
        let extension = self.out.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
        self.out.parent().unwrap_or(Path::new("")).join(format!("{stem}-x{strength}{extension}"))
    }
}

fn parse_frame(text: &str) -> Result<Frame, String> {
    serde_json::from_value(json!(text)).map_err(|_| format!("one of {}", Frame::NAMES.join(", ")))
}

/// A pair NAME=VALUE; the value is JSON, or a text if it is none.
fn field(flag: &str, pair: &str) -> Result<(String, Value)> {
    let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        bail!("{flag} is '{pair}'; write FIELD=VALUE, such as latent_l2=0.2");
    };
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}
