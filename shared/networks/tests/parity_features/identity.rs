//! Identity features and their gradients, and files and inputs that are refused.

use networks::{Identity, IdentityArchitecture, IdentityInput, LoadError, NetworkError, Weights};
use tch::{Device, Kind, Tensor};

use crate::formula::{fill, tensors_as, weights};
use crate::{check, every, golden, leaf, relative_error};

use IdentityArchitecture::{EmbeddingCnn, IrSe50};
use IdentityInput::{FfhqCrop, WholeImage};

fn load(case: &str, architecture: IdentityArchitecture, input: IdentityInput, kind: Kind) -> Identity {
    let (identity, report) = Identity::load(weights(case, kind), architecture, input).unwrap();
    let counters = tensors_as(case, kind).iter().filter(|(name, _)| name.ends_with("num_batches_tracked")).count();
    assert!(counters > 0, "the reference's own state dict holds batch norm's counters");
    assert_eq!(report.tensors, tensors_as(case, kind).len() - counters);
    identity
}

/// Values and gradients of one case of the goldens.
fn matches(identity: &Identity, case: &str, [batch, side, step]: [i64; 3], kind: Kind) {
    let images = leaf(&fill(&format!("{case}.images"), &[batch, 3, side, side], 1.0).to_kind(kind));
    let features = identity.features(&images).unwrap();
    check(case, &features, &golden(&format!("{case}.features")), kind);
    let probe = fill(&format!("{case}.probe"), &features.size(), 1.0).to_kind(kind);
    (&features * probe).sum(kind).backward();
    check(&format!("{case} gradient"), &every(step, &images.grad()), &golden(&format!("{case}.gradient")), kind);
    let lengths = features.square().sum_dim_intlist(1, false, kind);
    assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-5, "features are unit vectors");
}

/// The published architecture at its own size: 50 layers, 43.8 million parameters.
#[test]
fn ir_se50_matches() {
    let identity = load("ir-se50", IrSe50, FfhqCrop, Kind::Float);
    assert_eq!((identity.input_size(), identity.dimensions()), (112, 512));
    matches(&identity, "ir-se50.crop", [2, 80, 5], Kind::Float);
}

#[test]
fn every_way_from_an_image_to_the_input_matches() {
    for kind in [Kind::Double, Kind::Float] {
        let whole = load("ir-se", IrSe50, WholeImage, kind);
        assert_eq!((whole.input_size(), whole.dimensions()), (32, 24));
        matches(&whole, "ir-se.whole", [2, 32, 2], kind);
        matches(&whole, "ir-se.whole-resized", [2, 45, 2], kind);
        let crop = load("ir-se", IrSe50, FfhqCrop, kind);
        matches(&crop, "ir-se.crop", [2, 256, 9], kind);
        matches(&crop, "ir-se.crop-larger", [1, 300, 9], kind);
        matches(&crop, "ir-se.crop-smaller", [3, 37, 2], kind);
    }
}

#[test]
fn the_small_network_matches() {
    for kind in [Kind::Double, Kind::Float] {
        let identity = load("embedding-cnn", EmbeddingCnn, WholeImage, kind);
        assert_eq!((identity.input_size(), identity.dimensions()), (64, 24));
        matches(&identity, "embedding-cnn.whole", [2, 64, 3], kind);
        matches(&identity, "embedding-cnn.one-pixel", [2, 1, 1], kind);
    }
}

#[test]
fn an_item_does_not_depend_on_its_batch_mates() {
    let identity = load("ir-se", IrSe50, FfhqCrop, Kind::Float);
    let images = fill("faces", &[3, 3, 48, 48], 1.0).to_kind(Kind::Float);
    let together = identity.features(&images).unwrap();
    for i in 0..3 {
        let alone = identity.features(&images.narrow(0, i, 1)).unwrap();
        assert!(relative_error(&alone, &together.narrow(0, i, 1)) < 1e-5);
    }
    assert!(together.equal(&identity.features(&images).unwrap()), "the same call twice must give the same bits");
    let (one, other) = (together.select(0, 0), together.select(0, 1));
    assert!((one - other).abs().max().double_value(&[]) > 1e-3, "different images have different features");
}

/// A network whose last layer is silent says nothing about anyone, and its gradient is zero rather than NaN.
#[test]
fn a_vector_of_zeros_has_a_finite_gradient() {
    let silent = tensors_as("embedding-cnn", Kind::Float)
        .into_iter()
        .map(|(name, tensor)| if name.starts_with("fc.") { (name, tensor * 0.0) } else { (name, tensor) });
    let weights = Weights::from_tensors("silent", silent, Device::Cpu, Kind::Float).unwrap();
    let (identity, _) = Identity::load(weights, EmbeddingCnn, WholeImage).unwrap();
    let images = leaf(&fill("faces", &[1, 3, 64, 64], 1.0).to_kind(Kind::Float));
    let features = identity.features(&images).unwrap();
    assert_eq!(features.abs().max().double_value(&[]), 0.0);
    features.sum(Kind::Float).backward();
    networks::error::ensure_finite("gradient", &images.grad()).unwrap();
}

/// Loads the small networks after a change to their tensors.
fn changed(
    case: &str,
    architecture: IdentityArchitecture,
    change: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> Result<(), LoadError> {
    let mut tensors = tensors_as(case, Kind::Float);
    change(&mut tensors);
    let weights = Weights::from_tensors("changed", tensors, Device::Cpu, Kind::Float)?;
    Identity::load(weights, architecture, WholeImage).map(drop)
}

#[test]
fn every_tensor_but_the_counters_is_needed() {
    for (case, architecture) in [("ir-se", IrSe50), ("embedding-cnn", EmbeddingCnn)] {
        for (name, tensor) in tensors_as(case, Kind::Float) {
            let without = changed(case, architecture, |tensors| tensors.retain(|(found, _)| *found != name));
            if name.ends_with("num_batches_tracked") {
                without.unwrap();
                continue;
            }
            // A gap in the numbering leaves the blocks after it unclaimed, and the last layer of another width.
            let error = without.unwrap_err();
            let gap = matches!(&error, LoadError::Missing { tensor, .. } if *tensor == name)
                || matches!(&error, LoadError::Shape { .. } | LoadError::Surplus { .. });
            assert!(gap, "without {name}: {error}");
            let wider = Tensor::cat(&[&tensor, &tensor.narrow(0, 0, 1)], 0);
            let error = changed(case, architecture, |tensors| {
                tensors.iter_mut().find(|(found, _)| *found == name).unwrap().1 = wider;
            });
            assert!(matches!(error, Err(LoadError::Shape { .. } | LoadError::Missing { .. })), "{name}: {error:?}");
        }
    }
}

/// PyTorch's files hold 64-bit counters, which no weights file of another network may hold.
#[test]
fn counters_in_a_file_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.safetensors");
    let tensors = tensors_as("embedding-cnn", Kind::Float);
    assert!(tensors.iter().any(|(_, tensor)| tensor.kind() == Kind::Int64));
    Tensor::write_safetensors(&tensors, &path).unwrap();
    let weights = Weights::open(&path, Device::Cpu, Kind::Float).unwrap();
    let (_, report) = Identity::load(weights, EmbeddingCnn, WholeImage).unwrap();
    assert_eq!((report.tensors, report.converted), (26, 0));
}

#[test]
fn another_network_is_refused() {
    for (case, architecture, named) in [
        ("embedding-cnn", IrSe50, "input_layer.0.weight"),
        ("ir-se", EmbeddingCnn, "body.0.conv.weight"),
        ("lpips-alex", IrSe50, "input_layer.0.weight"),
    ] {
        let error = changed(case, architecture, |_| ()).unwrap_err();
        assert!(matches!(&error, LoadError::Missing { tensor, .. } if tensor == named), "{error}");
    }
    // The margin of ArcFace's training, which is no part of the network.
    let error = changed("ir-se", IrSe50, |tensors| {
        tensors.push(("kernel".to_owned(), fill("k", &[512, 9], 1.0).to_kind(Kind::Float)));
    });
    assert!(matches!(error, Err(LoadError::Surplus { tensors, .. }) if tensors == ["kernel"]));
    for name in ["body.1.res_layer.0.running_var", "body.1.res_layer.4.running_var", "output_layer.4.running_var"] {
        let error = changed("ir-se", IrSe50, |tensors| {
            let (_, variance) = tensors.iter_mut().find(|(found, _)| found == name).unwrap();
            *variance = -&*variance;
        });
        assert!(matches!(&error, Err(LoadError::Value { tensor, .. }) if tensor == name), "{error:?}");
    }
}

#[test]
fn wrong_inputs_are_errors() {
    let identity = load("ir-se", IrSe50, FfhqCrop, Kind::Float);
    for shape in [&[1, 3, 31, 32][..], &[1, 1, 32, 32], &[3, 32, 32], &[0, 3, 32, 32]] {
        let error = identity.features(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).unwrap_err();
        assert!(matches!(&error, NetworkError::Shape { found, .. } if found == shape), "{error}");
    }
}
