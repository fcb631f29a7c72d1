//! Generators: where in a checkpoint the one lies that is used for sampling, and which program wrote it.

use super::error::{Cause, ImportError};
use super::taking::{Piece, Taking};
use super::{nvidia, rosinality, stylegan3, tensorflow};
use crate::checkpoint::{Checkpoint, Value};
use crate::manifest::{GeneratorArchitecture, StyleGan3Settings};

/// A generator as the pack will have it.
pub(super) struct Generator {
    pub(super) pieces: Vec<Piece>,
    pub(super) architecture: GeneratorArchitecture,
    pub(super) conv_clamp: Option<f64>,
    pub(super) stylegan3: Option<StyleGan3Settings>,
    /// Height and width of its images, px.
    pub(super) resolution: u32,
    pub(super) w_dim: usize,
    /// Latents in W+.
    pub(super) latents: usize,
    /// What wrote the checkpoint.
    pub(super) family: &'static str,
    /// What the import decided, for the manifest.
    pub(super) notes: Vec<String>,
}

/// Where programs keep the averaged generator, best first: rosinality, NVIDIA, e4e and pSp, BasicSR, others. The last is the root.
const PLACES: [&str; 9] = ["g_ema", "G_ema", "state_dict", "params_ema", "generator", "G", "g", "model", ""];

/// Names that tell a layout.
const ROSINALITY: [&str; 2] = ["input.input", "style.1.weight"];
const DECODER: &str = "decoder.input.input";
const NVIDIA_2: &str = "synthesis.b4.const";
const NVIDIA_3: &str = "synthesis.input.freqs";

/// The generator of a checkpoint.
pub(super) fn import(checkpoint: &Checkpoint) -> Result<Generator, ImportError> {
    if let Some(network) = tensorflow::find(checkpoint) {
        return tensorflow::import(checkpoint, network);
    }
    for place in PLACES {
        let value = if place.is_empty() { Some(&checkpoint.root) } else { checkpoint.root.child(place) };
        let Some(value) = value.filter(|value| !matches!(value, Value::None)) else { continue };
        let taking = Taking::of(checkpoint, value)?;
        if taking.contains(DECODER) {
            return rosinality::import(checkpoint, taking.below("decoder."));
        }
        if ROSINALITY.iter().all(|name| taking.contains(name)) {
            return rosinality::import(checkpoint, taking);
        }
        if taking.contains(NVIDIA_2) {
            return nvidia::import(value, taking);
        }
        if taking.contains(NVIDIA_3) {
            return stylegan3::import(value, taking);
        }
    }
    let taking = Taking::of(checkpoint, &checkpoint.root)?;
    let example =
        taking.names().next().map_or_else(|| "no tensors".to_owned(), |name| format!("tensors such as {name}"));
    Err(taking.wrong(Cause::OtherKind {
        found: format!("a checkpoint with {example}"),
        wanted: "a StyleGAN2 or StyleGAN3 generator",
        remedy: "known are rosinality's .pt, NVIDIA's .pkl of stylegan2, stylegan2-ada and stylegan3, and the decoder of e4e, pSp and \
                 ReStyle"
            .to_owned(),
    }))
}
