//! An image from the bucket in the frame that its job asks for. Where nobody gave landmarks, the tensor thread looks for the face.

use super::{Desk, share};
use crate::gpu::Networks;
use crate::stages::detect::no_detector;
use crate::stages::ended::Ended;
use crate::stages::prepare::{Limits, Prepared, upright};
use crate::stages::timed;
use domain::record::{FaceFacts, LandmarkOrigin};
use domain::{Digest, Framing};
use std::time::Duration;
use tokio::task::spawn_blocking;

/// An image, or why there is none, with the tensor time it took.
pub(super) struct Framed {
    pub(super) image: Result<Prepared, Ended>,
    pub(super) time: Duration,
}

impl Framed {
    /// Its share of tensor time, in milliseconds.
    pub(super) fn gpu_ms(&self) -> f64 {
        share(self.time, 1)
    }
}

/// The image of a digest, framed, at the pack's resolution. What is wrong with it concerns no other.
pub(super) async fn framed(desk: Desk<'_>, networks: &Networks, digest: Digest, framing: &Framing) -> Framed {
    let mut time = Duration::ZERO;
    let image = image(desk, networks, digest, framing, &mut time).await;
    Framed { image, time }
}

async fn image(
    desk: Desk<'_>,
    networks: &Networks,
    digest: Digest,
    framing: &Framing,
    time: &mut Duration,
) -> Result<Prepared, Ended> {
    let bytes = desk.line.artifacts.get(digest).await?;
    let resolution = networks.pack.resolution();
    // Decoding takes from milliseconds to a second, and a frame as long: not on the threads that keep the connections alive.
    let given = match framing {
        Framing::CentreSquare => {
            let prepared =
                spawn_blocking(move || timed("prepare", || upright(&bytes, &Limits::default())?.square(resolution)))
                    .await;
            return Ok(prepared.map_err(Ended::internal)??);
        }
        Framing::Ffhq { landmarks } => landmarks.clone(),
    };
    let (image, face) = match given {
        Some(landmarks) => {
            let decoded = spawn_blocking(move || timed("prepare", || upright(&bytes, &Limits::default()))).await;
            let image = decoded.map_err(Ended::internal)??;
            (image, FaceFacts { landmarks, origin: LandmarkOrigin::Given })
        }
        // without a detector nothing of the image need be decoded
        None if networks.pack.manifest.detector.is_none() => return Err(no_detector()),
        None => {
            let decoded = spawn_blocking(move || {
                timed("prepare", || {
                    let image = upright(&bytes, &Limits::default())?;
                    let picture = image.picture()?;
                    Ok::<_, Ended>((image, picture))
                })
            });
            let (image, picture) = decoded.await.map_err(Ended::internal)??;
            let detected = desk.line.gpu.detect(networks, picture).await;
            *time += detected.time;
            (image, detected.value?)
        }
    };
    let framed = spawn_blocking(move || timed("prepare", || image.framed(face, resolution))).await;
    Ok(framed.map_err(Ended::internal)??)
}
