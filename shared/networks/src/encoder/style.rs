//! Encoders of the pSp family, with the names and numbers of their own programs: pSp (Richardson et al., 2021,
//! <https://arxiv.org/abs/2008.00951>), e4e (Tov et al., 2021, <https://arxiv.org/abs/2102.02766>), ReStyle (Alaluf et
//! al., 2021, <https://arxiv.org/abs/2104.02699>).
//!
//! A trunk, IR-SE50 or ResNet34, reads the image. pSp and e4e take its last maps of 64, 32 and 16 px and add to each but
//! the last the one below, doubled: latents 0 to 2 are read from the coarsest, 3 to 6 from the middle, the others from the
//! finest. ReStyle reads all from the last map, in five passes; a file with a pyramid is read by it there too. What the
//! network says is relative to the mean latent, `latent_avg`, `[L, w_dim]`, which the file holds with the weights.

mod head;
mod trunk;

use tch::{Device, Kind, TchError, Tensor};

use self::head::Head;
use self::trunk::Trunk;
use super::{EncoderArchitecture, EncoderFrame};
use crate::error::{LoadError, NetworkError};
use crate::shape::expect;
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "style encoder";
/// Height and width of the images that the programs train and run on, px.
pub(super) const IMAGE_SIZE: i64 = 256;
/// The first of the middle rows, and how many there are.
const MIDDLE_ROWS: [i64; 2] = [32, 192];
/// Passes of ReStyle (`n_iters_per_batch` of its scripts).
const PASSES: usize = 5;

#[derive(Debug)]
pub(super) struct StyleEncoder {
    trunk: Trunk,
    head: Head,
    latent_avg: Tensor,
    frame: EncoderFrame,
    /// Latents after the first are differences to it.
    deltas: bool,
    restyle: bool,
    device: Device,
    kind: Kind,
    wide: Kind,
}

impl StyleEncoder {
    pub(super) fn load(
        mut weights: Weights,
        architecture: EncoderArchitecture,
        frame: EncoderFrame,
    ) -> Result<(Self, LoadReport), LoadError> {
        use EncoderArchitecture::{E4e, RestyleE4e, RestylePsp};
        let restyle = matches!(architecture, RestylePsp | RestyleE4e);
        let deltas = matches!(architecture, E4e | RestyleE4e);
        let (device, kind, wide) = (weights.device(), weights.kind(), weights.wide_kind());
        let trunk = Trunk::take(&mut weights, if restyle { 6 } else { 3 })?;
        let last = u32::try_from(trunk.halvings()).ok().and_then(|halvings| IMAGE_SIZE.checked_shr(halvings));
        let Some(last) = last.filter(|last| *last > 1) else {
            return Err(weights.value_error("body", format!("halves an image of {IMAGE_SIZE} px to less than a pixel")));
        };
        let [n_latent, w_dim] = weights.dims("latent_avg")?;
        let head = Head::take(&mut weights, &trunk, [n_latent, w_dim], last)?;
        if deltas && matches!(head, Head::One { .. }) {
            let reason = "belongs to an encoder into W, which has no differences between latents: it is pSp's";
            return Err(weights.value_error("linear.weight", reason));
        }
        let latent_avg = weights.take("latent_avg", &[n_latent, w_dim])?;
        let latent_avg = latent_avg.f_to_kind(wide).map_err(|source| weights.torch_error("latent_avg", source))?;
        let report = weights.finish()?;
        Ok((StyleEncoder { trunk, head, latent_avg, frame, deltas, restyle, device, kind, wide }, report))
    }

    pub(super) fn n_latent(&self) -> i64 {
        self.latent_avg.size()[0]
    }

    pub(super) fn w_dim(&self) -> i64 {
        self.latent_avg.size()[1]
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    pub(super) fn encode(
        &self,
        images: &Tensor,
        render: &dyn Fn(&Tensor) -> Result<Tensor, NetworkError>,
    ) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "images", images, [None, Some(3), Some(IMAGE_SIZE), Some(IMAGE_SIZE)])?;
        let images = self.framed(&images.f_to_kind(self.kind)?)?;
        let start = self.latent_avg.f_unsqueeze(0)?; // [1, L, w_dim]
        if !self.restyle {
            return Ok(self.read(&images)?.f_add(&start)?);
        }
        // Rendered once for all: every item starts from the mean latent.
        let average = self.seen(&render(&start)?)?;
        let batch = images.size()[0];
        let mut latent = start.f_expand([batch, -1, -1], false)?;
        for pass in 0..PASSES {
            let current =
                if pass == 0 { average.f_expand([batch, -1, -1, -1], false)? } else { self.seen(&render(&latent)?)? };
            latent = latent.f_add(&self.read(&Tensor::f_cat(&[&images, &current], 1)?)?)?;
        }
        Ok(latent)
    }

    /// A rendered image as the encoder sees it.
    fn seen(&self, image: &Tensor) -> Result<Tensor, TchError> {
        self.framed(&image.f_adaptive_avg_pool2d([IMAGE_SIZE, IMAGE_SIZE])?.f_to_kind(self.kind)?)
    }

    fn framed(&self, image: &Tensor) -> Result<Tensor, TchError> {
        match self.frame {
            EncoderFrame::Whole => Ok(image.shallow_clone()),
            EncoderFrame::MiddleRows => image.f_narrow(2, MIDDLE_ROWS[0], MIDDLE_ROWS[1]),
        }
    }

    /// `[B, 3 or 6, H, W]` -> `[B, L, w_dim]`, before the mean is added.
    fn read(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let all = self.head.forward(&self.trunk, x)?.f_to_kind(self.wide)?;
        if !self.deltas {
            return Ok(all);
        }
        let base = all.f_narrow(1, 0, 1)?;
        let others = all.f_narrow(1, 1, self.n_latent() - 1)?.f_add(&base)?;
        Tensor::f_cat(&[&base, &others], 1)
    }
}
