//! Small changes of a generator's weights: a low-rank matrix per convolution, added to the weight as it is stored.
//!
//! A convolution's weight `[out, in, k, k]` is read as a matrix `[out, in·k·k]` and changed by `u v` with `u` `[out, r]`
//! and `v` `[r, in·k·k]` (the form of Hu et al., 2021, <https://arxiv.org/abs/2106.09685>). Stored weights have about unit
//! variance whatever the layer (equalised learning rate), so one learning rate suits every layer's factors.

use std::collections::BTreeMap;

use tch::{TchError, Tensor};

use super::modconv::filter_scale;
use super::{Block, Generator, NETWORK};
use crate::error::NetworkError;

/// The change of one convolution.
#[derive(Debug)]
pub struct LowRank {
    /// `[out, r]`
    pub u: Tensor,
    /// `[r, in·k·k]`
    pub v: Tensor,
}

impl LowRank {
    /// `exact`, the weight `[out, in, k, k]` with its scale, plus `u v` with the same scale.
    pub(super) fn added_to(&self, exact: &Tensor, size: i64) -> Result<Tensor, TchError> {
        let shape = exact.size();
        let kind = exact.f_kind()?;
        let change = self.u.f_to_kind(kind)?.f_matmul(&self.v.f_to_kind(kind)?)?.f_view(shape.as_slice())?;
        exact.f_add(&change.f_multiply_scalar(filter_scale(shape[1], size))?)
    }
}

/// Changes of a generator's convolutions by the names of their weights (`conv1.conv.weight`, `to_rgbs.0.conv.weight`);
/// a convolution without an entry is not changed.
#[derive(Debug, Default)]
pub struct Delta(pub BTreeMap<String, LowRank>);

impl Delta {
    /// Refuses a change of a convolution that is not in `convolutions` (`(name, [out, in, k, k])`), or of another shape.
    pub(super) fn check(&self, convolutions: &[(String, Vec<i64>)]) -> Result<(), NetworkError> {
        for (name, LowRank { u, v }) in &self.0 {
            let Some((_, size)) = convolutions.iter().find(|(known, _)| known == name) else {
                let names: Vec<_> = convolutions.iter().map(|(name, _)| name.as_str()).collect();
                return Err(NetworkError::Argument {
                    network: NETWORK,
                    input: "the name of a changed weight",
                    expected: format!("one of {}", names.join(", ")),
                    found: name.clone(),
                });
            };
            let (outputs, columns) = (size[0], size[1..].iter().product::<i64>());
            let fits = match (u.size().as_slice(), v.size().as_slice()) {
                ([rows, rank], [depth, length]) => (*rows, *length) == (outputs, columns) && rank == depth && *rank > 0,
                _ => false,
            };
            if !fits {
                return Err(NetworkError::Argument {
                    network: NETWORK,
                    input: "the change of a weight",
                    expected: format!("[{outputs}, r] and [r, {columns}]"),
                    found: format!("{:?} and {:?} for {name}", u.size(), v.size()),
                });
            }
        }
        Ok(())
    }
}

impl Generator {
    /// Every convolution whose weight a [`Delta`] can change: its name and its sizes `[out, in, k, k]`, bottom up.
    pub fn convolutions(&self) -> Vec<(String, Vec<i64>)> {
        let mut all = vec![
            ("conv1.conv.weight".to_owned(), self.conv1.filter_size()),
            ("to_rgb1.conv.weight".to_owned(), self.to_rgb1.filter_size()),
        ];
        for (k, block) in self.blocks.iter().enumerate() {
            all.push((format!("convs.{}.conv.weight", 2 * k), block.up.filter_size()));
            all.push((format!("convs.{}.conv.weight", 2 * k + 1), block.conv.filter_size()));
            all.push((format!("to_rgbs.{k}.conv.weight"), block.to_rgb.filter_size()));
        }
        all
    }

    /// This generator with changed weights; all that is not changed shares its memory. Gradients flow to the factors
    /// that want them, through the filters and through their demodulation.
    ///
    /// # Errors
    /// When the change names a convolution this generator lacks, or has another shape than it.
    pub fn with_delta(&self, delta: &Delta) -> Result<Self, NetworkError> {
        delta.check(&self.convolutions())?;
        let of = |name: String| delta.0.get(&name);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (k, block) in self.blocks.iter().enumerate() {
            blocks.push(Block {
                up: block.up.changed(of(format!("convs.{}.conv.weight", 2 * k)))?,
                conv: block.conv.changed(of(format!("convs.{}.conv.weight", 2 * k + 1)))?,
                to_rgb: block.to_rgb.changed(of(format!("to_rgbs.{k}.conv.weight")))?,
            });
        }
        Ok(Generator {
            architecture: self.architecture.clone(),
            device: self.device,
            wide: self.wide,
            config: self.config,
            mapping: self.mapping.share(),
            latent_avg: self.latent_avg.as_ref().map(Tensor::shallow_clone),
            constant: self.constant.shallow_clone(),
            conv1: self.conv1.changed(of("conv1.conv.weight".to_owned()))?,
            to_rgb1: self.to_rgb1.changed(of("to_rgb1.conv.weight".to_owned()))?,
            blocks,
            skip: self.skip.share(),
        })
    }
}
