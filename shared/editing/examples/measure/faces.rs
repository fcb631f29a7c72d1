//! The held-out faces of the demo, and the scores of an edit of them.

use crate::demo;
use editing::colour::{Prototype, name_of_region};
use editing::score::{self, Goal};
use editing::{Engine, raster};
use serde_json::Value;
use std::fmt;
use tch::{Kind, Tensor};

const HAIR: u8 = 1;
const SKIN: u8 = 2;
const BEARD: u8 = 4;
const BROWS: u8 = 16;

/// The counterfactuals of the demo.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Target {
    Green,
    Purple,
    Blue,
}

impl Target {
    pub fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Purple => "purple",
            Self::Blue => "blue",
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::Green => "a face with green hair",
            Self::Purple => "a face with purple hair",
            Self::Blue => "a face with blue skin",
        }
    }

    fn truth(self) -> &'static str {
        match self {
            Self::Green => "truth/green_hair",
            Self::Purple => "truth/purple_hair",
            Self::Blue => "truth/blue_skin",
        }
    }

    fn is_hair(self) -> bool {
        self != Self::Blue
    }

    fn goal(self) -> Goal {
        let head = if self.is_hair() { "hair_color" } else { "skin" };
        let tied = if self.is_hair() { vec!["beard_color".to_owned()] } else { Vec::new() };
        Goal { head: head.to_owned(), class: self.name().to_owned(), tied }
    }
}

/// Some held-out faces that can show a target: not bald for hair colours.
pub struct Faces {
    pub images: Tensor,
    pub truth: Tensor,
    masks: Vec<Vec<u8>>,
}

impl Faces {
    pub fn held_out(engine: &Engine, target: Target, skip: usize, count: usize) -> Self {
        let list = std::fs::read_to_string(demo::folder().join("faces/faces.jsonl")).expect("the list of faces");
        let rows = list.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
        let numbers: Vec<_> = (0..)
            .zip(rows)
            .filter(|(_, row)| !(target.is_hair() && row["hair_style"] == "bald"))
            .map(|(number, _)| number)
            .skip(skip)
            .take(count)
            .collect();
        let folder = demo::folder().join("faces");
        let mask =
            |n: &usize| image::open(folder.join(format!("mask/{n:03}.png"))).expect("a mask").to_luma8().into_raw();
        Self {
            images: demo::pictures(engine, "faces/source", numbers.iter().copied()),
            truth: demo::pictures(engine, &format!("faces/{}", target.truth()), numbers.iter().copied()),
            masks: numbers.iter().map(mask).collect(),
        }
    }

    /// 1 where the edit belongs, a pixel wider than drawn.
    fn region(&self, target: Target) -> Tensor {
        let bits = if target.is_hair() { HAIR | BEARD | BROWS } else { SKIN };
        let side = self.images.size()[3];
        let inside: Vec<f32> = self.masks.iter().flatten().map(|m| f32::from(u8::from(m & bits > 0))).collect();
        let inside = Tensor::from_slice(&inside).view([-1, 1, side, side]);
        inside.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false).squeeze_dim(1)
    }
}

/// Means over the faces.
pub struct Report {
    faces: usize,
    success: f64,
    colour: f64,
    preservation: f64,
    both: f64,
    outside: f64,
    inside: f64,
    truth: f64,
}

impl Report {
    pub fn of(engine: &Engine, faces: &Faces, target: Target, before: &Tensor, after: &Tensor) -> Self {
        let read = |images| score::read(engine, images).expect("finite images").expect("the pack has a judge");
        let outcomes: Vec<_> =
            read(before).iter().zip(&read(after)).map(|(b, a)| target.goal().outcome(b, a)).collect();
        let changes = score::change_by_region(before, after, &faces.region(target)).expect("masks fit");
        let rasters = raster::to_rgb8(after).expect("finite images");
        let bit = if target.is_hair() { HAIR } else { SKIN };
        let named = rasters.iter().zip(&faces.masks).filter(|(raster, mask)| {
            let inside: Vec<_> = mask.iter().map(|m| m & bit > 0).collect();
            name_of_region(raster, &inside, &prototypes(target)) == Some(target.name())
        });
        let count = outcomes.len();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count as f64;
        Self {
            faces: count,
            success: mean(&mut outcomes.iter().map(|o| f64::from(u8::from(o.success)))),
            colour: named.count() as f64 / count as f64,
            preservation: mean(&mut outcomes.iter().map(|o| o.preservation)),
            both: mean(&mut outcomes.iter().map(|o| f64::from(u8::from(o.success && o.preservation == 1.0)))),
            outside: mean(&mut changes.iter().filter_map(|c| c[0])),
            inside: mean(&mut changes.iter().filter_map(|c| c[1])),
            truth: mean(&mut score::psnr(after, &faces.truth.to_kind(Kind::Float)).expect("sizes fit").into_iter()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faces, success, colour, preservation, both, outside, inside, truth } = self;
        write!(
            f,
            "n {faces} success {success:.3} colour {colour:.3} preservation {preservation:.3} both {both:.2} \
             out {outside:.1} in {inside:.1} truth {truth:.2} dB"
        )
    }
}

/// The renderer's colour names.
fn prototypes(target: Target) -> Vec<Prototype> {
    let list = if target.is_hair() {
        "black 1e1a18 brown 6a4126 blond e0b95f auburn 9a3f22 grey 8f8f8f white e8e4de green 2fae3e blue 2f5fe0 \
         purple 8a35c8 pink f27ab8 red dd1f26 orange f58a1f"
    } else {
        "pale f2d6cb peach eab687 tan c68a63 brown 98623f dark 583830 blue 5a92e6 green 6cc063 purple a070d0 \
         red e0524a grey a9adb0"
    };
    let words: Vec<_> = list.split_whitespace().collect();
    let colour = |hex: &str| {
        let value = u32::from_str_radix(hex, 16).expect("a colour");
        [value >> 16, value >> 8, value].map(|v| (v & 255) as u8)
    };
    words.chunks_exact(2).map(|pair| Prototype { name: pair[0].to_owned(), rgb: colour(pair[1]) }).collect()
}
