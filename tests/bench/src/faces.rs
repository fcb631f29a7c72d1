//! The faces: drawn, inverted, and for each text those that can show it, with their true counterfactuals and regions.

use crate::plan::{Faces, Text};
use anyhow::{Context as _, Result, bail};
use editing::{Engine, raster};
use image::{DynamicImage, GrayImage, RgbImage};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::path::Path;
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
    /// The faces of a text, inverted.
    ///
    /// # Errors
    /// When a network fails.
    pub fn of(engine: &Engine, drawn: Drawn) -> Result<Self> {
        let (side, device) = (engine.resolution(), engine.device());
        let inside: Vec<f32> = drawn.inside.iter().flatten().map(|inside| f32::from(u8::from(*inside))).collect();
        let region = Tensor::f_from_slice(&inside)?.f_view([-1, 1, side, side])?.f_to_device(device)?;
        let region = region.f_max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)?.f_squeeze_dim(1)?;
        let sources = raster::from_rgb8(&drawn.sources, side, device)?;
        let latents = engine.encode(&sources)?;
        Ok(Self {
            numbers: drawn.numbers,
            truths: raster::from_rgb8(&drawn.truths, side, device)?,
            coloured: drawn.coloured,
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

/// The drawings of the faces of a text.
#[derive(PartialEq, Debug)]
pub struct Drawn {
    numbers: Vec<u64>,
    /// RGB8 rasters.
    sources: Vec<Vec<u8>>,
    truths: Vec<Vec<u8>>,
    /// Where the colour must show; empty for texts without one.
    coloured: Vec<Vec<bool>>,
    /// Where the edit belongs, as drawn.
    inside: Vec<Vec<bool>>,
}

/// The bits of a mask's file.
const COLOURED: u8 = 64;
const INSIDE: u8 = 128;

impl Drawn {
    /// Draws the faces of a text: those that can show it and do not yet, in order, until there are enough.
    ///
    /// # Errors
    /// When the renderer fails, or too few faces can show the text.
    pub fn draw(renderer: &Renderer, faces: &Faces, text: &Text, side: u32) -> Result<Self> {
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
        let numbers = chosen.iter().map(|(number, _)| *number).collect();
        let (sources, truths, coloured, inside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut drawn = Self { numbers, sources, truths, coloured, inside };
        for (_, face) in &chosen {
            drawn.sources.push(renderer.draw(face, side)?);
            drawn.truths.push(renderer.draw(&face.counterfactual(change), side)?);
            let masks = text.may_change().iter().map(|region: &Region| renderer.mask(face, *region, side));
            let masks = masks.collect::<Result<Vec<_>, _>>()?;
            drawn.inside.push((0..masks[0].len()).map(|pixel| masks.iter().any(|mask| mask[pixel])).collect());
            if text.colour().is_some() {
                drawn.coloured.extend(masks.into_iter().next());
            }
        }
        Ok(drawn)
    }

    /// The drawings that a folder keeps, or drawn and kept there now: drawing costs more than measuring.
    ///
    /// # Errors
    /// As [`Drawn::draw`], and when a file cannot be read or written.
    pub fn kept(folder: &Path, renderer: &Renderer, faces: &Faces, text: &Text, side: u32) -> Result<Self> {
        let [sources, truths, masks, numbers] =
            ["sources.png", "truths.png", "masks.png", "numbers.json"].map(|name| folder.join(name));
        if let Ok(bytes) = std::fs::read(&numbers) {
            let (width, column) = (side as usize, |path: &Path| Ok::<_, anyhow::Error>(image::open(path)?));
            let rasters = |path: &Path| -> Result<Vec<Vec<u8>>> {
                Ok(column(path)?.into_rgb8().chunks_exact(width * width * 3).map(<[u8]>::to_vec).collect())
            };
            let bits = column(&masks)?.into_luma8();
            let mask = |bit: u8| -> Vec<Vec<bool>> {
                bits.chunks_exact(width * width).map(|m| m.iter().map(|b| b & bit != 0).collect()).collect()
            };
            return Ok(Self {
                numbers: serde_json::from_slice(&bytes)?,
                sources: rasters(&sources)?,
                truths: rasters(&truths)?,
                coloured: if text.colour().is_some() { mask(COLOURED) } else { Vec::new() },
                inside: mask(INSIDE),
            });
        }
        let drawn = Self::draw(renderer, faces, text, side)?;
        let height = side * drawn.numbers.len() as u32;
        for (path, rasters) in [(&sources, &drawn.sources), (&truths, &drawn.truths)] {
            let column = RgbImage::from_raw(side, height, rasters.concat()).context("rasters fill a picture")?;
            crate::cache::replace(path, &png(&column.into())?)?;
        }
        let coloured = drawn.coloured.iter().flatten().chain(std::iter::repeat(&false));
        let bits = drawn.inside.iter().flatten().zip(coloured);
        let bits = bits.map(|(inside, coloured)| u8::from(*inside) * INSIDE + u8::from(*coloured) * COLOURED);
        let column = GrayImage::from_raw(side, height, bits.collect()).context("masks fill a picture")?;
        crate::cache::replace(&masks, &png(&column.into())?)?;
        // Last, since it says that the pictures are there.
        crate::cache::replace(&numbers, &serde_json::to_vec(&drawn.numbers)?)?;
        Ok(drawn)
    }
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
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

    #[test]
    fn kept_drawings_are_the_drawings() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let plan = crate::plan::Plan::read(&root.join("quality.toml")).unwrap();
        let library = root.join("../..").join(training::faces::DEFAULT_LIBRARY);
        let renderer = Renderer::open(library).expect("the face library is there (make facesjs)");
        let faces = Faces { count: 3, ..plan.faces.clone() };
        for slug in ["green-hair", "glasses"] {
            let text = plan.texts.iter().find(|text| text.slug() == slug).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let kept = || Drawn::kept(folder.path(), &renderer, &faces, text, 32).unwrap();
            let (first, second) = (kept(), kept());
            assert_eq!(first, second);
            assert_eq!(second.coloured.len(), if slug == "glasses" { 0 } else { 3 });
            assert!(second.inside.iter().all(|mask| mask.contains(&true) && mask.contains(&false)));
            assert_ne!(second.sources, second.truths);
        }
    }
}
