//! `worker bench` as a process: what it writes, against counts by hand, and what is refused.

use serde_json::Value;
use std::collections::HashMap;
use std::process::{Command, Output};
use tch::Tensor;
use tempfile::TempDir;

fn bench(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg("bench").args(args).output().expect("the worker starts")
}

/// Multiply-adds of a StyleGAN2 of 64 px, whose layers all have 512 channels: convolutions at 4 to 64 px and up-convolutions read
/// at 4 to 32 px; colours; an affine map for each of nine convolutions and five outputs.
const DRAWN: u64 = 512 * 512 * 9 * (5456 + 1360) + 512 * 3 * 5456 + (9 + 5) * 512 * 512;
/// A mapper's six layers for each of ten latents.
const MAPPED: u64 = 10 * 6 * 512 * 512;
/// A ViT-B/32: patches, 12 layers on 50 tokens, projection; and the products within attention.
const WEIGHTED: u64 = 49 * 3072 * 768 + 12 * 12 * 768 * 768 * 50 + 768 * 512;
const PAIRED: u64 = 12 * 2 * 50 * 50 * 768;
/// Default views of an image at each step.
const VIEWS: u64 = 4;

#[test]
fn a_small_run_tells_times_floors_and_the_machine() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("bench.json");
    let path = file.to_str().expect("a path");
    let output = bench(&["--quick", "--repeats", "1", "--stage", "picture,apply,optimise", "--json", path]);
    let (table, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("the JSON")).expect("JSON");

    assert_eq!(report["machine"]["libtorch"], "2.11.0");
    assert_eq!((&report["machine"]["device"], &report["ceilings"][0]["precision"]), (&"cpu".into(), &"fp32".into()));
    assert!(report["commit"].as_str().is_some_and(|commit| !commit.is_empty()));
    assert_eq!(report["ceilings"].as_array().map(Vec::len), Some(1));
    let positive = |of: &Value, field: &str| {
        let value = of[field].as_f64().unwrap_or_else(|| panic!("no {field} in {of}"));
        assert!(value.is_finite() && value > 0.0, "{field} is {value}");
    };
    for field in ["matmul_gflops", "copy_gigabytes"] {
        positive(&report["ceilings"][0], field);
    }

    let cells = report["cells"].as_array().expect("a list");
    let gradient = 2 * DRAWN + VIEWS * (2 * WEIGHTED + 3 * PAIRED);
    for (stage, products) in [("picture", 0), ("apply", DRAWN + MAPPED), ("optimise", gradient)] {
        let cell = cells.iter().find(|cell| cell["stage"] == stage).unwrap_or_else(|| panic!("no {stage}"));
        assert_eq!(cell["multiply_adds"], products, "{stage}");
        assert_eq!((&cell["resolution"], &cell["batch"], &cell["threads"]), (&64.into(), &1.into(), &1.into()));
        for field in
            ["images_per_second", "bytes", "floor_milliseconds", "floor_fraction", "resident_bytes", "peak_bytes"]
        {
            positive(cell, field);
        }
        let of = |field: &str| cell["milliseconds"][field].as_f64().expect("a number");
        assert!(0.0 < of("least") && of("least") <= of("median") && of("median") <= of("most"), "{cell}");
        assert_eq!(cell["matmul_fraction"].is_null(), products == 0, "{stage}");
        assert!(table.contains(&format!("| {stage} | 64 |")), "{table}");
    }
    assert_eq!(cells.len(), 3);
    assert_eq!(report["left_out"], Value::Array(Vec::new()));
}

#[test]
fn what_no_generator_has_is_refused() {
    for (args, wanted) in [
        (["--resolution", "100"], "expected 64, 128, 256, 512 or 1024"),
        (["--device", "tpu"], "write cpu, cuda or cuda:N"),
        (["--batch", "0"], "0 is not in 1..=256"),
        (["--precision", "fp16"], "write fp32, tf32 or bf16"),
        (["--precision", "tf32"], "the device is a CPU; write fp32 or bf16"),
    ] {
        let output = bench(&args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(wanted), "{args:?}: {said}");
    }
}

#[test]
fn a_loop_is_written_down_for_other_programs_and_batches_do_not_change_it() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("aside");
    let output = bench(&["--aside", path.to_str().expect("a path"), "--resolution", "64", "--steps", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| Tensor::read_safetensors(path.join(name)).expect(name);
    let named = |name: &str, tensor: &str| {
        let found = read(name).into_iter().find(|(found, _)| found == tensor);
        found.unwrap_or_else(|| panic!("no {tensor} in {name}")).1
    };
    assert_eq!(named("start.safetensors", "latents").size(), [4, 10, 512]);
    assert_eq!(named("start.safetensors", "tokens").size(), [1, 77]);
    assert_eq!(named("generator.safetensors", "convs.7.conv.weight").size(), [1, 512, 512, 3, 3]);
    assert_eq!(named("clip.safetensors", "visual.proj").size(), [768, 512]);

    let text = std::fs::read(path.join("loop.json")).expect("the loop");
    let told: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(told["rates"].as_array().map(Vec::len), Some(2));
    let losses = |run: usize| -> Vec<f64> {
        let images = told["runs"][run]["losses"].as_array().expect("a list an image");
        images.iter().flat_map(|image| image.as_array().expect("losses")).map(|l| l.as_f64().expect("one")).collect()
    };
    let (alone, together) = (losses(0), losses(1));
    assert_eq!((alone.len(), &told["runs"][1]["batch"]), (8, &4.into()));
    for (alone, together) in alone.iter().zip(&together) {
        assert!((alone - together).abs() < 1e-4, "{alone} alone, {together} together");
    }
    // The step moved every image.
    assert!(alone.chunks(2).all(|steps| steps[0] != steps[1]), "{alone:?}");
}

#[test]
fn a_training_is_written_down_for_other_programs() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("aside");
    let where_to = ["--aside", path.to_str().expect("a path"), "--resolution", "64"];
    let output = bench(&[&where_to[..], &["--stage", "train", "--batch", "2", "--steps", "2"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = Tensor::read_safetensors(path.join("training.safetensors")).expect("the training");
    let tensors: HashMap<String, Tensor> = read.into_iter().collect();
    for (name, shape) in [
        ("latents", &[8, 10, 512][..]),
        ("tokens.target", &[79, 77]),
        ("tokens.neutral", &[79, 77]),
        ("tokens.prompt", &[1, 77]),
        ("rows.2", &[2, 2]),
        // Eight views that the batch shares.
        ("views.2", &[2, 8, 8]),
        ("parameter.mapper.fc.weight", &[512, 1024]),
        ("parameter.text_mapper.mapper_9.mapping.4.bias", &[512]),
    ] {
        assert_eq!(tensors.get(name).map(Tensor::size).as_deref(), Some(shape), "{name}");
    }
    assert!(tensors["rows.2"].max().int64_value(&[]) < 8);
    // Ten mappers of the text and three of latents with four layers each, and the fusing layer.
    let parameters: Vec<_> =
        tensors.iter().filter_map(|(name, of)| Some((name.strip_prefix("parameter.")?, of))).collect();
    assert_eq!(parameters.len(), 2 * (13 * 4 + 1));
    for (name, parameter) in parameters {
        let gradient = &tensors[&format!("gradient.2.{name}")];
        assert_eq!(gradient.size(), parameter.size(), "{name}");
        let largest = gradient.abs().max().double_value(&[]);
        assert!(largest.is_finite() && largest > 0.0, "{name} has no gradient: {largest}");
    }
    assert!(
        ["generator", "clip", "recogniser"].iter().all(|network| path.join(format!("{network}.safetensors")).is_file())
    );

    let text = std::fs::read(path.join("training.json")).expect("the training");
    let told: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(told["rates"], serde_json::json!([0.5, 0.5]));
    assert_eq!(told["weights"], serde_json::json!({ "guide": 0.3, "latent_l2": 0.8, "identity": 0.2 }));
    assert_eq!(told["groups"][1], serde_json::json!({ "start": 4, "end": 6 }));
    let run = &told["runs"][0];
    assert_eq!((&run["threads"], &run["batch"]), (&1.into(), &2.into()));
    assert_eq!(run["seconds"].as_array().map(Vec::len), Some(2));
    // Eight views of two images; a mapper of five layers a latent, and four for the text, which both share; and the recogniser, of 6.3
    // thousand million there and as many back.
    let layers = 2 * 10 * 5 + 10 * 4;
    let products = 2 * (2 * DRAWN + 8 * (2 * WEIGHTED + 3 * PAIRED)) + 3 * layers * 512 * 512;
    let recognised = run["floor"]["multiply_adds"].as_u64().and_then(|all| all.checked_sub(products));
    assert!(recognised.is_some_and(|found| (25.0 - found as f64 / 1e9).abs() < 0.5), "{recognised:?}");
    let loss =
        |term: &str, step: usize| run["losses"][term][step].as_f64().unwrap_or_else(|| panic!("no {term}: {run}"));
    for step in [0, 1] {
        let total = 0.3 * loss("guide", step) + 0.8 * loss("latent_l2", step) + 0.2 * loss("identity", step);
        assert!((loss("loss", step) - total).abs() < 1e-5, "{run}");
    }
    assert!((loss("loss", 0) - loss("loss", 1)).abs() > 1e-6, "{run}");
}
