//! From parameters to pixels.

use std::path::Path;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use serde_json::json;

use super::attributes::Face;
use super::colour::Rgb;
use super::error::FacesError;
use super::library::Library;

/// Where `deploy/local/facesjs.sh` puts the library, relative to the repository's root.
pub const DEFAULT_LIBRARY: &str = ".local/facesjs";

/// The largest side, px; only a guard against a slip of the pen.
const MAX_SIDE: u32 = 4096;

/// Draws faces. Not `Send`: each thread opens its own (some milliseconds).
pub struct Renderer {
    library: Library,
}

/// The colours a drawing is painted with.
#[derive(Clone, Copy)]
pub(super) struct Paints {
    pub(super) hair: Rgb,
    pub(super) skin: Rgb,
    pub(super) beard: Rgb,
    pub(super) brows: Rgb,
    /// Main colour, and its two darker shades.
    pub(super) clothing: [Rgb; 3],
    pub(super) background: Rgb,
}

impl Paints {
    pub(super) fn of(face: &Face) -> Self {
        let cloth = face.clothing.rgb;
        Paints {
            hair: face.hair.rgb,
            skin: face.skin.rgb,
            beard: face.beard_paint.rgb,
            brows: face.brows,
            clothing: [cloth, cloth.scaled(0.6), cloth.scaled(0.75)],
            background: face.background.rgb,
        }
    }
}

impl Renderer {
    /// Opens the library at `path`, the unpacked npm package of facesjs 5.0.3.
    ///
    /// # Errors
    /// Says what to do where the library is missing or of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FacesError> {
        Ok(Renderer { library: Library::open(path.as_ref())? })
    }

    /// Draws a face as a square picture: `side · side · 3` bytes, row by row, RGB.
    ///
    /// # Errors
    /// A side of 0 or above 4096; a library that is not the one expected.
    pub fn draw(&self, face: &Face, side: u32) -> Result<Vec<u8>, FacesError> {
        raster(&self.svg(face)?, &Paints::of(face), side)
    }

    /// The drawing, with a mark at the place of each colour.
    pub(super) fn svg(&self, face: &Face) -> Result<String, FacesError> {
        let svg = self.library.draw(&facesjs(face).to_string())?;
        frame(&svg)
    }
}

/// The library's description of a face, colours as marks.
fn facesjs(face: &Face) -> serde_json::Value {
    let s = &face.shape;
    json!({
        "fatness": s.fatness,
        "teamColors": ["@cloth0@", "@cloth1@", "@cloth2@"],
        "hairBg": { "id": s.hair_behind },
        "body": { "id": "body", "color": "@skin@", "size": s.body_size },
        "jersey": { "id": s.jersey },
        "ear": { "id": s.ear, "size": s.ear_size },
        "head": { "id": s.head, "shave": "rgba(0,0,0,0)" },
        "eyeLine": { "id": "none" },
        "smileLine": { "id": "none", "size": 1 },
        "miscLine": { "id": "none" },
        "facialHair": { "id": s.beard },
        "eye": { "id": s.eye, "angle": s.eye_angle },
        "eyebrow": { "id": s.brow, "angle": s.brow_angle },
        "hair": { "id": s.hair, "color": "@hair@", "flip": s.hair_flip },
        "mouth": { "id": s.mouth, "flip": false },
        "nose": { "id": s.nose, "flip": s.nose_flip, "size": s.nose_size },
        "glasses": { "id": s.glasses },
        "accessories": { "id": "none" },
    })
}

/// Crops the library's tall page to head and shoulders, stretches that to a square, and puts a background behind.
fn frame(svg: &str) -> Result<String, FacesError> {
    let mut framed = svg.to_owned();
    for (from, to) in [
        (r#"viewBox="0 0 400 600""#, r#"viewBox="-25 75 450 505""#),
        (r#"preserveAspectRatio="xMinYMin meet""#, r#"preserveAspectRatio="none""#),
        (r#"width="100%" height="100%""#, r#"width="@side@" height="@side@""#),
        (">", r#"><rect x="-60" y="0" width="560" height="700" fill="@background@"/>"#),
    ] {
        if !framed.contains(from) {
            return Err(FacesError::Drawing(from));
        }
        framed = framed.replacen(from, to, 1);
    }
    Ok(framed)
}

/// Replaces the marks and rasterises.
pub(super) fn raster(svg: &str, paints: &Paints, side: u32) -> Result<Vec<u8>, FacesError> {
    if side == 0 || side > MAX_SIDE {
        return Err(FacesError::Side(side));
    }
    let [cloth0, cloth1, cloth2] = paints.clothing;
    let mut svg = svg.replace("@side@", &side.to_string());
    for (mark, colour) in [
        ("@hair@", paints.hair),
        ("@skin@", paints.skin),
        ("@beard@", paints.beard),
        ("@brows@", paints.brows),
        ("@cloth0@", cloth0),
        ("@cloth1@", cloth1),
        ("@cloth2@", cloth2),
        ("@background@", paints.background),
    ] {
        svg = svg.replace(mark, &colour.to_string());
    }
    let tree = Tree::from_str(&svg, &Options::default()).map_err(|error| FacesError::Svg(error.to_string()))?;
    let mut pixmap = Pixmap::new(side, side).ok_or(FacesError::Side(side))?;
    resvg::render(&tree, Transform::identity(), &mut pixmap.as_mut());
    // The background covers the picture, so every pixel is opaque and nothing is premultiplied.
    Ok(pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect())
}
