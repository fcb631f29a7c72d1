//! Perceptual distances and their gradients, and files and inputs that are refused.

use networks::{LoadError, NetworkError, Perceptual, PerceptualArchitecture, Weights};
use tch::{Device, Kind, Tensor};

use crate::formula::{fill, tensors_as, weights};
use crate::{check, every, golden, leaf, relative_error};

use PerceptualArchitecture::{LpipsAlex, LpipsVgg, Vgg19Relu52};

/// The sizes of the goldens: an ordinary one, the smallest (one pixel in the last layer), an odd one that is not square.
const CASES: [(&str, PerceptualArchitecture, [[i64; 2]; 3]); 3] = [
    ("lpips-alex", LpipsAlex, [[64, 64], [31, 31], [45, 37]]),
    ("lpips-vgg", LpipsVgg, [[32, 32], [16, 16], [37, 29]]),
    ("vgg19-relu5-2", Vgg19Relu52, [[32, 32], [16, 16], [37, 29]]),
];

fn load(case: &str, architecture: PerceptualArchitecture, kind: Kind) -> Perceptual {
    let (network, report) = Perceptual::load(weights(case, kind), architecture).unwrap();
    assert_eq!(report.tensors, tensors_as(case, kind).len());
    assert_eq!(network.architecture(), architecture);
    network
}

/// A pair of images as the goldens have it.
fn pair(case: &str, [height, width]: [i64; 2], kind: Kind) -> [Tensor; 2] {
    let a = fill(&format!("{case}.a"), &[2, 3, height, width], 1.0);
    let b = &a * 0.6 + fill(&format!("{case}.b"), &[2, 3, height, width], 0.4);
    [leaf(&a.to_kind(kind)), leaf(&b.to_kind(kind))]
}

fn distances_and_gradients_match(index: usize, kind: Kind) {
    let (name, architecture, sizes) = CASES[index];
    let network = load(name, architecture, kind);
    assert_eq!(network.smallest_side(), sizes[1][0]);
    for size in sizes {
        let case = format!("{name}.{}x{}", size[0], size[1]);
        let [a, b] = pair(&case, size, kind);
        let distance = network.distance(&a, &b).unwrap();
        check(&case, &distance, &golden(&format!("{case}.distance")), kind);
        (&distance * fill(&format!("{case}.probe"), &[2], 1.0).to_kind(kind)).sum(kind).backward();
        for (side, images) in [("a", &a), ("b", &b)] {
            let reference = golden(&format!("{case}.gradient_{side}"));
            check(&format!("{case} gradient {side}"), &every(4, &images.grad()), &reference, kind);
        }
    }
}

#[test]
fn lpips_alex_matches_torchvisions_trunk() {
    distances_and_gradients_match(0, Kind::Float);
    distances_and_gradients_match(0, Kind::Double);
}

#[test]
fn lpips_vgg_matches_torchvisions_trunk() {
    distances_and_gradients_match(1, Kind::Float);
    distances_and_gradients_match(1, Kind::Double);
}

#[test]
fn vgg19_matches() {
    distances_and_gradients_match(2, Kind::Float);
    distances_and_gradients_match(2, Kind::Double);
}

/// The features of a source serve every comparison with it, also of a part of the batch and in another order.
#[test]
fn the_split_form_is_the_same_distance() {
    for (name, architecture, sizes) in CASES {
        let network = load(name, architecture, Kind::Float);
        let [a, b] = pair(name, sizes[2], Kind::Float);
        let whole = network.distance(&a, &b).unwrap().detach();
        let source = network.features(&a).unwrap().detach().unwrap();
        assert_eq!(source.batch(), 2);
        let split = network.distance_of(&source, &network.features(&b).unwrap()).unwrap();
        assert!(split.equal(&whole), "{name}");
        split.sum(Kind::Float).backward();
        assert!(b.grad().defined() && !a.grad().defined(), "{name}: gradients reach the edited image alone");

        let swapped = source.select(&Tensor::from_slice(&[1i64, 0, 1])).unwrap();
        let edited = network.features(&b.index_select(0, &Tensor::from_slice(&[1i64, 0, 1]))).unwrap();
        let swapped = network.distance_of(&swapped, &edited).unwrap();
        let expected = whole.index_select(0, &Tensor::from_slice(&[1i64, 0, 1]));
        assert!(relative_error(&swapped, &expected) < 1e-5, "{name}: an item does not depend on its batch-mates");
    }
}

/// Equal images have no distance; its gradient is zero, not NaN.
#[test]
fn equal_images_have_no_distance() {
    for (name, architecture, sizes) in CASES {
        let network = load(name, architecture, Kind::Float);
        let [a, _] = pair(name, sizes[2], Kind::Float);
        let distance = network.distance(&a, &a.detach()).unwrap();
        assert_eq!(Vec::<f32>::try_from(&distance).unwrap(), [0.0, 0.0], "{name}");
        distance.sum(Kind::Float).backward();
        assert_eq!(a.grad().abs().max().double_value(&[]), 0.0, "{name}");
    }
}

/// Where every channel is silent, or so quiet that its square is zero in single precision, the length of the feature is
/// zero, and a root has no derivative there. ReLU hides that of the silent ones, but not that of the quiet ones.
#[test]
fn silent_pixels_have_a_finite_gradient() {
    for (name, architecture, sizes) in CASES {
        for (volume, bias) in [(1.0, Some(-0.5)), (1.0, Some(-1e4)), (1e-25, None)] {
            let mut tensors = tensors_as(name, Kind::Float);
            let first = tensors.iter().map(|(name, _)| name.clone()).find(|name| name.ends_with(".bias")).unwrap();
            for (found, tensor) in &mut tensors {
                if found.strip_suffix("weight") == first.strip_suffix("bias") {
                    *tensor = &*tensor * volume;
                } else if *found == first {
                    *tensor = bias.map_or_else(|| &*tensor * volume, |bias: f64| tensor.full_like(bias));
                }
            }
            let weights = Weights::from_tensors("silent", tensors, Device::Cpu, Kind::Float).unwrap();
            let (network, _) = Perceptual::load(weights, architecture).unwrap();
            let [a, b] = pair(name, sizes[2], Kind::Float);
            let distance = network.distance(&a, &b).unwrap();
            networks::error::ensure_finite("distance", &distance).unwrap();
            distance.sum(Kind::Float).backward();
            for images in [a, b] {
                networks::error::ensure_finite("gradient", &images.grad()).unwrap();
            }
        }
    }
}

/// Loads a network after a change to its tensors.
fn changed(
    case: &str,
    architecture: PerceptualArchitecture,
    change: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> Result<Perceptual, LoadError> {
    let mut tensors = tensors_as(case, Kind::Float);
    change(&mut tensors);
    let weights = Weights::from_tensors("changed", tensors, Device::Cpu, Kind::Float)?;
    Perceptual::load(weights, architecture).map(|(network, _)| network)
}

#[test]
fn every_tensor_that_is_read_is_needed() {
    for (case, architecture, _) in [CASES[0], CASES[2]] {
        for (name, tensor) in tensors_as(case, Kind::Float) {
            let without = changed(case, architecture, |tensors| tensors.retain(|(found, _)| *found != name));
            let unused = name.starts_with("conv5_3") || name.starts_with("conv5_4");
            match without {
                Ok(_) => assert!(unused, "{name} must not be missing"),
                Err(LoadError::Missing { tensor, .. }) => assert_eq!(tensor, name),
                Err(error) => panic!("without {name}: {error}"),
            }
            let wider = Tensor::cat(&[&tensor, &tensor.narrow(0, 0, 1)], 0);
            let error = changed(case, architecture, |tensors| {
                tensors.iter_mut().find(|(found, _)| *found == name).unwrap().1 = wider;
            });
            assert!(matches!(error, Err(LoadError::Shape { .. })), "{name}: {error:?}");
        }
    }
}

#[test]
fn another_network_is_refused() {
    let refused = |case, architecture| changed(case, architecture, |_| ()).unwrap_err();
    let error = refused("lpips-vgg", LpipsAlex);
    assert!(matches!(&error, LoadError::Shape { tensor, .. } if tensor == "features.0.weight"), "{error}");
    let error = refused("lpips-alex", Vgg19Relu52);
    assert!(matches!(&error, LoadError::Missing { tensor, .. } if tensor == "conv1_1.weight"), "{error}");
    // A full dump of LPIPS holds its heads twice.
    let error = changed("lpips-alex", LpipsAlex, |tensors| {
        let head = tensors.iter().find(|(name, _)| name == "lin0.model.1.weight").unwrap().1.copy();
        tensors.push(("lins.0.model.1.weight".to_owned(), head));
    });
    assert!(matches!(error, Err(LoadError::Surplus { tensors, .. }) if tensors == ["lins.0.model.1.weight"]));
}

#[test]
fn wrong_inputs_are_errors() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    for (case, architecture, _) in [CASES[0], CASES[2]] {
        let network = load(case, architecture, Kind::Float);
        let least = network.smallest_side();
        for shape in [&[1, 3, 1, 1][..], &[1, 3, 64, least - 1], &[1, 1, 64, 64], &[3, 64, 64], &[0, 3, 64, 64]] {
            let error = network.features(&zeros(shape)).unwrap_err();
            assert!(matches!(&error, NetworkError::Shape { found, .. } if found == shape), "{error}");
        }
        assert!(network.features(&zeros(&[1, 3, least, 64])).is_ok());
        let error = network.distance(&zeros(&[2, 3, 64, 64]), &zeros(&[1, 3, 64, 64])).unwrap_err();
        assert!(matches!(error, NetworkError::Shape { .. }), "one source for two images: {error}");
        let error = network.distance(&zeros(&[1, 3, 64, 64]), &zeros(&[1, 3, 48, 64])).unwrap_err();
        assert!(matches!(error, NetworkError::Shape { .. }), "{error}");
    }
}
