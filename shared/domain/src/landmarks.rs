//! Points of a face, by which it is brought into FFHQ's frame.

use crate::schema;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The landmarks of one face, in pixels of the upright image: x to the right, y down, the centre of the first pixel at (0, 0).
///
/// Either 68 points in the order of iBUG 300-W, which dlib's predictor gives, or 5: left eye, right eye, nose, left corner of the
/// mouth, right corner. "Left" is the image's left. Every number is finite, so equality is an equivalence.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<[f64; 2]>", into = "Vec<[f64; 2]>")]
pub struct Landmarks(Vec<[f64; 2]>);

impl Eq for Landmarks {}

impl PartialSchema for Landmarks {
    fn schema() -> RefOr<Schema> {
        let description = "The landmarks of one face as [x, y] in pixels of the upright image: 68 points in iBUG's order, or 5 (eyes, \
                           nose, corners of the mouth).";
        schema::points(description, &[FIVE, IBUG], FARTHEST)
    }
}

impl ToSchema for Landmarks {}

/// Points of a face in the order of dlib's predictor.
const IBUG: usize = 68;
/// Eyes, nose and corners of the mouth.
const FIVE: usize = 5;
/// Far beyond any image that is accepted; a larger number is a mistake of units or columns.
const FARTHEST: f64 = 1e6;

/// Why points are no landmarks.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum LandmarksError {
    /// Another number of points.
    #[error(
        "landmarks are {0} points; give 68 (iBUG's order) or 5 (left eye, right eye, nose, left and right corner of the mouth)"
    )]
    Count(usize),
    /// A coordinate that no image has.
    #[error("landmark {at} is ({x}, {y}); coordinates are pixels of the image, at most {FARTHEST} from its corner")]
    Coordinate {
        /// The point's place, from 0.
        at: usize,
        /// To the right.
        x: f64,
        /// Down.
        y: f64,
    },
}

/// The points that FFHQ's frame is laid by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Anchors {
    /// The middle of the eye on the image's left.
    pub eye_left: [f64; 2],
    /// The middle of the other eye.
    pub eye_right: [f64; 2],
    /// The corner of the mouth on the image's left.
    pub mouth_left: [f64; 2],
    /// The other corner.
    pub mouth_right: [f64; 2],
}

impl Landmarks {
    /// Checks the points.
    ///
    /// # Errors
    /// When their number is another, or a coordinate is not finite or absurd.
    pub fn new(points: Vec<[f64; 2]>) -> Result<Self, LandmarksError> {
        if !matches!(points.len(), FIVE | IBUG) {
            return Err(LandmarksError::Count(points.len()));
        }
        // a comparison that a NaN fails too
        let sound = |c: &f64| c.abs() <= FARTHEST;
        match points.iter().position(|point| !point.iter().all(sound)) {
            Some(at) => Err(LandmarksError::Coordinate { at, x: points[at][0], y: points[at][1] }),
            None => Ok(Self(points)),
        }
    }

    /// The points, in order.
    pub fn points(&self) -> &[[f64; 2]] {
        &self.0
    }

    /// Eyes and corners of the mouth. Of 68 points an eye is the mean of its six (36 to 41, 42 to 47), and the corners are 48 and 54
    /// (ffhq-dataset, `recreate_aligned_images`).
    pub fn anchors(&self) -> Anchors {
        let point = |index: usize| self.0[index];
        if self.0.len() == FIVE {
            return Anchors { eye_left: point(0), eye_right: point(1), mouth_left: point(3), mouth_right: point(4) };
        }
        Anchors {
            eye_left: mean(&self.0[36..42]),
            eye_right: mean(&self.0[42..48]),
            mouth_left: point(48),
            mouth_right: point(54),
        }
    }
}

/// The mean of some points; there are some.
fn mean(points: &[[f64; 2]]) -> [f64; 2] {
    [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64)
}

impl TryFrom<Vec<[f64; 2]>> for Landmarks {
    type Error = LandmarksError;

    fn try_from(points: Vec<[f64; 2]>) -> Result<Self, Self::Error> {
        Self::new(points)
    }
}

impl From<Landmarks> for Vec<[f64; 2]> {
    fn from(landmarks: Landmarks) -> Self {
        landmarks.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eyes_of_68_points_are_means_and_those_of_5_are_themselves() {
        let all = Landmarks::new((0..68).map(|n| [f64::from(n), 100.0 - f64::from(n)]).collect()).unwrap().anchors();
        assert_eq!((all.eye_left, all.eye_right), ([38.5, 61.5], [44.5, 55.5]));
        assert_eq!((all.mouth_left, all.mouth_right), ([48.0, 52.0], [54.0, 46.0]));
        let five = Landmarks::new((0..5).map(|n| [f64::from(n), 0.0]).collect()).unwrap().anchors();
        assert_eq!((five.eye_right, five.mouth_left, five.mouth_right), ([1.0, 0.0], [3.0, 0.0], [4.0, 0.0]));
    }

    #[test]
    fn what_is_no_face_is_refused_by_name() {
        let refused = |points| Landmarks::new(points).unwrap_err().to_string();
        assert!(refused(vec![[0.0; 2]; 6]).contains("6 points"));
        assert!(refused(vec![[0.0, 0.0], [1.0, f64::NAN], [0.0; 2], [0.0; 2], [0.0; 2]]).contains("landmark 1"));
        assert!(serde_json::from_str::<Landmarks>("[[1e9,0],[0,0],[0,0],[0,0],[0,0]]").is_err());
        let text = "[[1.5,2.0],[3.0,4.0],[5.0,6.0],[7.0,8.0],[9.0,10.0]]";
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Landmarks>(text).unwrap()).unwrap(), text);
    }
}
