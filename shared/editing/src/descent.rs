//! Gradient descent on the latents of a whole micro-batch at once, each item on its own.
//!
//! The items share passes through the networks and nothing else. An item leaves the batch when it is cancelled, when its
//! loss is not finite, or when it no longer improves; the others go on as if it had never been there.

use crate::adam::Adam;
use crate::control::{Control, Directive};
use crate::error::{EditError, Stop};
use domain::edit::EarlyStop;
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

/// Moves each latent of `start` `[B, L, w_dim]` down its own loss. `ids` are the caller's names of the items, for
/// cancelling; the results are in the order of `start`.
///
/// # Errors
/// When the batch as a whole cannot be computed (no memory, wrong shapes). A fault of one item is that item's result.
pub fn descend(
    start: &Tensor,
    ids: &[usize],
    plan: &Plan<'_>,
    losses: &mut Losses<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Descended, Stop>>, EditError> {
    if start.size().len() != 3 || start.size()[0] != ids.len() as i64 {
        let what = format!("latents have shape {:?}, expected [{}, n_latent, w_dim]", start.size(), ids.len());
        return Err(EditError::Input { what });
    }
    let mut ended: Vec<Option<Result<Descended, Stop>>> = ids.iter().map(|_| None).collect();
    let mut curves = vec![Curve::default(); ids.len()];
    let mut rows: Vec<usize> = (0..ids.len()).collect();
    let mut latents = start.f_detach()?;
    let mut adam = Adam::new(&[latents.shallow_clone()])?;
    for step in 0..plan.steps {
        if control.before_step(step, plan.steps) == Directive::Yield {
            rows.iter().for_each(|&row| ended[row] = Some(Err(Stop::Yielded)));
            rows.clear();
        }
        let wanted = keep(&rows, |row| !control.is_cancelled(ids[row]));
        rows.iter().filter(|row| !wanted.contains(row)).for_each(|&row| ended[row] = Some(Err(Stop::Cancelled)));
        shrink(&mut latents, &mut adam, &mut rows, wanted)?;
        if rows.is_empty() {
            break;
        }
        let variable = latents.f_detach()?.f_set_requires_grad(true)?;
        let loss = losses(step, &rows, &variable)?;
        let gradient = Tensor::f_run_backward(&[&loss.f_sum(None)?], &[&variable], false, false)?;
        let values: Vec<f64> = to_host(&loss)?;
        let mut going = Vec::with_capacity(rows.len());
        for (place, (&row, &value)) in rows.iter().zip(&values).enumerate() {
            if !value.is_finite() {
                ended[row] = Some(Err(EditError::NonFinite { what: "the loss", step }.into()));
            } else if curves[row].push(value, plan.early_stop) {
                let latent = latents.f_get(place as i64)?;
                ended[row] = Some(finished(latent, &mut curves[row], step)?);
            } else {
                going.push(row);
            }
        }
        latents = remove_first(adam.step(&[latents], &gradient, (plan.rate)(step))?);
        shrink(&mut latents, &mut adam, &mut rows, going)?;
    }
    for (place, &row) in rows.iter().enumerate() {
        ended[row] = Some(finished(latents.f_get(place as i64)?, &mut curves[row], plan.steps)?);
    }
    let lost = || Err(EditError::Input { what: "an item left the batch without a result".to_owned() }.into());
    Ok(ended.into_iter().map(|end| end.unwrap_or_else(lost)).collect())
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

fn finished(latent: Tensor, curve: &mut Curve, steps: u32) -> Result<Result<Descended, Stop>, EditError> {
    if latent.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Ok(Err(EditError::NonFinite { what: "the latent", step: steps.saturating_sub(1) }.into()));
    }
    Ok(Ok(Descended { latent: latent.f_detach_copy()?, loss: std::mem::take(&mut curve.losses), steps }))
}

fn keep(rows: &[usize], wanted: impl FnMut(usize) -> bool) -> Vec<usize> {
    let mut wanted = wanted;
    rows.iter().copied().filter(|&row| wanted(row)).collect()
}

/// Drops the rows that are not in `going` from the latents and from Adam's moments.
fn shrink(latents: &mut Tensor, adam: &mut Adam, rows: &mut Vec<usize>, going: Vec<usize>) -> Result<(), EditError> {
    if going.len() < rows.len() {
        let places: Vec<i64> =
            (0_i64..).zip(rows.iter()).filter(|(_, row)| going.contains(row)).map(|(i, _)| i).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(latents.device())?;
        *latents = latents.f_index_select(0, &places)?;
        adam.keep_rows(&places)?;
        *rows = going;
    }
    Ok(())
}

fn to_host(losses: &Tensor) -> Result<Vec<f64>, EditError> {
    let losses = losses.f_detach()?.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?;
    Ok(Vec::try_from(losses)?)
}

fn remove_first(mut tensors: Vec<Tensor>) -> Tensor {
    tensors.swap_remove(0)
}
