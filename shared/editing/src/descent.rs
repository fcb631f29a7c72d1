//! Gradient descent on the latents of a whole micro-batch at once, or on any tensors with a row per item, each item on
//! its own.
//!
//! The items share passes through the networks and nothing else. An item leaves the batch when it is cancelled, when its
//! loss is not finite, or when it no longer improves; the others go on as if it had never been there.
//!
//! A descent that yields leaves a [`Checkpoint`] per item, from which another one goes on, with other batch-mates if need be.

mod checkpoint;

pub use checkpoint::{Checkpoint, Earlier};

use crate::adam::Adam;
use crate::control::{Control, Directive};
use crate::error::{EditError, Stop};
use domain::edit::EarlyStop;
use std::collections::BTreeMap;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// The course of a descent.
pub struct Plan<'a> {
    /// Most steps an item takes.
    pub steps: u32,
    /// Adam's rate at a step, from 0.
    pub rate: &'a dyn Fn(u32) -> f64,
    /// When an item stops early.
    pub early_stop: Option<&'a EarlyStop>,
}

/// Where an item ended.
#[derive(Debug)]
pub struct Descended {
    /// The latent `[L, w_dim]`.
    pub latent: Tensor,
    /// The loss before each step.
    pub loss: Vec<f64>,
    /// Steps taken.
    pub steps: u32,
}

/// What `descend` is given: the step, the places of the items still in the batch (`rows`, indices into the start), and
/// their latents `[rows, L, w_dim]`. It returns their losses `[rows]`, connected to the latents by gradients.
pub type Losses<'a> = dyn FnMut(u32, &[usize], &Tensor) -> Result<Tensor, EditError> + 'a;

/// Where an item of [`descend_all`] ended.
#[derive(Debug)]
pub struct Settled {
    /// The item's row of each tensor.
    pub values: Vec<Tensor>,
    /// The loss before each step.
    pub loss: Vec<f64>,
    /// Steps taken.
    pub steps: u32,
}

/// What [`descend_all`] goes down.
pub trait Landscape {
    /// The losses `[rows]` of the values, each `[rows, ...]` in the order of the start and connected to the losses by
    /// gradients. `rows` are the places of the items still in the batch, indices into the start.
    ///
    /// # Errors
    /// When the batch as a whole cannot be computed.
    fn losses(&mut self, step: u32, rows: &[usize], values: &[Tensor]) -> Result<Tensor, EditError>;

    /// Whether the item at `row` is where it should be; asked after its loss is known, and if so it takes no more steps.
    fn arrived(&self, row: usize) -> bool {
        let _ = row;
        false
    }

    /// Brings the values back to where they may be, after a step. Row by row, or items would depend on each other.
    ///
    /// # Errors
    /// When libtorch fails.
    fn constrain(&self, values: Vec<Tensor>) -> Result<Vec<Tensor>, EditError> {
        Ok(values)
    }
}

/// Where items go on, in the order of the start: those with a checkpoint from there, the others from the start. Empty: all from the
/// start.
pub type Begun<'a> = &'a [Option<Rc<Checkpoint>>];

/// Moves each latent of `start` `[B, L, w_dim]` down its own loss. `ids` are the caller's names of the items, for
/// cancelling; the results are in the order of `start`.
///
/// # Errors
/// When the batch as a whole cannot be computed (no memory, wrong shapes). A fault of one item is that item's result.
pub fn descend(
    start: &Tensor,
    ids: &[usize],
    begun: Begun<'_>,
    plan: &Plan<'_>,
    losses: &mut Losses<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Descended, Stop>>, EditError> {
    struct OfLatents<'l, 'c>(&'l mut Losses<'c>);
    impl Landscape for OfLatents<'_, '_> {
        fn losses(&mut self, step: u32, rows: &[usize], values: &[Tensor]) -> Result<Tensor, EditError> {
            (self.0)(step, rows, &values[0])
        }
    }
    if start.size().len() != 3 {
        let what = format!("latents have shape {:?}, expected [{}, n_latent, w_dim]", start.size(), ids.len());
        return Err(EditError::Input { what });
    }
    let settled = descend_all(&[start.shallow_clone()], ids, begun, plan, &mut OfLatents(losses), control)?;
    let latent = |mut settled: Settled| Descended {
        latent: settled.values.swap_remove(0),
        loss: settled.loss,
        steps: settled.steps,
    };
    Ok(settled.into_iter().map(|end| end.map(latent)).collect())
}

/// Moves each item's rows of the tensors of `start`, `[B, ...]` each, down its own loss, as [`descend`].
///
/// # Errors
/// As [`descend`].
pub fn descend_all(
    start: &[Tensor],
    ids: &[usize],
    begun: Begun<'_>,
    plan: &Plan<'_>,
    landscape: &mut dyn Landscape,
    control: &mut dyn Control,
) -> Result<Vec<Result<Settled, Stop>>, EditError> {
    if start.is_empty() || start.iter().any(|tensor| tensor.size().first() != Some(&(ids.len() as i64))) {
        let shapes: Vec<_> = start.iter().map(Tensor::size).collect();
        let what = format!("a descent starts from shapes {shapes:?}, expected one row for each of {} items", ids.len());
        return Err(EditError::Input { what });
    }
    let mut course =
        Course { ids, plan, ended: ids.iter().map(|_| None).collect(), curves: vec![Curve::default(); ids.len()] };
    // Items at the same step share their passes, and Adam's corrections.
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let begun: Vec<_> = (0..ids.len()).map(|row| begun_at(start, row, begun, plan.steps)).collect();
    for (row, begun) in begun.iter().enumerate() {
        groups.entry(begun.map_or(0, |checkpoint| checkpoint.step)).or_default().push(row);
    }
    for (step, rows) in groups {
        let (values, adam) = begin(start, &rows, &begun, step)?;
        for &row in &rows {
            let losses = begun[row].map_or(&[][..], |checkpoint| &checkpoint.loss);
            for &loss in losses {
                // It did not stop there, or there would be no checkpoint.
                let _stop = course.curves[row].push(loss, plan.early_stop);
            }
        }
        course.run(Group { step, rows, values, adam }, landscape, control)?;
    }
    let lost = || Err(EditError::Input { what: "an item left the batch without a result".to_owned() }.into());
    Ok(course.ended.into_iter().map(|end| end.unwrap_or_else(lost)).collect())
}

/// The checkpoint of an item, if it has one that fits.
fn begun_at<'a>(start: &[Tensor], row: usize, begun: Begun<'a>, steps: u32) -> Option<&'a Checkpoint> {
    let checkpoint = begun.get(row)?.as_deref()?;
    if checkpoint.fits(start, steps) {
        return Some(checkpoint);
    }
    // It can only be from another version: time is lost, and nothing else.
    tracing::warn!(step = checkpoint.step, "a checkpoint does not fit its item; starting again");
    None
}

/// The values and moments of `rows` at `step`.
fn begin(
    start: &[Tensor],
    rows: &[usize],
    begun: &[Option<&Checkpoint>],
    step: u32,
) -> Result<(Vec<Tensor>, Adam), EditError> {
    // Safe to narrow: items of a batch.
    let places: Vec<_> = rows.iter().map(|&row| row as i64).collect();
    let places = Tensor::f_from_slice(&places)?.f_to_device(start[0].device())?;
    let fresh =
        start.iter().map(|tensor| tensor.f_detach()?.f_index_select(0, &places)).collect::<Result<Vec<_>, _>>()?;
    let mut adam = Adam::new(&fresh)?;
    let checkpoints: Vec<&Checkpoint> = rows.iter().filter_map(|&row| begun[row]).collect();
    if checkpoints.len() < rows.len() {
        // Items that have not begun and those stopped before their first step: both are at the start.
        return Ok((fresh, adam));
    }
    let stacked = |list: fn(&Checkpoint) -> &[Tensor]| {
        let of = |index: usize| {
            let rows: Vec<_> = checkpoints.iter().map(|checkpoint| &list(checkpoint)[index]).collect();
            Tensor::f_stack(&rows, 0)?.f_to_device(start[0].device())
        };
        (0..start.len()).map(of).collect::<Result<Vec<_>, _>>()
    };
    (adam.first, adam.second, adam.steps) = (stacked(|c| &c.first)?, stacked(|c| &c.second)?, step);
    Ok((stacked(|c| &c.values)?, adam))
}

/// A descent of a whole batch.
struct Course<'a> {
    ids: &'a [usize],
    plan: &'a Plan<'a>,
    ended: Vec<Option<Result<Settled, Stop>>>,
    curves: Vec<Curve>,
}

/// Items at one step.
struct Group {
    step: u32,
    rows: Vec<usize>,
    values: Vec<Tensor>,
    adam: Adam,
}

impl Course<'_> {
    /// Runs a group to its end.
    fn run(&mut self, group: Group, landscape: &mut dyn Landscape, control: &mut dyn Control) -> Result<(), EditError> {
        let Group { step: first, mut rows, mut values, mut adam } = group;
        let Self { ids, plan, ended, curves } = self;
        for step in first..plan.steps {
            if control.before_step(step, plan.steps) == Directive::Yield {
                for (place, &row) in rows.iter().enumerate() {
                    let checkpoint = match step {
                        0 => None,
                        _ => Some(Rc::new(halted(step, plan.steps, place, &values, &adam, &curves[row])?)),
                    };
                    ended[row] = Some(Err(Stop::Yielded(checkpoint)));
                }
                rows.clear();
            }
            let wanted = keep(&rows, |row| !control.is_cancelled(ids[row]));
            rows.iter().filter(|row| !wanted.contains(row)).for_each(|&row| ended[row] = Some(Err(Stop::Cancelled)));
            shrink(&mut values, &mut adam, &mut rows, wanted)?;
            if rows.is_empty() {
                break;
            }
            let variables = values
                .iter()
                .map(|value| value.f_detach()?.f_set_requires_grad(true))
                .collect::<Result<Vec<_>, _>>()?;
            let loss = landscape.losses(step, &rows, &variables)?;
            let gradients = Tensor::f_run_backward(&[&loss.f_sum(None)?], &variables, false, false)?;
            let mut going = Vec::with_capacity(rows.len());
            for (place, (&row, &value)) in rows.iter().zip(&to_host(&loss)?).enumerate() {
                if !value.is_finite() {
                    ended[row] = Some(Err(EditError::NonFinite { what: "the loss", step }.into()));
                } else if curves[row].push(value, plan.early_stop) || landscape.arrived(row) {
                    ended[row] = Some(finished(&values, place, &mut curves[row], step)?);
                } else {
                    going.push(row);
                }
            }
            values = landscape.constrain(adam.step(&values, &gradients, (plan.rate)(step))?)?;
            shrink(&mut values, &mut adam, &mut rows, going)?;
        }
        for (place, &row) in rows.iter().enumerate() {
            ended[row] = Some(finished(&values, place, &mut curves[row], plan.steps)?);
        }
        Ok(())
    }
}

/// The checkpoint of the item at `place`.
fn halted(
    step: u32,
    steps: u32,
    place: usize,
    values: &[Tensor],
    adam: &Adam,
    curve: &Curve,
) -> Result<Checkpoint, EditError> {
    // Safe to narrow: an item of a batch.
    let rows = |list: &[Tensor]| -> Result<Vec<Tensor>, tch::TchError> {
        list.iter().map(|tensor| tensor.f_get(place as i64)?.f_detach_copy()).collect()
    };
    let (values, first, second) = (rows(values)?, rows(&adam.first)?, rows(&adam.second)?);
    Ok(Checkpoint { step, steps, values, first, second, loss: curve.losses.clone(), earlier: None })
}

/// The losses of an item so far, and how long the best of them has stood.
#[derive(Clone, Debug, Default)]
struct Curve {
    losses: Vec<f64>,
    best: Option<f64>,
    stale: u32,
}

impl Curve {
    /// Notes a loss; true if the item should stop.
    fn push(&mut self, loss: f64, rule: Option<&EarlyStop>) -> bool {
        self.losses.push(loss);
        let Some(rule) = rule else { return false };
        if self.best.is_none_or(|best| loss < best - rule.min_delta) {
            (self.best, self.stale) = (Some(loss), 0);
        } else {
            self.stale += 1;
        }
        self.stale >= rule.patience
    }
}

fn finished(
    values: &[Tensor],
    place: usize,
    curve: &mut Curve,
    steps: u32,
) -> Result<Result<Settled, Stop>, EditError> {
    let mut own = Vec::with_capacity(values.len());
    for value in values {
        let value = value.f_get(place as i64)?;
        if value.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Ok(Err(EditError::NonFinite { what: "the result", step: steps.saturating_sub(1) }.into()));
        }
        own.push(value.f_detach_copy()?);
    }
    Ok(Ok(Settled { values: own, loss: std::mem::take(&mut curve.losses), steps }))
}

fn keep(rows: &[usize], wanted: impl FnMut(usize) -> bool) -> Vec<usize> {
    let mut wanted = wanted;
    rows.iter().copied().filter(|&row| wanted(row)).collect()
}

/// Drops the rows that are not in `going` from the values and from Adam's moments.
fn shrink(values: &mut [Tensor], adam: &mut Adam, rows: &mut Vec<usize>, going: Vec<usize>) -> Result<(), EditError> {
    if going.len() < rows.len() {
        let places: Vec<i64> =
            (0_i64..).zip(rows.iter()).filter(|(_, row)| going.contains(row)).map(|(i, _)| i).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(values[0].device())?;
        for value in values {
            *value = value.f_index_select(0, &places)?;
        }
        adam.keep_rows(&places)?;
        *rows = going;
    }
    Ok(())
}

fn to_host(losses: &Tensor) -> Result<Vec<f64>, EditError> {
    let losses = losses.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?;
    Ok(Vec::try_from(losses)?)
}
