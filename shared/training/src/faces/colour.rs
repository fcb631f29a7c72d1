//! Colours, and their names by the nearest prototype.

use std::fmt;

use serde::{Serialize, Serializer};

use super::palette::Palette;

/// An sRGB colour, 8 bits a channel. Written `#rrggbb`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rgb(pub [u8; 3]);

impl Rgb {
    /// The colour `0xrrggbb`.
    pub const fn hex(code: u32) -> Self {
        Rgb([(code >> 16) as u8, (code >> 8) as u8, code as u8])
    }

    /// Every channel times `factor`, rounded; for the shades of one cloth.
    pub fn scaled(self, factor: f64) -> Self {
        self.map(|v| v * factor)
    }

    /// The mixture with `share` (0 to 1) of `other`, channel by channel in sRGB.
    pub fn mixed(self, other: Rgb, share: f64) -> Self {
        let mut channels = self.0;
        for (channel, theirs) in channels.iter_mut().zip(other.0) {
            *channel = byte(f64::from(*channel) * (1.0 - share) + f64::from(theirs) * share);
        }
        Rgb(channels)
    }

    fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Rgb(self.0.map(|v| byte(change(f64::from(v)))))
    }

    /// CIE L*a*b* under D65 (L 0 to 100).
    pub fn lab(self) -> [f64; 3] {
        let linear = self.0.map(|v| {
            let v = f64::from(v) / 255.0;
            if v > 0.04045 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 }
        });
        let dot = |row: [f64; 3]| row.iter().zip(linear).map(|(a, b)| a * b).sum::<f64>();
        // IEC 61966-2-1 primaries, divided by the D65 white.
        let x = dot([0.4124, 0.3576, 0.1805]) / 0.9505;
        let y = dot([0.2126, 0.7152, 0.0722]);
        let z = dot([0.0193, 0.1192, 0.9505]) / 1.089;
        let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        [116.0 * f(y) - 16.0, 500.0 * (f(x) - f(y)), 200.0 * (f(y) - f(z))]
    }
}

/// Rounds to the nearest byte; what lies outside is clamped.
pub(super) fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl Serialize for Rgb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How much a squared difference of lightness counts beside the two of colour: shades of one colour keep its name.
const LIGHTNESS_WEIGHT: f64 = 0.5;

/// The name of the palette's colour that is nearest in Lab, lightness counted half.
pub fn name_of(colour: Rgb, palette: Palette) -> &'static str {
    let [l, a, b] = colour.lab();
    let distance = |prototype: Rgb| {
        let [pl, pa, pb] = prototype.lab();
        LIGHTNESS_WEIGHT * (l - pl).powi(2) + (a - pa).powi(2) + (b - pb).powi(2)
    };
    let nearest = palette.iter().min_by(|x, y| distance(x.1).total_cmp(&distance(y.1)));
    nearest.map_or("none", |(name, _)| name)
}

/// The median of each channel over the pixels of an RGB picture (row by row, 3 bytes a pixel) where `mask` is set; `None`
/// where it is set nowhere. Of an even number of values the lower middle one is taken, as PyTorch's `median` does.
pub fn median(picture: &[u8], mask: &[bool]) -> Option<Rgb> {
    let inside: Vec<&[u8]> = picture.chunks_exact(3).zip(mask).filter(|(_, set)| **set).map(|(p, _)| p).collect();
    if inside.is_empty() {
        return None;
    }
    let middle = (inside.len() - 1) / 2;
    Some(Rgb([0, 1, 2].map(|channel| {
        let mut values: Vec<u8> = inside.iter().map(|pixel| pixel[channel]).collect();
        *values.select_nth_unstable(middle).1
    })))
}

#[cfg(test)]
mod tests {
    use super::super::palette::{HAIR, SKIN};
    use super::*;

    #[test]
    fn prototypes_and_their_shades_are_named_after_themselves() {
        for &(name, colour) in HAIR.iter().chain(SKIN) {
            let palette = if HAIR.contains(&(name, colour)) { HAIR } else { SKIN };
            assert_eq!(name_of(colour, palette), name);
            assert_eq!(name_of(colour.scaled(0.97), palette), name, "a slightly darker {name}");
        }
        assert_eq!(name_of(Rgb::hex(0x30a040), HAIR), "green");
    }

    #[test]
    fn lab_of_white_and_of_pure_red() {
        // Reference values: D65, http://www.brucelindbloom.com (rounded to the matrix's four digits).
        let near = |found: [f64; 3], expected: [f64; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.1);
        assert!(near(Rgb::hex(0xffffff).lab(), [100.0, 0.0, 0.0]));
        assert!(near(Rgb::hex(0xff0000).lab(), [53.24, 80.09, 67.20]));
    }

    #[test]
    fn the_median_looks_at_the_mask_only() {
        let picture = [10, 20, 30, 255, 255, 255, 12, 18, 33, 11, 19, 31];
        assert_eq!(median(&picture, &[true, false, true, true]), Some(Rgb([11, 19, 31])));
        assert_eq!(median(&picture, &[false; 4]), None);
    }
}
