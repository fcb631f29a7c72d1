//! The file of a mapper: its folded form, what it was trained for, and the losses of its training.

use super::fold::open_layers;
use super::{Group, LeakyRelu, Linear, Mapper, Shape};
use crate::artifact;
use crate::engine::Engine;
use crate::error::EditError;
use crate::train::Curve;
use domain::Digest;
use domain::edit::MapperNetwork;
use networks::error::LoadError;
use networks::weights::Weights;
use serde::{Deserialize, Serialize};

pub(super) const WHAT: &str = "mapper";
const FORMAT: &str = "mapper/2";
const CURVE: &str = "curve.";

/// What a file says besides its tensors. Unknown fields are left alone: another version says so in `format`.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    format: String,
    shape: Shape,
    /// SHA-256 of the generator's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generator: Option<Digest>,
    /// The terms of the loss, in order; the tensor `curve.<term>` has one value per step.
    curve: Vec<String>,
}

impl Mapper {
    /// The mapper's file: safetensors with the text folded in. Compact: `fuse.<group>.{weight,bias}` `[w_dim, w_dim]` and
    /// `[w_dim]`; published: `fuse.weight` `[w_dim, w_dim]` and `fuse.bias` `[L, w_dim]`; both: `maps.<group>.<layer>`, with
    /// the weights they act with, and the loss curves.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EditError> {
        let mut tensors = Vec::new();
        let mut push = |name: String, layer: &Linear| {
            tensors.push((format!("{name}.weight"), layer.weight.shallow_clone()));
            tensors.push((format!("{name}.bias"), layer.bias.shallow_clone()));
        };
        if let Some(fuse) = &self.fuse {
            push("fuse".to_owned(), fuse);
        }
        for (index, (_, group)) in self.groups.iter().enumerate() {
            let Some(group) = group else { continue };
            if let Some(fuse) = &group.fuse {
                push(format!("fuse.{index}"), fuse);
            }
            group.maps.iter().enumerate().for_each(|(i, layer)| push(format!("maps.{index}.{i}"), layer));
        }
        for (term, values) in self.curve.terms() {
            tensors.push((format!("{CURVE}{term}"), tch::Tensor::f_from_slice(values)?));
        }
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        let curve = self.curve.terms().iter().map(|(term, _)| term.clone()).collect();
        let note = Note { format: FORMAT.to_owned(), shape: self.shape, generator: self.generator, curve };
        let note = serde_json::to_string(&note).map_err(|e| refused(format!("cannot be described: {e}")))?;
        artifact::to_bytes(WHAT, &tensors, Some(note))
    }

    /// Reads a mapper's file for this engine's generator.
    ///
    /// # Errors
    /// When the file is damaged, is no mapper of this version, or was trained for another generator.
    pub fn from_bytes(bytes: &[u8], engine: &Engine) -> Result<Self, EditError> {
        let (mut weights, note) = artifact::from_bytes(WHAT, bytes, engine.device())?;
        let Note { shape, generator, curve, .. } = read_note(note)?;
        fits(&shape, generator.as_ref(), engine)?;
        let fuse = match (shape.network, shape.text_dim) {
            (MapperNetwork::Published, Some(_)) => {
                Some(take(&mut weights, "fuse", shape.w_dim, &[shape.n_latent, shape.w_dim])?)
            }
            _ => None,
        };
        let mut groups = Vec::new();
        for (index, layers, on) in shape.switched() {
            let mut read = |name: String| take(&mut weights, &name, shape.w_dim, &[shape.w_dim]);
            let group = if on {
                let own = shape.network == MapperNetwork::Compact;
                let fuse = own.then(|| read(format!("fuse.{index}"))).transpose()?;
                let maps = (0..=shape.depth).map(|i| read(format!("maps.{index}.{i}"))).collect::<Result<_, _>>()?;
                Some(Group { fuse, maps })
            } else {
                None
            };
            groups.push((layers, group));
        }
        let curve = Curve::take(&mut weights, CURVE, curve)?;
        weights.finish()?;
        let nonlinearity = LeakyRelu::new(shape.network, engine.device())?;
        let open = open_layers(&shape, engine.device())?;
        Ok(Self { shape, fuse, groups, nonlinearity, open, generator, curve })
    }
}

pub(super) fn refused(reason: String) -> EditError {
    EditError::Mapper { reason }
}

fn take(weights: &mut Weights, name: &str, w_dim: i64, bias: &[i64]) -> Result<Linear, LoadError> {
    let weight = weights.take(&format!("{name}.weight"), &[w_dim, w_dim])?;
    Ok(Linear { weight, bias: weights.take(&format!("{name}.bias"), bias)? })
}

fn read_note(note: Option<String>) -> Result<Note, EditError> {
    let Some(note) = note else { return Err(refused("has no note of what it is".to_owned())) };
    let format = serde_json::from_str::<serde_json::Value>(&note).ok();
    let format = format.as_ref().and_then(|note| note.get("format")?.as_str()).unwrap_or(&note);
    if format != FORMAT {
        return Err(refused(format!("is of the version '{format}', and this program reads '{FORMAT}'")));
    }
    serde_json::from_str(&note).map_err(|e| refused(format!("has a damaged note: {e}")))
}

/// Refuses a mapper of another generator: its sizes first, because they say more than a digest.
pub(super) fn fits(shape: &Shape, generator: Option<&Digest>, engine: &Engine) -> Result<(), EditError> {
    let (found, wanted) = ([shape.n_latent, shape.w_dim], [engine.n_latent(), engine.w_dim()]);
    if found != wanted {
        return Err(refused(format!(
            "belongs to another pack: it changes {} latents of {} numbers, and this pack's generator takes {} of {}",
            found[0], found[1], wanted[0], wanted[1]
        )));
    }
    match generator {
        Some(digest) if *digest != engine.generator_digest() => Err(refused(format!(
            "belongs to another pack: it was trained on the generator {digest}, and this pack's is {}",
            engine.generator_digest()
        ))),
        _ => Ok(()),
    }
}
