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

/// Runs an item's step of work beside the device, and notes how long it took.
pub fn timed<T>(step: &'static str, work: impl FnOnce() -> T) -> T {
    let began = std::time::Instant::now();
    let done = work();
    metrics::histogram!("cfx_worker_step_duration_seconds", "step" => step).record(began.elapsed().as_secs_f64());
    done
}
