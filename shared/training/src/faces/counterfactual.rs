//! The same face with one attribute changed: the ground truth of an edit.

use serde::Serialize;

use super::attributes::{Beard, FRAME, Face, HairStyle, Mouth, NO_GLASSES, Paint};
use super::colour::Rgb;
use super::palette::{BACKGROUND, CLOTHING, HAIR, SKIN};

/// One attribute and its new value. Colours are named after their nearest prototype.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Hair, and the brows with it; the beard stays. A bald face stays as it is.
    Hair(Rgb),
    /// Hair, brows and beard: what an edit amounts to for a generator that ties beards to hair.
    HairAndBeard(Rgb),
    /// The skin.
    Skin(Rgb),
    /// Glasses on (the usual frame; one that is there stays) or off.
    Glasses(bool),
    /// The clothing, shades included.
    Clothing(Rgb),
    /// What is behind.
    Background(Rgb),
    /// The hair goes; brows and beard stay.
    Bald,
    /// Another beard in the colour the face has for it, or none.
    Beard(Beard),
    /// Another mouth.
    Mouth(Mouth),
}

impl Face {
    /// The same parameters with one change.
    #[must_use]
    pub fn counterfactual(&self, change: Change) -> Face {
        let mut face = self.clone();
        match change {
            Change::Hair(rgb) => face.dye(rgb),
            Change::HairAndBeard(rgb) => {
                face.beard_paint = Paint::nearest(rgb, HAIR);
                if face.style == HairStyle::Bald && face.beard != Beard::None {
                    face.brows = rgb;
                }
                face.dye(rgb);
            }
            Change::Skin(rgb) => face.skin = Paint::nearest(rgb, SKIN),
            Change::Glasses(true) if face.glasses() => {}
            Change::Glasses(on) => face.shape.glasses = if on { FRAME } else { NO_GLASSES },
            Change::Clothing(rgb) => face.clothing = Paint::nearest(rgb, CLOTHING),
            Change::Background(rgb) => face.background = Paint::nearest(rgb, BACKGROUND),
            Change::Bald => {
                face.style = HairStyle::Bald;
                (face.shape.hair, face.shape.hair_behind) = HairStyle::Bald.drawings()[0];
            }
            Change::Beard(beard) if beard == face.beard => {}
            Change::Beard(beard) => {
                face.beard = beard;
                face.shape.beard = beard.drawings()[0];
            }
            Change::Mouth(mouth) if mouth == face.mouth => {}
            Change::Mouth(mouth) => {
                face.mouth = mouth;
                face.shape.mouth = mouth.drawings()[0];
            }
        }
        face
    }

    fn dye(&mut self, rgb: Rgb) {
        if self.style != HairStyle::Bald {
            self.hair = Paint::nearest(rgb, HAIR);
            self.brows = rgb;
        }
    }
}
