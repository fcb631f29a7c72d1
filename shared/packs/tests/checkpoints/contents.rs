//! Every number, type and shape, against what PyTorch, numpy and Python wrote.

use crate::{data, open};
use packs::checkpoint::{Format, Value};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Expected {
    dtype: String,
    shape: Vec<usize>,
    numbers: Vec<f64>,
}

fn all_expected() -> BTreeMap<String, BTreeMap<String, Expected>> {
    serde_json::from_slice(&std::fs::read(data("expected.json")).unwrap()).unwrap()
}

/// As PyTorch names it.
fn torch_name(dtype: &str) -> &str {
    match dtype {
        "F16" => "float16",
        "BF16" => "bfloat16",
        "F32" => "float32",
        "F64" => "float64",
        "I64" => "int64",
        "I32" => "int32",
        "I16" => "int16",
        "I8" => "int8",
        "U8" => "uint8",
        "BOOL" => "bool",
        other => panic!("{other}"),
    }
}

#[test]
fn tensors_are_what_was_saved() {
    for (file, expected) in all_expected() {
        let checkpoint = open(&file).unwrap();
        let tensors = checkpoint.tensors(&checkpoint.root).unwrap();
        let float_names: Vec<_> = tensors.keys().collect();
        assert!(tensors.len() >= expected.len(), "{file}: {float_names:?}");
        for (name, expected) in expected {
            // Types that numpy has and the reader has not are listed as objects instead.
            let tensor = tensors.get(&name).unwrap_or_else(|| panic!("{file} has no {name}, but {float_names:?}"));
            assert_eq!(torch_name(&tensor.dtype().to_string()), expected.dtype, "{file}: {name}");
            assert_eq!(tensor.shape(), expected.shape, "{file}: {name}");
            let numbers: Vec<f64> = tensor.read_f32().unwrap().into_iter().map(f64::from).collect();
            assert_eq!(numbers, expected.numbers, "{file}: {name}");
            let bytes = tensor.read().unwrap();
            assert_eq!(bytes.len(), tensor.elements() * tensor.dtype().size(), "{file}: {name}");
        }
    }
}

#[test]
fn formats_are_told_by_content() {
    let formats = [
        ("views.pt", Format::TorchZip),
        ("views-deflated.pt", Format::TorchZip),
        ("protocol4.pt", Format::TorchZip),
        ("views-legacy.pt", Format::TorchLegacy),
        ("script.pt", Format::TorchScript),
        ("nvidia-2.pkl", Format::Pickle),
        ("nvidia-5.pkl", Format::Pickle),
        ("numpy-0.pkl", Format::Pickle),
        ("dtypes.safetensors", Format::Safetensors),
    ];
    for (file, format) in formats {
        let checkpoint = open(file).unwrap();
        assert_eq!(checkpoint.format, format, "{file}");
        checkpoint.verify_checksums().unwrap();
    }
}

#[test]
fn tied_weights_share_a_storage() {
    for file in ["views.pt", "views-legacy.pt"] {
        let checkpoint = open(file).unwrap();
        let tensors = checkpoint.tensors(&checkpoint.root).unwrap();
        let id = |name: &str| tensors[name].storage_id();
        assert_eq!(id("tied.a"), id("tied.b"));
        assert_eq!(id("whole"), id("transposed"));
        assert_ne!(id("whole"), id("number"));
    }
    let checkpoint = open("nvidia-4.pkl").unwrap();
    let tensors = checkpoint.tensors(&checkpoint.root).unwrap();
    assert_eq!(tensors["G_ema.again"].storage_id(), tensors["G_ema.mapping.fc0.w_avg"].storage_id());
}

#[test]
fn what_lies_around_the_weights_can_be_asked() {
    for file in ["training.pt", "training-legacy.pt"] {
        let root = open(file).unwrap().root;
        let int = |path: &str| root.get(path).and_then(Value::as_int);
        assert_eq!(root.get("args").and_then(Value::as_object).unwrap().class, "argparse.Namespace");
        assert_eq!((int("args.size"), int("args.channel_multiplier")), (Some(256), Some(2)));
        assert_eq!(root.get("args.path").and_then(Value::as_text), Some("a/b"));
        assert_eq!(root.get("args.flags.1").and_then(Value::as_float), Some(0.5));
        assert!(matches!(root.get("args.none"), Some(Value::None)));
        assert_eq!(int("step"), Some(1234));
        assert_eq!(root.get("loss").and_then(Value::as_float), Some(0.25));
        assert_eq!(root.get("device").and_then(Value::as_text), Some("cuda:1"));
        assert_eq!(root.get("shape").unwrap().items().len(), 2);
        assert!(matches!(root.get("dtype"), Some(Value::Name(name)) if &**name == "torch.float16"));
        assert_eq!(int("counts.a"), Some(2));
        assert_eq!(int("default.a.0"), Some(1));
        assert_eq!(root.get("names.0").and_then(Value::as_text), Some("x"));
        assert_eq!(int("big"), Some(i128::from(u64::MAX)));
        // A state dict's dotted keys are found whole.
        assert_eq!(root.get("g_ema.1.running_mean").and_then(Value::as_tensor).unwrap().shape(), [3]);
        // Random numbers of a type that is not read do not spoil the rest.
        assert!(root.get("rng").and_then(Value::as_object).is_some());
    }
}

#[test]
fn scripts_and_modules_give_their_state() {
    let whole = open("whole-module.pt").unwrap();
    let names: Vec<_> = whole.tensors(&whole.root).unwrap().into_keys().collect();
    assert_eq!(names, ["0.bias", "0.weight"]);
    let script = open("script.pt").unwrap();
    assert_eq!(script.root.as_object().unwrap().class, "__torch__.torch.nn.modules.container.Sequential");
    assert!(script.tensors(&script.root).unwrap().contains_key("1.running_mean"), "buffers are kept");
    let nvidia = open("nvidia-3.pkl").unwrap();
    let network = nvidia.root.get("G_ema").and_then(Value::as_object).unwrap();
    assert_eq!(network.class, "Generator");
    assert!(network.source.as_ref().unwrap().contains("this source was run"));
    assert_eq!(nvidia.root.get("G_ema._init_kwargs.z_dim").and_then(Value::as_int), Some(2));
    assert_eq!(nvidia.root.get("G_ema.mapping.fc0.activation").and_then(Value::as_text), Some("lrelu"));
    assert_eq!(open("dtypes.safetensors").unwrap().metadata["made by"], "us");
}
