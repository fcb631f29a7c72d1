//! What a trained pack reaches on faces it never saw, measured on the files as they are shipped.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use networks::judge::Head;
use networks::{Activation, Clip, ClipConfig, Encoder, Generator, Judge, Tokenizer, Weights};
use packs::{Pack, Role};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::augment::normal;
use crate::dataset::Pictures;
use crate::error::TrainingError;
use crate::faces::heads;
use crate::judge::features;
use crate::measure::{frechet, psnr, ssim};
use crate::parameters::Parameters;
use crate::session::replace;

/// Pictures that are computed at once.
const BATCH: usize = 128;
/// Columns and rows of the sheet.
const COLUMNS: usize = 16;
const SAMPLE_ROWS: i64 = 4;

/// Figures of a pack.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Reconstruction of held-out natural faces by the encoder alone, dB.
    pub psnr: f64,
    /// The same, structural similarity.
    pub ssim: f64,
    /// Of the reconstructions, per head: how often the judge sees what was drawn.
    pub kept: Vec<(String, f64)>,
    /// Accuracy of the judge per head on held-out natural faces.
    pub judge_natural: Vec<(String, f64)>,
    /// The same on faces of all colours.
    pub judge_open: Vec<(String, f64)>,
    /// Zero-shot accuracy of the CLIP per head on faces of all colours.
    pub clip: Vec<(String, f64)>,
    /// Fréchet distances to held-out faces in the judge's features: of other drawn faces, of reconstructions, of samples.
    pub frechet: [f64; 3],
}

/// The texts that stand for the classes of a head in the zero-shot test; `{}` is the class.
const ZERO_SHOT: [(&str, &str); 5] = [
    ("hair_color", "a face with {} hair"),
    ("skin", "a face with {} skin"),
    ("clothing", "a face wearing a {} shirt"),
    ("background", "a face on a {} background"),
    ("glasses", "a face with {}"),
];

struct Loaded {
    generator: Generator,
    encoder: Encoder,
    clip: Clip,
    judge: Judge,
    tokenizer: Tokenizer,
}

fn load(pack: &Pack, device: Device) -> Result<Loaded, TrainingError> {
    let path = |role| pack.path_of(role).ok_or_else(|| TrainingError::Unsound(format!("the pack has no {role}")));
    let weights = |role| Ok::<_, TrainingError>(Weights::open(path(role)?, device, Kind::Float)?);
    let manifest = pack.manifest();
    let heads: Vec<Head> = match &manifest.judge {
        Some(judge) => judge.heads.iter().map(|h| Head { name: h.name.clone(), classes: h.classes.clone() }).collect(),
        None => return Err(TrainingError::Unsound("the pack has no judge".to_owned())),
    };
    let merges = path(Role::ClipMerges)?;
    let merges = std::fs::read_to_string(&merges).map_err(TrainingError::io(&merges))?;
    Ok(Loaded {
        generator: Generator::load(weights(Role::Generator)?, networks::GeneratorSettings::default())?.0,
        encoder: Encoder::load(weights(Role::Encoder)?, networks::EncoderArchitecture::default())?.0,
        clip: Clip::load(weights(Role::Clip)?, &ClipConfig::new(Activation::QuickGelu))?.0,
        judge: Judge::load(weights(Role::Judge)?, &heads)?.0,
        tokenizer: Tokenizer::from_merges(&merges, manifest.clip.context as usize)?,
    })
}

/// Measures a pack and draws its sheet: samples, then held-out faces and their reconstructions.
///
/// `judge` and `stages` are the judge in training, whose features the Fréchet distance is taken in.
pub fn measure(
    pack: &Pack,
    judge: &Parameters,
    stages: usize,
    natural: &Pictures,
    open: &Pictures,
    seed: u64,
    sheet: &Path,
) -> Result<Figures, TrainingError> {
    let _frozen = tch::no_grad_guard();
    let device = judge.device();
    let networks = load(pack, device)?;
    let (mut drawn, mut rebuilt) = (Vec::new(), Vec::new());
    for_each_batch(natural.len(), |from, count| {
        let x = natural.range(from, count, device)?;
        rebuilt.push(networks.generator.synthesize(&networks.encoder.encode(&x)?)?);
        drawn.push(x);
        Ok(())
    })?;
    let (drawn, rebuilt) = (Tensor::f_cat(&drawn, 0)?, Tensor::f_cat(&rebuilt, 0)?);
    tch::manual_seed(seed as i64);
    let mut samples = Vec::new();
    for_each_batch(natural.len(), |_, count| {
        let w = networks.generator.map(&normal(&[count as i64, networks.generator.w_dim()], device)?)?;
        samples.push(networks.generator.synthesize(&networks.generator.broadcast(&w)?)?);
        Ok(())
    })?;
    let samples = Tensor::f_cat(&samples, 0)?.f_clamp(-1.0, 1.0)?;
    let seen = |x: &Tensor| {
        let mut all = Vec::new();
        for_each_batch(x.size()[0] as usize, |from, count| {
            all.push(features(judge, stages, &x.f_narrow(0, from as i64, count as i64)?, false)?);
            Ok(())
        })?;
        Ok::<_, TrainingError>(Tensor::f_cat(&all, 0)?)
    };
    let half = drawn.size()[0] / 2;
    let on_drawn = seen(&drawn)?;
    let (first, second) = (on_drawn.f_narrow(0, 0, half)?, on_drawn.f_narrow(0, half, half)?);
    let of = |x: &Tensor| frechet(&first, &seen(x)?.f_narrow(0, half, half)?);
    let figures = Figures {
        psnr: psnr(&rebuilt, &drawn)?,
        ssim: ssim(&rebuilt, &drawn)?,
        kept: accuracy(&networks.judge, &rebuilt.f_clamp(-1.0, 1.0)?, &natural.labels)?,
        judge_natural: accuracy(&networks.judge, &drawn, &natural.labels)?,
        judge_open: accuracy(&networks.judge, &open.range(0, open.len(), device)?, &open.labels)?,
        clip: zero_shot(&networks, open, device)?,
        frechet: [frechet(&first, &second)?, of(&rebuilt)?, of(&samples)?],
    };
    let rows = COLUMNS as i64;
    let mut tiles = vec![samples.f_narrow(0, 0, (SAMPLE_ROWS * rows).min(samples.size()[0]))?];
    for row in 0..3.min(drawn.size()[0] / rows) {
        tiles.push(drawn.f_narrow(0, row * rows, rows)?);
        tiles.push(rebuilt.f_narrow(0, row * rows, rows)?);
    }
    draw_sheet(&Tensor::f_cat(&tiles, 0)?, sheet)?;
    Ok(figures)
}

fn for_each_batch(
    count: usize,
    mut visit: impl FnMut(usize, usize) -> Result<(), TrainingError>,
) -> Result<(), TrainingError> {
    (0..count).step_by(BATCH).try_for_each(|from| visit(from, BATCH.min(count - from)))
}

fn accuracy(judge: &Judge, x: &Tensor, labels: &Tensor) -> Result<Vec<(String, f64)>, TrainingError> {
    let names: Vec<String> = judge.heads().map(|head| head.name.clone()).collect();
    let mut right = vec![0.0; names.len()];
    let count = x.size()[0] as usize;
    for_each_batch(count, |from, n| {
        let logits = judge.logits(&x.f_narrow(0, from as i64, n as i64)?)?;
        for (head, scores) in logits.iter().enumerate() {
            let said = scores.f_argmax(-1, false)?.f_to_device(Device::Cpu)?;
            let truth = labels.f_narrow(0, from as i64, n as i64)?.f_select(1, head as i64)?;
            right[head] += said.f_eq_tensor(&truth)?.f_sum(Kind::Float)?.f_double_value(&[])?;
        }
        Ok(())
    })?;
    Ok(names.into_iter().zip(right.iter().map(|n| n / count as f64)).collect())
}

fn zero_shot(networks: &Loaded, open: &Pictures, device: Device) -> Result<Vec<(String, f64)>, TrainingError> {
    let mut image = Vec::new();
    for_each_batch(open.len(), |from, count| {
        image.push(networks.clip.encode_image(&open.range(from, count, device)?)?);
        Ok(())
    })?;
    let image = Tensor::f_cat(&image, 0)?;
    let mut found = Vec::new();
    for (name, template) in ZERO_SHOT {
        let heads = heads();
        let Some(index) = heads.iter().position(|(head, _)| *head == name) else { continue };
        // Where `none` is no colour, faces of that class are left out; of glasses it is a class of its own.
        let classes = &heads[index].1;
        let skipped = i64::from(classes[0] == "none" && name != "glasses");
        let texts: Vec<String> = classes[skipped as usize..]
            .iter()
            .map(|class| template.replace("{}", if *class == "none" { "no glasses" } else { class }))
            .collect();
        let text = networks.clip.encode_text(&networks.tokenizer.encode_batch(&texts)?)?;
        let length = text.f_square()?.f_sum_dim_intlist([1].as_slice(), true, None)?.f_sqrt()?;
        let said = image.f_matmul(&text.f_div(&length)?.f_tr()?)?.f_argmax(1, false)?.f_to_device(Device::Cpu)?;
        let truth = open.labels.f_select(1, index as i64)?.f_sub_scalar(skipped)?;
        let counted = truth.f_ge(0)?.f_sum(Kind::Float)?.f_double_value(&[])?;
        found.push((name.to_owned(), said.f_eq_tensor(&truth)?.f_sum(Kind::Float)?.f_double_value(&[])? / counted));
    }
    Ok(found)
}

fn draw_sheet(tiles: &Tensor, path: &Path) -> Result<(), TrainingError> {
    let (n, _, side, _) = tiles.size4()?;
    let (columns, rows) = (COLUMNS as i64, n / COLUMNS as i64);
    let pixels = tiles.f_narrow(0, 0, rows * columns)?.f_clamp(-1.0, 1.0)?;
    let pixels = pixels.f_add_scalar(1.0)?.f_multiply_scalar(127.5)?.f_round()?;
    let pixels = pixels.f_to_kind(Kind::Uint8)?.f_to_device(Device::Cpu)?;
    let pixels = pixels.f_view([rows, columns, 3, side, side])?.f_permute([0, 3, 1, 4, 2])?.f_reshape([-1])?;
    let bytes = Vec::<u8>::try_from(&pixels)?;
    let (width, height) = ((columns * side) as u32, (rows * side) as u32);
    image::save_buffer(path, &bytes, width, height, image::ExtendedColorType::Rgb8)
        .map_err(|error| TrainingError::Io { path: path.to_owned(), source: std::io::Error::other(error) })
}

/// Writes the figures as a page for people, with the time of each part.
pub fn write(
    path: &Path,
    figures: &Figures,
    times: &[(&'static str, u64, Duration)],
    about: &str,
) -> Result<(), TrainingError> {
    let mut text = format!("# What this pack reaches\n\n{about}\n\n");
    let list = |values: &[(String, f64)]| {
        values.iter().map(|(name, value)| format!("{name} {value:.3}")).collect::<Vec<_>>().join(", ")
    };
    let f = figures;
    // Safe because writing to a string does not fail.
    let _ = write!(
        text,
        "All figures are of held-out faces, with the weights as shipped (16 bits).\n\n\
         | what | figure |\n|---|---|\n\
         | reconstruction by the encoder alone | {:.2} dB PSNR, {:.3} SSIM |\n\
         | attributes kept by it, by the judge | {} |\n\
         | judge, natural faces | {} |\n\
         | judge, all colours | {} |\n\
         | CLIP, zero-shot, all colours | {} |\n\
         | Fréchet distance in judge features to drawn faces (no FID) | drawn {:.2}, reconstructions {:.2}, samples {:.2} |\n\n\
         | part | steps | wall time, s |\n|---|---|---|\n",
        f.psnr,
        f.ssim,
        list(&f.kept),
        list(&f.judge_natural),
        list(&f.judge_open),
        list(&f.clip),
        f.frechet[0],
        f.frechet[1],
        f.frechet[2],
    );
    for (part, steps, took) in times {
        let _ = writeln!(text, "| {part} | {steps} | {:.0} |", took.as_secs_f64());
    }
    text += "\nsheet.png: four rows of samples, then held-out faces, each row above its reconstruction.\n";
    replace(path, text.as_bytes())
}
