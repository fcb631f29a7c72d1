//! StyleGAN2 and StyleGAN3, as rosinality's and NVIDIA's programs save them.

use crate::numbers::{assert_numbers, assert_same, mean_latent, numbers};
use crate::{Imported, data, request};
use packs::Role;
use packs::manifest::{Dtype, GeneratorArchitecture};

/// What PyTorch computes of a mapping network.
#[derive(Debug, serde::Deserialize)]
struct Estimate {
    mean: Vec<f32>,
    deviation: f32,
}

/// The filter that is built in: `[1, 3, 3, 1]` along both axes, of this sum.
fn filter(sum: f32) -> Vec<f32> {
    let taps = [1.0, 3.0, 3.0, 1.0_f32];
    taps.iter().flat_map(|row| taps.map(|column| row * column / 64.0 * sum)).collect()
}

#[test]
fn a_trained_rosinality_has_all_its_numbers_and_gets_a_mean_latent() {
    let imported = Imported::of(&request("rosinality.pt"));
    let manifest = imported.pack.manifest();
    assert_eq!((manifest.image.size, manifest.generator.dtype), (32, Dtype::F32));
    assert_eq!(manifest.generator.conv_clamp, None);
    let source = imported.source(Role::Generator, "rosinality.pt");
    assert!(source.family == "rosinality" && source.notes.len() == 1 && source.notes[0].contains("mean latent"));
    let mut tensors = imported.tensors(Role::Generator);
    assert!(tensors.contains_key("noises.noise_6"));
    let average = tensors.remove("latent_avg").unwrap().read_f32().unwrap();
    let expected: Estimate = serde_json::from_slice(&std::fs::read(data("mean_latent.json")).unwrap()).unwrap();
    // Of 10,000 samples: three standard errors, and a little.
    for (found, mean) in average.iter().zip(&expected.mean) {
        assert!((found - mean).abs() < 0.04 * expected.deviation, "{average:?} {expected:?}");
    }
    for (name, tensor) in &tensors {
        if name.ends_with("kernel") {
            assert_same(tensor, &filter(4.0), name);
        } else {
            assert_numbers(tensor, name, tensor.shape());
        }
    }
}

#[test]
fn a_converted_one_in_half_precision_stays_so_and_gets_noise() {
    let imported = Imported::of(&request("rosinality-half.pt"));
    assert_eq!(imported.pack.manifest().generator.dtype, Dtype::Mixed, "what was added is in single precision");
    let source = imported.source(Role::Generator, "rosinality-half.pt");
    assert!(source.notes.len() == 1 && source.notes[0].contains("noise for 5 of 5 layers"), "{:?}", source.notes);
    let mut tensors = imported.tensors(Role::Generator);
    assert_same(&tensors.remove("latent_avg").unwrap(), &mean_latent(), "latent_avg");
    tensors.retain(|name, _| !name.starts_with("noises.") && !name.ends_with("kernel"));
    for (name, tensor) in &tensors {
        assert_eq!(tensor.dtype(), packs::checkpoint::Dtype::F16, "{name}");
        assert_numbers(tensor, name, tensor.shape());
    }
}

#[test]
fn nvidias_stylegan2_has_the_packs_names_and_its_own_numbers() {
    let imported = Imported::of(&request("nvidia-stylegan2.pkl"));
    let manifest = imported.pack.manifest();
    assert_eq!((manifest.image.size, manifest.generator.architecture), (16, GeneratorArchitecture::StyleGan2));
    assert_eq!(manifest.generator.conv_clamp, Some(256.0));
    assert_eq!(imported.source(Role::Generator, "nvidia-stylegan2.pkl").family, "nvidia-stylegan2");
    let tensors = imported.tensors(Role::Generator);
    for (ours, theirs) in [
        ("latent_avg", "mapping.w_avg"),
        ("style.1.bias", "mapping.fc0.bias"),
        ("style.2.weight", "mapping.fc1.weight"),
        ("input.input", "synthesis.b4.const"),
        ("conv1.conv.weight", "synthesis.b4.conv1.weight"),
        ("conv1.noise.weight", "synthesis.b4.conv1.noise_strength"),
        ("noises.noise_0", "synthesis.b4.conv1.noise_const"),
        ("to_rgb1.conv.modulation.bias", "synthesis.b4.torgb.affine.bias"),
        ("convs.0.conv.weight", "synthesis.b8.conv0.weight"),
        ("convs.1.conv.modulation.weight", "synthesis.b8.conv1.affine.weight"),
        ("noises.noise_2", "synthesis.b8.conv1.noise_const"),
        ("convs.2.activate.bias", "synthesis.b16.conv0.bias"),
        ("noises.noise_3", "synthesis.b16.conv0.noise_const"),
        ("to_rgbs.1.conv.weight", "synthesis.b16.torgb.weight"),
        ("to_rgbs.1.bias", "synthesis.b16.torgb.bias"),
    ] {
        let shape = tensors[ours].shape();
        // Dimensions of one that the pack's names have and NVIDIA's have not.
        let theirs_shape = match ours.split('.').next_back().unwrap() {
            "weight" if ours.contains("conv.weight") => &shape[1..],
            "input" => &shape[1..],
            "bias" if shape.len() == 4 => &shape[1..2],
            name if name.starts_with("noise_") => &shape[2..],
            _ => shape,
        };
        assert_numbers(&tensors[ours], theirs, theirs_shape);
    }
    assert_same(&tensors["convs.2.conv.blur.kernel"], &filter(4.0), "a filter of sum 1 there, of sum 4 here");
}

#[test]
fn stylegan3_keeps_its_names_and_gets_its_settings() {
    let imported = Imported::of(&request("nvidia-stylegan3.pkl"));
    let generator = &imported.pack.manifest().generator;
    assert_eq!(imported.pack.manifest().image.size, 32);
    assert_eq!((generator.architecture, generator.conv_clamp), (GeneratorArchitecture::StyleGan3, Some(256.0)));
    let settings = generator.stylegan3.unwrap();
    assert_eq!((settings.num_critical, settings.margin_size, settings.output_scale), (2, 10, 0.25));
    // Given at its making, and left at the default.
    assert_eq!((settings.first_cutoff, settings.first_stopband), (3.0, 2f64.powf(2.1)));
    assert_eq!(imported.source(Role::Generator, "nvidia-stylegan3.pkl").family, "nvidia-stylegan3");
    for (name, tensor) in imported.tensors(Role::Generator) {
        assert_same(&tensor, &numbers(&name, tensor.shape()), &name);
    }
}
