//! The face of a photograph in FFHQ's frame, and the mask that belongs to it.

use super::align::{align, align_mask};
use super::mask::to_mask;
use super::{Prepared, Reject, Upright, conversion, finished, prepare_mask};
use domain::landmarks::Anchors;
use domain::record::{FaceFacts, SourceFacts};
use domain::{Landmarks, Reason};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// Pixels that a detector looks at, at most: of larger images it sees a smaller one, and faces below the detector's least size there
/// are too small for a frame anyway.
const MOST_PIXELS: u64 = 16_000_000;

/// An image as a detector looks at it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// RGB8, row by row from the top left.
    pub pixels: Vec<u8>,
    /// Width, px.
    pub width: usize,
    /// Height, px.
    pub height: usize,
    /// How many pixels of the image one of these is, across and down.
    pub scale: [f64; 2],
}

impl Picture {
    /// A point of this picture in pixels of the image.
    pub fn in_image(&self, point: [f32; 2]) -> [f64; 2] {
        [0, 1].map(|axis| (f64::from(point[axis]) + 0.5) * self.scale[axis] - 0.5)
    }
}

impl Upright {
    /// What a detector is to look at.
    ///
    /// # Errors
    /// When the image cannot be resized.
    pub fn picture(&self) -> Result<Picture, Reject> {
        let (width, height) = self.rgb.dimensions();
        let whole = |pixels: Vec<u8>, w: u32, h: u32| Picture {
            pixels,
            width: w as usize,
            height: h as usize,
            scale: [f64::from(width) / f64::from(w), f64::from(height) / f64::from(h)],
        };
        let pixels = u64::from(width) * u64::from(height);
        // safe to narrow: an image has at most 120 million pixels
        let by = (1_u32..).find(|by| pixels / u64::from(*by).pow(2) <= MOST_PIXELS).unwrap_or(1);
        if by == 1 {
            return Ok(whole(self.rgb.as_raw().clone(), width, height));
        }
        let failed = |error: &dyn std::error::Error| {
            Reject::new(Reason::Corrupt, format!("the image cannot be resized for the detector: {error}"))
        };
        let (w, h) = ((width / by).max(1), (height / by).max(1));
        let source = ImageRef::new(width, height, self.rgb.as_raw(), PixelType::U8x3).map_err(|e| failed(&e))?;
        let mut target = Image::new(w, h, PixelType::U8x3);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
        Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
        Ok(whole(target.into_vec(), w, h))
    }

    /// The face in FFHQ's frame, at `resolution`.
    ///
    /// # Errors
    /// `bad_landmarks` where they are of no face in the image.
    pub fn framed(self, face: FaceFacts, resolution: u32) -> Result<Prepared, Reject> {
        let Self { rgb, original_size, format, mut conversions, origin } = self;
        let (width, height) = rgb.dimensions();
        let bad = |what: String| {
            let remedy = "give landmarks in pixels of the upright image, or leave them to the pack's detector";
            Err(Reject::new(Reason::BadLandmarks, format!("{what} ({width}x{height} pixels, upright); {remedy}")))
        };
        if let Some([x, y]) = face.landmarks.points().iter().find(|point| !near(**point, width, height)) {
            return bad(format!("the landmark ({x:.0}, {y:.0}) is far outside of the image"));
        }
        let (image, done) = match align(rgb, &face.landmarks.anchors(), resolution) {
            Ok(aligned) => aligned,
            Err(misplaced) => return bad(misplaced.to_string()),
        };
        conversions.push(conversion::FFHQ_FRAME.to_owned());
        conversions.extend(done.padded.then(|| conversion::FFHQ_PADDED.to_owned()));
        Ok(finished(image.into_raw(), resolution, original_size, format, conversions, Some(face), origin))
    }
}

/// Whether a point lies in the image or within an image's width beyond its edges: the far side of a face may.
fn near([x, y]: [f64; 2], width: u32, height: u32) -> bool {
    let within = |c: f64, side: u32| (-f64::from(side)..=2.0 * f64::from(side)).contains(&c);
    within(x, width) && within(y, height)
}

/// As [`prepare_mask`], framed as `source` was.
///
/// # Errors
/// The file's own fault, with its reason.
pub fn prepare_framed_mask(bytes: &[u8], source: &SourceFacts, resolution: u32) -> Result<Vec<u8>, Reject> {
    let Some(face) = &source.face else { return prepare_mask(bytes, resolution) };
    let mask = to_mask(bytes)?;
    let [across, down] = [f64::from(mask.width()), f64::from(mask.height())];
    let scale = [across / f64::from(source.size[0].max(1)), down / f64::from(source.size[1].max(1))];
    let placed = align_mask(&mask, &scaled(&face.landmarks, scale), resolution);
    placed.ok_or_else(|| Reject::new(Reason::TooSmall, "the mask is too small to be framed by its image's face"))
}

/// The points of an image on its mask, which may be larger or smaller.
fn scaled(landmarks: &Landmarks, scale: [f64; 2]) -> Anchors {
    let Anchors { eye_left, eye_right, mouth_left, mouth_right } = landmarks.anchors();
    let [eye_left, eye_right, mouth_left, mouth_right] =
        [eye_left, eye_right, mouth_left, mouth_right].map(|p| [0, 1].map(|axis| (p[axis] + 0.5) * scale[axis] - 0.5));
    Anchors { eye_left, eye_right, mouth_left, mouth_right }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::prepare::Origin;
    use domain::record::LandmarkOrigin;
    use image::RgbImage;

    fn upright(width: u32, height: u32) -> Upright {
        let rgb = RgbImage::from_fn(width, height, |x, y| image::Rgb([(x % 251) as u8, (y % 241) as u8, 90]));
        Upright {
            rgb,
            original_size: [width, height],
            format: "png",
            conversions: vec!["grey-to-rgb".to_owned()],
            origin: Origin::default(),
        }
    }

    fn face(points: [[f64; 2]; 5]) -> FaceFacts {
        FaceFacts { landmarks: Landmarks::new(points.to_vec()).unwrap(), origin: LandmarkOrigin::Given }
    }

    const INSIDE: [[f64; 2]; 5] = [[90.0, 80.0], [118.0, 82.0], [104.0, 96.0], [93.0, 111.0], [115.0, 112.0]];

    #[test]
    fn what_was_done_is_named_with_the_face() {
        let made = upright(208, 190).framed(face(INSIDE), 64).unwrap();
        assert_eq!(made.conversions, ["grey-to-rgb", "ffhq-frame"]);
        assert_eq!((made.raster.len(), made.face), (64 * 64 * 3, Some(face(INSIDE))));
        let padded = upright(120, 120).framed(face(INSIDE), 64).unwrap();
        assert_eq!(padded.conversions, ["grey-to-rgb", "ffhq-frame", "ffhq-padded"]);
    }

    #[test]
    fn landmarks_of_another_image_are_refused_with_the_reason() {
        for (points, said) in [
            ([[500.0, 9.0]; 5], "landmark (500, 9) is far outside"),
            ([[50.0, 9.0]; 5], "eyes and mouth are in one place"),
            (
                [[150.0, 50.0], [180.0, 50.0], [165.0, 65.0], [150.0, 80.0], [180.0, 80.0]],
                "(165, 53), is not in the image",
            ),
        ] {
            let refused = upright(100, 100).framed(face(points), 64).unwrap_err();
            assert_eq!(refused.reason, Reason::BadLandmarks);
            assert!(refused.message.contains(said) && refused.message.contains("100x100"), "{refused}");
        }
    }

    #[test]
    fn a_detector_sees_a_huge_image_smaller_and_its_points_are_brought_back() {
        let seen = upright(6000, 3001).picture().unwrap();
        assert_eq!((seen.width, seen.height, seen.pixels.len()), (3000, 1500, 3000 * 1500 * 3));
        assert_eq!(seen.in_image([0.0, 1499.0]), [0.5, 3001.0 - 0.5 - 3001.0 / 3000.0]);
        let seen = upright(300, 200).picture().unwrap();
        assert_eq!((seen.width, seen.in_image([7.0, 9.5])), (300, [7.0, 9.5]));
    }
}
