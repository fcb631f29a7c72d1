//! `worker compute`: a pack's networks on the user's own tensors, with gradients. What an import made of a checkpoint is compared by
//! it, number by number, with the program that the checkpoint comes from.
//!
//! ```text
//! in.safetensors                                   out.safetensors
//!   generator.w_plus  [B, L, w_dim]                  generator.image             [B, 3, R, R]
//!   mapping.z         [B, z_dim]                     mapping.w                   [B, w_dim]
//!   encoder.image     [B, 3, 256, 256]               encoder.w_plus              [B, L, w_dim]
//!   clip.image        [B, 3, S, S], normalised       clip.image_features         [B, E]
//!   text.tokens       [B, context], int64            text.features               [B, E]
//!   identity.image    [B, 3, R, R]                   identity.features           [B, 512], of length one
//!   perceptual.image, perceptual.other [B, 3, H, W]  perceptual.distance         [B]
//!   mapper.w_plus     [B, L, w_dim]                  mapper.edited               [B, L, w_dim], of the file in --mapper
//!   PART.cotangent    in the shape of the output     PART.INPUT.grad             the gradient of sum(output * cotangent)
//! ```
//! Images are in [-1, 1]. Only the parts whose inputs are given are loaded, and all of them for a mapper, which is computed in single
//! precision alone, as every edit is.

use crate::config::device_settings;
use crate::engine::LocalPack;
use anyhow::{Context as _, Result, bail};
use domain::edit::{CfMapper, Method, StyleclipMapper};
use editing::mapper::Mapper;
use editing::{Engine, EngineConfig};
use networks::{Clip, Encoder, Generator, Identity, Perceptual, Weights, device};
use packs::Pack;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Of what to compute.
#[derive(clap::Args, Debug)]
pub struct ComputeArgs {
    /// Folder of the pack.
    #[arg(long, value_name = "DIR")]
    pub pack: PathBuf,
    /// Tensors named generator.w_plus, mapping.z, encoder.image, clip.image, text.tokens, identity.image, perceptual.image,
    /// perceptual.other and mapper.w_plus; and PART.cotangent for the gradient of sum(output * cotangent).
    #[arg(long, value_name = "SAFETENSORS")]
    pub inputs: PathBuf,
    /// Where outputs and gradients go; it must not exist.
    #[arg(long, value_name = "SAFETENSORS")]
    pub out: PathBuf,
    /// Mapper that edits mapper.w_plus: a file that `cfx mapper import` wrote or a job trained.
    #[arg(long, value_name = "SAFETENSORS")]
    pub mapper: Option<PathBuf>,
    /// Text that the mapper is told, if it is CF-CLIP's; StyleCLIP's are told none.
    #[arg(long, requires = "mapper")]
    pub text: Option<String>,
    /// Compute in double precision, which tells rounding from error.
    #[arg(long)]
    pub double: bool,
    /// cpu, cuda or cuda:N. [default: a GPU if there is one]
    #[arg(long)]
    pub device: Option<String>,
    /// Threads on a CPU. [default: 1]
    #[arg(long)]
    pub threads: Option<usize>,
    /// How wide convolutions are computed on a CPU: `direct`, as other programs compute them, or `winograd`, as edits are.
    #[arg(long, default_value = "direct")]
    pub convolutions: String,
}

/// Computes what the inputs ask for.
///
/// # Errors
/// One sentence on what is wrong with the pack, the inputs or the output's place.
pub fn run(args: &ComputeArgs) -> Result<()> {
    if args.out.exists() {
        bail!("{} exists; give another name, or remove it", args.out.display());
    }
    let opened = Pack::open(&args.pack)?;
    let pack = LocalPack::new(opened.manifest().clone(), |file| opened.path(file));
    let given = Tensor::read_safetensors(&args.inputs).with_context(|| format!("{}", args.inputs.display()))?;
    let device = device::open(&device_settings(args.device.as_deref(), args.threads, Some(&args.convolutions))?)?;
    let kind = if args.double { Kind::Double } else { Kind::Float };
    let mut bench = Bench { config: &pack.config, device, kind, given: given.into_iter().collect(), made: Vec::new() };
    bench.all()?;
    if bench.asked("mapper.w_plus") {
        bench.mapper(args)?;
    }
    if let Some(name) = bench.given.keys().next() {
        bail!(
            "{}: no part takes a tensor {name}; `worker compute --help` lists those that are taken",
            args.inputs.display()
        );
    }
    if bench.made.is_empty() {
        bail!("{} holds nothing to compute with", args.inputs.display());
    }
    Tensor::write_safetensors(&bench.made, &args.out).with_context(|| format!("{}", args.out.display()))
}

struct Bench<'a> {
    config: &'a EngineConfig,
    device: Device,
    kind: Kind,
    given: BTreeMap<String, Tensor>,
    made: Vec<(String, Tensor)>,
}

impl Bench<'_> {
    fn all(&mut self) -> Result<()> {
        let config = self.config;
        if self.asked("generator.w_plus") || self.asked("mapping.z") {
            let generator = self.generator()?;
            self.part("generator", ["w_plus"], "image", |[w_plus]| Ok(generator.synthesize(w_plus)?))?;
            self.part("mapping", ["z"], "w", |[z]| Ok(generator.map(z)?))?;
        }
        if self.asked("encoder.image") {
            let part = config.encoder.as_ref().context("the pack has no encoder")?;
            let encoder = Encoder::load_framed(self.open(&part.weights)?, part.architecture, part.frame)?.0;
            let generator = self.generator()?;
            self.part("encoder", ["image"], "w_plus", |[image]| {
                Ok(encoder.encode_with(image, &|w_plus| generator.synthesize(w_plus))?)
            })?;
        }
        if self.asked("clip.image") || self.asked("text.tokens") {
            let clip = Clip::load(self.open(&config.clip.weights)?, &config.clip.network)?.0;
            self.part("clip", ["image"], "image_features", |[image]| Ok(clip.encode_image(image)?))?;
            self.part("text", ["tokens"], "features", |[tokens]| Ok(clip.encode_text(tokens)?))?;
        }
        if self.asked("identity.image") {
            let part = config.identity.as_ref().context("the pack has no identity network")?;
            let identity = Identity::load(self.open(&part.weights)?, part.architecture, part.input)?.0;
            self.part("identity", ["image"], "features", |[image]| Ok(identity.features(image)?))?;
        }
        if self.asked("perceptual.image") {
            let part = config.perceptual.as_ref().context("the pack has no perceptual network")?;
            let perceptual = Perceptual::load(self.open(&part.weights)?, part.architecture)?.0;
            self.part("perceptual", ["image", "other"], "distance", |[image, other]| {
                Ok(perceptual.distance(image, other)?)
            })?;
        }
        Ok(())
    }

    /// `w + 0.1 M(w)`, or `w + 0.1 M(w, text)`.
    fn mapper(&mut self, args: &ComputeArgs) -> Result<()> {
        let file = args.mapper.as_ref().context("mapper.w_plus is given and no mapper; name its file with --mapper")?;
        if args.double {
            bail!("mappers are computed in single precision; leave --double out, or mapper.w_plus");
        }
        let (method, text) = match &args.text {
            Some(text) => (Method::CfMapper(CfMapper::default()), text.as_str()),
            None => (Method::StyleclipMapper(StyleclipMapper::default()), ""),
        };
        let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
        let engine = Engine::open(self.config, self.device)?;
        let mapper = Mapper::open(&bytes, &engine, &method, text)
            .with_context(|| format!("{} (CF-CLIP's mappers need --text, StyleCLIP's take none)", file.display()))?;
        self.part("mapper", ["w_plus"], "edited", |[w_plus]| Ok(w_plus.f_add(&mapper.change(w_plus)?)?))
    }

    fn asked(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    fn open(&self, weights: &Path) -> Result<Weights> {
        Ok(Weights::open(weights, self.device, self.kind)?)
    }

    fn generator(&self) -> Result<Generator> {
        let part = &self.config.generator;
        Ok(Generator::load(self.open(&part.weights)?, part.settings)?.0)
    }

    /// One network: its output, and the gradients of its inputs where a cotangent is given.
    fn part<const N: usize>(
        &mut self,
        part: &str,
        inputs: [&str; N],
        output: &str,
        compute: impl Fn([&Tensor; N]) -> Result<Tensor>,
    ) -> Result<()> {
        if !self.asked(&format!("{part}.{}", inputs[0])) {
            return Ok(());
        }
        let mut taken = Vec::with_capacity(N);
        for input in inputs {
            let name = format!("{part}.{input}");
            let tensor = self.given.remove(&name).with_context(|| format!("the inputs lack {name}"))?;
            let tensor = tensor.f_to_device(self.device)?;
            taken.push(if tensor.f_kind()? == Kind::Int64 {
                tensor
            } else {
                tensor.f_to_kind(self.kind)?.f_detach()?.f_set_requires_grad(true)?
            });
        }
        let refs: Vec<&Tensor> = taken.iter().collect();
        // As many as there are names.
        let Ok(refs) = <[&Tensor; N]>::try_from(refs) else { return Ok(()) };
        let out = compute(refs).with_context(|| part.to_owned())?;
        let cotangent = self.given.remove(&format!("{part}.cotangent"));
        let free: Vec<(&str, &Tensor)> =
            inputs.into_iter().zip(&taken).filter(|(_, tensor)| tensor.requires_grad()).collect();
        if let (Some(cotangent), false) = (cotangent, free.is_empty()) {
            if cotangent.size() != out.size() {
                bail!("{part}.cotangent has shape {:?}, and {part}.{output} {:?}", cotangent.size(), out.size());
            }
            let cotangent = cotangent.f_to_device(self.device)?.f_to_kind(out.f_kind()?)?;
            let loss = out.f_mul(&cotangent)?.f_sum(out.f_kind()?)?;
            let tensors: Vec<&Tensor> = free.iter().map(|(_, tensor)| *tensor).collect();
            for ((input, _), gradient) in free.iter().zip(Tensor::f_run_backward(&[&loss], &tensors, false, false)?) {
                self.made.push((format!("{part}.{input}.grad"), gradient.f_to_device(Device::Cpu)?.f_contiguous()?));
            }
        }
        self.made.push((format!("{part}.{output}"), out.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?));
        Ok(())
    }
}
