//! What is measured of each edited face. Nothing here was optimised against: the judge, a second CLIP, the colour of the
//! drawn region, and pixels against the drawn truth.

use crate::faces::HeldOut;
use crate::plan::{Plan, Text};
use crate::similarity::{Regional, psnr, ssim};
use anyhow::{Context as _, Result};
use domain::accept::{Acceptance, metric};
use editing::{Engine, raster, score};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};
use training::faces::colour;

/// Raised when anything below changes its meaning.
const VERSION: u32 = 1;

/// Names what decides scores besides the images: those under another name are measured again.
///
/// # Errors
/// When a bound is not finite, which the plan's check excludes.
pub fn rules(plan: &Plan) -> Result<String> {
    let of = serde_json::json!({ "version": VERSION, "accept": plan.accept });
    Ok(domain::digest_of(&of)?.to_string().chars().take(16).collect())
}

/// Names of the figures, as they stand in `quality.json`.
pub mod figure {
    /// The judge reads the target, 0 or 1.
    pub const SUCCESS: &str = "success";
    /// The median colour inside the drawn region is named as the target, 0 or 1.
    pub const COLOUR: &str = "success_by_colour";
    /// Share of the judge's other heads that read as in the reconstruction.
    pub const PRESERVATION: &str = "preservation";
    /// Target reached and every other head unchanged, 0 or 1.
    pub const BOTH: &str = "success_and_all_preserved";
    /// Mean absolute change outside the region against the reconstruction, levels of 0 to 255.
    pub const OUTSIDE: &str = "outside_change";
    /// The same inside.
    pub const INSIDE: &str = "inside_change";
    /// Cosine of the identity features with the reconstruction's.
    pub const IDENTITY: &str = "identity";
    /// Cosine with the target text by the second CLIP.
    pub const CLIP: &str = "clip_similarity";
    /// Its rise against the reconstruction.
    pub const CLIP_GAIN: &str = "clip_gain";
    /// Peak signal-to-noise ratio to the drawn truth, dB.
    pub const PSNR: &str = "psnr_to_truth";
    /// The same over the pixels inside the region.
    pub const PSNR_INSIDE: &str = "psnr_to_truth_inside";
    /// The same over those outside.
    pub const PSNR_OUTSIDE: &str = "psnr_to_truth_outside";
    /// Structural similarity to the drawn truth.
    pub const SSIM: &str = "ssim_to_truth";
    /// The same over the pixels inside the region.
    pub const SSIM_INSIDE: &str = "ssim_to_truth_inside";
    /// The same over those outside.
    pub const SSIM_OUTSIDE: &str = "ssim_to_truth_outside";
    /// The plan's rule of acceptance is met, 0 or 1.
    pub const ACCEPTED: &str = "accepted_yield";

    /// All, in the order of the tables.
    pub const ALL: [&str; 16] = [
        SUCCESS,
        COLOUR,
        PRESERVATION,
        BOTH,
        OUTSIDE,
        INSIDE,
        IDENTITY,
        CLIP,
        CLIP_GAIN,
        PSNR,
        PSNR_INSIDE,
        PSNR_OUTSIDE,
        SSIM,
        SSIM_INSIDE,
        SSIM_OUTSIDE,
        ACCEPTED,
    ];
}

/// The figures of all faces of a text: a value per face, or none where it does not apply to that face.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which faces.
    pub faces: Vec<u64>,
    /// By the names of [`figure`].
    pub figures: BTreeMap<String, Vec<Option<f64>>>,
}

impl Scores {
    /// A figure of all faces; empty if it was not measured.
    pub fn of(&self, name: &str) -> &[Option<f64>] {
        self.figures.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Measures images `after` `[N, 3, R, R]` on the levels of a byte as edits of the faces of a text.
///
/// # Errors
/// When the pack has no judge, or a network fails.
pub fn measure(engine: &Engine, plan: &Plan, text: &Text, faces: &HeldOut, after: &Tensor) -> Result<Scores> {
    let before = &faces.before;
    let mut figures: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    let all = |values: Vec<f64>| values.into_iter().map(Some).collect::<Vec<_>>();
    let flag = |yes: bool| Some(f64::from(u8::from(yes)));

    let read = |images| score::read(engine, images)?.context("the pack has no judge");
    let goal = text.goal();
    let outcomes: Vec<_> = read(before)?.iter().zip(&read(after)?).map(|(b, a)| goal.outcome(b, a)).collect();
    figures.insert(figure::SUCCESS, outcomes.iter().map(|o| flag(o.success)).collect());
    figures.insert(figure::PRESERVATION, outcomes.iter().map(|o| Some(o.preservation)).collect());
    figures.insert(figure::BOTH, outcomes.iter().map(|o| flag(o.success && o.preservation == 1.0)).collect());
    if let Some((_, palette, wanted)) = text.colour() {
        let rasters = raster::to_rgb8(after)?;
        let named = rasters.iter().zip(&faces.coloured).map(|(raster, mask)| {
            // A head of hair that is all behind something else has no colour.
            colour::median(raster, mask).and_then(|median| flag(colour::name_of(median, palette) == wanted))
        });
        figures.insert(figure::COLOUR, named.collect());
    }
    let changes = score::change_by_region(before, after, &faces.region)?;
    figures.insert(figure::OUTSIDE, changes.iter().map(|change| change[0]).collect());
    figures.insert(figure::INSIDE, changes.iter().map(|change| change[1]).collect());
    if let Some(cosines) = score::identity(engine, before, after)? {
        figures.insert(figure::IDENTITY, all(cosines));
    }
    let sentences = engine.sentences(&text.text, &plan.neutral).target;
    let [was, is] = [engine.second_similarity(before, &sentences)?, engine.second_similarity(after, &sentences)?];
    if let (Some(was), Some(is)) = (was, is) {
        figures.insert(figure::CLIP, all(host(&is)?));
        figures.insert(figure::CLIP_GAIN, all(host(&is.f_sub(&was)?)?));
    }
    let inside = &faces.region;
    let outside = inside.f_neg()?.f_add_scalar(1.0)?;
    let Regional { whole, parts: [in_, out] } = psnr(after, &faces.truths, [inside, &outside])?;
    // Equal images have no finite ratio: the drawn truth against itself.
    let finite = |values: Vec<Option<f64>>| values.into_iter().map(|v| v.filter(|v| v.is_finite())).collect();
    figures.insert(figure::PSNR, finite(whole));
    figures.insert(figure::PSNR_INSIDE, finite(in_));
    figures.insert(figure::PSNR_OUTSIDE, finite(out));
    let Regional { whole, parts: [in_, out] } = ssim(after, &faces.truths, [inside, &outside])?;
    figures.insert(figure::SSIM, whole);
    figures.insert(figure::SSIM_INSIDE, in_);
    figures.insert(figure::SSIM_OUTSIDE, out);
    let accepted = (0..faces.count()).map(|face| accepted(&plan.accept, &figures, face).and_then(flag)).collect();
    figures.insert(figure::ACCEPTED, accepted);
    let figures = figures.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
    Ok(Scores { faces: faces.numbers.clone(), figures })
}

/// Whether a face meets the rule, by the rule's own names of the figures.
fn accepted(rule: &Acceptance, figures: &BTreeMap<&str, Vec<Option<f64>>>, face: usize) -> Option<bool> {
    let metrics = [
        (metric::TARGET_REACHED, figure::SUCCESS),
        (metric::PRESERVATION, figure::PRESERVATION),
        (metric::IDENTITY, figure::IDENTITY),
        (metric::OUTSIDE_CHANGE, figure::OUTSIDE),
        (metric::SECOND_CLIP_GAIN, figure::CLIP_GAIN),
    ];
    let value = |(name, figure): (&str, &str)| Some((name.to_owned(), (*figures.get(figure)?.get(face)?)?));
    rule.verdict(&metrics.into_iter().filter_map(value).collect(), true).map(|reasons| reasons.is_empty())
}

fn host(values: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(values.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?)?)
}
