//! The real weights of the demo pack, seed 1 and seed 2, alone and chained: what the whole system stands on.

use networks::stylegan2::Generator;
use networks::{Encoder, Head, Judge, Weights};
use tch::{Device, Kind, Tensor};

use crate::golden::{Golden, check, demo_pack, gradient, leaf};

fn open(name: &str) -> Weights {
    open_as(name, Kind::Float)
}

fn open_as(name: &str, kind: Kind) -> Weights {
    Weights::open(demo_pack().join(name), Device::Cpu, kind).unwrap()
}

fn generator() -> Generator {
    Generator::load(open("generator.safetensors")).unwrap().0
}

#[test]
fn generator_matches() {
    let golden = Golden::read("demo_pack");
    let (generator, report) = Generator::load(open("generator.safetensors")).unwrap();
    assert_eq!((generator.resolution(), generator.n_latent(), generator.w_dim()), (64, 10, 128));
    assert_eq!(generator.architecture().channels, [(4, 128), (8, 128), (16, 96), (32, 48), (64, 24)]);
    assert_eq!((report.tensors, report.parameters, report.loaded_as.as_str()), (75, 944_896, "Float"));

    check("demo generator w", &generator.map(golden.get("z")).unwrap(), golden.get("w"));
    let truncated = generator.truncate(golden.get("w"), 0.7).unwrap();
    check("demo generator truncated w", &truncated, golden.get("truncated"));
    let w_plus = leaf(golden.get("w_plus"));
    let images = generator.synthesize(&w_plus).unwrap();
    check("demo generator images", &images, golden.get("images"));
    let gradient = gradient([(&images, golden.get("images"))], &w_plus);
    check("demo generator gradient", &gradient, golden.get("gradient"));
}

/// On a CPU a picture is the same whoever it shared a batch with, and alone: to the bit on the processors for which libtorch's libraries
/// sum in one order whatever the size of a batch, and by rounding alone on others (seen: AMD EPYC with AVX-512).
#[test]
fn an_image_does_not_depend_on_its_batch_mates() {
    const ROUNDING: f64 = 5e-6;
    let off = |one: &Tensor, other: &Tensor| {
        (one - other).abs().max().double_value(&[]) / other.abs().max().double_value(&[])
    };
    let generator = generator();
    let w_plus = Tensor::randn([5, 10, 128], (Kind::Float, Device::Cpu));
    let images = tch::no_grad(|| generator.synthesize(&w_plus)).unwrap();
    for (first, count) in [(0, 1), (4, 1), (1, 2), (2, 3)] {
        let some = tch::no_grad(|| generator.synthesize(&w_plus.narrow(0, first, count))).unwrap();
        let off = off(&some, &images.narrow(0, first, count));
        assert!(off <= ROUNDING, "{count} from {first}: {off:e} of the largest");
    }
    // Nor on whether a gradient is wanted, which computes on in fresh memory.
    let wanted = generator.synthesize(&leaf(&w_plus)).unwrap();
    let off = off(&wanted.detach(), &images);
    assert!(off <= ROUNDING, "{off:e} of the largest");
}

#[test]
fn encoder_of_generated_images_matches() {
    let golden = Golden::read("demo_pack");
    let encoder =
        Encoder::load(open("inversion_encoder.safetensors"), networks::EncoderArchitecture::default()).unwrap().0;
    assert_eq!((encoder.image_size(), encoder.n_latent(), encoder.w_dim()), (64, 10, 128));
    let w_plus = leaf(golden.get("w_plus"));
    let inverted = encoder.encode(&generator().synthesize(&w_plus).unwrap()).unwrap();
    check("demo encoder w_plus", &inverted, golden.get("encoder/out"));
    let gradient = gradient([(&inverted, golden.get("encoder/probe"))], &w_plus);
    check("demo encoder gradient through the generator", &gradient, golden.get("encoder/gradient"));
}

#[test]
fn judge_of_generated_images_matches() {
    let golden = Golden::read("demo_pack");
    let (heads, reference): (Vec<Head>, Vec<&Tensor>) = golden
        .below("judge/out/")
        .map(|(name, logits)| {
            let classes = (0..logits.size()[1]).map(|i| format!("class {i}")).collect();
            (Head { name: name.to_owned(), classes }, logits)
        })
        .unzip();
    assert_eq!(heads.len(), 10);
    let judge = Judge::load(open("judge.safetensors"), &heads).unwrap().0;
    let logits = judge.logits(&generator().synthesize(golden.get("w_plus")).unwrap()).unwrap();
    for ((head, ours), reference) in heads.iter().zip(&logits).zip(reference) {
        check(&format!("demo judge {}", head.name), ours, reference);
    }
    // In double precision: one unit of the judge is so near the kink of its ReLU that in single precision it is the rounding of the
    // processor's own order of sums that tells whether it passes its gradient on (3.5e-3 of the whole on some, 1e-6 on others).
    let judge = Judge::load(open_as("judge.safetensors", Kind::Double), &heads).unwrap().0;
    let generator = Generator::load(open_as("generator.safetensors", Kind::Double)).unwrap().0;
    let w_plus = leaf(&golden.get("w_plus").to_kind(Kind::Double));
    let logits = judge.logits(&generator.synthesize(&w_plus).unwrap()).unwrap();
    let probes = golden.below("judge/probe/").map(|(_, probe)| probe);
    let gradient = gradient(logits.iter().zip(probes), &w_plus);
    check("demo judge gradient through the generator", &gradient, golden.get("judge/gradient"));
}
