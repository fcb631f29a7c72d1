//! StyleGAN2's residual discriminator (Karras et al., 2020, <https://arxiv.org/abs/1912.04958>, configuration E and up):
//! equalised learning rates, filtered downsampling, and the deviation over small groups as a last channel.

use std::f64::consts::SQRT_2;

use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;
use crate::layers::leaky_relu;
use crate::parameters::Parameters;

/// Pictures that are compared with each other for the deviation.
const GROUP: i64 = 4;

/// The discriminator.
pub struct Discriminator {
    /// The tensors.
    pub parameters: Parameters,
    channels: Vec<i64>,
    fir: Tensor,
}

impl Discriminator {
    /// Random values for `channels` at 4 px, 8 px and so on up to the pictures' size.
    pub fn new(channels: &[i64], device: Device) -> Result<Self, TrainingError> {
        let mut p = Parameters::new(device);
        let mut add = |name: &str, shape: &[i64], bias: bool| {
            p.normal(&format!("{name}.weight"), shape, 1.0)?;
            if bias { p.constant(&format!("{name}.bias"), &shape[..1], 0.0) } else { Ok(()) }
        };
        let (bottom, top) = (channels[0], channels[channels.len() - 1]);
        add("from_rgb", &[top, 3, 1, 1], true)?;
        for level in (1..channels.len()).rev() {
            let (fine, coarse) = (channels[level], channels[level - 1]);
            add(&format!("blocks.{level}.conv1"), &[fine, fine, 3, 3], true)?;
            add(&format!("blocks.{level}.conv2"), &[coarse, fine, 3, 3], true)?;
            add(&format!("blocks.{level}.skip"), &[coarse, fine, 1, 1], false)?;
        }
        add("final_conv", &[bottom, bottom + 1, 3, 3], true)?;
        add("final_linear", &[bottom, bottom * 16], true)?;
        add("score", &[1, bottom], true)?;
        let taps = Tensor::f_from_slice(&[1.0f32, 3.0, 3.0, 1.0])?.f_to_device(device)?;
        let fir = taps.f_outer(&taps)?.f_multiply_scalar(1.0 / 64.0)?.f_view([1, 1, 4, 4])?;
        Ok(Discriminator { parameters: p, channels: channels.to_vec(), fir })
    }

    /// Scores `[B, 1]` of pictures `[B, 3, S, S]`: high for drawn ones.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TrainingError> {
        let mut x = activated(&self.convolved("from_rgb", x, 1, 0)?)?;
        for level in (1..self.channels.len()).rev() {
            let block = |part: &str| format!("blocks.{level}.{part}");
            let y = activated(&self.convolved(&block("conv1"), &x, 1, 1)?)?;
            let y = activated(&self.convolved(&block("conv2"), &self.filtered(&y, 2)?, 2, 0)?)?;
            let skip = self.convolved(&block("skip"), &self.filtered(&x, 1)?, 2, 0)?;
            x = y.f_add(&skip)?.f_multiply_scalar(1.0 / SQRT_2)?; // [B, C', r/2, r/2]
        }
        let x = Tensor::f_cat(&[&x, &deviation(&x)?], 1)?;
        let x = activated(&self.convolved("final_conv", &x, 1, 1)?)?.f_flatten(1, -1)?;
        let h = activated(&self.mapped("final_linear", &x)?)?;
        self.mapped("score", &h)
    }

    /// Padding for a following convolution of stride 2, then the filter `[1, 3, 3, 1]`.
    fn filtered(&self, x: &Tensor, pad: i64) -> Result<Tensor, TrainingError> {
        let c = x.size()[1];
        let fir = self.fir.f_expand([c, 1, 4, 4], false)?;
        Ok(x.f_conv2d(&fir, None::<&Tensor>, [1, 1], [pad; 2], [1, 1], c)?)
    }

    fn convolved(&self, name: &str, x: &Tensor, stride: i64, padding: i64) -> Result<Tensor, TrainingError> {
        let weight = self.scaled(name)?;
        let bias = self.parameters.trained().get(&format!("{name}.bias"));
        Ok(x.f_conv2d(&weight, bias, [stride; 2], [padding; 2], [1, 1], 1)?)
    }

    fn mapped(&self, name: &str, x: &Tensor) -> Result<Tensor, TrainingError> {
        Ok(x.f_linear(&self.scaled(name)?, Some(self.parameters.get(&format!("{name}.bias"))))?)
    }

    /// Equalised learning rate: stored values have unit variance.
    fn scaled(&self, name: &str) -> Result<Tensor, TrainingError> {
        let weight = self.parameters.get(&format!("{name}.weight"));
        let inputs: i64 = weight.size()[1..].iter().product();
        Ok(weight.f_multiply_scalar((inputs as f64).sqrt().recip())?)
    }
}

fn activated(x: &Tensor) -> Result<Tensor, TrainingError> {
    Ok(leaky_relu(x)?.f_multiply_scalar(SQRT_2)?)
}

/// The mean standard deviation over groups of pictures, as one channel `[B, 1, H, W]`: a generator that always draws the
/// same shows here. The largest group of up to four that divides the batch is taken.
fn deviation(x: &Tensor) -> Result<Tensor, TrainingError> {
    let (b, c, h, w) = x.size4()?;
    let group = (1..=GROUP.min(b)).rev().find(|group| b % group == 0).unwrap_or(1);
    let y = x.f_view([group, b / group, c, h, w])?;
    let y = y.f_sub(&y.f_mean_dim([0].as_slice(), true, Kind::Float)?)?;
    let y = y.f_square()?.f_mean_dim([0].as_slice(), false, Kind::Float)?.f_add_scalar(1e-8)?.f_sqrt()?;
    let y = y.f_mean_dim([1, 2, 3].as_slice(), true, Kind::Float)?; // [B / group, 1, 1, 1]
    Ok(y.f_repeat([group, 1, h, w])?)
}

/// R1 (Mescheder et al., 2018, <https://arxiv.org/abs/1801.04406>): the mean squared length of the score's gradient at drawn
/// pictures, without its factor. The result has gradients of its own.
pub fn r1(discriminator: &Discriminator, real: &Tensor) -> Result<Tensor, TrainingError> {
    let real = real.f_detach()?.f_set_requires_grad(true)?;
    let score = discriminator.forward(&real)?.f_sum(Kind::Float)?;
    let gradient = Tensor::f_run_backward(&[score], &[&real], true, true)?.swap_remove(0);
    Ok(gradient.f_square()?.f_sum_dim_intlist([1, 2, 3].as_slice(), false, None)?.f_mean(Kind::Float)?)
}
