//! How far a replay is from its record, and what differs around it.

use super::ReplayArgs;
use crate::stages::record::{device_name, surroundings};
use anyhow::Result;
use domain::record::MicroBatch;
use domain::stage::NUMERICS_VERSION;
use domain::{Digest, Precision};
use networks::device::Environment;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;

/// What came of one replay.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The pixels.
    #[serde(flatten)]
    pub difference: Difference,
    /// The first stage whose result differs: `inversion` or `edit`.
    pub departs_at: Option<&'static str>,
    /// What differs around the computation.
    pub environment: Vec<Field>,
}

impl Outcome {
    /// Whether no pixel differs by more than `tolerance` levels. Where only a digest is known, the replay must be exact.
    pub fn within(&self, tolerance: u8) -> bool {
        self.difference.exact || self.difference.max_abs.is_some_and(|levels| levels <= tolerance)
    }
}

/// Two rasters.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// Whether they are equal.
    pub exact: bool,
    /// The largest difference of a channel, levels of 0 to 255; none where the recorded raster is not at hand.
    pub max_abs: Option<u8>,
    /// Peak signal-to-noise ratio, dB; none where they are equal or the recorded raster is not at hand.
    pub psnr: Option<f64>,
    /// SHA-256 of the raster that the record names.
    pub expected: Digest,
    /// SHA-256 of the raster that was rendered.
    pub found: Digest,
}

impl Difference {
    /// Compares RGB8 rasters; `recorded` is only looked at if it has the digest `expected` and the same size.
    pub fn of(rendered: &[u8], expected: Digest, recorded: Option<&[u8]>) -> Self {
        let found = Digest::of(rendered);
        if found == expected {
            return Self { exact: true, max_abs: Some(0), psnr: None, expected, found };
        }
        let recorded = recorded.filter(|raster| raster.len() == rendered.len() && Digest::of(raster) == expected);
        let differences = recorded.map(|recorded| recorded.iter().zip(rendered).map(|(a, b)| a.abs_diff(*b)));
        let max_abs = differences.clone().and_then(Iterator::max);
        let psnr = differences.map(|differences| {
            let squares: u64 = differences.map(|d| u64::from(d) * u64::from(d)).sum();
            // Safe to widen: a sum over the bytes of one image.
            10.0 * (255.0 * 255.0 * rendered.len() as f64 / squares as f64).log10()
        });
        Self { exact: false, max_abs, psnr, expected, found }
    }
}

/// A field of the record that is otherwise here.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub field: String,
    /// As recorded.
    pub recorded: Value,
    /// As it is here; null for what is absent.
    pub here: Value,
}

/// What differs between a record's surroundings and these. What a record does not tell is not compared.
pub fn environment(
    json: &Value,
    environment: &Environment,
    precision: Precision,
    pack: Digest,
    computed: (MicroBatch, MicroBatch),
) -> Vec<Field> {
    let mut here = vec![
        ("version".to_owned(), json["execution"].get("version"), json!(env!("CARGO_PKG_VERSION"))),
        ("commit".to_owned(), json["execution"].get("commit"), json!(option_env!("CFX_COMMIT").unwrap_or("unknown"))),
        ("libtorch".to_owned(), json["execution"].get("libtorch"), json!(environment.libtorch)),
        ("device".to_owned(), json["execution"].get("device"), json!(device_name(environment))),
        ("threads".to_owned(), json["execution"].get("threads"), json!(environment.threads)),
        ("numerics".to_owned(), json["recipe"].get("numerics"), json!(NUMERICS_VERSION)),
        ("precision".to_owned(), json["recipe"].get("precision"), json!(precision)),
        ("rng".to_owned(), json["recipe"].get("rng"), json!(editing::rng::GENERATOR)),
        // smaller where memory does not allow the recorded one
        ("micro_batch".to_owned(), json["execution"].get("micro_batch"), json!(computed.0)),
        ("edit_batch".to_owned(), json["execution"].get("edit_batch"), json!(computed.1)),
        ("pack".to_owned(), json["recipe"].get("pack"), json!(pack)),
    ];
    let facts = surroundings(environment);
    let recorded = json["execution"]["environment"].as_object();
    // `driver` stands in the device's name too, where it would be told twice
    for (name, value) in recorded.into_iter().flatten().filter(|(name, _)| *name != "driver") {
        here.push((name.clone(), Some(value), json!(facts.get(name))));
    }
    let differing = here.into_iter().filter_map(|(field, recorded, here)| {
        let recorded = recorded?.clone();
        (recorded != here).then_some(Field { field, recorded, here })
    });
    differing.collect()
}

/// Says what came of a file.
#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
pub fn tell(file: &Path, outcome: &Outcome, args: &ReplayArgs) -> Result<()> {
    if args.json {
        let mut line = serde_json::to_value(outcome)?;
        line["file"] = json!(file);
        println!("{line}");
        return Ok(());
    }
    let Difference { exact, max_abs, psnr, .. } = outcome.difference;
    let verdict = match (exact, outcome.within(args.tolerance)) {
        (true, _) => "exact ",
        (false, true) => "within",
        (false, false) => "DIFFERS",
    };
    println!("{verdict} {}", file.display());
    if !exact {
        let pixels = match (max_abs, psnr) {
            (Some(levels), Some(psnr)) => format!("at most {levels} levels, PSNR {psnr:.1} dB"),
            _ => "by how much is not known, since the picture is not at hand".to_owned(),
        };
        println!("       {pixels}; it departs in the {}", outcome.departs_at.unwrap_or("edit"));
    }
    for Field { field, recorded, here } in &outcome.environment {
        println!("       {field}: {recorded} recorded, {here} here");
    }
    Ok(())
}

/// Says why a file could not be replayed.
#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
pub fn tell_failure(file: &Path, error: &anyhow::Error, args: &ReplayArgs) -> Result<()> {
    if args.json {
        println!("{}", json!({ "file": file, "error": format!("{error:#}") }));
    } else {
        eprintln!("error: {}: {error:#}", file.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_measured_in_levels_and_decibels() {
        let recorded = vec![10_u8; 300];
        let same = Difference::of(&recorded, Digest::of(&recorded), Some(&recorded));
        assert_eq!((same.exact, same.max_abs, same.psnr), (true, Some(0), None));
        let mut other = recorded.clone();
        other[7] = 13;
        let one = Difference::of(&other, Digest::of(&recorded), Some(&recorded));
        // one of 300 channels by 3 levels: a mean square of 0.03
        assert_eq!((one.exact, one.max_abs), (false, Some(3)));
        assert!((one.psnr.unwrap() - 10.0 * (65_025.0_f64 / 0.03).log10()).abs() < 1e-9);
        let alone = Difference::of(&other, Digest::of(&recorded), None);
        assert_eq!((alone.exact, alone.max_abs, alone.psnr), (false, None, None));
        let outcome = |difference| Outcome { difference, departs_at: None, environment: Vec::new() };
        assert!(outcome(one).within(3) && !outcome(one).within(2) && !outcome(alone).within(255));
    }
}
