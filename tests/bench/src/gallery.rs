//! `gallery/`: of every method and text the best, median and worst edit by PSNR to the truth, with source, reconstruction and
//! truth beside them. One PNG per text holds all its pictures; `index.html` shows parts of it.

use crate::cells::{Bench, Cell};
use crate::faces::HeldOut;
use crate::measure::figure;
use crate::plan::{Setting, Text};
use anyhow::{Context as _, Result};
use color_quant::NeuQuant;
use editing::raster;
use std::fmt::Write as _;
use std::path::Path;

/// Colours of a sheet. The file must stay small, since it is kept in the repository.
const COLOURS: usize = 192;
/// How much of a sheet the palette is learnt from: 1 all pixels, 30 the least.
const SAMPLE: i32 = 5;
/// Side of a picture on the page, px.
const SHOWN: u32 = 96;
const RANKS: [&str; 3] = ["best", "median", "worst"];
/// Source, reconstruction, edit, truth.
const PICTURES: usize = 4;

/// One method's three edits of a text.
struct Line<'a> {
    setting: &'a Setting,
    /// Face and PSNR to the truth, in the order of [`RANKS`].
    ranked: [(u64, f64); 3],
    /// The pictures in the same order, four each.
    pictures: Vec<Vec<u8>>,
}

/// Writes the gallery of what is measured so far: the first seed of each method that the plan shows.
///
/// # Errors
/// When a picture cannot be drawn, read or written.
pub fn write(bench: &Bench<'_>, folder: &Path) -> Result<()> {
    if !bench.plan.shows_pictures() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let side = bench.networks.engine.resolution();
    let mut body = String::new();
    for text in &bench.plan.texts {
        let lines = lines(bench, text)?;
        if lines.is_empty() {
            continue;
        }
        let name = format!("{}.png", text.slug());
        let sheet = sheet(&lines, side as usize);
        std::fs::write(folder.join(&name), &sheet).with_context(|| name.clone())?;
        section(&mut body, text, &lines, &name);
    }
    let page = PAGE.replace("@shown@", &SHOWN.to_string()).replace("@body@", &body);
    std::fs::write(folder.join("index.html"), page).context("index.html")
}

fn lines<'a>(bench: &Bench<'a>, text: &'a Text) -> Result<Vec<Line<'a>>> {
    let side = bench.networks.engine.resolution();
    let mut faces: Option<HeldOut> = None;
    let mut lines = Vec::new();
    for setting in bench.plan.methods.iter().filter(|setting| setting.gallery && setting.covers(text)) {
        let folder = bench.folder(&Cell { setting, text, seed: setting.seeds[0] })?;
        let (Some(scores), Some(_)) = (folder.scores(&bench.rules)?, folder.entry()?) else { continue };
        let values = scores.of(figure::PSNR).iter().enumerate();
        let mut ranked: Vec<_> = values.filter_map(|(place, value)| Some((place, (*value)?))).collect();
        if ranked.is_empty() {
            continue;
        }
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let chosen = [ranked[0], ranked[ranked.len() / 2], ranked[ranked.len() - 1]];
        if faces.is_none() {
            faces = Some(bench.held_out(text)?);
        }
        // Safe because it was just put there.
        let faces = faces.as_ref().expect("the faces of this text");
        let edited = folder.rasters(side)?;
        let mut pictures = Vec::new();
        for (place, _) in chosen {
            let of = |images: &tch::Tensor| -> Result<Vec<u8>> {
                Ok(raster::to_rgb8(&images.f_narrow(0, place as i64, 1)?)?.swap_remove(0))
            };
            pictures.extend([of(&faces.sources)?, of(&faces.before)?, edited[place].clone(), of(&faces.truths)?]);
        }
        let ranked = chosen.map(|(place, value)| (scores.faces[place], value));
        lines.push(Line { setting, ranked, pictures });
    }
    Ok(lines)
}

/// All pictures of a text, a line a method, as a PNG with a palette.
fn sheet(lines: &[Line<'_>], side: usize) -> Vec<u8> {
    let (width, height) = (RANKS.len() * PICTURES * side, lines.len() * side);
    let mut rgba = vec![255_u8; width * height * 4];
    for (row, line) in lines.iter().enumerate() {
        for (column, picture) in line.pictures.iter().enumerate() {
            for (at, pixel) in picture.chunks_exact(3).enumerate() {
                let (x, y) = (column * side + at % side, row * side + at / side);
                rgba[(y * width + x) * 4..][..3].copy_from_slice(pixel);
            }
        }
    }
    let palette = NeuQuant::new(SAMPLE, COLOURS, &rgba);
    let indices: Vec<u8> = rgba.chunks_exact(4).map(|pixel| palette.index_of(pixel) as u8).collect();
    let mut bytes = Vec::new();
    // Safe to narrow: some hundred pixels. Writing to memory does not fail.
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.color_map_rgb());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().expect("a header is written to memory");
    writer.write_image_data(&indices).expect("an index for every pixel");
    writer.finish().expect("an end is written to memory");
    bytes
}

fn section(body: &mut String, text: &Text, lines: &[Line<'_>], name: &str) {
    let title = htmlize::escape_text(&text.text);
    let _ = writeln!(body, "<section id=\"{0}\">\n<h2>{title} <small>{1}</small></h2>", text.slug(), text.kind.name());
    let _ = writeln!(body, "<table>\n<tr><th></th><th>best</th><th>median</th><th>worst</th></tr>");
    let across = PICTURES as u32 * SHOWN;
    for (row, line) in lines.iter().enumerate() {
        let _ = write!(body, "<tr><th>{}</th>", htmlize::escape_text(&line.setting.name));
        for (rank, (face, ratio)) in line.ranked.iter().enumerate() {
            let (left, top) = (rank as u32 * across, row as u32 * SHOWN);
            let whole = RANKS.len() as u32 * across;
            let label = htmlize::escape_attribute(&line.setting.name);
            let _ = write!(
                body,
                "<td><div role=\"img\" aria-label=\"{label}, {}: source, reconstruction, edit, truth\" \
                 style=\"background:url({name}) -{left}px -{top}px / {whole}px auto\"></div>{ratio:.1} dB, face {face}</td>",
                RANKS[rank],
            );
        }
        let _ = writeln!(body, "</tr>");
    }
    let _ = writeln!(body, "</table>\n</section>");
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Edits with the truth beside them</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 96rem; padding: 0 1rem; color: #222; background: #fafaf8 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem } small { font-weight: normal; color: #666 }
section { overflow-x: auto }
table { border-spacing: .8rem .5rem } th { font-weight: 600; text-align: left; vertical-align: top; max-width: 12rem }
td { font-size: .8rem; color: #555; vertical-align: top }
td div { width: calc(4 * @shown@px); height: @shown@px; image-rendering: pixelated }
</style>
<h1>Edits with the truth beside them</h1>
<p>Every group of four: source, reconstruction, edit, and the true counterfactual as the renderer draws it. Best, median and worst of the
held-out faces by PSNR to that truth, first seed; chosen by the figure, not by hand. Figures: <a href=\"../QUALITY.md\">QUALITY.md</a>.</p>
@body@</html>
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn a_sheet_is_a_picture_of_its_pictures() {
        let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("quality.toml")).unwrap();
        let flat = |colour: [u8; 3]| colour.repeat(16);
        let pictures = (0..12).map(|i| flat(if i == 2 { [40, 170, 60] } else { [230, 180, 150] })).collect();
        let line = Line { setting: &plan.methods[0], ranked: [(1, 20.0), (2, 18.0), (3, 11.0)], pictures };
        let sheet = image::load_from_memory(&sheet(&[line], 4)).unwrap().into_rgb8();
        assert_eq!(sheet.dimensions(), (48, 4));
        let near = |at: (u32, u32), colour: [u8; 3]| {
            sheet.get_pixel(at.0, at.1).0.iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 12)
        };
        assert!(near((9, 2), [40, 170, 60]) && near((20, 1), [230, 180, 150]));
    }
}
