//! Bytes from the bucket, decoded where that needs no tensors. This is what "staging" a batch means.

use super::ended::Ended;
use super::invert::{LatentNote, read_note};
use super::prepare::{Prepared, prepare_framed_mask};
use artifacts::Artifacts;
use credentials::raster;
use domain::record::SourceFacts;
use domain::{Digest, Reason};
use futures_util::stream::{self, StreamExt};
use wire::broker::v1::SourceRef;

/// Objects on their way at once.
pub const PARALLEL: usize = 8;

/// Runs `each` on every item, [`PARALLEL`] at a time; results in the order of the items.
pub async fn all<I, T, F>(items: impl IntoIterator<Item = I>, each: impl Fn(I) -> F) -> Vec<T>
where
    F: Future<Output = T>,
{
    stream::iter(items.into_iter().map(each)).buffered(PARALLEL).collect().await
}

/// What a latent's note says about its source; the `uri` is left to the record.
pub fn facts(sha256: Digest, prepared: &Prepared) -> SourceFacts {
    let [width, height] = prepared.original_size;
    // Orientations 5 to 8 of EXIF lie on their side.
    let turned = (5..=8).any(|n| prepared.conversions.iter().any(|c| *c == format!("exif-orientation-{n}")));
    SourceFacts {
        sha256,
        raster_sha256: prepared.raster_sha256,
        uri: None,
        size: if turned { [height, width] } else { [width, height] },
        format: prepared.format.to_owned(),
        conversions: prepared.conversions.clone(),
        face: prepared.face.clone(),
    }
}

/// A latent with the picture that it gives unedited.
pub struct Latent {
    /// Its file.
    pub bytes: Vec<u8>,
    /// What the file says.
    pub note: LatentNote,
    /// RGB8 raster of the reconstruction.
    pub reconstruction: Vec<u8>,
}

/// A latent of `source`.
///
/// # Errors
/// When it or its reconstruction is missing or damaged, or it is another image's.
pub async fn latent(artifacts: &Artifacts, digest: Digest, source: Digest) -> Result<Latent, Ended> {
    let bytes = artifacts.get(digest).await.map_err(ours)?.to_vec();
    let note = read_note(&bytes)?;
    if note.source.sha256 != source {
        return Err(Ended::internal(format!("latent {digest} is of image {}, not of {source}", note.source.sha256)));
    }
    let png = artifacts.get(note.reconstruction).await.map_err(ours)?;
    let (_, _, reconstruction) = raster::decode(&png).map_err(Ended::internal)?;
    Ok(Latent { bytes, note, reconstruction })
}

/// The mask of an item that is confined to the one called `name`, framed as its image was by `facts`: one byte a pixel, 0 outside to
/// 255 inside.
///
/// # Errors
/// When the source has none, or the item's own fault or the bucket's: nothing of it concerns other items.
pub async fn mask(
    artifacts: &Artifacts,
    name: &str,
    mask: Option<Digest>,
    source: &SourceRef,
    facts: &SourceFacts,
    resolution: u32,
) -> Result<Vec<u8>, Ended> {
    let uri = &source.uri;
    let Some(digest) = mask else {
        let detail = format!(
            "{uri} has no mask '{name}', and the edit is confined to it; add one with `cfx dataset add ... --mask {name}=DIR` and \
             retry"
        );
        return Err(Ended::failed(Reason::MissingMask, detail));
    };
    let named = |ended: Ended| match ended {
        Ended::Failed { reason, detail } => {
            let reason = if reason == Reason::MissingSource { Reason::MissingMask } else { reason };
            Ended::failed(reason, format!("the mask '{name}' of {uri}: {detail}"))
        }
        other => other,
    };
    let bytes = artifacts.get(digest).await.map_err(|error| named(error.into()))?;
    let facts = facts.clone();
    let decoded = tokio::task::spawn_blocking(move || prepare_framed_mask(&bytes, &facts, resolution)).await;
    decoded.map_err(Ended::internal)?.map_err(|reject| named(reject.into()))
}

/// An artifact of an earlier stage.
///
/// # Errors
/// When it is missing or damaged, or the bucket fails.
pub async fn artifact(artifacts: &Artifacts, digest: Digest) -> Result<Vec<u8>, Ended> {
    Ok(artifacts.get(digest).await.map_err(ours)?.to_vec())
}

/// The file of a checkpoint, if there is one.
///
/// # Errors
/// As [`artifact`].
pub async fn checkpoint(artifacts: &Artifacts, digest: Option<Digest>) -> Result<Option<Vec<u8>>, Ended> {
    match digest {
        Some(digest) => artifact(artifacts, digest).await.map(Some),
        None => Ok(None),
    }
}

/// An artifact that an earlier stage wrote and that is not there is no fault of the user's data.
fn ours(error: artifacts::ArtifactError) -> Ended {
    match Ended::from(error) {
        Ended::Failed { reason: Reason::MissingSource | Reason::DigestMismatch, detail } => {
            Ended::failed(Reason::Internal, format!("an artifact of an earlier stage: {detail}"))
        }
        other => other,
    }
}
