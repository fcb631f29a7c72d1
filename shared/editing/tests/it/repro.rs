//! The training step of `repro-2022`, loss by loss and gradient by gradient, against a plain PyTorch reading of what the published
//! code does (`repro/make_golden.py`), on a pack of tiny random networks.
//!
//! `cargo test -p editing --test it repro -- --nocapture` prints the measured errors.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

mod formula;

use crate::{difference, golden, take};
use domain::edit::{Guards, Method};
use editing::engine::{ClipConfig, EngineConfig, IdentityConfig, PerceptualConfig};
use editing::guidance::Guidance;
use editing::mapper::Shape;
use editing::optimiser::Optimiser;
use editing::perspective::View;
use editing::train::{Sight, SourceSet, rate, slope};
use editing::{EditText, Engine};
use formula::{fill, parameter};
use networks::Weights;
use networks::clip::{Activation, Normalise, Preprocess, Resize};
use networks::identity::{IdentityArchitecture, IdentityInput};
use networks::perceptual::PerceptualArchitecture;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// The reference is in double precision; single precision through some forty layers and back leaves a few 1e-6.
const TOLERANCE: f64 = 1e-4;
/// Weights of size 100 move by thousandths in seven steps, so how far they moved is only tested near single precision's limit.
const AFTER: f64 = 4e-7;
const STEPS: u32 = 7;
const SIDE: f64 = 32.0;

/// A pack whose every tensor is filled by the formula, in a folder of its own.
fn engine(folder: &Path) -> Engine {
    tch::set_num_threads(1);
    let shapes = include_str!("repro/tensors.json");
    let networks: BTreeMap<String, BTreeMap<String, Vec<i64>>> = serde_json::from_str(shapes).unwrap();
    let part = |network: &str| {
        let path = folder.join(format!("{network}.safetensors"));
        let tensors: Vec<_> = networks[network].iter().map(|(name, shape)| (name, parameter(name, shape))).collect();
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name, tensor.to_kind(Kind::Float))).collect();
        Tensor::write_safetensors(&tensors, &path).unwrap();
        path
    };
    let merges = folder.join("merges.txt");
    std::fs::write(&merges, "#version: without any merge\n").unwrap();
    let config = EngineConfig {
        generator: part("generator").into(),
        encoder: Some(part("encoder").into()),
        clip: ClipConfig {
            weights: part("clip"),
            merges,
            network: networks::ClipConfig::new(Activation::QuickGelu),
            // The published modes must not fall back on the pack's own resampling.
            preprocess: Preprocess { resize: Resize::BicubicAntialias, normalise: Normalise::ClipMeanStd },
        },
        second_clip: None,
        judge: None,
        identity: Some(IdentityConfig {
            weights: part("identity"),
            architecture: IdentityArchitecture::IrSe50,
            input: IdentityInput::FfhqCrop,
        }),
        perceptual: Some(PerceptualConfig {
            weights: part("perceptual"),
            architecture: PerceptualArchitecture::Vgg19Relu52,
        }),
        detector: None,
        templates: vec!["{}".to_owned()],
        subjects: Vec::new(),
    };
    Engine::open(&config, Device::Cpu).unwrap()
}

/// The largest of some relative errors, and where it is.
#[derive(Default)]
struct Worst {
    error: f64,
    at: String,
}

impl Worst {
    fn see(&mut self, at: &str, error: f64) {
        assert!(error.is_finite(), "{at}");
        if error >= self.error {
            (self.error, self.at) = (error, at.to_owned());
        }
    }

    #[expect(clippy::print_stdout, reason = "the measured errors are what a reader of the test run wants")]
    fn check(&self, what: &str, tolerance: f64) {
        println!("{what}: at most {:.1e} ({})", self.error, self.at);
        assert!(self.error < tolerance, "{what}: {:e} ({})", self.error, self.at);
    }
}

/// Rows and views of a step as the reference drew them. The first image's views must come to serve the others too.
fn sight(golden: &mut Weights, case: &str, step: u32, views: usize) -> Sight {
    let rows = Vec::<f64>::try_from(take(golden, &format!("{case}.{step}.rows")).to_kind(Kind::Double)).unwrap();
    let rows: Vec<_> = rows.into_iter().map(|row| row as usize).collect();
    if views == 0 {
        return Sight { views: vec![Vec::new(); rows.len()], rows };
    }
    let corners = take(golden, &format!("{case}.{step}.corners")).to_kind(Kind::Double);
    let far = SIDE - 1.0;
    let own = [[0.0, 0.0], [far, 0.0], [far, far], [0.0, far]];
    let view = |view: i64| {
        let corner = |k: i64| [0, 1].map(|axis| corners.double_value(&[view, k, axis]));
        View::between([0, 1, 2, 3].map(corner), own).unwrap()
    };
    let first: Vec<_> = (0..views as i64).map(view).collect();
    let others = vec![View([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]); views];
    let views = std::iter::once(first).chain(std::iter::repeat_n(others, rows.len() - 1)).collect();
    Sight { rows, views }
}

/// The published method of this name with its published hyper-parameters.
fn preset(kind: &str, guards: Guards) -> Method {
    let mut fields = serde_json::to_value(&guards).unwrap();
    fields["kind"] = json!(kind);
    fields["preset"] = json!("repro-2022");
    serde_json::from_value(fields).unwrap()
}

fn steps_agree(kind: &str, guards: Guards, terms: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let mut golden = golden("repro/golden.safetensors");
    let method = preset(kind, guards);
    let course = method.training().unwrap();
    let text = EditText::encode(&engine, "green hair", "face", method.numerics()).unwrap();
    let latents = fill("latents", &[6, 8, 16], 1.2).to_kind(Kind::Float);
    let mut constants = Worst::default();
    let images = engine.render(&latents.narrow(0, 0, 2)).unwrap();
    constants.see("images", difference(&images, &take(&mut golden, "images")));
    if method.tells_text() {
        constants.see("raw text feature", difference(&text.mapper_input, &take(&mut golden, "text")));
    }
    constants.check(&format!("{kind}, constants"), TOLERANCE);
    let sources = SourceSet::new(&engine, domain::Digest::of(b"latents"), &latents).unwrap();
    let known = sources.known(&engine, &method).unwrap();
    let guidance = Guidance::over(&engine, &engine, &method, &text, known, None).unwrap();

    let shape = Shape::of(&engine, &method, &text).unwrap();
    let names = shape.parameters();
    let initial: Vec<_> = names.iter().map(|(name, shape)| parameter(name, shape).to_kind(Kind::Float)).collect();
    let mut parameters: Vec<_> = initial.iter().map(Tensor::copy).collect();
    let mut optimiser = Optimiser::new(course.optimiser, &parameters).unwrap();
    let curves: Vec<_> = terms.iter().map(|name| take(&mut golden, &format!("{kind}.losses.{name}"))).collect();
    let (mut losses, mut gradients) = (Worst::default(), Worst::default());
    for step in 0..STEPS {
        let sight = sight(&mut golden, kind, step, method.views().views as usize);
        let slope = slope(&guidance, &text, &shape, &parameters, &latents, &sight).unwrap();
        assert_eq!(slope.losses.iter().map(|(name, _)| *name).collect::<Vec<_>>(), terms);
        for ((name, ours), curve) in slope.losses.iter().zip(&curves) {
            let reference = curve.double_value(&[i64::from(step)]);
            // Every step's rounding is carried into the next by the parameters, at a rate of 0.5: the allowance grows with the steps.
            let error = (f64::from(*ours) - reference).abs() / reference.abs() / f64::from(1 + step);
            losses.see(&format!("{name}, step {step}"), error);
        }
        if step == 0 {
            for ((name, _), gradient) in names.iter().zip(&slope.gradients) {
                let reference = take(&mut golden, &format!("{kind}.gradient.{name}"));
                assert!(reference.abs().max().double_value(&[]) > 0.0, "{name} would test nothing");
                gradients.see(name, difference(gradient, &reference));
            }
        }
        parameters = optimiser.step(&parameters, &slope.gradients, rate(&course, step)).unwrap();
    }
    losses.check(&format!("{kind}, losses of {STEPS} steps, each by its number"), TOLERANCE);
    gradients.check(&format!("{kind}, gradients of {} parameters", names.len()), TOLERANCE);
    let (mut after, mut unmoved) = (Worst::default(), Worst::default());
    for (((name, _), ours), initial) in names.iter().zip(&parameters).zip(&initial) {
        let reference = take(&mut golden, &format!("{kind}.after.{name}"));
        after.see(name, difference(ours, &reference));
        unmoved.see(name, AFTER / difference(initial, &reference));
    }
    after.check(&format!("{kind}, parameters after {STEPS} steps"), AFTER);
    unmoved.check(&format!("{kind}, tolerance of the parameters as a part of how far each moved"), 0.5);
}

#[test]
fn cf_mapper_steps_as_published() {
    // The published weight of the perceptual loss where it is used (mapper/train.sh); the others are the preset's.
    let guards = Guards { perceptual: 0.02, identity: 0.2, ..Guards::default() };
    steps_agree("cf-mapper", guards, &["loss", "guide", "latent_l2", "identity", "perceptual"]);
}

#[test]
fn styleclip_mapper_steps_as_published() {
    let guards = Guards { identity: 0.1, ..Guards::default() };
    steps_agree("styleclip-mapper", guards, &["loss", "guide", "latent_l2", "identity"]);
}
