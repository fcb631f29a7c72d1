//! `optimise`: NVIDIA's projector (stylegan2-ada-pytorch, projector.py), in W or W+.
//!
//! Differences from the published code: noise is regularised and normalised per item; an item's random numbers come from the
//! projection's seed alone, so they do not depend on the batch; in W+ each layer has latent noise of its own (as in
//! rosinality's projector); pixels can be compared besides the perceptual network, or in its place.

use super::Inverted;
use super::fit::{Target, pixels, places};
use super::noise::{autocorrelation, normalise};
use crate::control::Control;
use crate::descent::{Begun, Landscape, Plan, Settled, descend_all};
use crate::draw::Own;
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use crate::rng::{RngKey, normals};
use crate::schedule::{projector_noise, projector_rate};
use domain::Digest;
use domain::inversion::{LatentSpace, Projection};
use networks::Generator;
use tch::{Device, Kind, Tensor};

/// Samples of the mean latent, and how many are mapped at once.
const SAMPLES: (usize, usize) = (10_000, 1_000);

/// Projects images `[B, 3, R, R]` onto the generator.
pub(super) fn project(
    engine: &Engine,
    projection: &Projection,
    images: &Tensor,
    ids: &[usize],
    begun: Begun<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Inverted, Stop>>, EditError> {
    let target =
        if projection.perceptual_weight > 0.0 { Target::new(engine, images)? } else { Target::of_pixels(images) };
    if projection.pixel_weight == 0.0 && !target.is_perceptual() {
        let what =
            "has no perceptual network, so the inversion 'optimise' must compare pixels: set pixel_weight above 0";
        return Err(EditError::Pack { what: what.to_owned() });
    }
    let generator = engine.generator();
    let Cloud { mean, deviation } = Cloud::of(generator, projection.seed)?;
    let layers = match projection.space {
        LatentSpace::W => 1,
        LatentSpace::WPlus => generator.n_latent(),
    };
    let count = ids.len() as i64;
    let mut start = vec![mean.f_view([1, 1, -1])?.f_repeat([count, layers, 1])?];
    if projection.optimise_noise {
        let key = key("inversion/noise", projection.seed);
        for (layer, shape) in (0_u64..).zip(generator.noise_shapes()) {
            start.push(standard_normal(&key, layer, &shape, engine.device())?.f_repeat([count, 1, 1, 1])?);
        }
    }
    let mut landscape =
        Projector { generator, projection, target, deviation, layers, key: key("inversion/latent", projection.seed) };
    let rate = |step| projection.learning_rate * projector_rate(step, projection.steps);
    let plan = Plan { steps: projection.steps, rate: &rate, early_stop: None };
    let ends = descend_all(&start, ids, begun, &plan, &mut landscape, control)?;
    Ok(ends.into_iter().map(|end| end.and_then(|end| landscape.inverted(end).map_err(Stop::Failed))).collect())
}

/// Where w lies: the mean of mapped samples, and one scalar deviation (the root of the mean squared distance), as NVIDIA's.
struct Cloud {
    /// `[w_dim]`
    mean: Tensor,
    deviation: f64,
}

impl Cloud {
    /// From 10,000 samples of z.
    fn of(generator: &Generator, seed: u64) -> Result<Self, EditError> {
        let key = key("inversion/mean", seed);
        let (samples, part) = SAMPLES;
        tch::no_grad(|| {
            let mut mapped = Vec::new();
            for number in 0..samples / part {
                let shape = [part as i64, generator.w_dim()];
                mapped.push(generator.map(&standard_normal(&key, number as u64, &shape, generator.device())?)?);
            }
            let w = Tensor::f_cat(&mapped, 0)?.f_to_kind(Kind::Double)?;
            let mean = w.f_mean_dim([0_i64].as_slice(), false, None)?;
            let spread = w.f_sub(&mean)?.f_square()?.f_sum(None)?.f_double_value(&[])?;
            Ok(Self { mean: mean.f_to_kind(Kind::Float)?, deviation: (spread / samples as f64).sqrt() })
        })
    }
}

/// Random numbers that are the same for every image: an item's own digest is not needed for its independence.
pub(super) fn key(purpose: &str, seed: u64) -> RngKey {
    let none = Digest::of(b"");
    RngKey::new(purpose, &none, &none, seed)
}

pub(super) fn standard_normal(key: &RngKey, stream: u64, shape: &[i64], device: Device) -> Result<Tensor, EditError> {
    // Safe to narrow: a number of elements in memory.
    let drawn = normals(&mut key.at(stream), shape.iter().product::<i64>() as usize);
    Ok(Tensor::f_from_slice(&drawn)?.f_view(shape)?.f_to_device(device)?)
}

struct Projector<'a> {
    generator: &'a Generator,
    projection: &'a Projection,
    target: Target<'a>,
    /// Of w.
    deviation: f64,
    /// Latents an item has: 1 in W.
    layers: i64,
    key: RngKey,
}

impl Projector<'_> {
    /// Latents `[B, 1 or L, w_dim]` as `[B, L, w_dim]`.
    fn w_plus(&self, latents: &Tensor) -> Result<Tensor, EditError> {
        Ok(latents.f_expand([latents.size()[0], self.generator.n_latent(), self.generator.w_dim()], false)?)
    }

    fn inverted(&self, mut settled: Settled) -> Result<Inverted, EditError> {
        let latent = settled.values.remove(0);
        let latent = self.w_plus(&latent.f_unsqueeze(0)?)?.f_squeeze_dim(0)?.f_contiguous()?;
        let maps = settled.values.iter().map(|map| map.f_unsqueeze(0)?.f_to_kind(Kind::Half));
        let noise = maps.collect::<Result<Vec<_>, _>>()?;
        let own = Own { noise: (!noise.is_empty()).then_some(noise), delta: None };
        Ok(Inverted { latent, own, rounding: None, loss: settled.loss, steps: settled.steps })
    }
}

impl Landscape for Projector<'_> {
    fn losses(&mut self, step: u32, rows: &[usize], values: &[Tensor]) -> Result<Tensor, EditError> {
        let (latents, noise) = (&values[0], &values[1..]);
        let Projection { steps, latent_noise, perceptual_weight, pixel_weight, noise_weight, .. } = *self.projection;
        let shake = self.deviation * latent_noise * projector_noise(step, steps);
        let w_plus = if shake > 0.0 {
            let shape = [1, self.layers, self.generator.w_dim()];
            let shaken = standard_normal(&self.key, u64::from(step), &shape, latents.device())?;
            self.w_plus(&latents.f_add(&shaken.f_multiply_scalar(shake)?)?)?
        } else {
            self.w_plus(latents)?
        };
        let drawn = if noise.is_empty() {
            self.generator.synthesize(&w_plus)?
        } else {
            self.generator.synthesize_with(&w_plus, noise, None)?
        };
        let places = places(rows, latents.device())?;
        let mut total = pixels(&self.target.difference(&drawn, &places)?)?.f_multiply_scalar(pixel_weight)?;
        if let Some(distance) = self.target.perceptual(&drawn, &places)? {
            total = total.f_add(&distance.f_multiply_scalar(perceptual_weight)?)?;
        }
        for map in noise {
            total = total.f_add(&autocorrelation(map)?.f_multiply_scalar(noise_weight)?)?;
        }
        Ok(total)
    }

    fn constrain(&self, mut values: Vec<Tensor>) -> Result<Vec<Tensor>, EditError> {
        for map in &mut values[1..] {
            *map = normalise(map)?;
        }
        Ok(values)
    }
}
