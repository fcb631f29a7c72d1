//! The losses of a training, step by step and term by term.

use networks::error::LoadError;
use networks::weights::Weights;
use serde_json::{Map, Value, json};
use tch::{Device, TchError, Tensor};

/// One value per step for the total (`loss`, with weights) and for every term (without).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Curve {
    terms: Vec<(String, Vec<f32>)>,
}

impl Curve {
    /// The terms and their values, in a fixed order.
    pub fn terms(&self) -> &[(String, Vec<f32>)] {
        &self.terms
    }

    /// The values of a term; empty if there is none of that name.
    pub fn of(&self, term: &str) -> &[f32] {
        self.terms.iter().find(|(name, _)| name == term).map_or(&[], |(_, values)| values)
    }

    /// Steps noted.
    pub fn len(&self) -> usize {
        self.terms.first().map_or(0, |(_, values)| values.len())
    }

    /// True before the first step.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes a step. All steps of a training have the same terms.
    pub(super) fn push(&mut self, step: &[(&'static str, f32)]) {
        if self.terms.is_empty() {
            self.terms = step.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
        }
        for ((_, values), (_, value)) in self.terms.iter_mut().zip(step) {
            values.push(*value);
        }
    }

    /// The curves as JSON, `{"steps": 2, "loss": [1.5, 1.25], ...}`; a value that is not finite is `null`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut fields = Map::from_iter([("steps".to_owned(), json!(self.len()))]);
        fields.extend(self.terms.iter().map(|(name, values)| (name.clone(), json!(values))));
        Value::Object(fields).to_string().into_bytes()
    }

    /// Takes the curves of these terms out of a file, each name preceded by `prefix`.
    ///
    /// # Errors
    /// Names the tensor that is missing or of another length than the first.
    pub(crate) fn take(weights: &mut Weights, prefix: &str, terms: Vec<String>) -> Result<Self, LoadError> {
        let mut curve = Self::default();
        for term in terms {
            let name = format!("{prefix}{term}");
            let length = match curve.terms.first() {
                Some((_, values)) => values.len() as i64,
                None => weights.dims::<1>(&name)?[0],
            };
            let values = weights.take(&name, &[length])?;
            let values = values.f_to_device(Device::Cpu).and_then(Vec::<f32>::try_from);
            curve.terms.push((term, values.map_err(|e| weights.torch_error(&name, e))?));
        }
        Ok(curve)
    }

    /// The curves as tensors `[steps]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(super) fn tensors(&self) -> Result<Vec<(String, Tensor)>, TchError> {
        self.terms.iter().map(|(name, values)| Ok((name.clone(), Tensor::f_from_slice(values)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_written_with_what_is_not_finite_as_null() {
        let mut curve = Curve::default();
        curve.push(&[("loss", 1.5), ("guide", 1.25)]);
        curve.push(&[("loss", f32::NAN), ("guide", 0.5)]);
        let json: Value = serde_json::from_slice(&curve.to_json()).unwrap();
        assert_eq!(json, json!({ "steps": 2, "loss": [1.5, null], "guide": [1.25, 0.5] }));
        assert_eq!((curve.of("guide"), curve.of("identity"), curve.len()), ([1.25, 0.5].as_slice(), [].as_slice(), 2));
    }
}
