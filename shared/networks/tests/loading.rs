//! Files that must be refused, and what the error must name. Each test spoils one thing in a file that loads.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

#[path = "parity/golden.rs"]
#[expect(dead_code, reason = "shared with the parity tests, which use all of it")]
mod golden;

use std::path::PathBuf;

use networks::stylegan2::Generator;
use networks::{LoadError, LoadReport, Weights};
use tch::{Device, Kind, Tensor};

use golden::Golden;

/// A loadable set of tensors of a 16 px generator, with noise and FIR buffers.
fn tensors() -> Vec<(String, Tensor)> {
    Golden::read("stylegan2_16").weights
}

/// Writes the tensors to a real file and loads the generator from it.
fn load_as(kind: Kind, tensors: &[(String, Tensor)]) -> (PathBuf, Result<LoadReport, LoadError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generator.safetensors");
    Tensor::write_safetensors(tensors, &path).unwrap();
    let loaded = Weights::open(&path, Device::Cpu, kind).and_then(Generator::load).map(|(_, report)| report);
    (path, loaded)
}

fn refused(tensors: &[(String, Tensor)]) -> LoadError {
    let (path, loaded) = load_as(Kind::Float, tensors);
    let error = loaded.expect_err("a spoilt file must be refused");
    assert!(error.to_string().contains(path.to_str().unwrap()), "the error must name the file: {error}");
    error
}

fn change(name: &str, change: impl Fn(&Tensor) -> Tensor) -> Vec<(String, Tensor)> {
    let mut tensors = tensors();
    let (_, tensor) = tensors.iter_mut().find(|(n, _)| n == name).expect("a tensor of the file");
    *tensor = change(tensor);
    tensors
}

fn without(unwanted: impl Fn(&str) -> bool) -> Vec<(String, Tensor)> {
    tensors().into_iter().filter(|(name, _)| !unwanted(name)).collect()
}

#[test]
fn the_unspoilt_file_loads_and_is_reported() {
    let (path, loaded) = load_as(Kind::Float, &tensors());
    let report = loaded.unwrap();
    let elements: usize = tensors().iter().map(|(_, tensor)| tensor.numel()).sum();
    assert_eq!((report.file, report.tensors), (path, tensors().len()));
    assert_eq!((report.parameters, report.bytes), (elements as u64, 4 * elements as u64));
    assert_eq!(report.source_dtypes, [("F32".to_owned(), tensors().len())].into());
    assert_eq!((report.loaded_as.as_str(), report.converted), ("Float", 0));
}

#[test]
fn sixteen_bit_files_are_converted_and_the_report_says_so() {
    for (kind, dtype) in [(Kind::Half, "F16"), (Kind::BFloat16, "BF16")] {
        let tensors: Vec<_> = tensors().into_iter().map(|(name, tensor)| (name, tensor.to_kind(kind))).collect();
        let report = load_as(Kind::Float, &tensors).1.unwrap();
        assert_eq!(report.source_dtypes, [(dtype.to_owned(), tensors.len())].into());
        assert_eq!((report.loaded_as.as_str(), report.converted), ("Float", tensors.len()));
        assert_eq!(report.bytes, 2 * report.parameters);
        let report = load_as(kind, &tensors).1.unwrap();
        assert_eq!(report.converted, 0, "already in the kind asked for");
    }
}

/// Leaves out every tensor in turn: only the buffers that are optional may go, and the error names what is gone.
#[test]
fn no_tensor_may_be_missing() {
    let optional = |name: &str| name.ends_with(".kernel") || name == "latent_avg";
    for (name, _) in tensors() {
        let rest = without(|other| other == name);
        if optional(&name) {
            assert!(load_as(Kind::Float, &rest).1.is_ok(), "{name} is optional");
            continue;
        }
        match refused(&rest) {
            LoadError::Missing { tensor, .. } => assert_eq!(tensor, name),
            // A gap in the numbering leaves the layers after it unclaimed.
            LoadError::Surplus { tensors, .. } => {
                assert!(tensors.iter().any(|other| other.starts_with(name.split_once('.').unwrap().0)), "{name}");
            }
            error => panic!("{name}: {error}"),
        }
    }
}

/// Gives every tensor in turn one more row: broadcasting must not hide it.
#[test]
fn no_tensor_may_have_another_shape() {
    for (name, tensor) in tensors() {
        let wider = Tensor::cat(&[&tensor, &tensor.narrow(0, 0, 1)], 0);
        let error = refused(&change(&name, |_| wider.copy()));
        assert!(matches!(error, LoadError::Shape { .. }), "{name}: {error}");
        let flat = refused(&change(&name, |tensor| tensor.reshape([1, -1, 1])));
        assert!(matches!(flat, LoadError::Shape { .. }), "{name}: {flat}");
    }
}

#[test]
fn sizes_that_no_network_has_are_refused() {
    let error = refused(&change("style.1.bias", |tensor| tensor.narrow(0, 0, 0)));
    assert!(matches!(error, LoadError::Shape { .. }), "{error}");
    let mut endless = tensors();
    for layer in 4..200 {
        let weight = Tensor::zeros([1, 6, 6, 3, 3], (Kind::Float, Device::Cpu));
        endless.push((format!("convs.{layer}.conv.weight"), weight));
    }
    assert!(matches!(refused(&endless), LoadError::Value { .. }), "an image of 2^102 px");
}

#[test]
fn surplus_tensors_are_named() {
    let mut tensors = tensors();
    for name in ["discriminator.weight", "conv1.extra"] {
        tensors.push((name.to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
    }
    let LoadError::Surplus { tensors, .. } = refused(&tensors) else { panic!("not a surplus error") };
    assert_eq!(tensors, ["conv1.extra", "discriminator.weight"]);
}

#[test]
fn integers_and_doubles_are_refused() {
    for kind in [Kind::Int64, Kind::Uint8, Kind::Bool, Kind::Double] {
        let error = refused(&change("conv1.conv.weight", |tensor| tensor.to_kind(kind)));
        let LoadError::Dtype { tensor, .. } = error else { panic!("{kind:?}: {error}") };
        assert_eq!(tensor, "conv1.conv.weight");
    }
}

#[test]
fn values_that_are_not_finite_are_refused() {
    for bad in [f64::NAN, f64::INFINITY] {
        let error = refused(&change("convs.1.conv.weight", |tensor| tensor.copy().fill_(bad)));
        let LoadError::Value { tensor, .. } = error else { panic!("{bad}: {error}") };
        assert_eq!(tensor, "convs.1.conv.weight");
    }
    // A value that F32 holds and F16 does not.
    let loud = change("style.1.weight", |tensor| tensor.copy().fill_(1e6));
    assert!(load_as(Kind::Float, &loud).1.is_ok());
    assert!(matches!(load_as(Kind::Half, &loud).1, Err(LoadError::Value { .. })));
}

#[test]
fn another_filter_is_refused() {
    for name in ["convs.0.conv.blur.kernel", "to_rgbs.0.upsample.kernel"] {
        let error = refused(&change(name, |kernel| kernel * 0.25));
        let LoadError::Value { tensor, .. } = error else { panic!("{error}") };
        assert_eq!(tensor, name);
    }
}

/// Noise may be absent only where its strength is exactly zero, layer by layer.
#[test]
fn noise_is_needed_unless_its_strength_is_zero() {
    let no_noise = without(|name| name.starts_with("noises."));
    let LoadError::Missing { tensor, .. } = refused(&no_noise) else { panic!("not a missing tensor") };
    assert_eq!(tensor, "noises.noise_0");

    let silent: Vec<_> = no_noise
        .into_iter()
        .map(|(name, tensor)| if name.ends_with("noise.weight") { (name, tensor * 0.0) } else { (name, tensor) })
        .collect();
    assert!(load_as(Kind::Float, &silent).1.is_ok());
    let almost: Vec<_> = silent
        .into_iter()
        .map(|(name, tensor)| if name == "convs.3.noise.weight" { (name, tensor + 1e-9) } else { (name, tensor) })
        .collect();
    let LoadError::Missing { tensor, .. } = refused(&almost) else { panic!("not a missing tensor") };
    assert_eq!(tensor, "noises.noise_4");
}

/// Cuts a file after every length that could be mistaken for a whole one: the header, each tensor, one byte short.
#[test]
fn files_cut_short_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.safetensors");
    Tensor::write_safetensors(&tensors(), &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for length in [0, 4, 8, header / 2, header, header + 512, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Weights::open(&path, Device::Cpu, Kind::Float).expect_err("cut short");
        assert!(matches!(error, LoadError::Malformed { .. }), "{length} bytes: {error}");
    }
    std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert!(Weights::open(&path, Device::Cpu, Kind::Float).is_err(), "one byte too many");
    let error = Weights::open(folder.path().join("absent"), Device::Cpu, Kind::Float).expect_err("no such file");
    assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
}

#[test]
fn loaded_tensors_are_frozen_copies() {
    let mut source = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
    let given = [("a".to_owned(), source.shallow_clone())];
    let mut weights = Weights::from_tensors("memory", given, Device::Cpu, Kind::Float).unwrap();
    let _ = tch::no_grad(|| source.fill_(7.0));
    let loaded = weights.take("a", &[2]).unwrap();
    assert!(!loaded.requires_grad());
    assert_eq!(Vec::<f32>::try_from(&loaded).unwrap(), [1.0, 2.0]);
    assert!(weights.take("a", &[2]).is_err(), "each tensor can be taken once");
    assert!(weights.finish().is_ok());

    let twice = [("a".to_owned(), source.shallow_clone()), ("a".to_owned(), source)];
    assert!(Weights::from_tensors("memory", twice, Device::Cpu, Kind::Float).is_err());
}
