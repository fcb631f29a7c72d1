//! The text mapper of CF-CLIP's amortised form: trained once per text, it changes a latent in one small pass.
//!
//! `w' = w + 0.1 * M(w, t)`. The text `t` goes through two linear layers; each group of layers (coarse, medium, fine) then
//! has its own network: a linear layer on `[w, t]`, PixelNorm, `depth` hidden layers and a linear layer out.
//!
//! Where this differs from the published code (mapper/latent_mappers.py), and why: PixelNorm is over the channels of each
//! latent, not across the layers of a group, which couples layers for no stated reason; weights are plain, not stored at
//! 100 times their size; and one text network serves all layers, in place of one per layer that sees only the signs of
//! the text feature. It trains in a minute of one core on the demo pack.

use crate::artifact;
use crate::engine::Engine;
use crate::error::EditError;
use crate::rng::{RngKey, unit};
use networks::error::LoadError;
use networks::weights::Weights;
use std::ops::Range;
use tch::{Device, Kind, TchError, Tensor};

/// Slope of the leaky ReLU below zero.
const SLOPE: f64 = 0.2;
/// Factor on the mapper's output, as published.
const GAIN: f64 = 0.1;
const PIXEL_NORM_EPSILON: f64 = 1e-8;
const WHAT: &str = "mapper";
const NOTE: &str = "mapper/1";

/// The layers of W+ that share one network: coarse 0 to 3; medium 4 to 7, or 4 and 5 where there are fewer than 14
/// layers; fine the rest. Empty groups are left out.
pub fn groups(n_latent: i64) -> Vec<Range<i64>> {
    let medium_end = if n_latent >= 14 { 8 } else { 6 };
    let bounds = [0, 4, medium_end, n_latent].map(|bound: i64| bound.min(n_latent));
    bounds.windows(2).map(|pair| pair[0]..pair[1]).filter(|group| !group.is_empty()).collect()
}

/// The sizes of a mapper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Layers of W+.
    pub n_latent: i64,
    /// Size of one latent, and of every hidden layer.
    pub w_dim: i64,
    /// Width of CLIP's embedding.
    pub text_dim: i64,
    /// Hidden layers per group.
    pub depth: usize,
}

impl Shape {
    /// Names and shapes of all parameters: `tproj.{0,2}`, `fuse.<group>`, `maps.<group>.{1,3,..,2 depth + 1}`, each with
    /// `.weight` and `.bias`.
    pub fn parameters(&self) -> Vec<(String, Vec<i64>)> {
        let w = self.w_dim;
        let mut layers = vec![("tproj.0".to_owned(), self.text_dim), ("tproj.2".to_owned(), w)];
        for group in 0..groups(self.n_latent).len() {
            layers.push((format!("fuse.{group}"), 2 * w));
            layers.extend((0..=self.depth).map(|layer| (format!("maps.{group}.{}", 2 * layer + 1), w)));
        }
        let both = |(name, inputs): (String, i64)| {
            [(format!("{name}.weight"), vec![w, inputs]), (format!("{name}.bias"), vec![w])]
        };
        layers.into_iter().flat_map(both).collect()
    }

    /// Takes the parameters out of a file, each name preceded by `prefix`.
    ///
    /// # Errors
    /// Names the tensor that is missing or of another shape.
    pub fn take(&self, weights: &mut Weights, prefix: &str) -> Result<Vec<Tensor>, LoadError> {
        let named = self.parameters().into_iter();
        named.map(|(name, shape)| weights.take(&format!("{prefix}{name}"), &shape)).collect()
    }

    /// Fresh values for [`Shape::parameters`], uniform in `±1 / sqrt(inputs)` (PyTorch's default for linear layers), from
    /// the item's own random numbers.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn initial(&self, key: &RngKey, device: Device) -> Result<Vec<Tensor>, TchError> {
        let mut inputs = 1;
        let parameters = self.parameters();
        let mut tensors = Vec::with_capacity(parameters.len());
        for (index, (_, shape)) in parameters.iter().enumerate() {
            // A bias follows its weight and has the weight's range.
            if let [_, columns] = shape[..] {
                inputs = columns;
            }
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut rng = key.at(index as u64);
            let count = shape.iter().product::<i64>();
            let values: Vec<f32> = (0..count).map(|_| ((2.0 * unit(&mut rng) - 1.0) * bound) as f32).collect();
            tensors.push(Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?.f_to_device(device)?);
        }
        Ok(tensors)
    }
}

/// `y = x Wᵀ + b`.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }
}

/// One group's network, with the text folded into the bias of its first layer.
#[derive(Debug)]
struct Group {
    layers: Range<i64>,
    fuse: Linear,
    /// Hidden layers, then the layer out.
    maps: Vec<Linear>,
}

/// A mapper for one text: the change of a latent as a function of the latent.
#[derive(Debug)]
pub struct Mapper {
    groups: Vec<Group>,
    slope: Tensor,
}

impl Mapper {
    /// The mapper with these parameters (in the order of [`Shape::parameters`]) and this text (`[text_dim]`,
    /// [`EditText::mapper_input`](crate::text::EditText::mapper_input)). **Gradients flow** to the parameters.
    ///
    /// # Errors
    /// When the shapes do not fit, or libtorch fails.
    pub fn with_text(shape: &Shape, parameters: &[Tensor], text: &Tensor) -> Result<Self, EditError> {
        let expected = shape.parameters().len();
        if parameters.len() != expected {
            let what = format!("a mapper of this shape has {expected} parameters, {} were given", parameters.len());
            return Err(EditError::Input { what });
        }
        let mut linear = parameters
            .chunks_exact(2)
            .map(|pair| Linear { weight: pair[0].shallow_clone(), bias: pair[1].shallow_clone() });
        let mut next = || linear.next().ok_or_else(|| EditError::Input { what: "a mapper lacks a layer".to_owned() });
        let slope = Tensor::f_full([1], SLOPE, (Kind::Float, text.device()))?;
        let (first, second) = (next()?, next()?);
        let text = second.forward(&first.forward(text)?.f_prelu(&slope)?)?;
        let mut folded = Vec::new();
        for layers in groups(shape.n_latent) {
            let fuse = next()?;
            // [w, t] W^T + b = w W_w^T + (t W_t^T + b): the text's share is the same for every latent.
            let of_latent = fuse.weight.f_narrow(1, 0, shape.w_dim)?;
            let bias = text.f_linear(&fuse.weight.f_narrow(1, shape.w_dim, shape.w_dim)?, Some(&fuse.bias))?;
            let maps = (0..=shape.depth).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
            folded.push(Group { layers, fuse: Linear { weight: of_latent, bias }, maps });
        }
        Ok(Self { groups: folded, slope })
    }

    /// The change `0.1 * M(w)` of latents `[B, L, w_dim]`.
    ///
    /// # Errors
    /// When the shape is wrong, or libtorch fails.
    pub fn change(&self, w_plus: &Tensor) -> Result<Tensor, TchError> {
        let parts = self.groups.iter().map(|group| {
            let x = w_plus.f_narrow(1, group.layers.start, group.layers.end - group.layers.start)?;
            let mut x = pixel_norm(&group.fuse.forward(&x)?)?;
            for (index, layer) in group.maps.iter().enumerate() {
                x = layer.forward(&x)?;
                if index + 1 < group.maps.len() {
                    x = x.f_prelu(&self.slope)?;
                }
            }
            Ok(x)
        });
        Tensor::f_cat(&parts.collect::<Result<Vec<_>, TchError>>()?, 1)?.f_multiply_scalar(GAIN)
    }

    /// Edits latents `[B, L, w_dim]` at a strength: `w + strength * change(w)`. No gradient.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn apply(&self, w_plus: &Tensor, strength: f64) -> Result<Tensor, EditError> {
        tch::no_grad(|| Ok(w_plus.f_add(&self.change(w_plus)?.f_multiply_scalar(strength)?)?))
    }

    /// The mapper's file: safetensors, the text folded in, so `fuse.<group>.weight` is `[w_dim, w_dim]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EditError> {
        let mut tensors = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            let mut push = |name: String, layer: &Linear| {
                tensors.push((format!("{name}.weight"), layer.weight.shallow_clone()));
                tensors.push((format!("{name}.bias"), layer.bias.shallow_clone()));
            };
            push(format!("fuse.{index}"), &group.fuse);
            group.maps.iter().enumerate().for_each(|(i, layer)| push(format!("maps.{index}.{}", 2 * i + 1), layer));
        }
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        artifact::to_bytes(WHAT, &tensors, Some(NOTE.to_owned()))
    }

    /// Reads a mapper's file for this engine's generator.
    ///
    /// # Errors
    /// When the file is damaged, is no mapper with its text folded in, or was trained for another generator.
    pub fn from_bytes(bytes: &[u8], engine: &Engine) -> Result<Self, EditError> {
        let (mut weights, note) = artifact::from_bytes(WHAT, bytes, engine.device())?;
        if note.as_deref() != Some(NOTE) {
            let what = format!("the mapper file is marked {note:?}, expected {NOTE:?}; train the mapper again");
            return Err(EditError::Input { what });
        }
        let (n_latent, w_dim) = (engine.n_latent(), engine.w_dim());
        let depth = odd_layers(&weights).saturating_sub(1);
        let mut read = |name: String| -> Result<Linear, EditError> {
            let weight = weights.take(&format!("{name}.weight"), &[w_dim, w_dim])?;
            Ok(Linear { weight, bias: weights.take(&format!("{name}.bias"), &[w_dim])? })
        };
        let mut found = Vec::new();
        for (index, layers) in groups(n_latent).into_iter().enumerate() {
            let fuse = read(format!("fuse.{index}"))?;
            let maps = (0..=depth).map(|i| read(format!("maps.{index}.{}", 2 * i + 1))).collect::<Result<_, _>>()?;
            found.push(Group { layers, fuse, maps });
        }
        weights.finish()?;
        Ok(Self { groups: found, slope: Tensor::f_full([1], SLOPE, (Kind::Float, engine.device()))? })
    }
}

/// How many of `maps.0.1`, `maps.0.3`, ... a file has.
fn odd_layers(weights: &Weights) -> usize {
    (0..).take_while(|i| weights.contains(&format!("maps.0.{}.weight", 2 * i + 1))).count()
}

/// `x / sqrt(mean(x^2) + 1e-8)` over the channels.
fn pixel_norm(x: &Tensor) -> Result<Tensor, TchError> {
    let mean = x.f_square()?.f_mean_dim([-1_i64].as_slice(), true, None)?;
    x.f_mul(&mean.f_add_scalar(PIXEL_NORM_EPSILON)?.f_rsqrt()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_the_number_of_layers() {
        assert_eq!(groups(10), [0..4, 4..6, 6..10]);
        assert_eq!(groups(18), [0..4, 4..8, 8..18]);
        assert_eq!(groups(6), [0..4, 4..6]);
    }

    #[test]
    fn parameters_carry_the_published_names() {
        let names: Vec<_> = Shape { n_latent: 10, w_dim: 128, text_dim: 128, depth: 4 }.parameters();
        assert_eq!(names.len(), 2 * (2 + 3 * 6));
        assert_eq!(names[4], ("fuse.0.weight".to_owned(), vec![128, 256]));
        assert_eq!(names.last().unwrap(), &("maps.2.9.bias".to_owned(), vec![128]));
    }
}
