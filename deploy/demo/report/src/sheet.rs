//! The contact sheet: one row a face, the drawn truth beside each edit.

use crate::Fetched;
use crate::faces::{Faces, rgb};
use anyhow::Result;
use font8x8::UnicodeFonts as _;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use std::collections::BTreeMap;
use std::path::Path;
use wire::http::v1::Job;

/// Side of one picture on the sheet.
const CELL: u32 = 112;
/// Space between pictures.
const GAP: u32 = 4;
/// Height of the headings: two lines.
const HEAD: u32 = 28;

/// Draws the first `rows` faces for which every edit has a result: in dataset order, none chosen.
///
/// # Errors
/// When a picture cannot be read.
pub fn draw(job: &Job, fetched: &[Fetched], folder: &Path, faces: &Faces, rows: usize) -> Result<RgbImage> {
    let mut by_face: BTreeMap<i64, BTreeMap<&str, &Fetched>> = BTreeMap::new();
    for f in fetched {
        by_face.entry(f.result.ordinal).or_default().insert(&f.result.edit, f);
    }
    let edits: Vec<_> = job.spec.edits.iter().map(|e| (e, e.slug())).collect();
    let chosen = by_face.values().filter(|of| edits.iter().all(|(_, slug)| of.contains_key(slug.as_str()))).take(rows);

    let mut headings = vec![["source".to_owned(), String::new()], ["inverted".to_owned(), String::new()]];
    let mut truth_shown = Vec::new();
    for (edit, _) in &edits {
        let subject = edit.text.rsplit(" with ").next().unwrap_or(&edit.text).to_owned();
        headings.push([subject.clone(), edit.method.name().to_owned()]);
        // the same truth need not stand twice
        let first = !truth_shown.contains(&edit.text) && faces.aim(&edit.text).is_some();
        if first {
            headings.push([subject, "drawn truth".to_owned()]);
            truth_shown.push(edit.text.clone());
        }
    }
    let mut lines = Vec::new();
    for of_face in chosen {
        // safe because every edit of the job has an entry here
        let Some(any) = of_face.values().next() else { continue };
        let name = any.result.source_uri.rsplit('/').next().unwrap_or_default();
        let mut line = vec![faces.source(name)?, rgb(&folder.join(&any.reconstruction_file))?];
        let mut shown = Vec::new();
        for (edit, slug) in &edits {
            line.push(rgb(&folder.join(&of_face[slug.as_str()].file))?);
            if let Some(aim) = faces.aim(&edit.text).filter(|_| !shown.contains(&&edit.text)) {
                line.push(faces.truth(&aim, name).unwrap_or_else(|| Ok(RgbImage::new(1, 1)))?);
                shown.push(&edit.text);
            }
        }
        lines.push(line);
    }
    Ok(paint(&headings, &lines))
}

fn paint(headings: &[[String; 2]], lines: &[Vec<RgbImage>]) -> RgbImage {
    let width = headings.len() as u32 * (CELL + GAP) + GAP;
    let height = HEAD + lines.len() as u32 * (CELL + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([250, 250, 248]));
    for (column, heading) in headings.iter().enumerate() {
        let x = GAP + column as u32 * (CELL + GAP);
        for (line, text) in heading.iter().enumerate() {
            write(&mut sheet, x, 4 + line as u32 * 11, text);
        }
    }
    for (row, line) in lines.iter().enumerate() {
        for (column, picture) in line.iter().enumerate() {
            let cell = imageops::resize(picture, CELL, CELL, FilterType::CatmullRom);
            let x = GAP + column as u32 * (CELL + GAP);
            let y = HEAD + row as u32 * (CELL + GAP);
            imageops::replace(&mut sheet, &cell, i64::from(x), i64::from(y));
        }
    }
    sheet
}

/// One line in an 8x8 bitmap font, as much of it as fits over a picture.
fn write(sheet: &mut RgbImage, x: u32, y: u32, text: &str) {
    for (place, letter) in text.chars().take((CELL / 8) as usize).enumerate() {
        let Some(glyph) = font8x8::BASIC_FONTS.get(letter) else { continue };
        for (dy, bits) in glyph.iter().enumerate() {
            for dx in (0..8).filter(|dx| bits & (1 << dx) != 0) {
                sheet.put_pixel(x + place as u32 * 8 + dx, y + dy as u32, Rgb([40, 40, 44]));
            }
        }
    }
}
