//! Neural networks in tch, with gradients: StyleGAN2 and StyleGAN3, the inversion encoder, the attribute judge, CLIP,
//! identity and perceptual networks, the face detector.
//!
//! This crate owns the definitions of the networks, the strict reading of their weights, and the choice of device. It
//! knows none of the other crates: what to optimise, how to batch and where files come from is decided by its callers.
//!
//! It must never fill in a parameter that a file lacks, train a network's own weights, download anything, or panic on
//! what a file or a caller gives it. Loaded parameters are frozen; gradients flow to inputs only. (A network that is
//! trained elsewhere is built on tensors that keep theirs: `Weights::with_gradients`.)
//!
//! It keeps no state on disk, so nothing of it survives a crash and nothing needs to: loading again gives the same
//! networks.

mod ir_se;
mod latent;
mod layers;
mod products;
mod shape;
mod winograd;

pub mod clip;
pub mod detector;
pub mod device;
pub mod encoder;
pub mod error;
pub mod generator;
pub mod identity;
pub mod judge;
pub mod perceptual;
pub mod stylegan2;
pub mod stylegan3;
pub mod tokenizer;
pub mod weights;

pub use clip::{Activation, Clip, ClipConfig, Normalise, Preprocess, Preprocessor, Resize, VisionShape};
pub use detector::{Detector, Face};
pub use device::{DeviceChoice, environment};
pub use encoder::{Encoder, EncoderArchitecture, EncoderFrame};
pub use error::{LoadError, NetworkError, is_out_of_memory};
pub use generator::{Generator, GeneratorSettings};
pub use identity::{Identity, IdentityArchitecture, IdentityInput};
pub use judge::{Head, Judge};
pub use perceptual::{Perceptual, PerceptualArchitecture, PerceptualFeatures};
pub use tokenizer::{TokenizeError, Tokenizer};
pub use weights::{LoadReport, Weights};
