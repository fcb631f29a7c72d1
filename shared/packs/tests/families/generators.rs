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
fn tensorflows_stylegan2_is_turned_into_the_packs_layout() {
    let imported = Imported::of(&request("tensorflow.pkl"));
    assert_eq!(imported.pack.manifest().image.size, 16);
    assert_eq!(imported.source(Role::Generator, "tensorflow.pkl").family, "nvidia-tensorflow");
    let tensors = imported.tensors(Role::Generator);
    for (ours, theirs) in [
        ("latent_avg", "dlatent_avg"),
        ("style.2.bias", "Dense1/bias"),
        ("input.input", "4x4/Const/const"),
        ("conv1.noise.weight", "4x4/Conv/noise_strength"),
        ("convs.0.activate.bias", "8x8/Conv0_up/bias"),
        ("to_rgbs.1.bias", "16x16/ToRGB/bias"),
        ("noises.noise_3", "noise3"),
    ] {
        let shape = tensors[ours].shape();
        let theirs_shape = if shape == [1, 3, 1, 1] { &[3] } else { shape };
        assert_numbers(&tensors[ours], theirs, theirs_shape);
    }
    let turned = numbers("Dense0/weight", &[8, 8]);
    let turned: Vec<f32> = (0..64).map(|i| turned[i % 8 * 8 + i / 8]).collect();
    assert_same(&tensors["style.1.weight"], &turned, "a matrix has its rows for columns");
    let lifted: Vec<f32> = numbers("8x8/Conv1/mod_bias", &[6]).iter().map(|number| number + 1.0).collect();
    assert_same(&tensors["convs.1.conv.modulation.bias"], &lifted, "a style's one is part of its bias");
    for (ours, theirs, turned) in [("convs.0", "8x8/Conv0_up/weight", true), ("convs.1", "8x8/Conv1/weight", false)] {
        let stored = numbers(theirs, &[3, 3, 6, 6]);
        let at = |i: usize| {
            let (output, input, place) = (i / 54, i / 9 % 6, if turned { 8 - i % 9 } else { i % 9 });
            stored[(place * 6 + input) * 6 + output]
        };
        let expected: Vec<f32> = (0..324).map(at).collect();
        assert_same(&tensors[&format!("{ours}.conv.weight")], &expected, theirs);
    }
}

#[test]
fn wrappers_names_go_and_a_mapping_may_be_wider_in_between() {
    let imported = Imported::of(&request("rosinality-wrapped.pt"));
    let tensors = imported.tensors(Role::Generator);
    assert_eq!((tensors["style.1.weight"].shape(), tensors["style.2.weight"].shape()), (&[16, 8][..], &[8, 16][..]));
    assert_numbers(&tensors["convs.3.conv.weight"], "convs.3.conv.weight", &[1, 6, 6, 3, 3]);
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
