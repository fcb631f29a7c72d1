//! Files and inputs that are refused, and what the refusal says.

use networks::{Activation, Clip, ClipConfig, LoadError, NetworkError, Weights};
use tch::{Device, Kind, Tensor};

use crate::formula::{fill, tensors, weights};

const CONFIG: ClipConfig = ClipConfig::new(Activation::QuickGelu);

/// Loads the formula's network after a change to its tensors.
fn load(change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> Result<Vec<String>, LoadError> {
    let mut tensors = tensors("quick-gelu");
    change(&mut tensors);
    let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Float)));
    let weights = Weights::from_tensors("changed", tensors, Device::Cpu, Kind::Float)?;
    Ok(Clip::load(weights, &CONFIG)?.1.dropped)
}

fn replace(tensors: &mut [(String, Tensor)], name: &str, shape: &[i64]) {
    let found = tensors.iter_mut().find(|(found, _)| found == name);
    found.unwrap().1 = fill(name, shape, 1.0);
}

#[test]
fn every_tensor_is_needed() {
    for (name, _) in tensors("quick-gelu") {
        let error = load(|tensors| tensors.retain(|(found, _)| *found != name)).unwrap_err();
        // Without its first norm a block does not count, so then the block's other tensors are surplus.
        let named = match &error {
            LoadError::Missing { tensor, .. } => tensor.contains(&name),
            LoadError::Surplus { tensors, .. } => {
                tensors.iter().any(|tensor| tensor.contains(&name.replace("ln_1.weight", "")))
            }
            _ => false,
        };
        assert!(named, "without {name}: {error}");
    }
}

#[test]
fn surplus_and_misshapen_tensors_are_named() {
    let cases: [(&str, &[i64]); 7] = [
        ("visual.class_embedding", &[65]),
        ("visual.positional_embedding", &[16, 128]),
        ("visual.conv1.weight", &[128, 3, 8, 7]),
        ("positional_embedding", &[16, 128]),
        ("visual.proj", &[128, 47]),
        ("text_projection", &[63, 48]),
        ("visual.transformer.resblocks.1.attn.in_proj_bias", &[128]),
    ];
    for (name, shape) in cases {
        let error = load(|tensors| replace(tensors, name, shape)).unwrap_err();
        assert!(matches!(&error, LoadError::Shape { tensor, .. } if tensor == name), "{error}");
    }
    let error = load(|tensors| tensors.push(("logit_bias".to_owned(), fill("logit_bias", &[], 1.0)))).unwrap_err();
    assert!(matches!(&error, LoadError::Surplus { tensors, .. } if tensors == &["logit_bias"]), "{error}");
}

#[test]
fn openais_constants_are_dropped_and_named() {
    let dropped = load(|tensors| {
        for name in ["input_resolution", "context_length", "vocab_size"] {
            tensors.push((name.to_owned(), Tensor::from(32f32)));
        }
    });
    assert_eq!(dropped.unwrap(), ["input_resolution", "context_length", "vocab_size"]);
    let error = load(|tensors| tensors.push(("vocab_size".to_owned(), fill("x", &[2], 1.0)))).unwrap_err();
    assert!(error.to_string().contains("vocab_size"), "{error}");
}

#[test]
fn wrong_inputs_are_errors() {
    let (clip, _) = Clip::load(weights("quick-gelu", Kind::Float), &CONFIG).unwrap();
    let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    for shape in [&[1, 3, 31, 32][..], &[1, 1, 32, 32], &[3, 32, 32], &[0, 3, 32, 32]] {
        let error = clip.encode_image(&zeros(shape, Kind::Float)).unwrap_err();
        assert!(matches!(&error, NetworkError::Shape { found, .. } if found == shape), "{error}");
    }
    for shape in [&[1, 15][..], &[16], &[0, 16]] {
        assert!(matches!(clip.encode_text(&zeros(shape, Kind::Int64)).unwrap_err(), NetworkError::Shape { .. }));
    }
    assert!(clip.encode_text(&zeros(&[1, 16], Kind::Float)).is_err());
    for id in [60, -1] {
        let tokens = zeros(&[1, 16], Kind::Int64);
        let _ = tokens.narrow(1, 3, 1).fill_(id);
        let error = clip.encode_text(&tokens).unwrap_err();
        assert!(error.to_string().contains("outside the vocabulary"), "{error}");
    }
}

/// The expanded image takes no memory itself, but its patches would take petabytes.
#[test]
fn exhausted_memory_is_an_error_that_says_so() {
    let (clip, _) = Clip::load(weights("quick-gelu", Kind::Float), &CONFIG).unwrap();
    let pixels = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu)).expand([1 << 36, 3, 32, 32], false);
    let error = clip.encode_image(&pixels).unwrap_err();
    assert!(error.is_out_of_memory(), "{error}: {:?}", std::error::Error::source(&error));
}
