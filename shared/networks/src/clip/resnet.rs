//! CLIP's modified ResNet: a stem of three convolutions, bottlenecks that average before they stride, and attention in
//! place of the last average (Radford et al. 2021, section 2.4; `ModifiedResNet` of OpenAI's `model.py`).

use tch::{Kind, TchError, Tensor};

use super::image::VisionShape;
use super::transformer::{Heads, attend};
use crate::error::LoadError;
use crate::layers::{Convolution, Linear, Normalised};
use crate::weights::{Scope, Weights};

/// Input pixels to one position of the last feature map, along a side: the stem's 4 and a half in each later stage.
const REDUCTION: i64 = 32;
/// Channels of the last feature map to those after the stem.
const FEATURES: i64 = 32;
/// Output channels of a bottleneck to its inner ones.
const EXPANSION: i64 = 4;

/// Non-overlapping 2×2 means.
fn halved(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)
}

/// A convolution without bias and the batch normalisation after it. `size` is odd, and the convolution pads so that it keeps
/// the map's size.
fn take_normalised(
    scope: &mut Scope<'_>,
    [convolution, norm]: [&str; 2],
    shape: [i64; 3],
    stride: i64,
) -> Result<Normalised, LoadError> {
    let [_, _, size] = shape;
    Convolution::take(scope.scope(convolution), shape, false, stride, size / 2)?.normalised(scope.scope(norm))
}

/// `relu(conv3(halve(relu(conv2(relu(conv1(x)))))) + shortcut(halve(x)))`, where only the first bottleneck of a stage
/// has a shortcut of its own and only those of the later stages halve.
#[derive(Debug)]
struct Bottleneck {
    convolutions: [Normalised; 3],
    shortcut: Option<Normalised>,
    halve: bool,
}

impl Bottleneck {
    fn take(mut scope: Scope<'_>, inputs: i64, inner: i64, first: bool, halve: bool) -> Result<Self, LoadError> {
        let outputs = EXPANSION * inner;
        let convolutions = [
            take_normalised(&mut scope, ["conv1", "bn1"], [inner, inputs, 1], 1)?,
            take_normalised(&mut scope, ["conv2", "bn2"], [inner, inner, 3], 1)?,
            take_normalised(&mut scope, ["conv3", "bn3"], [outputs, inner, 1], 1)?,
        ];
        // The average that OpenAI names `downsample.-1` has no parameters.
        let names = ["downsample.0", "downsample.1"];
        let shortcut = if first { Some(take_normalised(&mut scope, names, [outputs, inputs, 1], 1)?) } else { None };
        Ok(Bottleneck { convolutions, shortcut, halve })
    }

    fn forward(&self, x: Tensor) -> Result<Tensor, TchError> {
        let [c1, c2, c3] = &self.convolutions;
        let y = c2.forward(&c1.forward(&x)?.f_relu()?)?.f_relu()?;
        let y = c3.forward(&if self.halve { halved(&y)? } else { y })?;
        let x = if self.halve { halved(&x)? } else { x };
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(&x)?,
            None => x,
        };
        y.f_add(&x)?.f_relu()
    }
}

/// Attention of the map's mean over the map and the mean itself. Only the mean's query is computed, since only its
/// output is used.
#[derive(Debug)]
struct AttentionPool {
    /// `[1 + grid², features]`, the mean's first.
    positions: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: i64,
    wide: Kind,
}

impl AttentionPool {
    fn take(mut scope: Scope<'_>, grid: i64, features: i64, embed: i64, heads: i64) -> Result<Self, LoadError> {
        Ok(AttentionPool {
            positions: scope.take("positional_embedding", &[1 + grid * grid, features])?,
            query: Linear::take(scope.scope("q_proj"), features, features)?,
            key: Linear::take(scope.scope("k_proj"), features, features)?,
            value: Linear::take(scope.scope("v_proj"), features, features)?,
            output: Linear::take(scope.scope("c_proj"), features, embed)?,
            heads,
            wide: scope.weights().wide_kind(),
        })
    }

    /// `[B, features, grid, grid]` -> `[B, embed]`.
    fn forward(&self, map: &Tensor) -> Result<Tensor, TchError> {
        let x = map.f_flatten(2, 3)?.f_transpose(1, 2)?; // [B, grid², features]
        let mean = x.f_mean_dim([1_i64].as_slice(), true, self.wide)?.f_to_kind(x.f_kind()?)?;
        let x = Tensor::f_cat(&[&mean, &x], 1)?.f_add(&self.positions)?;
        let apart = |x: Tensor| {
            let (b, n, width) = x.size3()?;
            x.f_view([b, n, self.heads, width / self.heads])?.f_transpose(1, 2) // [B, heads, n, head width]
        };
        let query = apart(self.query.forward(&x.f_narrow(1, 0, 1)?)?)?;
        let (key, value) = (apart(self.key.forward(&x)?)?, apart(self.value.forward(&x)?)?);
        let mixed = attend(&query, &key, &value, None, self.wide)?; // [B, 1, features]
        self.output.forward(&mixed.f_squeeze_dim(1)?)
    }
}

/// The image tower of RN50, RN101, RN50x4, RN50x16 and RN50x64.
#[derive(Debug)]
pub(super) struct ResNet {
    pub(super) size: i64,
    width: i64,
    layers: [usize; 4],
    stem: [Normalised; 3],
    bottlenecks: Vec<Bottleneck>,
    pool: AttentionPool,
}

impl ResNet {
    /// A tensor that this tower has and the transformer has not.
    pub(super) const MARK: &str = "visual.layer1.0.conv1.weight";

    pub(super) fn take(weights: &mut Weights, embed: i64, heads: Option<i64>) -> Result<Self, LoadError> {
        let [width, ..] = weights.dims::<4>(Self::MARK)?;
        let positions = "visual.attnpool.positional_embedding";
        let [tokens, _] = weights.dims(positions)?;
        let grid = tokens.saturating_sub(1).max(0).isqrt();
        if grid == 0 || grid * grid + 1 != tokens {
            let expected = "[1 + grid², 32 × width], a square of positions";
            return Err(weights.shape_error(positions, expected, weights.shape(positions)?));
        }
        let heads = Heads { setting: "vision_heads", told: heads, width_from: Self::MARK };
        let heads = heads.of_width(weights, FEATURES * width)?;
        let layers = [1, 2, 3, 4].map(|k| weights.count(&format!("visual.layer{k}."), 0, ".conv1.weight").max(1));

        let mut visual = weights.scope("visual");
        let stem = [
            take_normalised(&mut visual, ["conv1", "bn1"], [width / 2, 3, 3], 2)?,
            take_normalised(&mut visual, ["conv2", "bn2"], [width / 2, width / 2, 3], 1)?,
            take_normalised(&mut visual, ["conv3", "bn3"], [width, width / 2, 3], 1)?,
        ];
        let (mut bottlenecks, mut inputs, mut inner) = (Vec::new(), width, width);
        for (stage, &count) in layers.iter().enumerate() {
            for i in 0..count {
                let scope = visual.scope(&format!("layer{}.{i}", stage + 1));
                bottlenecks.push(Bottleneck::take(scope, inputs, inner, i == 0, i == 0 && stage > 0)?);
                inputs = EXPANSION * inner;
            }
            inner *= 2;
        }
        let pool = AttentionPool::take(visual.scope("attnpool"), grid, FEATURES * width, embed, heads)?;
        Ok(ResNet { size: REDUCTION * grid, width, layers, stem, bottlenecks, pool })
    }

    pub(super) fn shape(&self) -> VisionShape {
        VisionShape::ResNet { width: self.width, layers: self.layers, heads: self.pool.heads }
    }

    /// `[B, 3, S, S]` -> `[B, embed]`.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor, TchError> {
        let [c1, c2, c3] = &self.stem;
        let x = c2.forward(&c1.forward(pixels)?.f_relu()?)?.f_relu()?;
        let x = halved(&c3.forward(&x)?.f_relu()?)?;
        let map = self.bottlenecks.iter().try_fold(x, |x, bottleneck| bottleneck.forward(x))?;
        self.pool.forward(&map)
    }
}
