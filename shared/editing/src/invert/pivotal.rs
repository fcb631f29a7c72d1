//! `pivotal`: pivotal tuning (Roich et al. 2021, <https://arxiv.org/abs/2106.05744>) with low-rank changes in place of a copy
//! of the generator.
//!
//! The pivot is the hybrid's latent. Then each convolution's weight gets `u v` (see [`networks::stylegan2::Delta`]), with `u`
//! zero and `v` random at the start (so the first image is the pivot's), moved by Adam at a constant rate on
//! `L2 + perceptual distance` as published, or on the refinement's pixel terms where the pack has no perceptual network.
//!
//! Measured on the demo's first 8 faces (64 px, no perceptual network, 350 steps, mean PSNR of 8-bit images; the pivot has
//! 26.48 dB): rank 1, 2, 4, 8, 16 at rate 0.01 give 29.36, 30.69, 31.87, 32.88, 33.79 dB in files of 25, 42, 75, 141, 271 kB;
//! rank 4 at rate 0.003 gives 30.78 dB. Every entry of every convolution free, at the published rate 3e-4, gives 30.70 dB in
//! 1,430 kB of f16. Rounding the factors to f16 moves the image by a mean square of less than 1e-9 (pixels in [0, 1]), a
//! millionth of the error that is left. (`cargo run -p editing --example inversions -- ranks --rates 0.003,0.01`)

use super::fit::{Target, per_item, pixels, places, pyramid};
use super::hybrid::refine;
use super::optimise::{key, standard_normal};
use super::{Inverted, Stretch};
use crate::control::Control;
use crate::descent::{Begun, Checkpoint, Earlier, Landscape, Plan, descend_all};
use crate::draw::Own;
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use domain::inversion::PivotalTuning;
use networks::Generator;
use networks::stylegan2::{Delta, LowRank};
use std::rc::Rc;
use tch::{Kind, Tensor};

/// What the file of a change of weights costs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rounding {
    /// Bytes of the factors, f16.
    pub bytes: u64,
    /// Mean squared difference, of pixels in [0, 1], between the image drawn with the rounded factors and with the exact ones.
    pub mse: f64,
}

/// Inverts images `[B, 3, R, R]`: pivots together, then one generator after the other.
pub(super) fn tune(
    engine: &Engine,
    tuning: &PivotalTuning,
    images: &Tensor,
    ids: &[usize],
    begun: Begun<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Inverted, Stop>>, EditError> {
    let steps = tuning.pivot.steps + tuning.steps.saturating_mul(ids.len() as u32);
    let mut pivots =
        pivots(engine, tuning, images, ids, begun, &mut Stretch { control, before: 0, steps })?.into_iter();
    let mut ends = Vec::with_capacity(ids.len());
    for (place, &id) in ids.iter().enumerate() {
        // Safe to narrow: items of a batch.
        let before = tuning.pivot.steps + tuning.steps.saturating_mul(place as u32);
        let image = images.f_narrow(0, place as i64, 1)?;
        let tuned = begun.get(place).and_then(Option::as_ref).filter(|checkpoint| checkpoint.earlier.is_some());
        let pivot = match tuned.and_then(|checkpoint| checkpoint.earlier.as_ref()) {
            Some(Earlier { latent, loss, steps }) => {
                Ok(Pivot { latent: latent.f_to_device(engine.device())?, loss: loss.clone(), steps: *steps })
            }
            None => pivots.next().unwrap_or(Err(Stop::Cancelled)),
        };
        ends.push(match pivot {
            Ok(pivot) => {
                let begun = [tuned.cloned()];
                tune_one(engine, tuning, pivot, &image, id, &begun, &mut Stretch { control, before, steps })?
            }
            Err(stop) => Err(stop),
        });
    }
    Ok(ends)
}

/// What the tuning turns around.
struct Pivot {
    /// `[L, w_dim]`
    latent: Tensor,
    loss: Vec<f64>,
    steps: u32,
}

/// The pivots that are not known yet, in order.
fn pivots(
    engine: &Engine,
    tuning: &PivotalTuning,
    images: &Tensor,
    ids: &[usize],
    begun: Begun<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Pivot, Stop>>, EditError> {
    let at = |place: usize| begun.get(place).and_then(Option::as_ref);
    let wanted: Vec<usize> = (0..ids.len()).filter(|&p| at(p).is_none_or(|c| c.earlier.is_none())).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let images = images.f_index_select(0, &places(&wanted, images.device())?)?;
    let own: Vec<usize> = wanted.iter().map(|&place| ids[place]).collect();
    let begun: Vec<_> = wanted.iter().map(|&place| at(place).cloned()).collect();
    let pivots = refine(engine, &tuning.pivot, &images, &own, &begun, control)?;
    let pivot = |found: Inverted| Pivot { latent: found.latent, loss: found.loss, steps: found.steps };
    Ok(pivots.into_iter().map(|found| found.map(pivot)).collect())
}

fn tune_one(
    engine: &Engine,
    tuning: &PivotalTuning,
    pivot: Pivot,
    image: &Tensor,
    id: usize,
    begun: Begun<'_>,
    control: &mut dyn Control,
) -> Result<Result<Inverted, Stop>, EditError> {
    let generator = engine.generator();
    let (names, start) = factors(generator, i64::from(tuning.rank))?;
    let latent = pivot.latent.f_unsqueeze(0)?;
    let target = Target::new(engine, image)?;
    let mut landscape = Tuning { generator, names, latent, target, stop_below: tuning.stop_below, distance: None };
    let rate = |_| tuning.learning_rate;
    let plan = Plan { steps: tuning.steps, rate: &rate, early_stop: None };
    let settled = match descend_all(&start, &[id], begun, &plan, &mut landscape, control)?.pop() {
        Some(Ok(settled)) => settled,
        Some(Err(Stop::Yielded(halted))) => {
            return Ok(Err(Stop::Yielded(Some(with_pivot(halted, &start, plan.steps, pivot)?))));
        }
        Some(Err(stop)) => return Ok(Err(stop)),
        None => return Err(EditError::Input { what: "the tuning of one item has no end".to_owned() }),
    };
    let exact = landscape.delta(&settled.values, None)?;
    let rounded = landscape.delta(&settled.values, Some(Kind::Half))?;
    let rounding = landscape.rounding(&exact, &rounded)?;
    let mut loss = pivot.loss;
    loss.extend(settled.loss);
    let own = Own { noise: None, delta: Some(rounded) };
    let steps = pivot.steps + settled.steps;
    Ok(Ok(Inverted { latent: pivot.latent, own, rounding: Some(rounding), loss, steps }))
}

/// The checkpoint of a tuning, which keeps the pivot; also where it has taken no step yet.
fn with_pivot(
    halted: Option<Rc<Checkpoint>>,
    start: &[Tensor],
    steps: u32,
    pivot: Pivot,
) -> Result<Rc<Checkpoint>, EditError> {
    let Pivot { latent, loss, steps: taken } = pivot;
    let own = start.iter().map(|tensor| tensor.f_get(0)).collect::<Result<Vec<_>, _>>()?;
    let zeros = || own.iter().map(Tensor::f_zeros_like).collect::<Result<Vec<_>, _>>();
    let mut checkpoint = match halted.and_then(Rc::into_inner) {
        Some(checkpoint) => checkpoint,
        None => {
            let (first, second) = (zeros()?, zeros()?);
            Checkpoint { step: 0, steps, values: own, first, second, loss: Vec::new(), earlier: None }
        }
    };
    checkpoint.earlier = Some(Earlier { latent, loss, steps: taken });
    Ok(Rc::new(checkpoint))
}

/// The names of the convolutions, and `u` `[1, out, r]` and `v` `[1, r, in·k·k]` for each, one after the other.
fn factors(generator: &Generator, rank: i64) -> Result<(Vec<String>, Vec<Tensor>), EditError> {
    let key = key("inversion/factors", 0);
    let (mut names, mut start) = (Vec::new(), Vec::new());
    for (number, (name, size)) in (0_u64..).zip(generator.convolutions()) {
        let (rows, columns) = (size[0], size[1..].iter().product::<i64>());
        let rank = rank.min(rows).min(columns);
        start.push(Tensor::f_zeros([1, rows, rank], (Kind::Float, generator.device()))?);
        start.push(standard_normal(&key, number, &[1, rank, columns], generator.device())?);
        names.push(name);
    }
    Ok((names, start))
}

struct Tuning<'a> {
    generator: &'a Generator,
    names: Vec<String>,
    /// The pivot, `[1, L, w_dim]`.
    latent: Tensor,
    target: Target<'a>,
    stop_below: f64,
    /// The perceptual distance at the last step, where the pack has a network for it.
    distance: Option<f64>,
}

impl Tuning<'_> {
    /// The change whose factors are `values`, `[.., out, r]` and `[.., r, in·k·k]` in turn; rounded to `kind` if there is one.
    fn delta(&self, values: &[Tensor], kind: Option<Kind>) -> Result<Delta, EditError> {
        let factor = |value: &Tensor| {
            let size = value.size();
            let value = value.f_view(&size[size.len() - 2..])?;
            kind.map_or(Ok(value.shallow_clone()), |kind| value.f_to_kind(kind))
        };
        let pairs = self.names.iter().zip(values.chunks_exact(2));
        let changes =
            pairs.map(|(name, pair)| Ok((name.clone(), LowRank { u: factor(&pair[0])?, v: factor(&pair[1])? })));
        Ok(Delta(changes.collect::<Result<_, EditError>>()?))
    }

    fn rounding(&self, exact: &Delta, rounded: &Delta) -> Result<Rounding, EditError> {
        let draw = |delta: &Delta| self.generator.with_delta(delta)?.synthesize(&self.latent);
        let (exact, drawn) = tch::no_grad(|| Ok::<_, EditError>((draw(exact)?, draw(rounded)?)))?;
        let mse = drawn.f_sub(&exact)?.f_divide_scalar(2.0)?.f_square()?.f_mean(None)?.f_double_value(&[])?;
        let numbers: usize = rounded.0.values().map(|change| change.u.numel() + change.v.numel()).sum();
        Ok(Rounding { bytes: (numbers * Kind::Half.elt_size_in_bytes()) as u64, mse })
    }
}

impl Landscape for Tuning<'_> {
    fn losses(&mut self, _step: u32, rows: &[usize], values: &[Tensor]) -> Result<Tensor, EditError> {
        let changed = self.generator.with_delta(&self.delta(values, None)?)?;
        let drawn = changed.synthesize(&self.latent)?;
        let places = places(rows, self.latent.device())?;
        let difference = self.target.difference(&drawn, &places)?;
        match self.target.perceptual(&drawn, &places)? {
            Some(distance) => {
                self.distance = Some(distance.f_double_value(&[0])?);
                Ok(per_item(&difference.f_square()?)?.f_add(&distance)?)
            }
            None => Ok(pixels(&difference)?.f_add(&pyramid(&difference)?)?),
        }
    }

    fn arrived(&self, _row: usize) -> bool {
        self.distance.is_some_and(|distance| distance <= self.stop_below)
    }
}
