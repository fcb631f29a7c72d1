//! The demo pack's judge and encoder, trained elsewhere on the same distribution, on faces of this renderer.

use std::path::Path;

use networks::judge::Head;
use networks::stylegan2::Generator;
use networks::{Encoder, Judge, Weights};
use packs::{Pack, Role};
use tch::{Device, Kind, Tensor};
use training::dataset::Pictures;
use training::faces::Distribution;
use training::measure::psnr;

#[test]
fn the_shipped_networks_read_natural_faces_of_this_renderer() {
    tch::set_num_threads(1);
    let _frozen = tch::no_grad_guard();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = root.join(training::faces::DEFAULT_LIBRARY);
    let faces = Pictures::draw(&library, Distribution::Natural, 2024, 600, 64, 2).expect("make facesjs");
    let pack = Pack::open(root.join("deploy/demo/pack")).unwrap();
    let weights =
        |role| Weights::open(pack.path_of(role).unwrap(), Device::Cpu, Kind::Float).expect("weights of the demo pack");
    let heads: Vec<Head> = pack
        .manifest()
        .judge
        .as_ref()
        .unwrap()
        .heads
        .iter()
        .map(|head| Head { name: head.name.clone(), classes: head.classes.clone() })
        .collect();
    let (judge, _) = Judge::load(weights(Role::Judge), &heads).unwrap();
    let (encoder, _) = Encoder::load(weights(Role::Encoder), networks::EncoderArchitecture::default()).unwrap();
    let (generator, _) = Generator::load(weights(Role::Generator)).unwrap();

    let x = faces.range(0, faces.len(), Device::Cpu).unwrap();
    let logits = judge.logits(&x).unwrap();
    for (index, (head, scores)) in heads.iter().zip(&logits).enumerate() {
        let right = scores.argmax(-1, false).eq_tensor(&faces.labels.select(1, index as i64));
        let share = right.to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        // Its makers measured 0.978 (mouth) to 1.000 on 1000 faces.
        assert!(share >= 0.97, "{} is read rightly of {share:.3} of the faces", head.name);
    }
    let first: Tensor = x.narrow(0, 0, 100);
    let rebuilt = generator.synthesize(&encoder.encode(&first).unwrap()).unwrap();
    let quality = psnr(&rebuilt, &first).unwrap();
    // 25.5 dB on its makers' held-out faces.
    assert!((24.9..26.2).contains(&quality), "reconstruction at {quality:.2} dB");
}
