//! Results into the bucket: artifacts first, then the pointer that says they are there.

use super::ended::Ended;
use artifacts::{ArtifactClass, ArtifactError, Artifacts};
use chrono::Utc;
use domain::{Digest, StageKey};
use std::time::Duration;
use telemetry::crash_point;
use wire::broker::v1::{Outcome, ResultPointer};

/// Tries beyond the client's own, with doubling pauses: about half a minute. The computation behind an upload costs more than that.
const TRIES: u32 = 6;

/// Stores an artifact.
///
/// # Errors
/// When the bucket still fails after half a minute.
pub async fn artifact(artifacts: &Artifacts, bytes: Vec<u8>) -> Result<Digest, Ended> {
    let bytes = bytes::Bytes::from(bytes);
    patiently(|| artifacts.put(bytes.clone())).await
}

/// Writes the result pointer and returns the outcome it holds.
///
/// # Errors
/// As [`artifact`].
pub async fn pointer(artifacts: &Artifacts, key: StageKey, outcome: Outcome) -> Result<Outcome, Ended> {
    let pointer = ResultPointer { key, outcome, written_at: Utc::now() };
    let object = pointer.object();
    patiently(|| artifacts.put_result(&object, &pointer)).await?;
    crash_point("w.after_put");
    Ok(pointer.outcome)
}

/// What an earlier hand-out of the same work left behind at `object` of the bucket, if it is all there.
pub async fn earlier(artifacts: &Artifacts, object: &str) -> Option<Outcome> {
    let pointer: ResultPointer = match artifacts.get_result(object).await {
        Ok(found) => found?,
        Err(error) => {
            tracing::warn!(object, %error, "an earlier result cannot be read; computing it again");
            return None;
        }
    };
    let objects = match &pointer.outcome {
        Outcome::Stored { artifact, .. } => vec![*artifact],
        Outcome::Edited(edited) => vec![edited.image, edited.reconstruction, edited.record_digest],
        Outcome::Yielded { .. } | Outcome::Failed { .. } => return None,
    };
    for object in objects {
        if !artifacts.exists(object).await.unwrap_or(false) {
            return None;
        }
    }
    Some(pointer.outcome)
}

async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Ended>
where
    F: Future<Output = Result<T, ArtifactError>>,
{
    let mut pause = Duration::from_millis(500);
    for left in (0..TRIES).rev() {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if left > 0 && error.class() == ArtifactClass::Unavailable => {
                tracing::warn!(%error, "an upload failed; trying again");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Ended::internal("an upload was not tried"))
}
