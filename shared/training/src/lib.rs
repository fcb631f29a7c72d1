//! A pack of one's own, from scratch: faces drawn from known parameters, and the training of every network of a pack on
//! them.
//!
//! This crate owns the renderer ([`faces`]): what a face is made of, how its parameters are distributed, its drawing,
//! its region masks, and its true counterfactual (the same parameters, one attribute changed). It owns the training of
//! each part: [`judge`], [`clip`], [`reconstruction`] (generator and encoder together, or the encoder alone), [`mapping`]
//! and [`adversarial`], each a [`session::Part`] that [`session::run`] takes from its first step to its last.
//!
//! Generator and CLIP are the project's own networks, built in every step from parameters that keep their gradients
//! (`networks::Weights::with_gradients`). Judge and encoder have a form of their own here, because batch normalisation is
//! another computation in training; a test holds them to the frozen networks.
//!
//! **After a crash** a session goes on from its last checkpoint, and ends with the bits it would have had.
//!
//! It must never be linked into a service: the drawings need a third-party library's script, which is evaluated here.
//! Nothing depends on this crate but its own program and the benchmark.

pub mod adam;
pub mod adversarial;
pub mod augment;
pub mod bpe;
pub mod captions;
pub mod clip;
pub mod dataset;
pub mod discriminator;
pub mod encoder;
pub mod error;
pub mod faces;
pub mod generator;
pub mod judge;
pub mod layers;
pub mod mapping;
pub mod measure;
pub mod pack;
pub mod parameters;
pub mod recipe;
pub mod reconstruction;
pub mod report;
pub mod session;
pub mod whole;

pub use error::TrainingError;
