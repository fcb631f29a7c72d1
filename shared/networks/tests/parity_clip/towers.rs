//! The image towers and head widths that OpenAI's usual vision transformer does not show, against open_clip.

use networks::{Activation, Clip, ClipConfig, LoadError, VisionShape, Weights};
use tch::{Device, Kind, Tensor};

use crate::formula::{fill, tensors, weights};
use crate::network::with_gradient;
use crate::{DOUBLE, SINGLE, check, golden, relative_error};

const RESNET: ClipConfig = ClipConfig::new(Activation::QuickGelu);
const OPEN_CLIP: ClipConfig = ClipConfig { activation: Activation::Gelu, vision_heads: Some(2), text_heads: Some(3) };

fn load(case: &str, config: &ClipConfig, kind: Kind) -> Clip {
    Clip::load(weights(case, kind), config).unwrap().0
}

/// Loads the formula's network after a change to its tensors.
fn changed(
    case: &str,
    config: &ClipConfig,
    change: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> Result<Clip, LoadError> {
    let mut tensors = tensors(case);
    change(&mut tensors);
    let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Float)));
    Ok(Clip::load(Weights::from_tensors("changed", tensors, Device::Cpu, Kind::Float)?, config)?.0)
}

#[test]
fn sizes_come_from_the_shapes() {
    let clip = load("resnet", &RESNET, Kind::Float);
    let shape = clip.shape();
    assert_eq!((shape.image_size, shape.embed), (64, 32));
    assert_eq!(shape.vision, VisionShape::ResNet { width: 8, layers: [2, 3, 1, 2], heads: 4 });
    let clip = load("open-clip", &OPEN_CLIP, Kind::Float);
    let shape = clip.shape();
    assert_eq!((shape.image_size, shape.text_width, shape.text_heads), (30, 72, 3));
    assert_eq!(shape.vision, VisionShape::Vit { patch: 10, width: 80, layers: 2, heads: 2 });
}

#[test]
fn features_and_gradients_match_open_clip() {
    for (case, config, images) in [("resnet", RESNET, 1), ("open-clip", OPEN_CLIP, 2)] {
        for (kind, tolerance) in [(Kind::Double, DOUBLE), (Kind::Float, SINGLE)] {
            let clip = load(case, &config, kind);
            let size = clip.shape().image_size;
            let pixels = fill("pixels", &[images, 3, size, size], 2.0).to_kind(kind);
            let (features, gradient) = with_gradient(&clip, &pixels);
            check(&format!("{case} {kind:?} image"), &features, &golden(&format!("{case}.image")), tolerance);
            check(&format!("{case} {kind:?} gradient"), &gradient, &golden(&format!("{case}.pixels.grad")), tolerance);
            let features = clip.encode_text(&golden(&format!("{case}.tokens"))).unwrap();
            check(&format!("{case} {kind:?} text"), &features, &golden(&format!("{case}.text")), tolerance);
        }
    }
}

/// Otherwise the comparison above could not see a wrong number.
#[test]
fn the_number_of_heads_matters() {
    let pixels = fill("pixels", &[2, 3, 30, 30], 2.0);
    let wrong = ClipConfig { vision_heads: Some(4), text_heads: Some(6), ..OPEN_CLIP };
    let clip = load("open-clip", &wrong, Kind::Double);
    let image = relative_error(&clip.encode_image(&pixels).unwrap(), &golden("open-clip.image"));
    let text = relative_error(&clip.encode_text(&golden("open-clip.tokens")).unwrap(), &golden("open-clip.text"));
    let pool = load("resnet", &ClipConfig { vision_heads: Some(8), ..RESNET }, Kind::Double);
    let pool = pool.encode_image(&fill("pixels", &[1, 3, 64, 64], 2.0)).unwrap();
    let pool = relative_error(&pool, &golden("resnet.image"));
    assert!(image.min(text).min(pool) > 100.0 * SINGLE, "{image} {text} {pool}");
}

#[test]
fn heads_that_cannot_be_known_or_do_not_divide_are_refused() {
    for config in [ClipConfig { vision_heads: None, ..OPEN_CLIP }, ClipConfig { text_heads: None, ..OPEN_CLIP }] {
        let error = Clip::load(weights("open-clip", Kind::Float), &config).unwrap_err();
        assert!(matches!(error, LoadError::Shape { .. }), "{error}");
    }
    for heads in [0, -2, 7] {
        for config in
            [ClipConfig { vision_heads: Some(heads), ..OPEN_CLIP }, ClipConfig { text_heads: Some(heads), ..OPEN_CLIP }]
        {
            let error = Clip::load(weights("open-clip", Kind::Float), &config).unwrap_err();
            assert!(matches!(error, LoadError::Setting { .. }), "{error}");
        }
    }
    // 1280 is a multiple of 64, but the model of that width has 16 heads of 80.
    let wide = changed("quick-gelu", &RESNET, |tensors| {
        tensors.iter_mut().find(|(name, _)| name == "visual.class_embedding").unwrap().1 = fill("x", &[1280], 1.0);
    });
    let error = wide.unwrap_err();
    assert!(matches!(error, LoadError::Setting { setting: "vision_heads", .. }), "{error}");
}

#[test]
fn the_scale_may_be_a_list_of_one() {
    let scale = |shape: &[i64]| {
        let clip = changed("open-clip", &OPEN_CLIP, |tensors| {
            tensors.iter_mut().find(|(name, _)| name == "logit_scale").unwrap().1 = fill("logit_scale", shape, 4.0);
        });
        clip.map(|clip| clip.logit_scale())
    };
    assert_eq!(scale(&[1]).unwrap(), scale(&[]).unwrap());
    assert!(matches!(scale(&[2]).unwrap_err(), LoadError::Shape { tensor, .. } if tensor == "logit_scale"));
}

#[test]
fn every_tensor_of_a_resnet_is_needed() {
    for (name, _) in tensors("resnet") {
        let error = changed("resnet", &RESNET, |tensors| tensors.retain(|(found, _)| *found != name)).unwrap_err();
        // Without the tensor that tells tower or depth, another name is missing or the rest is surplus.
        let counts = [".0.conv1.weight", ".1.conv1.weight", ".2.conv1.weight", ".ln_1.weight"];
        match &error {
            LoadError::Missing { tensor, .. } => {
                assert!(*tensor == name || name == "visual.layer1.0.conv1.weight", "without {name}: {error}");
            }
            LoadError::Surplus { .. } => {
                assert!(counts.iter().any(|end| name.ends_with(end)), "without {name}: {error}");
            }
            _ => panic!("without {name}: {error}"),
        }
    }
}

#[test]
fn misshapen_tensors_of_a_resnet_are_named() {
    let cases: [(&str, &[i64]); 6] = [
        ("visual.attnpool.positional_embedding", &[4, 256]),
        ("visual.attnpool.k_proj.weight", &[256, 128]),
        ("visual.conv1.weight", &[3, 3, 3, 3]),
        ("visual.layer2.0.downsample.1.running_var", &[32]),
        ("visual.layer1.0.conv1.weight", &[7, 8, 1, 1]),
        ("visual.layer3.0.conv2.weight", &[32, 32, 1, 1]),
    ];
    for (name, shape) in cases {
        let result = changed("resnet", &RESNET, |tensors| {
            tensors.iter_mut().find(|(found, _)| found == name).unwrap().1 = fill(name, shape, 0.5) + 1.0;
        });
        let error = result.unwrap_err();
        assert!(matches!(&error, LoadError::Shape { tensor, .. } if tensor == name), "{error}");
    }
    let negative = changed("resnet", &RESNET, |tensors| {
        let bad = tensors.iter_mut().find(|(found, _)| found == "visual.bn2.running_var").unwrap();
        bad.1 = fill("x", &[4], 0.1) - 1.0;
    });
    assert!(matches!(negative.unwrap_err(), LoadError::Value { tensor, .. } if tensor == "visual.bn2.running_var"));
}

/// Convolutions may add in another order for another batch size, hence the rounding of one such difference.
#[test]
fn an_image_does_not_depend_on_its_batch() {
    let clip = load("resnet", &RESNET, Kind::Float);
    let pixels = fill("faces", &[3, 3, 64, 64], 2.0).to_kind(Kind::Float);
    let (together, _) = with_gradient(&clip, &pixels);
    for i in 0..3 {
        check("alone", &clip.encode_image(&pixels.narrow(0, i, 1)).unwrap(), &together.narrow(0, i, 1), 2e-6);
    }
}

/// Half weights pool and attend in single precision; their own rounding (eps 4e-3 a product) remains.
#[test]
fn a_resnet_in_bfloat16_stays_close() {
    let tensors = tensors("resnet").into_iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Float)));
    let weights = Weights::from_tensors("bf16", tensors, Device::Cpu, Kind::BFloat16).unwrap();
    let (half, _) = Clip::load(weights, &RESNET).unwrap();
    let (features, gradient) = with_gradient(&half, &fill("pixels", &[1, 3, 64, 64], 2.0).to_kind(Kind::Float));
    assert_eq!((features.kind(), gradient.kind()), (Kind::BFloat16, Kind::Float));
    check("bf16 image", &features, &golden("resnet.image"), 0.05);
}
