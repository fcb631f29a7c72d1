//! Generator and guiding CLIP in bfloat16: near to single precision, and only they.

use crate::demo;
use domain::edit::{ClipNce, Method, Numerics};
use domain::{Digest, Precision};
use editing::per_image::{Item, edit};
use editing::rng::RngKey;
use editing::{EditText, Engine, Unhindered};
use tch::{Device, Kind, Tensor};

/// How alike two tensors point.
fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    let product = |a: &Tensor, b: &Tensor| (a * b).sum(Kind::Double).double_value(&[]);
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

#[test]
fn an_edit_in_bfloat16_is_near_and_its_latents_and_gradients_are_single() {
    let wide = demo::engine();
    let narrow = Engine::open_in(&demo::config(), Device::Cpu, Precision::Bf16).unwrap();
    let pictures = demo::pictures(&wide, "faces/source", 0..1);
    let latents = wide.encode(&pictures).unwrap();
    // The encoder is in single precision in both.
    assert_eq!(latents, narrow.encode(&pictures).unwrap());

    let found = [&wide, &narrow].map(|engine| {
        let leaf = latents.copy().set_requires_grad(true);
        let images = engine.generator().synthesize(&leaf).unwrap();
        let features = engine.guide_features(&images).unwrap();
        let text = engine.text_features(&["a face with green hair".to_owned()]).unwrap();
        let gradient = Tensor::run_backward(&[(&features * &text).sum(Kind::Float)], &[&leaf], false, false).remove(0);
        let all = [images.detach(), features.detach(), text, gradient];
        assert!(all.iter().all(|tensor| tensor.kind() == Kind::Float), "{all:?}");
        all
    });
    for (name, wide, narrow) in ["image", "features", "text", "gradient"]
        .into_iter()
        .zip(&found[0])
        .zip(&found[1])
        .map(|((name, wide), narrow)| (name, wide, narrow))
    {
        let alike = cosine(wide, narrow);
        // bfloat16 keeps eight binary digits; a gradient goes through both networks and back.
        assert!(alike > 0.98 && alike < 1.0, "{name}: {alike}");
    }

    let method = Method::ClipNce(ClipNce { steps: 5, ..ClipNce::default() });
    let ends = [&wide, &narrow].map(|engine| {
        let text = EditText::encode(engine, "a face with green hair", "a face", &Numerics::default()).unwrap();
        let (latent, key) = (latents.get(0), RngKey::new("views", &Digest::of(b"0"), &Digest::of(b"green"), 0));
        let item = Item { id: 0, latent: &latent, key, begun: None };
        let end = edit(engine, engine, &text, &method, &[item], None, &mut Unhindered).unwrap().remove(0).unwrap();
        assert_eq!(end.latent.kind(), Kind::Float);
        &end.latent - &latent
    });
    let alike = cosine(&ends[0], &ends[1]);
    assert!(alike > 0.9, "the two edits go {alike} the same way");
}
