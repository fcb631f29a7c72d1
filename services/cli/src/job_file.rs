//! Job files: TOML, YAML or JSON by extension, with the same fields as the HTTP request.

use crate::args::{SubmitArgs, UsageError};
use anyhow::{Context as _, Result, bail};
use domain::edit::Method;
use domain::job::JobSpec;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The job that the arguments ask for: `base`, the file's fields over it, completed and overridden by flags, checked as a whole.
///
/// # Errors
/// Names the file and the field that is wrong or missing.
pub fn job_from(args: &SubmitArgs, base: Map<String, Value>) -> Result<JobSpec> {
    let mut fields = base;
    if let Some(path) = &args.file {
        fields.extend(read(path)?);
    }
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    set("name", args.name.clone().map(Value::from));
    set("dataset", args.dataset.clone().map(Value::from));
    set("pack", args.pack.clone().map(Value::from));
    set("frame", args.frame.clone().map(Value::from));
    set("precision", args.precision.clone().map(Value::from));
    set("strengths", (!args.strengths.is_empty()).then(|| json!(args.strengths)));
    set("seeds", (!args.seeds.is_empty()).then(|| json!(args.seeds)));
    limits(args, &mut fields)?;
    let from_flags: Vec<_> = args.texts.iter().map(|text| edit(args, text)).collect();
    if !from_flags.is_empty() {
        match fields.entry("edits").or_insert_with(|| json!([])) {
            Value::Array(edits) => edits.extend(from_flags),
            _ => bail!(UsageError("edits in the job file must be a list".to_owned())),
        }
    }
    if !fields.contains_key("name") {
        let first = fields.get("edits").and_then(|e| e.get(0)).and_then(|e| e.get("text")).and_then(Value::as_str);
        let first = first.filter(|text| !text.trim().is_empty());
        fields.insert("name".to_owned(), first.unwrap_or("job").into());
    }
    for (field, flag) in [("dataset", "--dataset"), ("pack", "--pack"), ("edits", "--text")] {
        if !fields.contains_key(field) {
            bail!(UsageError(format!("the job has no {field}; give {flag} or a job file that names it")));
        }
    }
    let origin = args.file.as_ref().map_or_else(|| "the flags".to_owned(), |path| path.display().to_string());
    let spec: JobSpec =
        serde_json::from_value(fields.into()).with_context(|| format!("no job can be read from {origin}"))?;
    spec.validate().with_context(|| format!("the job of {origin} cannot be accepted"))?;
    Ok(spec)
}

/// The limits given by flags, over those of the file.
fn limits(args: &SubmitArgs, fields: &mut Map<String, Value>) -> Result<()> {
    let given = [
        ("max_concurrent", args.limits.max_concurrent.map(Value::from)),
        ("budget_gpu_seconds", args.limits.budget_gpu_seconds.map(Value::from)),
        ("deadline", args.limits.deadline.map(|at| json!(at))),
        ("tasks_per_minute", args.limits.tasks_per_minute.map(Value::from)),
    ];
    for (name, value) in given {
        let Some(value) = value else { continue };
        match fields.entry("limits").or_insert_with(|| json!({})) {
            Value::Object(limits) => limits.insert(name.to_owned(), value),
            _ => bail!(UsageError("limits in the job file must be a table".to_owned())),
        };
    }
    Ok(())
}

fn edit(args: &SubmitArgs, text: &str) -> Value {
    let mut method = json!({ "kind": args.method });
    if let Some(preset) = &args.preset {
        method["preset"] = json!(preset);
    }
    if let Some(dataset) = args.train_on.as_ref().filter(|_| trains(&args.method)) {
        method["train_on"] = json!(dataset);
    }
    if let Some(mapper) = &args.mapper {
        method["mapper"] = json!(mapper);
    }
    json!({ "text": text, "neutral": args.neutral, "method": method })
}

/// Whether the method of this name trains a mapper.
fn trains(kind: &str) -> bool {
    serde_json::from_value::<Method>(json!({ "kind": kind })).is_ok_and(|method| method.training().is_some())
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let parsed = match kind {
        "toml" => toml::from_str(&text).map_err(anyhow::Error::new),
        "yaml" | "yml" => serde_yaml_ng::from_str(&text).map_err(anyhow::Error::new),
        "json" => serde_json::from_str(&text).map_err(anyhow::Error::new),
        _ => bail!(UsageError(format!("{} is not a .toml, .yaml, .yml or .json job file", path.display()))),
    };
    parsed.with_context(|| format!("{} is not valid {kind}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn job_of(args: &SubmitArgs) -> Result<JobSpec> {
        job_from(args, Map::new())
    }

    fn submit(words: &[&str]) -> SubmitArgs {
        let all = ["cfx", "job", "submit"].iter().chain(words);
        match crate::args::Args::parse_from(all).command {
            crate::args::Command::Job(crate::args::JobCommand::Submit(args)) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_alone_make_a_job() {
        let words = ["--dataset", "d", "--pack", "p", "--text", "a face with elf ears", "--strengths", "0.5,1"];
        let job = job_of(&submit(&words)).unwrap();
        assert_eq!((job.name.as_str(), job.strengths.len(), job.edits.len()), ("a face with elf ears", 2, 1));
        assert_eq!(job.frame, domain::Frame::CentreSquare);
        let framed = job_of(&submit(&[words.as_slice(), &["--frame", "ffhq"]].concat())).unwrap();
        assert_eq!(framed.frame, domain::Frame::Ffhq);
        assert_eq!(job.precision, domain::Precision::Fp32);
        let narrow = job_of(&submit(&[words.as_slice(), &["--precision", "bf16"]].concat())).unwrap();
        assert_eq!(narrow.precision, domain::Precision::Bf16);
    }

    #[test]
    fn limits_of_flags_win_over_those_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(
            &path,
            "dataset='d'\npack='p'\nedits=[{text='x y'}]\n[limits]\nmax_concurrent=2\ndeadline='2026-12-24T18:00:00Z'\n",
        )
        .unwrap();
        let words = [path.to_str().unwrap(), "--max-concurrent", "3", "--budget-gpu-seconds", "60"];
        let limits = job_of(&submit(&words)).unwrap().limits;
        assert_eq!((limits.max_concurrent, limits.budget_gpu_seconds), (Some(3), Some(60.0)));
        assert!(limits.deadline.is_some() && limits.tasks_per_minute.is_none());
        let error = format!("{:#}", job_of(&submit(&[words[0], "--max-concurrent", "0"])).unwrap_err());
        assert!(error.contains("limits.max_concurrent"), "{error}");
    }

    #[test]
    fn every_method_can_be_asked_for_by_flags() {
        for kind in Method::NAMES {
            let words = ["--dataset", "d", "--pack", "p", "--text", "x y", "--train-on", "t", "--method", kind];
            let job = job_of(&submit(&words)).unwrap();
            assert_eq!(job.edits[0].method.name(), kind);
            assert!(job.edits[0].method.training().is_none_or(|t| t.train_on == "t"));
            let published = job_of(&submit(&[words.as_slice(), &["--preset", "repro-2022"]].concat())).unwrap();
            assert_ne!(published.edits[0].method, job.edits[0].method);
        }
    }

    #[test]
    fn the_same_job_in_toml_and_yaml() {
        let folder = tempfile::tempdir().unwrap();
        let toml = folder.path().join("job.toml");
        let yaml = folder.path().join("job.yaml");
        std::fs::write(
            &toml,
            "dataset='d'\npack='p'\nname='n'\n[[edits]]\ntext='x'\nmethod={kind='clip-nce',steps=7}\n",
        )
        .unwrap();
        std::fs::write(
            &yaml,
            "dataset: d\npack: p\nname: n\nedits:\n- text: x\n  method: {kind: clip-nce, steps: 7}\n",
        )
        .unwrap();
        let from = |path: &Path| job_of(&submit(&[path.to_str().unwrap()])).unwrap();
        assert_eq!(from(&toml), from(&yaml));
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, "dataset='d'\npack='p'\n[[edits]]\ntext='x'\nmethod={kind='clip-nce',stepz=7}\n")
            .unwrap();
        let error = format!("{:#}", job_of(&submit(&[path.to_str().unwrap()])).unwrap_err());
        assert!(error.contains("job.toml") && error.contains("stepz"), "{error}");
        let missing = format!("{:#}", job_of(&submit(&["--dataset", "d"])).unwrap_err());
        assert!(missing.contains("--pack"), "{missing}");
    }
}
