//! The stages of an item, one a file. Each takes what the stage before it gave, by value.
//!
//! ```text
//! fetch ─▶ prepare (─▶ detect) ─▶ invert ─▶ encode ─▶ upload           (source to latent)
//! fetch ─▶ train ─▶ upload                                             (images to a text mapper, in slices)
//! fetch ─▶ edit ─▶ judge ─▶ watermark ─▶ encode ─▶ record ─▶ upload    (latent to edited image)
//! ```
//! `detect`, `invert`, `train`, `edit` and `judge` hold tensors and run on the tensor thread alone; the others do not know libtorch.

pub mod detect;
pub mod edit;
pub mod encode;
pub mod ended;
pub mod fetch;
pub mod invert;
pub mod judge;
pub mod prepare;
pub mod record;
pub mod train;
pub mod upload;
pub mod watermark;
