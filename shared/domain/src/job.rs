//! What a user asks for: dataset x edits x strengths x seeds, on one pack.

use crate::edit::{EditSpec, SpecError, text_fits, within};
use crate::framing::Frame;
use crate::inversion::Inversion;
use crate::limits::Limits;
use crate::output::Output;
use crate::precision::Precision;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};

/// A job as submitted. Names are resolved by the coordinator; the rest is checked here, once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Shown to people; need not be unique.
    #[schema(min_length = 1, max_length = 300, pattern = r"\S")]
    pub name: String,
    /// Name of a registered dataset.
    #[schema(min_length = 1, max_length = 300, pattern = r"\S")]
    pub dataset: String,
    /// Name of a registered pack.
    #[schema(min_length = 1, max_length = 300, pattern = r"\S")]
    pub pack: String,
    /// The edits; each is applied to every source it selects.
    #[schema(min_items = 1)]
    pub edits: Vec<EditSpec>,
    /// Factors on the edit's latent change; 1 is the trained strength.
    #[serde(default = "one_strength")]
    #[schema(schema_with = strengths)]
    pub strengths: Vec<f64>,
    /// Seeds; per-image methods give one result per seed.
    #[serde(default = "one_seed")]
    #[schema(schema_with = seeds)]
    pub seeds: Vec<u64>,
    /// Which part of a source the generator's square shows.
    #[serde(default, skip_serializing_if = "Frame::is_default")]
    pub frame: Frame,
    /// How sources become latents.
    #[serde(default)]
    pub inversion: Inversion,
    /// What its images are computed in: `bf16` takes half the memory, and is, as `tf32`, what GPUs multiply fastest.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Higher goes first within the project.
    #[serde(default)]
    #[schema(minimum = -32_768, maximum = 32_767)]
    pub priority: i16,
    /// What it may take at most.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// How its images are written.
    #[serde(default, skip_serializing_if = "Output::is_default")]
    pub output: Output,
}

/// The largest seed: 2^53 - 1, the largest integer that canonical JSON keeps exactly (RFC 8785 §3.2.2.3).
pub const MAX_SEED: u64 = (1 << 53) - 1;

fn one_strength() -> Vec<f64> {
    vec![1.0]
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// A list of different numbers, with its default.
fn numbers(each: ObjectBuilder, default: serde_json::Value, description: &str) -> Array {
    let list = ArrayBuilder::new().items(each).min_items(Some(1)).unique_items(true);
    list.default(Some(default)).description(Some(description)).build()
}

fn strengths() -> Array {
    let each = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(-10)).maximum(Some(10));
    numbers(each, serde_json::json!([1.0]), "Factors on the latent change, each another.")
}

fn seeds() -> Array {
    let each = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(MAX_SEED as f64));
    numbers(each, serde_json::json!([0]), "Seeds of what is random, each another.")
}

impl JobSpec {
    /// Checks every field that can be checked without looking anything up.
    ///
    /// # Errors
    /// The first fault found, naming the field.
    pub fn validate(&self) -> Result<(), SpecError> {
        text_fits("name", &self.name)?;
        text_fits("dataset", &self.dataset)?;
        text_fits("pack", &self.pack)?;
        self.inversion.validate()?;
        self.limits.validate()?;
        self.output.validate()?;
        for (field, empty) in [
            ("edits", self.edits.is_empty()),
            ("strengths", self.strengths.is_empty()),
            ("seeds", self.seeds.is_empty()),
        ] {
            if empty {
                return Err(SpecError::EmptyList { field: field.to_owned() });
            }
        }
        let mut slugs = BTreeSet::new();
        for (index, edit) in self.edits.iter().enumerate() {
            edit.validate(index)?;
            if !slugs.insert(edit.slug()) {
                return Err(SpecError::Duplicate { field: "edits".to_owned(), value: edit.slug() });
            }
        }
        let mut seen = BTreeSet::new();
        for strength in &self.strengths {
            within("strengths", *strength, -10.0, 10.0)?;
            if !seen.insert(strength.to_bits()) {
                return Err(SpecError::Duplicate { field: "strengths".to_owned(), value: strength.to_string() });
            }
        }
        let mut seen = BTreeSet::new();
        for seed in &self.seeds {
            // records are JSON, whose integers are exact only so far
            within("seeds", *seed as f64, 0.0, MAX_SEED as f64)?;
            if !seen.insert(seed) {
                return Err(SpecError::Duplicate { field: "seeds".to_owned(), value: seed.to_string() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(change: impl FnOnce(&mut JobSpec)) -> Result<(), SpecError> {
        let json = r#"{"name":"n","dataset":"d","pack":"p","edits":[{"text":"a face with elf ears"}]}"#;
        let mut spec: JobSpec = serde_json::from_str(json).unwrap();
        change(&mut spec);
        spec.validate()
    }

    #[test]
    fn a_plain_job_is_accepted_and_each_fault_is_named() {
        assert_eq!(job(|_| ()), Ok(()));
        let named = |change: fn(&mut JobSpec)| job(change).unwrap_err().to_string();
        assert!(named(|s| s.seeds = vec![MAX_SEED + 1]).starts_with("seeds is"));
        assert!(named(|s| s.seeds = vec![1, 1]).contains("twice"));
        assert!(named(|s| s.strengths.clear()).starts_with("strengths is empty"));
        assert!(named(|s| s.strengths = vec![f64::NAN]).starts_with("strengths is NaN"));
        assert!(named(|s| s.edits.push(s.edits[0].clone())).contains("a-face-with-elf-ears"));
        assert!(named(|s| s.edits[0].text = "A face".to_owned()).contains("neutral"));
    }
}
