//! From the generator's pixels to CLIP's input.
//!
//! Published methods differ here, and their CLIP scores cannot be compared across the differences, so each way has a
//! name that goes into the record.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::NETWORK;
use crate::error::NetworkError;
use crate::shape::expect;

const INPUT: &str = "pixels before preprocessing";

/// Channel means of CLIP's training images in `[0, 1]`, RGB (OpenAI's `clip.py`).
const MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
/// Channel standard deviations, likewise.
const STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// How an image reaches CLIP's input size. In all of them the shorter side becomes the input size and the longer one is
/// cropped around its centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Exact area resampling: every output pixel is the mean of the input area under it, with fractional weights.
    /// Equals StyleCLIP's nearest ×7 and average pooling, without the 49-fold intermediate image.
    AreaBanded,
    /// Bicubic (a = -0.5) with the filter widened to the reduction, as PIL and today's torchvision do.
    BicubicAntialias,
    /// Bicubic (a = -0.75) that reads four pixels a side however large the reduction: what CF-CLIP and StyleGAN-NADA
    /// computed with the torchvision of their time.
    Bicubic,
    /// None: images must have CLIP's input size already.
    None,
}

/// What range of values CLIP was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// To `[0, 1]`, then minus the mean and by the standard deviation of CLIP's training images.
    ClipMeanStd,
    /// Left in `[-1, 1]`.
    SignedUnit,
}

/// The way from pixels to CLIP, as configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preprocess {
    /// How the size changes.
    pub resize: Resize,
    /// How the values change.
    pub normalise: Normalise,
}

/// [`Preprocess`] made ready for one CLIP: it keeps the resampling matrices and constants it has computed.
#[derive(Debug)]
pub struct Preprocessor {
    config: Preprocess,
    size: i64,
    constants: RefCell<HashMap<Constant, Tensor>>,
}

/// What a cached tensor holds, and where and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Constant {
    values: Values,
    device: Device,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Values {
    /// Area resampling as a matrix `[outputs, inputs]`.
    Area { inputs: i64, outputs: i64 },
    /// `0.5 / STD`, `[1, 3, 1, 1]`.
    Gain,
    /// `(0.5 - MEAN) / STD`, `[1, 3, 1, 1]`.
    Offset,
}

impl Values {
    /// In double precision, on the CPU.
    fn compute(self) -> Result<Tensor, TchError> {
        let per_channel = |value: fn(f64, f64) -> f64| {
            let values: [f64; 3] = std::array::from_fn(|c| value(MEAN[c], STD[c]));
            Tensor::from_slice(&values).f_view([1, 3, 1, 1])
        };
        match self {
            Values::Area { inputs, outputs } => {
                Tensor::from_slice(&area_weights(inputs, outputs)).f_view([outputs, inputs])
            }
            Values::Gain => per_channel(|_, std| 0.5 / std),
            Values::Offset => per_channel(|mean, std| (0.5 - mean) / std),
        }
    }
}

impl Preprocessor {
    /// For a CLIP whose input is `size` × `size` px ([`ClipShape::image_size`](super::ClipShape::image_size)).
    pub fn new(config: Preprocess, size: i64) -> Self {
        Preprocessor { config, size, constants: RefCell::default() }
    }

    /// The configuration this was made from.
    pub fn config(&self) -> Preprocess {
        self.config
    }

    /// `pixels` `[B, 3, H, W]` in `[-1, 1]` -> CLIP's input `[B, 3, size, size]`, with gradients.
    ///
    /// Values are not clamped, neither those outside the range nor bicubic overshoot. The kind is kept: give `Float`,
    /// which every resize supports on every device. Errors: another shape, a size that [`Resize::None`] cannot take,
    /// no memory.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, NetworkError> {
        let resized = self.resize(pixels)?;
        match self.config.normalise {
            Normalise::SignedUnit => Ok(resized),
            Normalise::ClipMeanStd => {
                // ((x + 1) / 2 - mean) / std in one multiplication and one addition. Resampling weights sum to one, so
                // it does not matter that OpenAI goes to [0, 1] before the resize and this after it.
                let gain = self.constant(Values::Gain, &resized)?;
                let offset = self.constant(Values::Offset, &resized)?;
                Ok(resized.f_mul(&gain)?.f_add(&offset)?)
            }
        }
    }

    fn resize(&self, pixels: &Tensor) -> Result<Tensor, NetworkError> {
        let size = self.size;
        let [_, _, h, w] = expect(NETWORK, INPUT, pixels, [None, Some(3), None, None])?;
        if h == size && w == size {
            return Ok(pixels.shallow_clone());
        }
        let target = [resized_side(h, h.min(w), size), resized_side(w, h.min(w), size)];
        let resized = match self.config.resize {
            Resize::None => {
                let expected = format!("[B, 3, {size}, {size}], because resize is `none`");
                return Err(NetworkError::Shape { network: NETWORK, input: INPUT, expected, found: pixels.size() });
            }
            Resize::AreaBanded => {
                let rows = self.constant(Values::Area { inputs: h, outputs: target[0] }, pixels)?;
                let columns = self.constant(Values::Area { inputs: w, outputs: target[1] }, pixels)?;
                rows.f_matmul(&pixels.f_matmul(&columns.f_transpose(0, 1)?)?)?
            }
            Resize::BicubicAntialias => pixels.f_internal_upsample_bicubic2d_aa(target, false, None, None)?,
            Resize::Bicubic => pixels.f_upsample_bicubic2d(target, false, None, None)?,
        };
        let (top, left) = (crop_start(target[0], size), crop_start(target[1], size));
        Ok(resized.f_narrow(2, top, size)?.f_narrow(3, left, size)?)
    }

    /// The constant on the device and in the kind of `like`, computed at the first call.
    fn constant(&self, values: Values, like: &Tensor) -> Result<Tensor, TchError> {
        let key = Constant { values, device: like.device(), kind: like.f_kind()? };
        if let Some(found) = self.constants.borrow().get(&key) {
            return Ok(found.shallow_clone());
        }
        let made = tch::no_grad(|| values.compute()?.f_to_kind(key.kind)?.f_to_device(key.device))?;
        self.constants.borrow_mut().insert(key, made.shallow_clone());
        Ok(made)
    }
}

/// The length of a side of `side` px when the shorter side, `shorter` px, becomes `size` (torchvision rounds down).
fn resized_side(side: i64, shorter: i64, size: i64) -> i64 {
    if side == shorter { size } else { side * size / shorter }
}

/// Where a centre crop of `size` begins (torchvision rounds halves to even).
fn crop_start(side: i64, size: i64) -> i64 {
    ((side - size) as f64 / 2.0).round_ties_even() as i64
}

/// Row-major `[outputs, inputs]`: how much of output `o`'s area, `[o, o+1) · inputs/outputs`, lies in input `i`.
///
/// The overlaps are counted in `1/outputs` of an input pixel, so they are exact integers.
fn area_weights(inputs: i64, outputs: i64) -> Vec<f64> {
    let mut weights = vec![0.0; (inputs * outputs) as usize];
    for o in 0..outputs {
        let (start, end) = (o * inputs, (o + 1) * inputs);
        for i in start / outputs..(end - 1) / outputs + 1 {
            let overlap = end.min((i + 1) * outputs) - start.max(i * outputs);
            weights[(o * inputs + i) as usize] = overlap as f64 / inputs as f64;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_weights_are_shares() {
        // 3 -> 2: each output covers one and a half inputs.
        let expected = [2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 1.0 / 3.0, 2.0 / 3.0];
        assert_eq!(area_weights(3, 2), expected);
        for (inputs, outputs) in [(1024, 224), (64, 224), (7, 7), (1, 5), (5, 1)] {
            let weights = area_weights(inputs, outputs);
            for row in weights.chunks(inputs as usize) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{inputs} -> {outputs}");
            }
        }
    }

    #[test]
    fn sides_and_crops_round_as_torchvision_does() {
        assert_eq!(resized_side(1024, 1024, 224), 224);
        assert_eq!(resized_side(501, 300, 224), 374); // 374.08
        assert_eq!(crop_start(229, 224), 2); // 2.5
        assert_eq!(crop_start(231, 224), 4); // 3.5
    }
}
