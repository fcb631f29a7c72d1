//! Scores of an edit by networks it was not optimised against, and by arithmetic.
//!
//! Everything is scored on images as their files show them ([`as_published`](crate::raster::as_published)), against the
//! reconstruction (the unedited render): what inversion lost is not the edit's doing.

use crate::engine::{Engine, resized};
use crate::error::EditError;
use networks::judge::{Head, Prediction};
use tch::{Kind, Tensor};

/// What a counterfactual is for, in the judge's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The head that must change, e.g. `hair_color`.
    pub head: String,
    /// The class it must show, e.g. `green`.
    pub class: String,
    /// Heads that follow it in the data and are free to change, e.g. `beard_color`.
    pub tied: Vec<String>,
}

/// The judge's reading of one image: the class of each head, in the judge's order, and how probable each class is.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    /// Head and class.
    pub classes: Vec<(String, String)>,
    /// Per head, every class with its probability.
    probabilities: Vec<Vec<(String, f64)>>,
}

impl Reading {
    /// The class of a head.
    pub fn class(&self, head: &str) -> Option<&str> {
        self.classes.iter().find(|(name, _)| name == head).map(|(_, class)| class.as_str())
    }

    /// The probability of a class of a head, 0 to 1; none if the judge has no such head or class.
    pub fn probability(&self, head: &str, class: &str) -> Option<f64> {
        let head = self.classes.iter().position(|(name, _)| name == head)?;
        self.probabilities.get(head)?.iter().find(|(name, _)| name == class).map(|(_, probability)| *probability)
    }
}

/// The outcome of a goal for one image.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    /// The head shows the class.
    pub success: bool,
    /// Share of the other heads, tied ones left out, that read as before; 0 to 1.
    pub preservation: f64,
}

/// Reads images `[B, 3, R, R]` with the judge; `None` if the pack has no judge.
///
/// # Errors
/// When the shape is wrong, an image is not finite, or memory runs out.
pub fn read(engine: &Engine, images: &Tensor) -> Result<Option<Vec<Reading>>, EditError> {
    let Some(judge) = engine.judge() else { return Ok(None) };
    let predictions = tch::no_grad(|| Ok::<_, EditError>(judge.predict(&resized(images, judge.image_size())?)?))?;
    let heads: Vec<_> = judge.heads().collect();
    let reading = |image: usize| {
        let read = || heads.iter().zip(&predictions);
        let classes = read().map(|(head, p)| (head.name.clone(), head.classes[p.classes[image]].clone())).collect();
        let probable = |(head, p): (&&Head, &Prediction)| {
            head.classes.iter().cloned().zip(p.probabilities[image].iter().map(|&p| f64::from(p))).collect()
        };
        Reading { classes, probabilities: read().map(probable).collect() }
    };
    Ok(Some((0..images.size()[0] as usize).map(reading).collect()))
}

impl Goal {
    /// Whether the goal holds after the edit.
    pub fn outcome(&self, before: &Reading, after: &Reading) -> Outcome {
        let success = after.class(&self.head) == Some(self.class.as_str());
        let free = |name: &String| *name == self.head || self.tied.contains(name);
        let others: Vec<_> = before.classes.iter().filter(|(name, _)| !free(name)).collect();
        let kept = others.iter().filter(|(name, class)| after.class(name) == Some(class)).count();
        let preservation = if others.is_empty() { 1.0 } else { kept as f64 / others.len() as f64 };
        Outcome { success, preservation }
    }
}

/// Cosine of the identity features of `[B, 3, R, R]` pairs, -1 to 1; `None` if the pack has no face recogniser.
///
/// # Errors
/// When the shape is wrong or memory runs out.
pub fn identity(engine: &Engine, before: &Tensor, after: &Tensor) -> Result<Option<Vec<f64>>, EditError> {
    let Some(network) = engine.identity() else { return Ok(None) };
    tch::no_grad(|| {
        let product = network.features(before)?.f_mul(&network.features(after)?)?;
        Ok(Some(to_host(&product.f_sum_dim_intlist([1_i64].as_slice(), false, None)?)?))
    })
}

/// Mean absolute change per image, in levels of 0 to 255, over `[B, 3, R, R]` pairs.
///
/// # Errors
/// When libtorch fails.
pub fn mean_change(before: &Tensor, after: &Tensor) -> Result<Vec<f64>, EditError> {
    let change = level_change(before, after)?;
    to_host(&change.f_mean_dim([1_i64, 2].as_slice(), false, None)?)
}

/// Mean absolute change outside and inside a region, per image, in levels of 0 to 255. `region` `[B, R, R]` is 1 inside
/// and 0 outside; where one of the two is empty its change is `None`.
///
/// # Errors
/// When libtorch fails.
pub fn change_by_region(before: &Tensor, after: &Tensor, region: &Tensor) -> Result<Vec<[Option<f64>; 2]>, EditError> {
    let change = level_change(before, after)?;
    let region = region.f_to_kind(Kind::Float)?.f_to_device(change.device())?;
    let outside = region.f_neg()?.f_add_scalar(1.0)?;
    let mean_over = |part: &Tensor| -> Result<Vec<Option<f64>>, EditError> {
        let over = [1_i64, 2];
        let total = to_host(&change.f_mul(part)?.f_sum_dim_intlist(over.as_slice(), false, None)?)?;
        let size = to_host(&part.f_sum_dim_intlist(over.as_slice(), false, None)?)?;
        Ok(total.into_iter().zip(size).map(|(t, s)| (s > 0.0).then(|| t / s)).collect())
    };
    Ok(mean_over(&outside)?.into_iter().zip(mean_over(&region)?).map(|(o, i)| [o, i]).collect())
}

/// Peak signal-to-noise ratio per image, dB, of `[B, 3, R, R]` pairs in [-1, 1]; equal images give infinity.
///
/// # Errors
/// When libtorch fails.
pub fn psnr(a: &Tensor, b: &Tensor) -> Result<Vec<f64>, EditError> {
    let half = a.f_sub(b)?.f_divide_scalar(2.0)?.f_to_kind(Kind::Double)?;
    let error = to_host(&half.f_square()?.f_mean_dim([1_i64, 2, 3].as_slice(), false, None)?)?;
    Ok(error.into_iter().map(|mse| -10.0 * mse.log10()).collect())
}

/// `|after - before|`, averaged over the colours, in levels: `[B, R, R]`.
fn level_change(before: &Tensor, after: &Tensor) -> Result<Tensor, EditError> {
    let change = after.f_sub(before)?.f_abs()?.f_mean_dim([1_i64].as_slice(), false, None)?;
    Ok(change.f_multiply_scalar(127.5)?)
}

fn to_host(values: &Tensor) -> Result<Vec<f64>, EditError> {
    Ok(Vec::try_from(values.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn reading(classes: &[(&str, &str)]) -> Reading {
        let classes = classes.iter().map(|(h, c)| ((*h).to_owned(), (*c).to_owned())).collect();
        Reading { classes, probabilities: Vec::new() }
    }

    #[test]
    fn tied_heads_are_free_and_the_others_count() {
        let goal = Goal { head: "hair_color".into(), class: "green".into(), tied: vec!["beard_color".into()] };
        let before = reading(&[("hair_color", "brown"), ("beard_color", "brown"), ("skin", "tan"), ("mouth", "open")]);
        let after = reading(&[("hair_color", "green"), ("beard_color", "green"), ("skin", "tan"), ("mouth", "angry")]);
        assert_eq!(goal.outcome(&before, &after), Outcome { success: true, preservation: 0.5 });
        assert!(!goal.outcome(&before, &before).success);
    }

    #[test]
    fn change_is_split_by_region() {
        let before = Tensor::zeros([1, 3, 2, 2], (Kind::Float, Device::Cpu));
        let after = before.copy();
        // The upper row by one level each, the lower left pixel by two.
        let _ = after.narrow(2, 0, 1).fill_(1.0 / 127.5);
        let _ = after.narrow(2, 1, 1).narrow(3, 0, 1).fill_(2.0 / 127.5);
        let region = Tensor::from_slice(&[1_f32, 1.0, 0.0, 0.0]).view([1, 2, 2]);
        let [outside, inside] = change_by_region(&before, &after, &region).unwrap()[0];
        assert!((outside.unwrap() - 1.0).abs() < 1e-6 && (inside.unwrap() - 1.0).abs() < 1e-6);
        assert!((mean_change(&before, &after).unwrap()[0] - 1.0).abs() < 1e-6);
        assert_eq!(change_by_region(&before, &after, &region.ones_like()).unwrap()[0][0], None);
        assert_eq!(psnr(&before, &before).unwrap(), [f64::INFINITY]);
    }
}
