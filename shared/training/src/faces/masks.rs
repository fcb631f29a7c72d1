//! Which pixels an attribute is drawn on, found by drawing it black and white and comparing.

use super::attributes::{FRAME, Face, NO_GLASSES};
use super::colour::Rgb;
use super::draw::{Paints, Renderer, raster};
use super::error::FacesError;

/// A part of the picture.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Region {
    /// Hair, behind the head too; without brows and beard.
    Hair,
    /// Face, ears, neck.
    Skin,
    /// The beard.
    Beard,
    /// What is behind.
    Background,
    /// The brows.
    Brows,
    /// Where glasses are, or would be.
    Glasses,
    /// The clothing, all shades.
    Clothing,
}

/// How far a pixel must move (of 255) to belong to a region: a tenth of its area, roughly.
const THRESHOLD: u32 = 25;

impl Renderer {
    /// The region's pixels, row by row: `side · side`. They are those that the region's colour reaches, edges included.
    ///
    /// # Errors
    /// As [`Renderer::draw`].
    pub fn mask(&self, face: &Face, region: Region, side: u32) -> Result<Vec<bool>, FacesError> {
        let paints = Paints::of(face);
        if region == Region::Glasses {
            let with = |glasses| {
                let mut face = face.clone();
                face.shape.glasses = glasses;
                raster(&self.svg(&face)?, &paints, side)
            };
            let (bare, worn) = (with(NO_GLASSES)?, with(FRAME)?);
            let moved = |(a, b): (&[u8], &[u8])| a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            return Ok(bare.chunks_exact(3).zip(worn.chunks_exact(3)).map(|pair| moved(pair) > THRESHOLD).collect());
        }
        let svg = self.svg(face)?;
        let painted = |colour: Rgb| {
            let mut paints = paints;
            match region {
                Region::Hair => paints.hair = colour,
                Region::Skin => paints.skin = colour,
                Region::Beard => paints.beard = colour,
                Region::Background => paints.background = colour,
                Region::Brows => paints.brows = colour,
                Region::Clothing => paints.clothing = [colour; 3],
                Region::Glasses => {} // handled above: glasses are a drawing, not a colour
            }
            raster(&svg, &paints, side)
        };
        // Black and white are grey: one channel tells.
        let (black, white) = (painted(Rgb::hex(0x000000))?, painted(Rgb::hex(0xffffff))?);
        let moved = |(a, b): (&[u8], &[u8])| u32::from(a[0].abs_diff(b[0])) > THRESHOLD;
        Ok(black.chunks_exact(3).zip(white.chunks_exact(3)).map(moved).collect())
    }
}
