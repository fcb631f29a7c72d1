//! Views against torchvision, outputs and gradients (`perspective/make_golden.py`).

use crate::{difference, golden, take};
use domain::Digest;
use domain::edit::Outside;
use editing::perspective::{Perspective, View};
use editing::rng::RngKey;
use tch::{Device, Tensor};

/// Both sides sample in f32; positions differ in the last bits, and bilinear sampling turns those into differences of the
/// same size times the contrast of neighbouring pixels.
const TOLERANCE: f64 = 2e-5;

#[test]
fn views_and_their_gradients_are_torchvisions() {
    let mut golden = golden("perspective/golden.safetensors");
    for case in 0..5 {
        let mut read = |name: &str| take(&mut golden, &format!("{case}.{name}"));
        let image = read("image").set_requires_grad(true);
        let moved: Vec<f64> = Vec::try_from(read("moved").reshape([-1]).to_kind(tch::Kind::Double)).unwrap();
        let far = (image.size()[3] - 1) as f64;
        let moved = std::array::from_fn(|i| [moved[2 * i], moved[2 * i + 1]]);
        let view = View::between(moved, [[0.0, 0.0], [far, 0.0], [far, far], [0.0, far]]).unwrap();
        let coefficients = Tensor::from_slice(&view.0.map(|c| c as f32));
        assert!(difference(&coefficients, &read("coefficients")) < 1e-5, "case {case}");

        let ours =
            Perspective::new(image.size()[3], Device::Cpu).unwrap().apply(&image, &[view], Outside::Grey).unwrap();
        assert!(difference(&ours, &read("view")) < TOLERANCE, "case {case}: {}", difference(&ours, &read("view")));
        let gradient = Tensor::run_backward(&[(ours * read("weight")).sum(None)], &[&image], false, false);
        assert!(difference(&gradient[0], &read("gradient")) < TOLERANCE, "case {case}");
    }
    golden.finish().expect("every case was compared");
}

/// torchvision draws each corner from `int(d * (side // 2)) + 1` whole pixels, inwards.
#[test]
fn corners_are_drawn_from_torchvisions_range() {
    let mut rng = RngKey::new("test", &Digest::of(b""), &Digest::of(b""), 0).at(0);
    let (side, distortion, bound) = (64_u32, 0.3, 10);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..500 {
        let view = View::random(side, distortion, &mut rng);
        // Where the image's top left corner went: the point that the view maps to (0, 0).
        let [a, b, c, d, e, f, ..] = view.0;
        let determinant = a * e - b * d;
        let corner = [(b * f - c * e) / determinant, (c * d - a * f) / determinant];
        for position in corner {
            assert!((position - position.round()).abs() < 1e-6 && (-0.5..f64::from(bound) - 0.5).contains(&position));
            seen.insert(position.round() as u32);
        }
    }
    assert_eq!(seen.len(), bound as usize);
}

#[test]
fn a_distortion_of_nothing_shows_nearly_the_image_and_of_everything_still_a_view() {
    let mut rng = RngKey::new("test", &Digest::of(b""), &Digest::of(b""), 0).at(0);
    let identity = View::random(64, 0.0, &mut rng).0;
    let expected = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    assert!(identity.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{identity:?}");
    for _ in 0..200 {
        assert!(View::random(9, 1.0, &mut rng).0.iter().all(|c| c.is_finite()));
    }
}
