//! What a face is made of, and how faces are distributed.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::Serialize;

use super::colour::{Rgb, byte, name_of};
use super::palette::{BACKGROUND, BARE_BROWS, CLOTHING, HAIR, NATURAL_HAIR, NATURAL_SKIN, Palette, SKIN};

/// From which faces a random one is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distribution {
    /// Natural hair and skin; a beard has the hair's colour. What a generator is trained on.
    Natural,
    /// All colours of hair, skin and beard, close to their prototypes.
    Open,
    /// As [`Distribution::Open`], with colours mixed between prototypes and named after the nearest one.
    Continuous,
}

/// A colour with its name in the attribute's palette.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Paint {
    /// The judge's class.
    pub name: &'static str,
    /// What is drawn.
    pub rgb: Rgb,
}

impl Paint {
    /// A colour, named after the nearest prototype.
    pub fn nearest(rgb: Rgb, palette: Palette) -> Self {
        Paint { name: name_of(rgb, palette), rgb }
    }

    fn jittered((name, rgb): (&'static str, Rgb), spread: f64, rng: &mut impl Rng) -> Self {
        Paint { name, rgb: jitter(rgb, spread, rng) }
    }

    /// Mostly a random mixture with another prototype, renamed; the rest stays.
    fn widened(self, palette: Palette, rng: &mut impl Rng) -> Self {
        if rng.random::<f64>() < 0.35 {
            return self;
        }
        let other = pick(palette, rng).1;
        let share = rng.random::<f64>();
        Paint::nearest(jitter(self.rgb.mixed(other, share), 12.0, rng), palette)
    }
}

/// Moves each channel by up to `spread`, evenly.
fn jitter(colour: Rgb, spread: f64, rng: &mut impl Rng) -> Rgb {
    Rgb(colour.0.map(|v| byte(f64::from(v) + ((rng.random::<f64>() * 2.0 - 1.0) * spread).round())))
}

fn pick<T: Copy>(choices: &[T], rng: &mut impl Rng) -> T {
    // Safe because every list of choices in this module has at least one.
    *choices.choose(rng).expect("a list of choices is not empty")
}

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $kind { $($(#[$variant_doc])* $variant),+ }

        impl $kind {
            /// The judge's class.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// All of them, in the order of the judge's classes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    };
}

named! {
    /// Kinds of hair.
    HairStyle {
        /// None at all.
        Bald = "bald",
        /// Cropped or parted.
        Short = "short",
        /// Big and round.
        Afro = "afro",
        /// Curls.
        Curly = "curly",
        /// Spikes, or messy.
        Spiky = "spiky",
        /// A flat top.
        Flat = "flat",
        /// Down to the chin.
        Bob = "bob",
        /// Down to the shoulders or below.
        Long = "long",
    }
}

named! {
    /// Kinds of facial hair.
    Beard {
        /// Shaven.
        None = "none",
        /// On the upper lip only.
        Mustache = "mustache",
        /// Around the mouth.
        Goatee = "goatee",
        /// Cheeks and chin.
        Beard = "beard",
    }
}

named! {
    /// Kinds of mouth.
    Mouth {
        /// Laughing or smiling.
        Smile = "smile",
        /// Straight.
        Neutral = "neutral",
        /// Gritted teeth.
        Angry = "angry",
        /// Wide open.
        Open = "open",
    }
}

impl HairStyle {
    /// Drawings of the hair and of what hangs behind the head.
    pub(super) const fn drawings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bald => &[("bald", "none")],
            Self::Short => &[("crop", "none"), ("short", "none"), ("short2", "none"), ("parted", "none")],
            Self::Afro => &[("afro", "none")],
            Self::Curly => &[("curly", "none"), ("curly3", "none")],
            Self::Spiky => &[("spike", "none"), ("spike3", "none"), ("messy", "none")],
            Self::Flat => &[("high", "none"), ("juice", "none")],
            Self::Bob => &[("female1", "none"), ("female5", "none"), ("female12", "none")],
            Self::Long => {
                &[("longHair", "longHair"), ("female9", "female2"), ("female4", "female4"), ("middle-part", "female5")]
            }
        }
    }
}

impl Beard {
    pub(super) const fn drawings(self) -> &'static [&'static str] {
        match self {
            Self::None => &["none"],
            Self::Mustache => &["mustache1"],
            Self::Goatee => &["fullgoatee4", "wilt", "goatee4-stache"],
            Self::Beard => &["beard1", "beard2", "beard3", "beard4"],
        }
    }
}

impl Mouth {
    pub(super) const fn drawings(self) -> &'static [&'static str] {
        match self {
            Self::Smile => &["smile", "smile3", "smile4"],
            Self::Neutral => &["straight", "mouth3", "smile-closed"],
            Self::Angry => &["angry"],
            Self::Open => &["mouth7", "mouth8"],
        }
    }
}

/// How often each kind of hair comes: the more kinds of drawing, the more often.
const STYLES: [HairStyle; 12] = [
    HairStyle::Bald,
    HairStyle::Short,
    HairStyle::Short,
    HairStyle::Afro,
    HairStyle::Curly,
    HairStyle::Spiky,
    HairStyle::Flat,
    HairStyle::Bob,
    HairStyle::Bob,
    HairStyle::Long,
    HairStyle::Long,
    HairStyle::Long,
];
const BEARDS: [Beard; 6] = [Beard::None, Beard::None, Beard::Mustache, Beard::Goatee, Beard::Beard, Beard::Beard];
const MOUTHS: [Mouth; 5] = [Mouth::Smile, Mouth::Smile, Mouth::Neutral, Mouth::Angry, Mouth::Open];

/// Shapes without a name of their own: what makes two faces of equal attributes two faces. Identifiers are facesjs's.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Shape {
    pub(super) fatness: f64,
    pub(super) body_size: f64,
    pub(super) jersey: &'static str,
    pub(super) ear: &'static str,
    pub(super) ear_size: f64,
    pub(super) head: &'static str,
    pub(super) eye: &'static str,
    /// Degrees.
    pub(super) eye_angle: f64,
    pub(super) brow: &'static str,
    /// Degrees.
    pub(super) brow_angle: f64,
    pub(super) hair: &'static str,
    pub(super) hair_behind: &'static str,
    pub(super) hair_flip: bool,
    pub(super) beard: &'static str,
    pub(super) mouth: &'static str,
    pub(super) nose: &'static str,
    pub(super) nose_flip: bool,
    pub(super) nose_size: f64,
    /// `none`, or the frame.
    pub(super) glasses: &'static str,
}

/// The parameters of one face: its attributes, its colours and its shapes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Face {
    /// Whether it was drawn from the shapes of a woman.
    pub woman: bool,
    /// The kind of hair.
    pub style: HairStyle,
    /// The hair's colour; a bald face has one that does not show.
    pub hair: Paint,
    /// The skin.
    pub skin: Paint,
    /// The kind of beard.
    pub beard: Beard,
    /// The beard's colour; a shaven face has one that does not show.
    pub beard_paint: Paint,
    /// The brows, which follow the hair where there is some.
    pub brows: Rgb,
    /// The mouth.
    pub mouth: Mouth,
    /// The main colour of the clothing.
    pub clothing: Paint,
    /// What is behind.
    pub background: Paint,
    pub(super) shape: Shape,
}

impl Face {
    /// A random face. The same generator in the same state gives the same face, on every machine.
    pub fn random(distribution: Distribution, rng: &mut impl Rng) -> Self {
        let natural = distribution == Distribution::Natural;
        let style = pick(&STYLES, rng);
        let (hair_shape, hair_behind) = pick(style.drawings(), rng);
        let hair = pick(if natural { &HAIR[..NATURAL_HAIR] } else { HAIR }, rng);
        // Half of the open faces keep natural skin, or most of them would be of no natural kind.
        let natural_skin = natural || rng.random::<f64>() < 0.5;
        let skin = pick(if natural_skin { &SKIN[..NATURAL_SKIN] } else { SKIN }, rng);
        let clothing = pick(CLOTHING, rng);
        let background = pick(BACKGROUND, rng);
        let woman = matches!(style, HairStyle::Bob | HairStyle::Long) && rng.random::<f64>() < 0.75;
        let beard = if woman { Beard::None } else { pick(&BEARDS, rng) };
        let own_beard = (!natural && beard != Beard::None && rng.random::<f64>() < 0.5).then(|| pick(HAIR, rng));
        let glasses = rng.random::<f64>() < 0.35;
        let mouth = pick(&MOUTHS, rng);

        let mut hair = Paint::jittered(hair, 14.0, rng);
        let mut skin = Paint::jittered(skin, 10.0, rng);
        let mut clothing = Paint::jittered(clothing, 14.0, rng);
        let mut background = Paint::jittered(background, 10.0, rng);
        let mut own_beard = own_beard.map(|paint| Paint::jittered(paint, 14.0, rng));
        if distribution == Distribution::Continuous {
            hair = hair.widened(HAIR, rng);
            skin = skin.widened(SKIN, rng);
            clothing = clothing.widened(CLOTHING, rng);
            background = background.widened(BACKGROUND, rng);
            own_beard = own_beard.map(|paint| paint.widened(HAIR, rng));
        }
        let beard_paint = own_beard.unwrap_or(hair);
        let brows = match (style, beard) {
            (HairStyle::Bald, Beard::None) => BARE_BROWS,
            (HairStyle::Bald, _) => beard_paint.rgb,
            _ => hair.rgb,
        };
        let shape = Shape {
            fatness: rng.random(),
            body_size: 0.95 + 0.15 * rng.random::<f64>(),
            jersey: pick(&["football", "hockey", "baseball2"], rng),
            ear: pick(&["ear1", "ear2"], rng),
            ear_size: 0.6 + 0.6 * rng.random::<f64>(),
            head: choose(
                woman,
                &["female1", "female2", "head4"],
                &["head1", "head4", "head7", "head10", "head15"],
                rng,
            ),
            eye: choose(
                woman,
                &["female1", "female3", "female13", "female16"],
                &["eye1", "eye4", "eye9", "eye12", "eye16"],
                rng,
            ),
            eye_angle: (rng.random::<f64>() * 14.0 - 6.0).round(),
            brow: choose(woman, &["female1", "female4"], &["eyebrow1", "eyebrow4", "eyebrow10"], rng),
            brow_angle: (rng.random::<f64>() * 24.0 - 10.0).round(),
            hair: hair_shape,
            hair_behind,
            hair_flip: rng.random(),
            beard: pick(beard.drawings(), rng),
            mouth: pick(mouth.drawings(), rng),
            nose: pick(&["nose1", "nose3", "small", "honker", "nose5"], rng),
            nose_flip: rng.random(),
            nose_size: 0.6 + 0.4 * rng.random::<f64>(),
            glasses: if glasses { pick(&[FRAME, "glasses2-black", FRAME], rng) } else { NO_GLASSES },
        };
        Face { woman, style, hair, skin, beard, beard_paint, brows, mouth, clothing, background, shape }
    }

    /// Whether it wears glasses.
    pub fn glasses(&self) -> bool {
        self.shape.glasses != NO_GLASSES
    }

    /// The judge's attributes and the classes of this face. What does not show is `none`: the hair colour of a bald
    /// face, the beard colour of a shaven one.
    pub fn attributes(&self) -> BTreeMap<String, String> {
        let hair = if self.style == HairStyle::Bald { "none" } else { self.hair.name };
        let beard = if self.beard == Beard::None { "none" } else { self.beard_paint.name };
        let classes = [
            ("gender", if self.woman { "woman" } else { "man" }),
            ("hair_style", self.style.name()),
            ("hair_color", hair),
            ("skin", self.skin.name),
            ("glasses", if self.glasses() { "glasses" } else { "none" }),
            ("beard", self.beard.name()),
            ("beard_color", beard),
            ("mouth", self.mouth.name()),
            ("clothing", self.clothing.name),
            ("background", self.background.name),
        ];
        classes.into_iter().map(|(head, class)| (head.to_owned(), class.to_owned())).collect()
    }
}

/// The heads of [`Face::attributes`] with their classes, in the order a judge has them.
pub fn heads() -> Vec<(&'static str, Vec<&'static str>)> {
    let names = |palette: Palette| palette.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let with_none = |palette| std::iter::once("none").chain(names(palette)).collect::<Vec<_>>();
    vec![
        ("gender", vec!["man", "woman"]),
        ("hair_style", HairStyle::ALL.iter().map(|style| style.name()).collect()),
        ("hair_color", with_none(HAIR)),
        ("skin", names(SKIN)),
        ("glasses", vec!["none", "glasses"]),
        ("beard", Beard::ALL.iter().map(|beard| beard.name()).collect()),
        ("beard_color", with_none(HAIR)),
        ("mouth", Mouth::ALL.iter().map(|mouth| mouth.name()).collect()),
        ("clothing", names(CLOTHING)),
        ("background", names(BACKGROUND)),
    ]
}

/// The usual frame.
pub(super) const FRAME: &str = "glasses1-primary";
pub(super) const NO_GLASSES: &str = "none";

fn choose(woman: bool, hers: &[&'static str], his: &[&'static str], rng: &mut impl Rng) -> &'static str {
    if woman { pick(hers, rng) } else { pick(his, rng) }
}
