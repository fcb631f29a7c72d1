//! The smallest change that reaches the target: per image, a scan of the edit's strength and then a bisection, read by the
//! judge.
//!
//! The judge is never optimised against, but here it does choose; an acceptance by another network (the second CLIP) stays
//! independent of it.

use crate::engine::Engine;
use crate::error::EditError;
use crate::score::{self, Goal};
use domain::edit::StrengthSearch;
use tch::{Kind, Tensor};

/// What was found for one image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Found {
    /// The factor on the edit's change, at most the ceiling.
    pub strength: f64,
    /// Whether the target is reached there; if not, `strength` is the scan's at which the judge is surest of the target.
    pub reached: bool,
}

/// Finds a strength per item, in `(0, ceiling]`. `show` draws the items at given strengths, `[B, 3, R, R]` as their files will
/// show them. The scan finds the first of its strengths that reaches the target, and the bisection what is enough below it.
///
/// # Errors
/// When the pack has no judge, the judge does not know the goal, or memory runs out.
pub fn smallest(
    engine: &Engine,
    goal: &Goal,
    search: &StrengthSearch,
    ceilings: &[f64],
    show: &mut dyn FnMut(&[f64]) -> Result<Tensor, EditError>,
) -> Result<Vec<Found>, EditError> {
    let mut sure_of = |strengths: &[f64]| -> Result<Vec<f64>, EditError> {
        let readings = score::read(engine, &show(strengths)?)?.ok_or_else(|| EditError::Pack {
            what: "has no judge, which a strength search needs; leave strength_search out".to_owned(),
        })?;
        let probability = |reading: &score::Reading| reading.probability(&goal.head, &goal.class);
        readings.iter().map(|reading| probability(reading).ok_or_else(|| unknown(goal))).collect()
    };
    let mut found: Vec<_> = ceilings.iter().map(|&strength| Found { strength, reached: false }).collect();
    let mut low = vec![0.0; ceilings.len()];
    let mut surest = vec![f64::NEG_INFINITY; ceilings.len()];
    for tried in 1..=search.scan {
        if found.iter().all(|found| found.reached) {
            break;
        }
        let part = f64::from(tried) / f64::from(search.scan);
        let strengths: Vec<_> = ceilings.iter().map(|ceiling| part * ceiling).collect();
        for (place, sure) in sure_of(&strengths)?.into_iter().enumerate() {
            match (found[place].reached, sure >= search.probability) {
                (true, _) => {}
                (false, true) => found[place] = Found { strength: strengths[place], reached: true },
                (false, false) => {
                    low[place] = strengths[place];
                    // An edit driven to the ceiling in vain is far from the image; where it came nearest is the better answer.
                    if sure > surest[place] {
                        surest[place] = sure;
                        found[place].strength = strengths[place];
                    }
                }
            }
        }
    }
    for _ in 0..search.halvings {
        let middle: Vec<_> = found.iter().zip(&low).map(|(found, low)| 0.5 * (found.strength + low)).collect();
        for (place, sure) in sure_of(&middle)?.into_iter().enumerate() {
            match (found[place].reached, sure >= search.probability) {
                (false, _) => {}
                (true, true) => found[place].strength = middle[place],
                (true, false) => low[place] = middle[place],
            }
        }
    }
    Ok(found)
}

fn unknown(goal: &Goal) -> EditError {
    EditError::Pack { what: format!("has a judge that knows no class '{}' of '{}'", goal.class, goal.head) }
}

/// `source + strength * (edited - source)` of latents `[B, L, w_dim]`, one strength per item.
///
/// # Errors
/// When libtorch fails.
pub fn at_strengths(source: &Tensor, edited: &Tensor, strengths: &[f64]) -> Result<Tensor, EditError> {
    let factors = Tensor::f_from_slice(strengths)?.f_to_kind(Kind::Float)?.f_to_device(source.device())?;
    let factors = factors.f_view([-1, 1, 1])?;
    tch::no_grad(|| Ok(source.f_add(&edited.f_sub(source)?.f_mul(&factors)?)?))
}
