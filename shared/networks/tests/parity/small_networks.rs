//! The inversion encoder and the judge on tiny random networks.

use networks::{Encoder, EncoderArchitecture, Head, Judge};
use tch::{Device, Kind, Tensor};

use crate::golden::{Golden, check, gradient, leaf};

#[test]
fn encoder_matches() {
    let golden = Golden::read("encoder");
    let (encoder, _) = Encoder::load(golden.weights_as(Kind::Float), EncoderArchitecture::default()).unwrap();
    assert_eq!((encoder.image_size(), encoder.n_latent(), encoder.w_dim()), (16, 6, 16));
    let images = leaf(golden.get("images"));
    let w_plus = encoder.encode(&images).unwrap();
    check("encoder w_plus", &w_plus, golden.get("out/w_plus"));
    let gradient = gradient([(&w_plus, golden.get("probe/w_plus"))], &images);
    check("encoder gradient", &gradient, golden.get("gradient"));
    assert!(encoder.encode(&Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu))).is_err());
}

fn head(name: &str, classes: usize) -> Head {
    Head { name: name.to_owned(), classes: (0..classes).map(|i| format!("class {i}")).collect() }
}

#[test]
fn judge_matches() {
    let golden = Golden::read("judge");
    let heads = [head("glasses", 2), head("colour", 5)];
    let (judge, _) = Judge::load(golden.weights_as(Kind::Float), &heads).unwrap();
    let images = leaf(golden.get("images"));
    let logits = judge.logits(&images).unwrap();
    let names = ["glasses", "colour"];
    for (name, ours) in names.iter().zip(&logits) {
        check(&format!("judge {name}"), ours, golden.get(&format!("out/{name}")));
    }
    let probes = names.map(|name| golden.get(&format!("probe/{name}")));
    check("judge gradient", &gradient(logits.iter().zip(probes), &images), golden.get("gradient"));

    // The classes and probabilities are those of the reference's scores, image by image.
    for (prediction, name) in judge.predict(&images).unwrap().iter().zip(names) {
        let reference = golden.get(&format!("out/{name}"));
        let classes = Vec::<i64>::try_from(reference.argmax(-1, false)).unwrap();
        assert_eq!(prediction.classes, classes.iter().map(|&c| c as usize).collect::<Vec<_>>());
        let ours = Tensor::from_slice2(&prediction.probabilities);
        check(&format!("judge {name} probabilities"), &ours, &reference.softmax(-1, Kind::Float));
    }
    assert!(judge.predict(&Tensor::full([1, 3, 16, 16], f64::NAN, (Kind::Float, Device::Cpu))).is_err());
}

#[test]
fn judge_refuses_heads_that_are_not_the_files() {
    let golden = Golden::read("judge");
    let refused = |heads: &[Head]| Judge::load(golden.weights_as(Kind::Float), heads).expect_err("refused").to_string();
    let glasses = head("glasses", 2);
    assert!(refused(std::slice::from_ref(&glasses)).contains("heads.colour.weight"), "an unused head is surplus");
    assert!(refused(&[glasses.clone(), head("colour", 4)]).contains("heads.colour.weight"), "wrong class count");
    assert!(refused(&[glasses.clone(), head("beard", 2)]).contains("heads.beard.weight"), "no such head");
    assert!(refused(&[glasses.clone(), glasses]).contains("heads.glasses.weight"), "the same head twice");
}
