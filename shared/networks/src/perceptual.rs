//! Perceptual distances: how differently two images look, by the features of a classification network.
//!
//! Images are compared at the size they come in: nothing here resizes, and the figures depend on the size (papers mostly
//! state them at 256 px). The distances of two architectures cannot be compared with each other.
//!
//! Each distance has a split form, so that the features of a source image are computed once however often it is
//! compared: [`Perceptual::features`] and [`Perceptual::distance_of`].

mod lpips;
mod trunk;
mod vgg19;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::shape::expect;
use crate::weights::{LoadReport, Weights};

use lpips::Lpips;
use vgg19::Vgg19;

const NETWORK: &str = "perceptual network";

/// Which network the tensors form, and so what the distance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerceptualArchitecture {
    /// LPIPS (Zhang et al., 2018, <https://arxiv.org/abs/1801.03924>) v0.1 on AlexNet; the tables of pSp and e4e.
    ///
    /// Names: the trunk as in torchvision, `features.{0,3,6,8,10}.{weight,bias}`, the heads as in LPIPS' own files,
    /// `lin{0..4}.model.1.weight`. Nothing else: no classifier, and no second copy of the heads under `lins`.
    LpipsAlex,
    /// LPIPS v0.1 on VGG16; the tables of most inversion papers.
    ///
    /// Names: `features.{0,2,5,7,10,12,14,17,19,21,24,26,28}.{weight,bias}` and `lin{0..4}.model.1.weight`.
    LpipsVgg,
    /// The mean absolute difference at relu5_2 of the Caffe VGG19 (CF-CLIP's `criteria/vgg_loss.py` with its layer
    /// weights 0, 0, 0, 0, 1).
    ///
    /// Names: `conv{1_1,1_2,2_1,2_2,3_1..3_4,4_1..4_4,5_1..5_4}.{weight,bias}`; the last two are not used and may be
    /// absent. Not interchangeable with torchvision's VGG19, which reads other channels in another order.
    #[serde(rename = "vgg19-relu5-2")]
    Vgg19Relu52,
}

/// A frozen perceptual network. Gradients flow to the images.
#[derive(Debug)]
pub struct Perceptual {
    architecture: PerceptualArchitecture,
    device: Device,
    kind: Kind,
    wide: Kind,
    network: Network,
}

#[derive(Debug)]
enum Network {
    Lpips(Lpips),
    Vgg19(Vgg19),
}

/// What a [`Perceptual`] sees in a batch of images; only of use to the network that made it.
#[derive(Debug)]
pub struct PerceptualFeatures {
    /// `[B, C, h, w]` per compared layer.
    maps: Vec<Tensor>,
}

impl PerceptualFeatures {
    /// How many images these are of.
    pub fn batch(&self) -> i64 {
        self.maps.first().map_or(0, |map| map.size()[0])
    }

    /// The same values without their history, for a source that no gradient flows to.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn detach(&self) -> Result<Self, NetworkError> {
        self.each(Tensor::f_detach)
    }

    /// The features of some of the images: `rows` `[N]` counts from 0 and may repeat.
    ///
    /// # Errors
    /// When a row does not exist, or memory runs out.
    pub fn select(&self, rows: &Tensor) -> Result<Self, NetworkError> {
        self.each(|map| map.f_index_select(0, &rows.f_to_device(map.device())?))
    }

    /// The features of several batches, one after the other.
    ///
    /// # Errors
    /// When the batches are of other sizes or networks, or memory runs out.
    pub fn join(batches: &[Self]) -> Result<Self, NetworkError> {
        let layers = batches.first().map_or(0, |batch| batch.maps.len());
        let joined = |layer: usize| {
            let maps: Vec<_> = batches.iter().filter_map(|batch| batch.maps.get(layer)).collect();
            Tensor::f_cat(&maps, 0)
        };
        Ok(Self { maps: (0..layers).map(joined).collect::<Result<_, _>>()? })
    }

    fn each(&self, change: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Self, NetworkError> {
        Ok(Self { maps: self.maps.iter().map(change).collect::<Result<_, _>>()? })
    }
}

impl Perceptual {
    /// Builds the network from all of the file's tensors. Kernels and depth are the architecture's, widths the file's.
    ///
    /// # Errors
    /// Names the tensor that is missing, surplus or of another shape.
    pub fn load(mut weights: Weights, architecture: PerceptualArchitecture) -> Result<(Self, LoadReport), LoadError> {
        let (device, kind, wide) = (weights.device(), weights.kind(), weights.wide_kind());
        let network = match architecture {
            PerceptualArchitecture::LpipsAlex => Network::Lpips(Lpips::take(&mut weights, &lpips::ALEX)?),
            PerceptualArchitecture::LpipsVgg => Network::Lpips(Lpips::take(&mut weights, &lpips::VGG16)?),
            PerceptualArchitecture::Vgg19Relu52 => Network::Vgg19(Vgg19::take(&mut weights)?),
        };
        let report = weights.finish()?;
        Ok((Perceptual { architecture, device, kind, wide, network }, report))
    }

    /// Which network this is.
    pub fn architecture(&self) -> PerceptualArchitecture {
        self.architecture
    }

    /// The device the network computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The least height and width of an image, px: 31 for AlexNet, 16 for the others.
    pub fn smallest_side(&self) -> i64 {
        match &self.network {
            Network::Lpips(network) => network.smallest_side(),
            Network::Vgg19(network) => network.smallest_side(),
        }
    }

    /// What the network sees in images `[B, 3, H, W]`, RGB in [-1, 1].
    ///
    /// # Errors
    /// When the shape is another or the image too small, or memory runs out.
    pub fn features(&self, images: &Tensor) -> Result<PerceptualFeatures, NetworkError> {
        let [_, _, height, width] = expect(NETWORK, "images", images, [None, Some(3), None, None])?;
        let smallest = self.smallest_side();
        if height.min(width) < smallest {
            let expected = format!("[any, 3, H, W] with H and W of at least {smallest}");
            return Err(NetworkError::Shape { network: NETWORK, input: "images", expected, found: images.size() });
        }
        let images = images.f_to_kind(self.wide)?;
        let maps = match &self.network {
            Network::Lpips(network) => network.features(&images, self.kind)?,
            Network::Vgg19(network) => network.features(&images, self.kind)?,
        };
        Ok(PerceptualFeatures { maps })
    }

    /// The distance `[B]` of each image of `a` to the one of `b` in the same place, from their features. It is no less
    /// than zero, and zero for equal images.
    ///
    /// # Errors
    /// When the features are of other batches, sizes or networks, or memory runs out.
    pub fn distance_of(&self, a: &PerceptualFeatures, b: &PerceptualFeatures) -> Result<Tensor, NetworkError> {
        let sizes = |features: &PerceptualFeatures| features.maps.iter().map(Tensor::size).collect::<Vec<_>>();
        let (of_a, of_b) = (sizes(a), sizes(b));
        if of_a != of_b {
            let (input, expected) = ("features to compare with", format!("as that of the others, {of_a:?}"));
            return Err(NetworkError::Shape { network: NETWORK, input, expected, found: of_b.concat() });
        }
        Ok(match &self.network {
            Network::Lpips(network) => network.distance(&a.maps, &b.maps)?,
            Network::Vgg19(network) => network.distance(&a.maps, &b.maps)?,
        })
    }

    /// The distance `[B]` of each image of `a` `[B, 3, H, W]` to the one of `b` `[B, 3, H, W]` in the same place.
    ///
    /// # Errors
    /// As [`Perceptual::features`] and [`Perceptual::distance_of`].
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, NetworkError> {
        self.distance_of(&self.features(a)?, &self.features(b)?)
    }
}
