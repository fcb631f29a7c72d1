//! The faces: drawn, inverted, and for each text those that can show it, with their true counterfactuals and regions.

use crate::plan::{Faces, Text};
use anyhow::{Result, bail};
use editing::{Engine, raster};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tch::Tensor;
use training::faces::{Distribution, Face, Region, Renderer};

/// Of so many random faces at most are the held-out ones chosen; every text here suits more than a third of them.
const MOST_TRIED: u64 = 10_000;

/// Face `number` of a seed.
pub fn face(seed: u64, number: u64) -> Face {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    Face::random(Distribution::Natural, &mut rng)
}

/// The faces a text is measured on. Everything is in the order of `numbers`.
pub struct HeldOut {
    /// Which faces of the seed.
    pub numbers: Vec<u64>,
    /// The drawings `[N, 3, R, R]` in [-1, 1].
    pub sources: Tensor,
    /// The drawings of the true counterfactuals, `[N, 3, R, R]`.
    pub truths: Tensor,
    /// Where the colour must show, row by row; empty for texts without one.
    pub coloured: Vec<Vec<bool>>,
    /// Where the edit belongs, a pixel wider than drawn, `[N, R, R]`, 1 inside.
    pub region: Tensor,
    /// Latents of the sources by the pack's encoder, `[N, L, w_dim]`.
    pub latents: Tensor,
    /// What those latents render to, on the levels of a byte: what edits are compared with.
    pub before: Tensor,
}

impl HeldOut {
    /// Draws and inverts the faces of a text.
    ///
    /// # Errors
    /// When the renderer or a network fails, or too few faces can show the text.
    pub fn of(engine: &Engine, renderer: &Renderer, faces: &Faces, text: &Text) -> Result<Self> {
        // Safe to narrow: a side in pixels.
        let side = engine.resolution() as u32;
        let change = text.change()?;
        let suits = |face: &Face| {
            let attributes = face.attributes();
            text.only.admits(&attributes) && attributes.get(&text.head) != Some(&text.class)
        };
        let numbered = (0..MOST_TRIED).map(|number| (number, face(faces.seed, number)));
        let chosen: Vec<_> = numbered.filter(|(_, face)| suits(face)).take(faces.count).collect();
        if chosen.len() < faces.count {
            bail!("only {} of {MOST_TRIED} faces can show '{}', {} are wanted", chosen.len(), text.text, faces.count);
        }
        let (mut sources, mut truths) = (Vec::new(), Vec::new());
        let (mut coloured, mut inside) = (Vec::new(), Vec::<f32>::new());
        for (_, face) in &chosen {
            sources.push(renderer.draw(face, side)?);
            truths.push(renderer.draw(&face.counterfactual(change), side)?);
            let masks = text.may_change().iter().map(|region: &Region| renderer.mask(face, *region, side));
            let masks = masks.collect::<Result<Vec<_>, _>>()?;
            if text.colour().is_some() {
                coloured.push(masks[0].clone());
            }
            let pixels = 0..masks[0].len();
            inside.extend(pixels.map(|pixel| f32::from(u8::from(masks.iter().any(|mask| mask[pixel])))));
        }
        let (side, device) = (i64::from(side), engine.device());
        let region = Tensor::f_from_slice(&inside)?.f_view([-1, 1, side, side])?.f_to_device(device)?;
        let region = region.f_max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)?.f_squeeze_dim(1)?;
        let sources = raster::from_rgb8(&sources, side, device)?;
        let latents = engine.encode(&sources)?;
        Ok(Self {
            numbers: chosen.iter().map(|(number, _)| *number).collect(),
            truths: raster::from_rgb8(&truths, side, device)?,
            coloured,
            region,
            before: raster::as_published(&engine.render(&latents)?)?,
            latents,
            sources,
        })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }
}

/// Latents `[N, L, w_dim]` of the faces that mappers are trained on.
///
/// # Errors
/// When the renderer or the encoder fails.
pub fn training_latents(engine: &Engine, renderer: &Renderer, faces: &Faces) -> Result<Tensor> {
    const AT_ONCE: usize = 64;
    // Safe to narrow: a side in pixels.
    let side = engine.resolution() as u32;
    let drawn = (0..faces.training_count as u64).map(|number| renderer.draw(&face(faces.training_seed, number), side));
    let drawn = drawn.collect::<Result<Vec<_>, _>>()?;
    let encode = |part: &[Vec<u8>]| -> Result<Tensor> {
        Ok(engine.encode(&raster::from_rgb8(part, i64::from(side), engine.device())?)?)
    };
    Ok(Tensor::f_cat(&drawn.chunks(AT_ONCE).map(encode).collect::<Result<Vec<_>>>()?, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_depends_on_its_seed_and_number_alone() {
        assert_eq!(face(7, 3), face(7, 3));
        assert_ne!(face(7, 3), face(7, 4));
        assert_ne!(face(7, 3), face(8, 3));
    }
}
