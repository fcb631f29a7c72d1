//! Whether faces can be found in a dataset: by its landmarks, or by the pack's detector. A job in which none can be would fail on every
//! source, and is refused when it is submitted. A source without landmarks among others that have some costs its own task.

use domain::Frame;
use domain::edit::SpecError;
use packs::Manifest;
use store::Dataset;

/// Checks that `frame` can be had for some source of `dataset`, which `field` of the job names.
///
/// # Errors
/// When no source has landmarks and the pack has no detector, with what to do.
pub fn check(pack: &Manifest, frame: Frame, field: &str, dataset: &Dataset) -> Result<(), SpecError> {
    if frame.is_default() || pack.detector.is_some() || dataset.landmarks > 0 {
        return Ok(());
    }
    let (name, pack) = (&dataset.name, &pack.name);
    let reason = format!(
        "no source of the dataset '{name}' ({field}) has landmarks, and the pack '{pack}' has no detector to find faces with ([detector] in \
         its pack.toml); add the images with a manifest that has a column landmarks, use a pack imported with --detector, or leave \
         frame out if the images are framed already"
    );
    Err(SpecError::Unusable { field: "frame".to_owned(), reason })
}
