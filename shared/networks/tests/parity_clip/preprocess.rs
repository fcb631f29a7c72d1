//! The ways from the generator's pixels to CLIP's input.

use networks::{NetworkError, Normalise, Preprocess, Preprocessor, Resize};
use tch::{Kind, Tensor};

use crate::formula::fill;
use crate::{DOUBLE, SINGLE, check, golden, relative_error};

fn preprocess(resize: Resize, normalise: Normalise, size: i64, pixels: &Tensor) -> Result<Tensor, NetworkError> {
    Preprocessor::new(Preprocess { resize, normalise }, size).forward(pixels)
}

/// 45 × 71 px to 16 × 16: shorter side, centre crop with an odd rest, mean and standard deviation.
/// In single precision the kernel computes its sampling positions, up to 71, with an absolute error of some 1e-6.
#[test]
fn bicubic_matches_torchvision() {
    for (name, resize) in [("bicubic-antialias", Resize::BicubicAntialias), ("bicubic", Resize::Bicubic)] {
        for (kind, tolerance) in [(Kind::Double, DOUBLE), (Kind::Float, 3.0 * SINGLE)] {
            let pixels = fill("photo", &[2, 3, 45, 71], 1.0).to_kind(kind);
            let ours = preprocess(resize, Normalise::ClipMeanStd, 16, &pixels).unwrap();
            check(&format!("{name} {kind:?}"), &ours, &golden(&format!("preprocess.{name}")), tolerance);
        }
    }
    let difference = relative_error(&golden("preprocess.bicubic"), &golden("preprocess.bicubic-antialias"));
    assert!(difference > 0.1, "the two modes are not told apart: {difference}");
}

/// Nearest ×7 and average pooling, at a golden size and at one that shrinks; gradients too.
#[test]
fn area_equals_styleclips_enlarge_and_pool() {
    let square = fill("square", &[1, 3, 64, 64], 1.0);
    let ours = preprocess(Resize::AreaBanded, Normalise::SignedUnit, 28, &square).unwrap();
    check("area 64 -> 28", &ours, &golden("preprocess.styleclip"), DOUBLE);

    let pixels = fill("large", &[2, 3, 256, 256], 1.0).set_requires_grad(true);
    let probe = fill("probe", &[2, 3, 224, 224], 1.0);
    let enlarged = pixels.upsample_nearest2d([1792, 1792], None, None);
    let pooled = enlarged.avg_pool2d([8, 8], [8, 8], [0, 0], false, true, None);
    let reference = (Tensor::run_backward(&[(&pooled * &probe).sum(Kind::Double)], &[&pixels], false, false), pooled);
    let ours = preprocess(Resize::AreaBanded, Normalise::SignedUnit, 224, &pixels).unwrap();
    check("area 256 -> 224", &ours.detach(), &reference.1.detach(), DOUBLE);
    let gradient = Tensor::run_backward(&[(&ours * &probe).sum(Kind::Double)], &[&pixels], false, false);
    check("area 256 -> 224, gradient", &gradient[0], &reference.0[0], DOUBLE);
}

#[test]
fn signed_unit_of_the_right_size_is_untouched() {
    let pixels = fill("face", &[2, 3, 64, 64], 1.0);
    for resize in [Resize::None, Resize::AreaBanded, Resize::Bicubic, Resize::BicubicAntialias] {
        assert_eq!(preprocess(resize, Normalise::SignedUnit, 64, &pixels).unwrap(), pixels);
    }
}

/// A constant image stays constant, so every row of weights sums to one, and its crop covers the whole output.
#[test]
fn non_square_images_are_cropped_around_the_centre() {
    for resize in [Resize::AreaBanded, Resize::Bicubic, Resize::BicubicAntialias] {
        for [h, w] in [[30, 77], [77, 30], [5, 9]] {
            let image = Tensor::full([1, 3, h, w], 0.25, (Kind::Float, tch::Device::Cpu));
            let ours = preprocess(resize, Normalise::SignedUnit, 16, &image).unwrap();
            assert_eq!(ours.size(), [1, 3, 16, 16]);
            assert!((ours - 0.25).abs().max().double_value(&[]) < 1e-6);
        }
    }
    // Columns hold their own index; the centre crop's mean is the image's centre, which would move by one px otherwise.
    let columns = Tensor::arange(32, (Kind::Double, tch::Device::Cpu)).expand([1, 3, 8, 32], false);
    let ours = preprocess(Resize::AreaBanded, Normalise::SignedUnit, 4, &columns).unwrap();
    assert!((ours.mean(Kind::Double).double_value(&[]) - 15.5).abs() < 1e-9);
}

/// One preprocessor meets images of several sizes and kinds; the kept matrices must not be mixed up.
#[test]
fn kept_constants_belong_to_a_size_and_kind() {
    let shared = Preprocessor::new(Preprocess { resize: Resize::AreaBanded, normalise: Normalise::ClipMeanStd }, 16);
    for _ in 0..2 {
        for (side, kind) in [(40, Kind::Float), (40, Kind::Double), (24, Kind::Float), (40, Kind::Float)] {
            let pixels = fill("photo", &[1, 3, side, side], 1.0).to_kind(kind);
            let fresh = preprocess(Resize::AreaBanded, Normalise::ClipMeanStd, 16, &pixels).unwrap();
            let kept = shared.forward(&pixels).unwrap();
            assert_eq!(kept.kind(), kind);
            assert_eq!(kept, fresh);
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let image = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu));
    let message =
        |resize, shape: &[i64]| preprocess(resize, Normalise::ClipMeanStd, 8, &image(shape)).unwrap_err().to_string();
    assert!(message(Resize::None, &[1, 3, 9, 8]).contains("resize is `none`"));
    assert!(message(Resize::Bicubic, &[1, 4, 9, 8]).contains("[1, 4, 9, 8]"));
    assert!(message(Resize::AreaBanded, &[1, 3, 0, 8]).contains("[1, 3, 0, 8]"));
    assert!(message(Resize::AreaBanded, &[3, 8, 8]).contains("[3, 8, 8]"));
}

#[test]
fn configuration_names() {
    let read = |json: &str| serde_json::from_str::<Preprocess>(json);
    let expected = Preprocess { resize: Resize::BicubicAntialias, normalise: Normalise::ClipMeanStd };
    assert_eq!(read(r#"{"resize": "bicubic-antialias", "normalise": "clip-mean-std"}"#).unwrap(), expected);
    let expected = Preprocess { resize: Resize::AreaBanded, normalise: Normalise::SignedUnit };
    assert_eq!(read(r#"{"resize": "area-banded", "normalise": "signed-unit"}"#).unwrap(), expected);
    assert!(read(r#"{"resize": "none"}"#).is_err());
    assert!(read(r#"{"resize": "none", "normalise": "signed-unit", "crop": true}"#).is_err());
}
