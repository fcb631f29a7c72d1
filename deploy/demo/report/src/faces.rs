//! The demo faces: their region masks, the drawn counterfactuals, and the colours that regions are named by.

use anyhow::{Context as _, Result};
use editing::colour::Prototype;
use image::{GrayImage, RgbImage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A region that an edit is about, as `regions.toml` has it.
#[derive(Deserialize, Debug, Clone)]
pub struct Region {
    /// Mask bits whose median colour is named.
    pub score_bits: u8,
    /// Mask bits inside which an edit may change pixels.
    pub change_bits: u8,
    /// Named colours, `#rrggbb`.
    pub colours: BTreeMap<String, String>,
}

impl Region {
    /// The named colours as the colour namer takes them.
    pub fn prototypes(&self) -> Result<Vec<Prototype>> {
        let parse = |(name, hex): (&String, &String)| {
            let value = u32::from_str_radix(hex.trim_start_matches('#'), 16)
                .with_context(|| format!("{hex} is not a colour (#rrggbb)"))?;
            let [_, r, g, b] = value.to_be_bytes();
            Ok(Prototype { name: name.clone(), rgb: [r, g, b] })
        };
        self.colours.iter().map(parse).collect()
    }
}

/// The folder of demo faces.
pub struct Faces {
    folder: PathBuf,
    /// Regions by name (`hair`, `skin`).
    pub regions: BTreeMap<String, Region>,
}

/// What a demo edit changes: region and colour, read off a text such as "a face with green hair".
pub struct Aim {
    /// Name of the region.
    pub region: String,
    /// Name of the colour.
    pub colour: String,
}

impl Faces {
    /// Opens `deploy/demo/faces`.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("regions.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let regions = toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
        Ok(Self { folder: folder.to_owned(), regions })
    }

    /// The region and colour that a text names, if it names one of each.
    pub fn aim(&self, text: &str) -> Option<Aim> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (name, region) = self.regions.iter().find(|(name, _)| words.contains(&name.as_str()))?;
        let colour = region.colours.keys().find(|colour| words.contains(&colour.as_str()))?;
        Some(Aim { region: name.clone(), colour: colour.clone() })
    }

    /// The source as drawn.
    pub fn source(&self, name: &str) -> Result<RgbImage> {
        rgb(&self.folder.join("source").join(name))
    }

    /// The drawn counterfactual, where the set has one.
    pub fn truth(&self, aim: &Aim, name: &str) -> Option<Result<RgbImage>> {
        let path = self.folder.join("truth").join(format!("{}_{}", aim.colour, aim.region)).join(name);
        path.is_file().then(|| rgb(&path))
    }

    /// The mask's bits.
    pub fn mask(&self, name: &str) -> Result<GrayImage> {
        let path = self.folder.join("mask").join(name);
        Ok(image::open(&path).with_context(|| path.display().to_string())?.into_luma8())
    }
}

/// An image as RGB.
pub fn rgb(path: &Path) -> Result<RgbImage> {
    Ok(image::open(path).with_context(|| path.display().to_string())?.into_rgb8())
}

/// Pixels whose mask has one of `bits`, grown by `grow` pixels in each direction.
pub fn inside(mask: &GrayImage, bits: u8, grow: i64) -> Vec<bool> {
    let (width, height) = (i64::from(mask.width()), i64::from(mask.height()));
    let hit = |x: i64, y: i64| {
        let within = (0..width).contains(&x) && (0..height).contains(&y);
        // safe because both were just found to lie inside the image
        within && mask.get_pixel(x as u32, y as u32).0[0] & bits != 0
    };
    let near = |x: i64, y: i64| (-grow..=grow).any(|dy| (-grow..=grow).any(|dx| hit(x + dx, y + dy)));
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| near(x, y)).collect()
}
