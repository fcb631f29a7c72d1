//! The editing methods: inversion of images to W+ latents, and text-driven counterfactual edits of those latents.
//!
//! This crate **owns** how an edit is made: the texts and templates, the random views, the CLIP-NCE loss, the optimisers
//! and schedules, the text mapper and its training, how a batch is split when memory runs out, and how a result is
//! scored. The networks themselves are `networks`' business; where bytes come from and go to is the caller's.
//!
//! It **must never** let an item's result depend on its batch-mates beyond the rounding of libtorch's kernels: random
//! numbers are drawn per item from a key of its own ([`rng`]), losses and Adam's moments are per item, and an item that
//! fails, stops or is cancelled leaves the batch without touching the others. It never uses libtorch's global generator
//! of random numbers, never reads a clock, and does no IO but the opening of the networks' files.
//!
//! **After a crash** nothing of it remains. Mapper training alone is longer than one batch; it runs in slices, and a
//! checkpoint ([`train::TrainState`]) continues to the very bytes an uninterrupted run would have ended with.

pub mod adam;
pub mod artifact;
pub mod batch;
pub mod colour;
pub mod control;
pub mod descent;
pub mod directional;
pub mod draw;
pub mod engine;
pub mod error;
pub mod global;
pub mod guidance;
pub mod invert;
pub mod latent;
pub mod mapper;
pub mod nce;
pub mod objective;
pub mod optimiser;
pub mod per_image;
pub mod perspective;
pub mod ranger;
pub mod raster;
pub mod region;
pub mod rng;
pub mod schedule;
pub mod score;
pub mod search;
pub mod templates;
pub mod text;
pub mod train;

pub use control::{Control, Directive, Unhindered};
pub use engine::{
    ClipConfig, EncoderConfig, Engine, EngineConfig, GeneratorConfig, IdentityConfig, JudgeConfig, PerceptualConfig,
    kind_of,
};
pub use error::{EditError, Stop};
pub use text::EditText;
