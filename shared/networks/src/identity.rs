//! The identity network: a face to a unit vector, such that the cosine of two vectors says whether it is the same face.
//!
//! Two architectures: the ArcFace IR-SE50 that the published editing methods optimise against (Deng et al., 2019,
//! <https://arxiv.org/abs/1801.07698>; weights of `TreB1eN/InsightFace_Pytorch`), and a small one for packs of small or
//! drawn faces, which no network trained on photographs tells apart. A score by the network that an edit was optimised
//! against flatters the edit; report another's.

mod align;
mod embedding_cnn;
mod ir_se;

use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::shape::expect;
use crate::weights::{LoadReport, Weights};

use embedding_cnn::EmbeddingCnn;
use ir_se::IrSe;

const NETWORK: &str = "identity network";

/// Below this length a vector has no direction, and stays as short as it is.
const SHORTEST: f64 = 1e-12;

/// Which network the tensors form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityArchitecture {
    /// ArcFace's improved residual network with squeeze-and-excitation, under the names of `model_ir_se50.pth`. Depth,
    /// widths and input size are the file's, so the 100- and 152-layer versions of the same code load too.
    ///
    /// Names: `input_layer.{0,1,2}` (convolution, batch norm, PReLU); per block `body.{i}.res_layer.{0..5}` (batch norm,
    /// convolution, PReLU, convolution, batch norm, `fc1` and `fc2`) and, where the width changes,
    /// `body.{i}.shortcut_layer.{0,1}`; `output_layer.{0,3,4}` (batch norm, linear, batch norm). The first block and
    /// those that change the width halve the resolution.
    IrSe50,
    /// Convolutions 3×3 of stride 2, each with batch norm and leaky ReLU (slope 0.2), then one linear layer.
    ///
    /// Names: `body.{i}.conv.{weight,bias}`, `body.{i}.norm.{weight,bias,running_mean,running_var}`,
    /// `fc.{weight,bias}`. Depth, widths, input size and the length of the vector are the file's.
    EmbeddingCnn,
}

/// How an image of the generator becomes the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityInput {
    /// The image is framed as FFHQ frames faces: to 256 px, the middle of the face (rows 35 to 223, columns 32 to 220),
    /// to the network's size. This is the path of pSp, e4e, StyleCLIP and CF-CLIP, with adaptive average pooling twice.
    FfhqCrop,
    /// The image as it is, by adaptive average pooling to the network's size where that differs.
    WholeImage,
}

/// A frozen identity network. Gradients flow to the images.
#[derive(Debug)]
pub struct Identity {
    input: IdentityInput,
    input_size: i64,
    dimensions: i64,
    device: Device,
    kind: Kind,
    wide: Kind,
    trunk: Trunk,
    /// Per image side, the matrices of rows and of columns that bring it to the input size; none on the CPU.
    alignments: RefCell<HashMap<i64, [Tensor; 2]>>,
}

#[derive(Debug)]
enum Trunk {
    IrSe(Box<IrSe>),
    EmbeddingCnn(EmbeddingCnn),
}

/// What a trunk is and reads.
struct Loaded<T> {
    trunk: T,
    input_size: i64,
    dimensions: i64,
}

impl Identity {
    /// Builds the network from all of the file's tensors. Every size is the file's.
    ///
    /// # Errors
    /// Names the tensor that is missing, surplus or of another shape.
    pub fn load(
        mut weights: Weights,
        architecture: IdentityArchitecture,
        input: IdentityInput,
    ) -> Result<(Self, LoadReport), LoadError> {
        let (device, kind, wide) = (weights.device(), weights.kind(), weights.wide_kind());
        let (trunk, input_size, dimensions) = match architecture {
            IdentityArchitecture::IrSe50 => {
                let Loaded { trunk, input_size, dimensions } = IrSe::take(&mut weights)?;
                (Trunk::IrSe(Box::new(trunk)), input_size, dimensions)
            }
            IdentityArchitecture::EmbeddingCnn => {
                let Loaded { trunk, input_size, dimensions } = EmbeddingCnn::take(&mut weights)?;
                (Trunk::EmbeddingCnn(trunk), input_size, dimensions)
            }
        };
        let report = weights.finish()?;
        let alignments = RefCell::default();
        Ok((Identity { input, input_size, dimensions, device, kind, wide, trunk, alignments }, report))
    }

    /// Height and width of what the network itself reads, px: 112 for the published weights. Images of any size are
    /// brought to it.
    pub fn input_size(&self) -> i64 {
        self.input_size
    }

    /// Length of the vector, the `D` of `[B, D]`: 512 for the published weights.
    pub fn dimensions(&self) -> i64 {
        self.dimensions
    }

    /// The device the network computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Unit vectors `[B, D]` of images `[B, 3, R, R]`, RGB in [-1, 1], of any side R. The published identity loss is one
    /// minus the product of two of them.
    ///
    /// # Errors
    /// When the shape is another, or memory runs out.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, NetworkError> {
        let [_, _, height, width] = expect(NETWORK, "images", images, [None, Some(3), None, None])?;
        if height != width {
            let expected = "[any, 3, R, R], square".to_owned();
            return Err(NetworkError::Shape { network: NETWORK, input: "images", expected, found: images.size() });
        }
        Ok(self.forward(images, height)?)
    }

    fn forward(&self, images: &Tensor, side: i64) -> Result<Tensor, TchError> {
        let face = self.aligned(images, side)?.f_to_kind(self.kind)?;
        let vector = match &self.trunk {
            Trunk::IrSe(trunk) => trunk.forward(&face)?,
            Trunk::EmbeddingCnn(trunk) => trunk.forward(&face)?,
        };
        let vector = vector.f_to_kind(self.wide)?; // [B, D]
        let length = vector.f_norm_scalaropt_dim(2, [1_i64].as_slice(), true)?;
        vector.f_div(&length.f_clamp_min(SHORTEST)?)
    }

    fn aligned(&self, images: &Tensor, side: i64) -> Result<Tensor, TchError> {
        if self.input == IdentityInput::WholeImage && side == self.input_size {
            return Ok(images.shallow_clone());
        }
        if self.device == Device::Cpu {
            return align::step_by_step(&images.f_to_kind(self.wide)?, self.input, side, self.input_size);
        }
        let [rows, columns] = self.alignment(side)?;
        rows.f_matmul(&images.f_to_kind(self.wide)?.f_matmul(&columns.f_transpose(0, 1)?)?) // [B, 3, S, S]
    }

    fn alignment(&self, side: i64) -> Result<[Tensor; 2], TchError> {
        if let Some([rows, columns]) = self.alignments.borrow().get(&side) {
            return Ok([rows.shallow_clone(), columns.shallow_clone()]);
        }
        let made = tch::no_grad(|| {
            let [rows, columns] = align::matrices(self.input, side, self.input_size)?;
            let place = |matrix: Tensor| matrix.f_to_kind(self.wide)?.f_to_device(self.device);
            Ok::<_, TchError>([place(rows)?, place(columns)?])
        })?;
        self.alignments.borrow_mut().insert(side, made.each_ref().map(Tensor::shallow_clone));
        Ok(made)
    }
}
