//! The noise inputs of a generator: their shapes, the checkpoint's own, and rendering with others.

use tch::Tensor;

use super::modconv::StyledConv;
use super::{Generator, NETWORK};
use crate::error::NetworkError;
use crate::shape::expect;

impl Generator {
    /// Renders W+ `[B, L, w_dim]` with other noise than the checkpoint's: one `[1 or B, 1, r, r]` for each of
    /// [`Generator::noise_shapes`], zero mean and unit variance if it is to be like the checkpoint's. With a `resolution`
    /// the image of that level, as [`Generator::synthesize_at`]. Gradients flow to latents and noise.
    ///
    /// # Errors
    /// When a shape, the number of noise inputs or the resolution does not fit.
    pub fn synthesize_with(
        &self,
        w_plus: &Tensor,
        noise: &[Tensor],
        resolution: Option<i64>,
    ) -> Result<Tensor, NetworkError> {
        let blocks = resolution.map_or(Ok(self.blocks.len()), |resolution| self.blocks_below(resolution))?;
        let shapes = self.noise_shapes();
        if noise.len() != shapes.len() {
            return Err(NetworkError::Argument {
                network: NETWORK,
                input: "the number of noise inputs",
                expected: shapes.len().to_string(),
                found: noise.len().to_string(),
            });
        }
        let batch = w_plus.size().first().copied();
        for (noise, [_, _, height, width]) in noise.iter().zip(shapes) {
            let rows = if noise.size().first() == Some(&1) { Some(1) } else { batch };
            expect(NETWORK, "noise", noise, [rows, Some(1), Some(height), Some(width)])?;
        }
        Ok(self.render(&self.styles_below(w_plus, blocks)?, Some(noise))?)
    }

    /// The shapes `[1, 1, r, r]` of the noise inputs, bottom up. Layers whose noise strength is exactly zero have none.
    pub fn noise_shapes(&self) -> Vec<[i64; 4]> {
        // Safe to index: a noise buffer was taken with four dimensions.
        self.noise_inputs().map(|noise| [1, 1, noise.size()[2], noise.size()[3]]).collect()
    }

    /// The checkpoint's own noise, in the order of [`Generator::noise_shapes`].
    pub fn noise(&self) -> Vec<Tensor> {
        self.noise_inputs().map(Tensor::shallow_clone).collect()
    }

    fn noise_inputs(&self) -> impl Iterator<Item = &Tensor> {
        let above = self.blocks.iter().flat_map(|block| [&block.up, &block.conv]);
        std::iter::once(&self.conv1).chain(above).filter_map(StyledConv::noise)
    }
}
