//! Prototype colours and their names. The order is the order of the judge's classes.

use super::colour::Rgb;

/// Names and prototypes of one attribute.
pub type Palette = &'static [(&'static str, Rgb)];

/// Hair and beards: [`NATURAL_HAIR`] natural colours, then those that the generator never sees.
pub const HAIR: Palette = &[
    ("black", Rgb::hex(0x1e1a18)),
    ("brown", Rgb::hex(0x6a4126)),
    ("blond", Rgb::hex(0xe0b95f)),
    ("auburn", Rgb::hex(0x9a3f22)),
    ("grey", Rgb::hex(0x8f8f8f)),
    ("white", Rgb::hex(0xe8e4de)),
    ("green", Rgb::hex(0x2fae3e)),
    ("blue", Rgb::hex(0x2f5fe0)),
    ("purple", Rgb::hex(0x8a35c8)),
    ("pink", Rgb::hex(0xf27ab8)),
    ("red", Rgb::hex(0xdd1f26)),
    ("orange", Rgb::hex(0xf58a1f)),
];

/// How many of [`HAIR`] are natural.
pub const NATURAL_HAIR: usize = 6;

/// Skin: [`NATURAL_SKIN`] natural colours, then those that the generator never sees.
pub const SKIN: Palette = &[
    ("pale", Rgb::hex(0xf2d6cb)),
    ("peach", Rgb::hex(0xeab687)),
    ("tan", Rgb::hex(0xc68a63)),
    ("brown", Rgb::hex(0x98623f)),
    ("dark", Rgb::hex(0x583830)),
    ("blue", Rgb::hex(0x5a92e6)),
    ("green", Rgb::hex(0x6cc063)),
    ("purple", Rgb::hex(0xa070d0)),
    ("red", Rgb::hex(0xe0524a)),
    ("grey", Rgb::hex(0xa9adb0)),
];

/// How many of [`SKIN`] are natural.
pub const NATURAL_SKIN: usize = 5;

/// Clothing.
pub const CLOTHING: Palette = &[
    ("red", Rgb::hex(0xd02a2a)),
    ("green", Rgb::hex(0x2f9e44)),
    ("blue", Rgb::hex(0x2b5fd9)),
    ("purple", Rgb::hex(0x7d3cc0)),
    ("pink", Rgb::hex(0xf080b8)),
    ("yellow", Rgb::hex(0xf0d030)),
    ("orange", Rgb::hex(0xf08a24)),
    ("black", Rgb::hex(0x202020)),
    ("white", Rgb::hex(0xf4f4f4)),
    ("grey", Rgb::hex(0x8a8f94)),
];

/// Backgrounds.
pub const BACKGROUND: Palette = &[
    ("red", Rgb::hex(0xe06a60)),
    ("green", Rgb::hex(0x7cc47f)),
    ("blue", Rgb::hex(0x7aa7ee)),
    ("purple", Rgb::hex(0xb08ae0)),
    ("pink", Rgb::hex(0xf6b6d2)),
    ("yellow", Rgb::hex(0xf4e28c)),
    ("orange", Rgb::hex(0xf4b070)),
    ("white", Rgb::hex(0xf6f6f4)),
    ("grey", Rgb::hex(0xb4b8bc)),
];

/// Brows of a bald face without a beard.
pub const BARE_BROWS: Rgb = Rgb::hex(0x3d2a20);

/// The prototype of a name.
pub fn prototype(palette: Palette, name: &str) -> Option<Rgb> {
    palette.iter().find(|(known, _)| *known == name).map(|(_, colour)| *colour)
}
