//! Features and gradients against open_clip (formula weights) and against the demo pack's own code (trained weights).

use networks::{Activation, Clip, ClipConfig, Tokenizer, VisionShape, Weights};
use tch::{Device, Kind, Tensor};

use crate::formula::{fill, weights};
use crate::{DOUBLE, SINGLE, check, golden, pack, relative_error};

const CASES: [(&str, Activation); 2] = [("quick-gelu", Activation::QuickGelu), ("gelu", Activation::Gelu)];

fn load(case: &str, activation: Activation, kind: Kind) -> Clip {
    Clip::load(weights(case, kind), &ClipConfig::new(activation)).unwrap().0
}

/// Features of `pixels` and the gradient of their product with the goldens' probe.
pub fn with_gradient(clip: &Clip, pixels: &Tensor) -> (Tensor, Tensor) {
    let pixels = pixels.detach().set_requires_grad(true);
    let features = clip.encode_image(&pixels).unwrap();
    let probe = fill("probe", &features.size(), 1.0).to_kind(features.kind());
    (&features * probe).sum(features.kind()).backward();
    (features.detach(), pixels.grad())
}

#[test]
fn sizes_come_from_the_shapes() {
    let config = ClipConfig::new(Activation::QuickGelu);
    let (clip, report) = Clip::load(weights("quick-gelu", Kind::Float), &config).unwrap();
    let shape = clip.shape();
    assert_eq!(shape.image_size, 32);
    assert_eq!(shape.vision, VisionShape::Vit { patch: 8, width: 128, layers: 2, heads: 2 });
    assert_eq!((shape.text_width, shape.text_layers, shape.text_heads), (64, 3, 1));
    assert_eq!((shape.context, shape.vocab, shape.embed), (16, 60, 48));
    assert_eq!((&report.shape, report.dropped.len()), (shape, 0));
    let stored = fill("logit_scale", &[], 4.0).double_value(&[]);
    assert!((clip.logit_scale() - stored).abs() < 1e-6);
}

#[test]
fn image_features_and_gradients_match_open_clip() {
    for (case, activation) in CASES {
        for (kind, tolerance) in [(Kind::Double, DOUBLE), (Kind::Float, SINGLE)] {
            let clip = load(case, activation, kind);
            let size = clip.shape().image_size;
            let (features, gradient) = with_gradient(&clip, &fill("pixels", &[3, 3, size, size], 2.0).to_kind(kind));
            check(&format!("{case} {kind:?} image"), &features, &golden(&format!("{case}.image")), tolerance);
            check(&format!("{case} {kind:?} gradient"), &gradient, &golden(&format!("{case}.pixels.grad")), tolerance);
        }
    }
}

#[test]
fn text_features_match_open_clip() {
    for (case, activation) in CASES {
        for (kind, tolerance) in [(Kind::Double, DOUBLE), (Kind::Float, SINGLE)] {
            let features = load(case, activation, kind).encode_text(&golden(&format!("{case}.tokens"))).unwrap();
            check(&format!("{case} {kind:?} text"), &features, &golden(&format!("{case}.text")), tolerance);
        }
    }
}

/// Otherwise the comparisons above could not see a wrong activation.
#[test]
fn the_activations_differ() {
    let pixels = fill("pixels", &[3, 3, 32, 32], 2.0);
    let wrong = load("quick-gelu", Activation::Gelu, Kind::Double).encode_image(&pixels).unwrap();
    let difference = relative_error(&wrong, &golden("quick-gelu.image"));
    assert!(difference > 100.0 * SINGLE, "{difference}");
}

/// F16 files computed in single precision, as a worker runs them.
#[test]
fn the_demo_pack_matches_its_own_code() {
    let tokenizer = Tokenizer::from_merges(&std::fs::read_to_string(pack("bpe_merges.txt")).unwrap(), 32).unwrap();
    let texts: Vec<String> = crate::tokenizer::pack_texts().into_iter().map(|(text, _)| text).collect();
    let tokens = tokenizer.encode_batch(&texts).unwrap();
    for (kind, tolerance) in [(Kind::Double, DOUBLE), (Kind::Float, SINGLE)] {
        let weights = Weights::open(pack("clip.safetensors"), Device::Cpu, kind).unwrap();
        let (clip, _) = Clip::load(weights, &ClipConfig::new(Activation::QuickGelu)).unwrap();
        assert_eq!(clip.shape().vocab as usize, tokenizer.vocab_size());
        let (features, gradient) = with_gradient(&clip, &fill("face", &[1, 3, 64, 64], 1.0).to_kind(kind));
        check(&format!("pack {kind:?} image"), &features, &golden("pack.image"), tolerance);
        check(&format!("pack {kind:?} gradient"), &gradient, &golden("pack.pixels.grad"), tolerance);
        let features = clip.encode_text(&tokens).unwrap();
        check(&format!("pack {kind:?} text"), &features, &golden("pack.text"), tolerance);
    }
}

/// Matrix products may add in another order for another batch size, hence the rounding of one such difference.
#[test]
fn an_item_does_not_depend_on_its_batch() {
    let clip = load("quick-gelu", Activation::QuickGelu, Kind::Float);
    let pixels = fill("pixels", &[3, 3, 32, 32], 2.0).to_kind(Kind::Float);
    let (together, gradients) = with_gradient(&clip, &pixels);
    let probe = fill("probe", &together.size(), 1.0).to_kind(Kind::Float);
    for i in 0..3 {
        let alone = pixels.narrow(0, i, 1).set_requires_grad(true);
        let feature = clip.encode_image(&alone).unwrap();
        (&feature * probe.narrow(0, i, 1)).sum(Kind::Float).backward();
        check("alone", &feature.detach(), &together.narrow(0, i, 1), 2e-6);
        check("alone, gradient", &alone.grad(), &gradients.narrow(0, i, 1), 2e-6);
    }
    let tokens = golden("quick-gelu.tokens");
    let together = clip.encode_text(&tokens).unwrap();
    for i in 0..tokens.size()[0] {
        let alone = clip.encode_text(&tokens.narrow(0, i, 1)).unwrap();
        check("text alone", &alone, &together.narrow(0, i, 1), 2e-6);
    }
}

#[test]
fn what_follows_the_end_token_is_irrelevant() {
    let clip = load("gelu", Activation::Gelu, Kind::Float);
    let tokens = golden("gelu.tokens").narrow(0, 0, 1); // its end token is at position 3
    let padded = tokens.copy();
    let _ = padded.narrow(1, 4, 8).fill_(7);
    let (zeros, sevens) = (clip.encode_text(&tokens).unwrap(), clip.encode_text(&padded).unwrap());
    assert_eq!(relative_error(&sevens, &zeros), 0.0);
    let _ = padded.narrow(1, 2, 1).fill_(7);
    assert!(relative_error(&clip.encode_text(&padded).unwrap(), &zeros) > 1e-3);
}

#[test]
fn no_gradient_reaches_the_weights() {
    let clip = load("gelu", Activation::Gelu, Kind::Float);
    assert!(!clip.encode_text(&golden("gelu.tokens")).unwrap().requires_grad());
    assert!(!clip.encode_image(&fill("pixels", &[1, 3, 36, 36], 2.0)).unwrap().requires_grad());
}

/// Half weights compute attention and norms in single precision; their own rounding (eps 5e-4 a product) remains.
#[test]
fn bfloat16_stays_close() {
    let clip = load("quick-gelu", Activation::QuickGelu, Kind::Float);
    let tensors = crate::formula::tensors("quick-gelu").into_iter().map(|(n, t)| (n, t.to_kind(Kind::Float)));
    let weights = Weights::from_tensors("bf16", tensors, Device::Cpu, Kind::BFloat16).unwrap();
    let (half, _) = Clip::load(weights, &ClipConfig::new(Activation::QuickGelu)).unwrap();
    let pixels = fill("pixels", &[2, 3, 32, 32], 2.0).to_kind(Kind::Float);
    let (reference, reference_gradient) = with_gradient(&clip, &pixels);
    let (features, gradient) = with_gradient(&half, &pixels);
    assert_eq!((features.kind(), gradient.kind()), (Kind::BFloat16, Kind::Float));
    check("bf16 image", &features, &reference, 0.05);
    check("bf16 gradient", &gradient, &reference_gradient, 0.1);
}
