//! The attribute judge: a small classifier with one head per attribute. It is never optimised against, so its verdict
//! on an edited image is a check and not the target.

use tch::{Device, Kind, TchError, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::layers::{Convolution, Linear};
use crate::shape::{expect, image_side, side_of_square};
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "attribute judge";

/// Layers of `body` per stage in the file's numbering: convolution, batch norm, ReLU, max pool.
const LAYERS_PER_STAGE: usize = 4;

/// One attribute and its classes, in the order of the head's logits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// The attribute, e.g. `hair_color`; the file's parameters are `heads.<name>.weight` and `.bias`.
    pub name: String,
    /// Class names, e.g. `["none", "black", …]`.
    pub classes: Vec<String>,
}

/// What one head says about a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Per image, the index of the most probable class.
    pub classes: Vec<usize>,
    /// Per image, the probability of every class, in the head's order; each row sums to one.
    pub probabilities: Vec<Vec<f32>>,
}

/// A frozen attribute judge. Gradients flow to the images.
#[derive(Debug)]
pub struct Judge {
    image_size: i64,
    device: Device,
    kind: Kind,
    wide: Kind,
    body: Vec<Convolution>,
    fc: Linear,
    heads: Vec<(Head, Linear)>,
}

impl Judge {
    /// Builds the judge from all of the file's tensors; `heads` must name exactly the heads in the file, each with as
    /// many classes as the head has outputs.
    pub fn load(mut weights: Weights, heads: &[Head]) -> Result<(Self, LoadReport), LoadError> {
        let (device, kind, wide) = (weights.device(), weights.kind(), weights.wide_kind());
        let mut body = Vec::new();
        let mut inputs = 3;
        loop {
            let layer = LAYERS_PER_STAGE * body.len();
            // The first stage must exist; after it, the first absent one ends the body.
            if !body.is_empty() && !weights.contains(&format!("body.{layer}.weight")) {
                break;
            }
            let [outputs, ..] = weights.dims::<4>(&format!("body.{layer}.weight"))?;
            let conv = Convolution::take(weights.scope(&format!("body.{layer}")), [outputs, inputs, 3], true, 1, 1)?;
            body.push(conv.fold_batch_norm(weights.scope(&format!("body.{}", layer + 1)))?);
            inputs = outputs;
        }
        let [hidden, flat] = weights.dims("fc.weight")?;
        let side = side_of_square(flat, inputs).ok_or_else(|| {
            let expected = format!("[any, {inputs} × a square number]");
            weights.shape_error("fc.weight", &expected, vec![hidden, flat])
        })?;
        let fc = Linear::take(weights.scope("fc"), flat, hidden)?;
        let heads = heads
            .iter()
            .map(|head| {
                let scope = weights.scope(&format!("heads.{}", head.name));
                Ok((head.clone(), Linear::take(scope, hidden, head.classes.len() as i64)?))
            })
            .collect::<Result<Vec<_>, LoadError>>()?;
        let last = format!("body.{}.weight", LAYERS_PER_STAGE * (body.len() - 1));
        let image_size = image_side(&weights, &last, side, body.len())?;
        let report = weights.finish()?;
        Ok((Judge { image_size, device, kind, wide, body, fc, heads }, report))
    }

    /// Height and width of the images it reads, px.
    pub fn image_size(&self) -> i64 {
        self.image_size
    }

    /// The device the judge computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The heads, in the order of [`Judge::logits`] and [`Judge::predict`].
    pub fn heads(&self) -> impl ExactSizeIterator<Item = &Head> {
        self.heads.iter().map(|(head, _)| head)
    }

    /// Unnormalised scores of images `[B, 3, S, S]`, RGB in [-1, 1]: `[B, classes]` per head.
    pub fn logits(&self, images: &Tensor) -> Result<Vec<Tensor>, NetworkError> {
        let size = Some(self.image_size);
        expect(NETWORK, "images", images, [None, Some(3), size, size])?;
        Ok(self.forward(images)?)
    }

    /// Classes and probabilities of images `[B, 3, S, S]`, per head. Scores that are not finite are an error, since
    /// their largest entry would still name a class.
    pub fn predict(&self, images: &Tensor) -> Result<Vec<Prediction>, NetworkError> {
        let logits = tch::no_grad(|| self.logits(images))?;
        logits.iter().map(prediction).collect()
    }

    fn forward(&self, images: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let mut x = images.f_to_kind(self.kind)?;
        for conv in &self.body {
            x = conv.forward(&x)?.f_relu()?.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?; // [B, C, r/2, r/2]
        }
        let h = self.fc.forward(&x.f_flatten(1, -1)?)?.f_relu()?; // [B, hidden]
        self.heads.iter().map(|(_, head)| head.forward(&h)?.f_to_kind(self.wide)).collect()
    }
}

fn prediction(logits: &Tensor) -> Result<Prediction, NetworkError> {
    crate::error::ensure_finite("judge scores", logits)?;
    let probabilities = logits.f_softmax(-1, Kind::Float)?.f_to_device(Device::Cpu)?;
    let probabilities = Vec::<Vec<f32>>::try_from(&probabilities)?;
    let classes = probabilities.iter().map(|row| most_probable(row)).collect();
    Ok(Prediction { classes, probabilities })
}

/// The first of the largest entries.
fn most_probable(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, &p)| if p > row[best] { i } else { best })
}
