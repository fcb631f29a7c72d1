//! Mappers that CF-CLIP's and StyleCLIP's own programs trained, as `cfx mapper import` writes them.
//!
//! They are computed as published whatever the edit's numeric mode says: their weights mean nothing in another form. That is
//! PixelNorm across the layers of a group, and CLIP's feature of the bare text as it comes (`mapper/scripts/inference.py`).

use super::file::{self, refused};
use super::{Mapper, Partition, Shape};
use crate::artifact;
use crate::engine::Engine;
use crate::error::EditError;
use domain::edit::{MapperNetwork, Method, PixelNormAxis, ReleasedMapper};
use tch::Tensor;

/// Hidden layers of each of the published networks.
const DEPTH: u32 = 3;

impl Mapper {
    /// The mapper in a file, for this engine's generator, method and text: one that was trained here, or a released one, into which
    /// the text is folded now.
    ///
    /// # Errors
    /// When the file is damaged, is no mapper that this version knows, belongs to another generator or CLIP, or to another method.
    pub fn open(bytes: &[u8], engine: &Engine, method: &Method, text: &str) -> Result<Self, EditError> {
        let mapper = match released(bytes)? {
            Some(note) => Self::from_released(bytes, &note, engine, method, text)?,
            None => Self::from_bytes(bytes, engine)?,
        };
        match (mapper.shape.text_dim.is_some(), method.tells_text()) {
            (true, false) => Err(refused(format!(
                "is told its text, as CF-CLIP's are, and {} tells none; use cf-mapper",
                method.name()
            ))),
            (false, true) => Err(refused(format!(
                "is told no text, as StyleCLIP's are, and {} tells one; use styleclip-mapper",
                method.name()
            ))),
            _ => Ok(mapper),
        }
    }

    fn from_released(
        bytes: &[u8],
        note: &ReleasedMapper,
        engine: &Engine,
        method: &Method,
        text: &str,
    ) -> Result<Self, EditError> {
        if note.format != ReleasedMapper::FORMAT {
            let known = ReleasedMapper::FORMAT;
            return Err(refused(format!("is of the version '{}', and this program reads '{known}'", note.format)));
        }
        let layers = method.guards().layers;
        crate::per_image::open_layers(engine, layers)?;
        let shape = Shape {
            network: MapperNetwork::Published,
            pixel_norm: PixelNormAxis::Layers,
            n_latent: note.n_latent.into(),
            w_dim: note.w_dim.into(),
            text_dim: note.text_dim.map(i64::from),
            depth: DEPTH,
            groups: note.groups,
            layers,
            partition: if note.single { Partition::Whole } else { Partition::Released },
        };
        file::fits(&shape, note.generator.as_ref(), engine)?;
        let (mut weights, _) = artifact::from_bytes(file::WHAT, bytes, engine.device())?;
        let parameters = shape.take(&mut weights, "")?;
        weights.finish()?;
        let told = match shape.text_dim {
            Some(width) => {
                let feature = engine.raw_text_feature(text.trim())?;
                let found = feature.size()[0];
                if found != width {
                    return Err(refused(format!(
                        "is told a text of {width} numbers, and this pack's CLIP gives {found}: it was trained with another CLIP"
                    )));
                }
                feature
            }
            None => Tensor::f_zeros([1], (tch::Kind::Float, engine.device()))?,
        };
        let mapper = tch::no_grad(|| Self::with_text(&shape, &parameters, &told))?;
        Ok(Self { generator: note.generator, ..mapper })
    }
}

/// The note of a released mapper; none for other files.
fn released(bytes: &[u8]) -> Result<Option<ReleasedMapper>, EditError> {
    let Some(note) = artifact::note(file::WHAT, bytes)? else { return Ok(None) };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(&note) else { return Ok(None) };
    let is_one =
        value.get("format").and_then(|format| format.as_str()).is_some_and(|f| f.starts_with("released-mapper/"));
    if !is_one {
        return Ok(None);
    }
    serde_json::from_value(value).map(Some).map_err(|e| refused(format!("has a damaged note: {e}")))
}
