//! The figures of a finished demo job.

use crate::Fetched;
use crate::faces::{Aim, Faces, inside, rgb};
use anyhow::{Context as _, Result};
use domain::BootId;
use editing::colour::name_of_region;
use image::RgbImage;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use wire::http::v1::{Job, Worker};

/// What `report.json` holds.
#[derive(Serialize, Debug)]
pub struct Report {
    /// Task counts over all stages.
    pub tasks: Tasks,
    /// Edited images in the bucket.
    pub outputs: usize,
    /// From submit to the job's end.
    pub wall_seconds: f64,
    /// Outputs over wall time.
    pub images_per_second: f64,
    /// Worker processes that took part.
    pub workers: usize,
    /// The same, one by one.
    pub per_worker: Vec<WorkerRate>,
    /// One row an edit.
    pub edits: Vec<EditFigures>,
}

/// Task counts.
#[derive(Serialize, Debug)]
pub struct Tasks {
    /// All.
    pub total: i64,
    /// Done.
    pub succeeded: i64,
    /// Given up.
    pub dead: i64,
    /// Cancelled.
    pub cancelled: i64,
}

/// One worker's part.
#[derive(Serialize, Debug)]
pub struct WorkerRate {
    /// Host and process.
    pub name: String,
    /// Edited images it made.
    pub images: u64,
    /// Seconds of tensor work on them.
    pub busy_seconds: f64,
    /// Images over tensor work.
    pub images_per_second: f64,
}

/// One edit, averaged over its images.
#[derive(Serialize, Debug)]
pub struct EditFigures {
    /// Method.
    pub method: String,
    /// Target text.
    pub text: String,
    /// Images.
    pub n: usize,
    /// Share for which the judge says the target.
    pub success: f64,
    /// Share of the other attributes that the judge reads as before.
    pub preservation: f64,
    /// Tensor time an image.
    pub seconds_per_image: f64,
    /// Share whose region has the target colour by its median pixel: no learned network.
    pub region_success: Option<f64>,
    /// Mean change outside the region, 0 to 255.
    pub change_outside: Option<f64>,
    /// Mean change inside it.
    pub change_inside: Option<f64>,
    /// PSNR to the drawn counterfactual, dB, after the edit.
    pub psnr_to_truth: Option<f64>,
    /// The same before the edit.
    pub psnr_to_truth_before: Option<f64>,
}

/// All figures of the job.
///
/// # Errors
/// When a fetched file or a mask cannot be read.
pub fn measure(job: &Job, workers: &[Worker], fetched: &[Fetched], folder: &Path, faces: &Faces) -> Result<Report> {
    let wall = job.finished_at.map_or(0.0, |end| (end - job.created_at).as_seconds_f64());
    let per_worker = rates(workers, fetched, folder)?;
    let mut edits = Vec::new();
    for edit in &job.spec.edits {
        let slug = edit.slug();
        let of_edit: Vec<_> = fetched.iter().filter(|f| f.result.edit == slug).collect();
        if !of_edit.is_empty() {
            edits.push(figures(&edit.text, &of_edit, folder, faces)?);
        }
    }
    let rate = if wall > 0.0 { fetched.len() as f64 / wall } else { 0.0 };
    Ok(Report {
        tasks: Tasks {
            total: job.total(),
            succeeded: job.count(None, "succeeded"),
            dead: job.count(None, "dead"),
            cancelled: job.count(None, "cancelled"),
        },
        outputs: fetched.len(),
        wall_seconds: wall,
        images_per_second: rate,
        workers: per_worker.len(),
        per_worker,
        edits,
    })
}

/// Who made what, by the records inside the pictures themselves.
fn rates(workers: &[Worker], fetched: &[Fetched], folder: &Path) -> Result<Vec<WorkerRate>> {
    let mut by_boot: BTreeMap<BootId, WorkerRate> = BTreeMap::new();
    for f in fetched {
        let path = folder.join(&f.file);
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let (record, _) = credentials::extract_record(&bytes).with_context(|| path.display().to_string())?;
        let boot = record.execution.boot;
        let entry = by_boot.entry(boot).or_insert_with(|| {
            let known = workers.iter().find(|w| w.boot == boot);
            let name = known.map_or_else(|| boot.to_string(), |w| w.name.clone());
            WorkerRate { name, images: 0, busy_seconds: 0.0, images_per_second: 0.0 }
        });
        entry.images += 1;
        entry.busy_seconds += f.result.gpu_ms / 1000.0;
        entry.images_per_second = entry.images as f64 / entry.busy_seconds.max(1e-9);
    }
    Ok(by_boot.into_values().collect())
}

fn figures(text: &str, results: &[&Fetched], folder: &Path, faces: &Faces) -> Result<EditFigures> {
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let aim = faces.aim(text);
    let mut pixels = Vec::new();
    for fetched in results {
        if let Some(aim) = &aim {
            pixels.push(compare(fetched, aim, folder, faces)?);
        }
    }
    let over = |value: fn(&Pixels) -> Option<f64>| {
        let values: Vec<_> = pixels.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| mean(values))
    };
    let kept = results.iter().filter_map(|f| f.result.metrics.get("preservation").copied()).collect();
    Ok(EditFigures {
        method: results[0].result.method.clone(),
        text: text.to_owned(),
        n: results.len(),
        success: mean(results.iter().map(|f| f.result.metrics.get("target_reached").copied().unwrap_or(0.0)).collect()),
        preservation: mean(kept),
        seconds_per_image: mean(results.iter().map(|f| f.result.gpu_ms / 1000.0).collect()),
        region_success: over(|p| Some(f64::from(p.region_success))),
        change_outside: over(|p| Some(p.outside)),
        change_inside: over(|p| Some(p.inside)),
        psnr_to_truth: over(|p| p.psnr_after),
        psnr_to_truth_before: over(|p| p.psnr_before),
    })
}

struct Pixels {
    region_success: bool,
    outside: f64,
    inside: f64,
    psnr_after: Option<f64>,
    psnr_before: Option<f64>,
}

fn compare(fetched: &Fetched, aim: &Aim, folder: &Path, faces: &Faces) -> Result<Pixels> {
    let name = fetched.result.source_uri.rsplit('/').next().unwrap_or_default();
    let region = &faces.regions[&aim.region];
    let after = rgb(&folder.join(&fetched.file))?;
    let before = rgb(&folder.join(&fetched.reconstruction_file))?;
    let mask = faces.mask(name)?;
    let prototypes = region.prototypes()?;
    let scored = inside(&mask, region.score_bits, 0);
    let named = name_of_region(after.as_raw(), &scored, &prototypes);
    let change: Vec<f64> = after.as_raw().chunks_exact(3).zip(before.as_raw().chunks_exact(3)).map(step).collect();
    let grown = inside(&mask, region.change_bits, 1);
    let mean_where = |want: bool| {
        let picked: Vec<_> = change.iter().zip(&grown).filter(|(_, g)| **g == want).map(|(c, _)| *c).collect();
        picked.iter().sum::<f64>() / picked.len().max(1) as f64
    };
    let truth = faces.truth(aim, name).transpose()?;
    Ok(Pixels {
        region_success: named == Some(aim.colour.as_str()),
        outside: mean_where(false),
        inside: mean_where(true),
        psnr_after: truth.as_ref().map(|t| psnr(&after, t)),
        psnr_before: truth.as_ref().map(|t| psnr(&before, t)),
    })
}

fn step((a, b): (&[u8], &[u8])) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x.abs_diff(*y))).sum::<f64>() / 3.0
}

fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    let squares = a.as_raw().iter().zip(b.as_raw()).map(|(x, y)| f64::from(x.abs_diff(*y)).powi(2));
    let mse = squares.sum::<f64>() / a.as_raw().len() as f64;
    10.0 * (255.0_f64.powi(2) / mse.max(1e-9)).log10()
}

impl Report {
    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let t = &self.tasks;
        let _ = writeln!(
            text,
            "\ntasks          {} succeeded, {} dead, {} cancelled of {}",
            t.succeeded, t.dead, t.cancelled, t.total
        );
        let _ = writeln!(
            text,
            "outputs        {} in {:.0} s ({:.2} images/s, training included)",
            self.outputs, self.wall_seconds, self.images_per_second
        );
        for w in &self.per_worker {
            let _ = writeln!(
                text,
                "worker         {}: {} images in {:.1} s of tensor work ({:.1} images/s)",
                w.name, w.images, w.busy_seconds, w.images_per_second
            );
        }
        let _ = writeln!(
            text,
            "\n{:<10} {:<24} {:>4} {:>8} {:>8} {:>10} {:>8} {:>7} {:>14} {:>9}",
            "method", "text", "n", "success", "region", "preserved", "outside", "inside", "PSNR to truth", "s/image"
        );
        for e in &self.edits {
            let number =
                |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"));
            let truth = format!("{} < {}", number(e.psnr_to_truth_before, 1), number(e.psnr_to_truth, 1));
            let _ = writeln!(
                text,
                "{:<10} {:<24} {:>4} {:>8.2} {:>8} {:>10.3} {:>8} {:>7} {:>14} {:>9.3}",
                e.method,
                e.text,
                e.n,
                e.success,
                number(e.region_success, 2),
                e.preservation,
                number(e.change_outside, 1),
                number(e.change_inside, 1),
                truth,
                e.seconds_per_image
            );
        }
        text
    }
}
