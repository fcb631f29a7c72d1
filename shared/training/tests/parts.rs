//! Every part of a training on tiny sizes: gradients, the R1 term against PyTorch, resuming, falling losses, the frozen twins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use networks::judge::Head;
use networks::{Encoder, Judge, Tokenizer, Weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};
use training::TrainingError;
use training::adam::{AdamSettings, gradients};
use training::adversarial::{AdversarialSettings, AdversarialTraining};
use training::captions::Grammar;
use training::clip::{ClipSettings, ClipTraining};
use training::dataset::Pictures;
use training::discriminator::{Discriminator, r1};
use training::encoder::{EncoderNetwork, EncoderSettings};
use training::faces::{Distribution, heads};
use training::generator::GeneratorSettings;
use training::judge::{JudgeSettings, JudgeTraining};
use training::mapping::{MappingSettings, MappingTraining};
use training::reconstruction::{ReconstructionSettings, ReconstructionTraining};
use training::session::{Ended, Part, Plan, run};

const SIDE: i64 = 16;

/// libtorch's generator belongs to the process: two trainings at once would take each other's random numbers.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    tch::set_num_threads(1);
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(training::faces::DEFAULT_LIBRARY)
}

fn pictures(distribution: Distribution, count: usize) -> Pictures {
    Pictures::draw(&library(), distribution, 11, count, SIDE as u32, 2)
        .expect("the face library is there (make facesjs)")
}

fn plan(folder: &Path, steps: u64) -> Plan<'_> {
    Plan {
        folder,
        steps,
        seed: 3,
        settings: "test".to_owned(),
        checkpoint_every: 1000,
        curve_every: 1,
        resume: true,
        until: None,
    }
}

/// One column of a part's curve.
fn curve(folder: &Path, part: &str, column: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(folder.join(format!("{part}.curve.csv"))).expect("a curve");
    let mut lines = text.lines();
    let names = lines.next().expect("a header");
    let index = names.split(',').position(|name| name == column).expect("a column of that name");
    lines.filter_map(|line| line.split(',').nth(index)?.parse().ok()).collect()
}

/// Mean of the last tenth below this share of the mean of the first.
fn assert_falls(curve: &[f64], share: f64, what: &str) {
    let n = (curve.len() / 10).max(1);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&curve[..n]), mean(&curve[curve.len() - n..]));
    assert!(last < share * first, "{what}: from {first} to {last}");
}

fn generator_settings() -> GeneratorSettings {
    GeneratorSettings { w_dim: 16, mapping_layers: 2, channels: vec![12, 10, 8] }
}

fn adversarial_settings() -> AdversarialSettings {
    AdversarialSettings {
        batch: 8,
        channels: vec![12, 10, 8],
        r1_every: 2,
        path_length: 2.0,
        path_every: 2,
        ..Default::default()
    }
}

fn encoder() -> EncoderNetwork {
    tch::manual_seed(5);
    let settings = EncoderSettings { channels: vec![8, 12], hidden: 32 };
    EncoderNetwork::new(&settings, SIDE, 6, 16, Device::Cpu).expect("an encoder")
}

fn reconstruction_settings() -> ReconstructionSettings {
    ReconstructionSettings { steps: 60, batch: 8, bf16: false, ..Default::default() }
}

#[test]
fn gradients_reach_every_parameter_of_generator_and_discriminator() {
    let _alone = alone();
    let pictures = pictures(Distribution::Natural, 16);
    tch::manual_seed(1);
    let generator = generator_settings().initial(Device::Cpu).unwrap();
    let mut part = AdversarialTraining::new(&adversarial_settings(), generator, &pictures, 1).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let check = |loss: &Tensor, parameters: &BTreeMap<String, Tensor>| {
        let inputs: Vec<Tensor> = parameters.values().map(Tensor::shallow_clone).collect();
        for (name, gradient) in parameters.keys().zip(gradients(loss, &inputs).unwrap()) {
            assert!(gradient.defined(), "{name} has no gradient");
            let size = gradient.abs().max().double_value(&[]);
            assert!(size > 0.0 && size.is_finite(), "{name} has a gradient of size {size}");
        }
    };
    // Step 0 has the path-length term too.
    let loss = part.generator_loss(0, &mut rng).unwrap();
    check(&loss, part.generator().trained());
    let real = pictures.range(0, 8, Device::Cpu).unwrap();
    let discriminator = part.discriminator();
    let loss = discriminator.forward(&real).unwrap().softplus().mean(Kind::Float) + r1(discriminator, &real).unwrap();
    check(&loss, discriminator.parameters.trained());
}

#[test]
fn r1_and_its_gradients_agree_with_pytorch() {
    let _alone = alone();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/r1_golden.safetensors");
    let golden: BTreeMap<String, Tensor> = Tensor::read_safetensors(golden).unwrap().into_iter().collect();
    let discriminator = Discriminator::new(&[6, 5, 4], Device::Cpu).unwrap();
    for (name, tensor) in discriminator.parameters.trained() {
        tch::no_grad(|| tensor.shallow_clone().copy_(&golden[&format!("weights/{name}")]));
    }
    let close = |found: &Tensor, expected: &Tensor, what: &str| {
        let scale = expected.abs().max().double_value(&[]).max(1e-6);
        let off = (found - expected).abs().max().double_value(&[]) / scale;
        assert!(off < 1e-4, "{what} is off by {off} of its largest value");
    };
    close(&discriminator.forward(&golden["real"]).unwrap(), &golden["score"], "the score");
    let penalty = r1(&discriminator, &golden["real"]).unwrap();
    close(&penalty, &golden["r1"].squeeze(), "R1");
    let trained = discriminator.parameters.trained();
    let inputs: Vec<Tensor> = trained.values().map(Tensor::shallow_clone).collect();
    for (name, gradient) in trained.keys().zip(gradients(&penalty, &inputs).unwrap()) {
        match golden.get(&format!("second/{name}")) {
            Some(expected) if gradient.defined() => close(&gradient, expected, name),
            // What R1 does not depend on is undefined in one and zero in the other: the slopes of a leaky ReLU are steps.
            Some(expected) => assert_eq!(expected.abs().max().double_value(&[]), 0.0, "{name} has no gradient"),
            None => assert!(!gradient.defined(), "{name} has a gradient that PyTorch does not see"),
        }
    }
}

#[test]
fn a_resumed_training_ends_with_the_bits_of_one_that_was_not_cut() {
    let _alone = alone();
    let pictures = pictures(Distribution::Natural, 24);
    let build = || {
        tch::manual_seed(1);
        let generator = generator_settings().initial(Device::Cpu).unwrap();
        AdversarialTraining::new(&adversarial_settings(), generator, &pictures, 1).unwrap()
    };
    let (whole, cut) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut one = build();
    run(&mut one, &plan(whole.path(), 6)).unwrap();
    // Stopped at once after step 4 by the last step of a shorter plan, then by the clock, then to the end, each anew.
    run(&mut build(), &plan(cut.path(), 4)).unwrap();
    let paused = run(&mut build(), &Plan { until: Some(Instant::now()), ..plan(cut.path(), 6) }).unwrap();
    assert_eq!(paused, Ended::Paused { next: 4 });
    let mut two = build();
    run(&mut two, &plan(cut.path(), 6)).unwrap();
    for ((name, a), (other, b)) in one.state().into_iter().zip(two.state()) {
        assert_eq!(name, other);
        assert!(a.equal(&b), "{name} differs");
    }
    assert_eq!(curve(whole.path(), "adversarial", "generator"), curve(cut.path(), "adversarial", "generator"));
}

#[test]
fn a_checkpoint_is_neither_overwritten_nor_taken_for_another() {
    let _alone = alone();
    let pictures = pictures(Distribution::Natural, 16);
    let settings = JudgeSettings { channels: vec![4, 6], hidden: 12, batch: 8, ..Default::default() };
    let build = || JudgeTraining::new(&settings, SIDE, &pictures, 1, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&mut build(), &plan(folder.path(), 1)).unwrap();
    let refused = |plan: Plan<'_>, part: &mut JudgeTraining<'_>| {
        let error = run(part, &plan).unwrap_err();
        assert!(matches!(error, TrainingError::Checkpoint { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(Plan { resume: false, ..plan(folder.path(), 2) }, &mut build()).contains("--resume"));
    refused(Plan { seed: 4, ..plan(folder.path(), 2) }, &mut build());
    refused(Plan { settings: "others".to_owned(), ..plan(folder.path(), 2) }, &mut build());
    let wider = JudgeSettings { hidden: 13, ..settings.clone() };
    let mut wider = JudgeTraining::new(&wider, SIDE, &pictures, 1, Device::Cpu).unwrap();
    assert!(refused(plan(folder.path(), 2), &mut wider).contains("shape"));
}

#[test]
fn a_training_that_diverges_ends_with_an_error_and_keeps_its_curve() {
    let _alone = alone();
    let pictures = pictures(Distribution::Natural, 16);
    let adam = AdamSettings { lr: f64::INFINITY, betas: [0.9, 0.99], weight_decay: 0.0, clip: 0.0 };
    let settings = JudgeSettings { channels: vec![4, 6], hidden: 12, batch: 8, adam, ..Default::default() };
    let mut part = JudgeTraining::new(&settings, SIDE, &pictures, 1, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = run(&mut part, &plan(folder.path(), 5)).unwrap_err();
    assert!(matches!(error, TrainingError::Diverged { part: "judge", step: 1, .. }), "{error}");
    let text = std::fs::read_to_string(folder.path().join("judge.curve.csv")).unwrap();
    assert_eq!(text.lines().count(), 3, "a header, a good step and the bad one: {text}");
}

#[test]
fn the_judge_learns_and_equals_its_frozen_twin() {
    let _alone = alone();
    let pictures = pictures(Distribution::Open, 256);
    let settings = JudgeSettings { channels: vec![8, 12], hidden: 32, batch: 32, ..Default::default() };
    let mut part = JudgeTraining::new(&settings, SIDE, &pictures, 1, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&mut part, &plan(folder.path(), 80)).unwrap();
    assert_falls(&curve(folder.path(), "judge", "cross_entropy"), 0.85, "cross entropy");
    let known: Vec<Head> = heads()
        .into_iter()
        .map(|(name, classes)| Head { name: name.to_owned(), classes: classes.into_iter().map(String::from).collect() })
        .collect();
    let twin = Judge::load(part.parameters().frozen().unwrap(), &known).unwrap().0;
    let x = pictures.range(0, 8, Device::Cpu).unwrap();
    for (ours, theirs) in part.forward(&x, false).unwrap().iter().zip(twin.logits(&x).unwrap()) {
        assert!((ours - theirs).abs().max().double_value(&[]) < 1e-4);
    }
}

#[test]
fn the_clip_learns_before_and_after_its_adversary_comes() {
    let _alone = alone();
    let pictures = pictures(Distribution::Open, 128);
    let rows = Vec::<Vec<i64>>::try_from(&pictures.labels).unwrap();
    let (grammar, mut rng) = (Grammar::default(), ChaCha8Rng::seed_from_u64(1));
    let sentences: Vec<String> =
        rows.iter().cycle().take(2000).map(|row| grammar.caption(row, &mut rng).text).collect();
    let merges = training::bpe::learn(sentences.iter().map(String::as_str), 400);
    let tokenizer = Tokenizer::from_merges(&merges, 40).unwrap();
    let settings = ClipSettings {
        patch: 4,
        width: 64,
        image_layers: 1,
        text_layers: 1,
        context: 40,
        embed: 32,
        batch: 32,
        adversary_from: 0.8,
        bf16: false,
        ..Default::default()
    };
    let mut part = ClipTraining::new(&settings, SIDE, &pictures, &tokenizer, 1, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&mut part, &plan(folder.path(), 60)).unwrap();
    let losses = curve(folder.path(), "clip", "contrastive");
    assert_falls(&losses[..48], 0.97, "before the adversary");
    assert!(losses.iter().all(|loss| loss.is_finite()));
    for name in ["visual.conv1.weight", "token_embedding.weight", "logit_scale"] {
        let start = ClipTraining::new(&settings, SIDE, &pictures, &tokenizer, 1, Device::Cpu).unwrap();
        assert!(!start.parameters().get(name).equal(part.parameters().get(name)), "{name} did not move");
    }
}

#[test]
fn encoder_generator_and_mapping_learn_by_reconstruction() {
    let _alone = alone();
    let pictures = pictures(Distribution::Natural, 64);
    tch::manual_seed(1);
    let generator = generator_settings().initial(Device::Cpu).unwrap();
    let mut part =
        ReconstructionTraining::new(&reconstruction_settings(), encoder(), generator, false, &pictures, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&mut part, &plan(folder.path(), 60)).unwrap();
    assert_falls(&curve(folder.path(), "reconstruction", "distance"), 0.7, "distance of pictures");
    let (encoder, generator) = part.finish().unwrap();

    let x = pictures.range(0, 4, Device::Cpu).unwrap();
    let (base, delta) = encoder.forward(&x, false, Kind::Float).unwrap();
    let twin = Encoder::load(encoder.parameters.frozen().unwrap(), networks::EncoderArchitecture::default()).unwrap().0;
    let off = (twin.encode(&x).unwrap() - (base.unsqueeze(1) + delta)).abs().max().double_value(&[]);
    assert!(off < 1e-4, "the frozen encoder is off by {off}");

    let settings = MappingSettings { batch: 32, adversarial_from: 40, adversary_width: 32, ..Default::default() };
    let before: Vec<Tensor> = generator.all().filter(|(n, _)| n.starts_with("conv")).map(|(_, t)| t.copy()).collect();
    let mut part = MappingTraining::new(&settings, generator, &encoder, &pictures, 1).unwrap();
    run(&mut part, &plan(folder.path(), 80)).unwrap();
    assert_falls(&curve(folder.path(), "mapping", "energy_distance"), 0.6, "energy distance");
    let generator = part.finish().unwrap();
    let after = generator.all().filter(|(n, _)| n.starts_with("conv"));
    assert!(before.iter().zip(after).all(|(a, (_, b))| a.equal(&b)), "only the mapping may move");
}

#[test]
fn an_adversary_learns_to_tell_and_a_frozen_generator_stays() {
    let _alone = alone();
    let pictures = pictures(Distribution::Natural, 64);
    tch::manual_seed(1);
    let generator = generator_settings().initial(Device::Cpu).unwrap();
    let settings = AdversarialSettings { path_length: 0.0, r1: 0.1, ..adversarial_settings() };
    let mut part = AdversarialTraining::new(&settings, generator, &pictures, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run(&mut part, &plan(folder.path(), 40)).unwrap();
    assert_falls(&curve(folder.path(), "adversarial", "discriminator"), 0.95, "the discriminator's loss");
    let generator = part.finish().unwrap();
    let network = networks::stylegan2::Generator::load(generator.frozen().unwrap()).unwrap().0;
    assert_eq!(network.resolution(), SIDE);

    let before: Vec<Tensor> = generator.all().map(|(_, tensor)| tensor.copy()).collect();
    let settings = ReconstructionSettings { base_only: 0.0, ..reconstruction_settings() };
    let mut part = ReconstructionTraining::new(&settings, encoder(), generator, true, &pictures, 1).unwrap();
    run(&mut part, &plan(folder.path(), 20)).unwrap();
    let (_, generator) = part.finish().unwrap();
    assert!(before.iter().zip(generator.all()).all(|(a, (_, b))| a.equal(&b)), "the frozen generator moved");
}

#[test]
fn weights_of_a_checkpoint_cannot_be_loaded_with_a_tensor_missing() {
    let _alone = alone();
    let settings = generator_settings();
    let parameters = settings.initial(Device::Cpu).unwrap();
    let most = parameters.all().filter(|(name, _)| name != "conv1.conv.weight");
    let weights = Weights::with_gradients("test", most, Device::Cpu, Kind::Float).unwrap();
    assert!(networks::stylegan2::Generator::load(weights).is_err());
}
