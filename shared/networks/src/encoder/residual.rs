//! The project's own encoder: a base w plus a delta per layer (the form of e4e, Tov et al., 2021,
//! <https://arxiv.org/abs/2102.02766>) on a small residual trunk.

use tch::{Device, Kind, TchError, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::layers::{Convolution, Linear, leaky_relu};
use crate::shape::{expect, image_side, side_of_square};
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "inversion encoder";

/// `lrelu(BN(conv(x)))`, then `lrelu(BN(pool(conv(·))) + conv1x1(pool(x)))`: halves the resolution.
#[derive(Debug)]
struct ResidualBlock {
    c1: Convolution,
    c2: Convolution,
    skip: Convolution,
}

/// A frozen inversion encoder. Gradients flow to the images.
#[derive(Debug)]
pub struct ResidualEncoder {
    image_size: i64,
    n_latent: i64,
    w_dim: i64,
    device: Device,
    kind: Kind,
    wide: Kind,
    stem: Convolution,
    body: Vec<ResidualBlock>,
    fc: Linear,
    base: Linear,
    delta: Linear,
    w_avg: Tensor,
}

impl ResidualEncoder {
    /// Builds the encoder from all of the file's tensors. Image size, depth, latent size and layer count are the file's.
    pub fn load(mut weights: Weights) -> Result<(Self, LoadReport), LoadError> {
        let (device, kind, wide) = (weights.device(), weights.kind(), weights.wide_kind());
        let [stem_channels, ..] = weights.dims::<4>("stem.weight")?;
        let stem = Convolution::take(weights.scope("stem"), [stem_channels, 3, 4], true, 2, 1)?;

        let depth = weights.count("body.", 0, ".c1.weight");
        let mut body = Vec::with_capacity(depth);
        let mut inputs = stem_channels;
        for i in 0..depth {
            let mut block = weights.scope(&format!("body.{i}"));
            let [outputs, ..] = block.dims::<4>("c2.weight")?;
            let c1 = Convolution::take(block.scope("c1"), [inputs, inputs, 3], true, 1, 1)?;
            let c1 = c1.fold_batch_norm(block.scope("b1"))?;
            let c2 = Convolution::take(block.scope("c2"), [outputs, inputs, 3], true, 1, 1)?;
            let c2 = c2.fold_batch_norm(block.scope("b2"))?;
            let skip = Convolution::take(block.scope("sk"), [outputs, inputs, 1], false, 1, 0)?;
            body.push(ResidualBlock { c1, c2, skip });
            inputs = outputs;
        }

        let [hidden, flat] = weights.dims("fc.weight")?;
        let side = side_of_square(flat, inputs).ok_or_else(|| {
            let expected = format!("[any, {inputs} × a square number]");
            weights.shape_error("fc.weight", &expected, vec![hidden, flat])
        })?;
        let fc = Linear::take(weights.scope("fc"), flat, hidden)?;
        let [w_dim, _] = weights.dims("w.weight")?;
        let base = Linear::take(weights.scope("w"), hidden, w_dim)?;
        let [rows, _] = weights.dims("delta.weight")?;
        let n_latent = rows / w_dim;
        let delta = Linear::take(weights.scope("delta"), hidden, n_latent * w_dim)?;
        let w_avg = weights.take("w_avg", &[w_dim])?;
        let w_avg = w_avg.f_to_kind(wide).map_err(|source| weights.torch_error("w_avg", source))?;
        let image_size = image_side(&weights, &format!("body.{}", depth.saturating_sub(1)), side, depth + 1)?;
        let report = weights.finish()?;
        let encoder =
            ResidualEncoder { image_size, n_latent, w_dim, device, kind, wide, stem, body, fc, base, delta, w_avg };
        Ok((encoder, report))
    }

    /// Height and width of the images it reads, px.
    pub fn image_size(&self) -> i64 {
        self.image_size
    }

    /// Layers of the W+ latent it returns.
    pub fn n_latent(&self) -> i64 {
        self.n_latent
    }

    /// Size of one latent.
    pub fn w_dim(&self) -> i64 {
        self.w_dim
    }

    /// The device the encoder computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Inverts images `[B, 3, S, S]`, RGB in [-1, 1], to W+ `[B, L, w_dim]`.
    pub fn encode(&self, images: &Tensor) -> Result<Tensor, NetworkError> {
        let size = Some(self.image_size);
        expect(NETWORK, "images", images, [None, Some(3), size, size])?;
        Ok(self.forward(images)?)
    }

    fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let mut x = leaky_relu(&self.stem.forward(&images.f_to_kind(self.kind)?)?)?; // [B, C, S/2, S/2]
        for block in &self.body {
            let y = leaky_relu(&block.c1.forward(&x)?)?;
            // The pool comes before the normalisation in the reference; the folded convolution lets it stay here.
            let y = halve(&block.c2.forward(&y)?)?; // [B, C', r/2, r/2]
            x = leaky_relu(&y.f_add(&block.skip.forward(&halve(&x)?)?)?)?;
        }
        let h = leaky_relu(&self.fc.forward(&x.f_flatten(1, -1)?)?)?; // [B, hidden]
        let base = self.base.forward(&h)?.f_to_kind(self.wide)?.f_add(&self.w_avg)?; // [B, w_dim]
        let delta = self.delta.forward(&h)?.f_to_kind(self.wide)?.f_view([-1, self.n_latent, self.w_dim])?;
        delta.f_add(&base.f_unsqueeze(1)?) // [B, L, w_dim]
    }
}

fn halve(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)
}
