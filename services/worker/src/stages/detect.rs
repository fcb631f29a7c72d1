//! The face in a photograph whose landmarks nobody gave, by the pack's detector. Runs on the tensor thread.

use super::ended::Ended;
use super::prepare::Picture;
use domain::record::{FaceFacts, LandmarkOrigin};
use domain::{Landmarks, Reason};
use editing::{EditError, Engine};

/// The largest face in a picture, with how many there are: an image of several is of the one nearest to the camera.
///
/// # Errors
/// `missing_landmarks` where the pack has no detector, `no_face` where it sees none.
pub fn compute(engine: &Engine, picture: &Picture) -> Result<FaceFacts, Ended> {
    let detector = engine.detector().ok_or_else(no_detector)?;
    let faces = detector.detect(&picture.pixels, picture.width, picture.height).map_err(EditError::from)?;
    let Some(face) = faces.first() else {
        return Err(Ended::failed(
            Reason::NoFace,
            "the pack's detector sees no face of 20 pixels or more in the image; if there is one, register the image with landmarks in \
             another dataset, or leave it out of the job",
        ));
    };
    let points = face.landmarks.iter().map(|point| picture.in_image(*point)).collect();
    let landmarks = Landmarks::new(points).map_err(Ended::internal)?;
    let faces = u32::try_from(faces.len()).unwrap_or(u32::MAX);
    Ok(FaceFacts { landmarks, origin: LandmarkOrigin::Detected { faces, probability: f64::from(face.probability) } })
}

/// How a source ends that has no landmarks, on a pack that cannot find any.
pub fn no_detector() -> Ended {
    Ended::failed(
        Reason::MissingLandmarks,
        "the source has no landmarks and the pack has no detector to find its face; register it with a manifest that has a column \
         landmarks, or use a pack imported with --detector, and submit the job again",
    )
}
