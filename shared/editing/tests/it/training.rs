//! Mapper training: slices, checkpoints, shared sources, divergence, and that it learns.

use crate::demo;
use domain::Digest;
use domain::edit::{
    CfMapper, Guards, Layers, MapperNetwork, Method, Numerics, Optimiser, Schedule, StyleclipMapper, Views,
};
use editing::mapper::Mapper;
use editing::train::{Slice, SourceSet, TrainState, run_slice};
use editing::{Control, Directive, EditError, EditText, Engine, Unhindered};
use std::rc::Rc;

struct Bench {
    engine: Engine,
    text: EditText,
    sources: SourceSet,
}

impl Bench {
    fn new() -> Self {
        let engine = demo::engine();
        let text = EditText::encode(&engine, "a face with green hair", "a face", &Numerics::default());
        let latents = engine.encode(&demo::pictures(&engine, "train", 0..24)).expect("faces of the right size");
        let sources = SourceSet::new(&engine, set(), &latents).expect("latents of the right shape");
        Self { text: text.expect("the text fits"), sources, engine }
    }

    fn start(&self, method: &Method) -> TrainState {
        TrainState::start(&self.engine, &self.text, method, &edit(), &set()).expect("starts")
    }

    fn resume(&self, bytes: &[u8], method: &Method) -> Result<TrainState, EditError> {
        TrainState::resume(bytes, &self.engine, &self.text, method, &edit(), &set())
    }

    fn slice(&self, method: &Method, state: &mut TrainState, control: &mut dyn Control) -> Result<Slice, EditError> {
        run_slice(&self.engine, &self.text, method, &self.sources, state, control)
    }

    fn train(&self, method: &Method) -> Mapper {
        done(self.slice(method, &mut self.start(method), &mut Unhindered))
    }
}

fn edit() -> Digest {
    Digest::of(b"edit")
}

fn set() -> Digest {
    Digest::of(b"training set")
}

fn course(steps: u32) -> CfMapper {
    CfMapper { steps, batch: 4, views: Views { views: 2, ..Views::default() }, ..CfMapper::default() }
}

fn done(slice: Result<Slice, EditError>) -> Mapper {
    match slice.expect("trains") {
        Slice::Done(mapper) => *mapper,
        Slice::Yielded => panic!("nothing asked it to yield"),
    }
}

/// Ranger's first five steps are unlike the next, and its sixth looks ahead: the pauses lie on both sides.
#[test]
fn a_training_cut_into_slices_ends_with_the_bytes_of_one_that_was_not() {
    let bench = Bench::new();
    let groups = Layers { coarse: false, ..Layers::default() };
    let published = CfMapper {
        network: MapperNetwork::Published,
        optimiser: Optimiser::Ranger,
        schedule: Schedule::Constant,
        numerics: Numerics::REPRO_2022,
        depth: 3,
        ..course(9)
    };
    let untold = StyleclipMapper {
        steps: 9,
        batch: 2,
        groups,
        optimiser: Optimiser::Ranger,
        views: Views { views: 0, ..Views::default() },
        ..StyleclipMapper::default()
    };
    for method in [
        Method::CfMapper(course(9)),
        Method::CfMapper(published.clone()),
        Method::CfMapper(CfMapper { optimiser: Optimiser::Adam, learning_rate: Some(0.01), ..published }),
        Method::StyleclipMapper(untold),
    ] {
        let mut whole = bench.start(&method);
        let expected = done(bench.slice(&method, &mut whole, &mut Unhindered)).to_bytes().unwrap();

        let mut state = bench.start(&method);
        for pause in [2, 5, 7] {
            let mut until = |step: u32, _: u32| if step < pause { Directive::Continue } else { Directive::Yield };
            assert!(matches!(bench.slice(&method, &mut state, &mut until), Ok(Slice::Yielded)));
            assert_eq!(state.steps(), pause);
            let checkpoint = state.to_bytes().unwrap();
            state = bench.resume(&checkpoint, &method).unwrap();
            assert!(state.to_bytes().unwrap() == checkpoint);
        }
        let pieced = done(bench.slice(&method, &mut state, &mut Unhindered)).to_bytes().unwrap();
        assert!(pieced == expected, "the mappers differ: {method:?}");
        assert_eq!(state.curve(), whole.curve());
    }
}

#[test]
fn a_checkpoint_of_another_training_or_version_or_a_damaged_one_is_refused() {
    let bench = Bench::new();
    let method = Method::CfMapper(course(1));
    let mut state = bench.start(&method);
    bench.slice(&method, &mut state, &mut Unhindered).expect("trains");
    let bytes = state.to_bytes().unwrap();
    let refusal = |method: CfMapper| bench.resume(&bytes, &Method::CfMapper(method)).unwrap_err();
    assert!(matches!(refusal(CfMapper { seed: 1, ..course(1) }), EditError::Checkpoint { .. }));
    assert!(matches!(refusal(CfMapper { depth: 5, ..course(1) }), EditError::Load(_)));
    assert!(matches!(refusal(CfMapper { optimiser: Optimiser::Ranger, ..course(1) }), EditError::Load(_)));
    assert!(matches!(bench.resume(&bytes[..bytes.len() / 2], &method), Err(EditError::Malformed { .. })));

    let mut older = bytes.clone();
    let at = older.windows(12).position(|part| part == b"checkpoint/2").expect("the format is in the note");
    older[at..at + 12].copy_from_slice(b"checkpoint/1");
    let error = bench.resume(&older, &method).unwrap_err().to_string();
    assert!(error.contains("'checkpoint/1'") && error.contains("'checkpoint/2'"), "{error}");
}

#[test]
fn the_loss_falls_and_the_mapper_keeps_its_curves() {
    let bench = Bench::new();
    let mapper = bench.train(&Method::CfMapper(CfMapper { sparsity: 0.1, ..course(40) }));
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let losses = mapper.curve().of("loss");
    assert!(mean(&losses[35..]) < mean(&losses[..5]) - 0.5, "{losses:?}");
    let read = Mapper::from_bytes(&mapper.to_bytes().unwrap(), &bench.engine).unwrap();
    assert_eq!(read.curve(), mapper.curve());
    let terms: Vec<_> = read.curve().terms().iter().map(|(name, values)| (name.as_str(), values.len())).collect();
    assert_eq!(terms, [("loss", 40), ("guide", 40), ("latent_l2", 40), ("sparsity", 40)]);
    // The terms are those the loss is made of.
    for step in [0, 39] {
        let of = |term| read.curve().of(term)[step];
        let sum = of("guide") + 0.15 * of("latent_l2") + 0.1 * of("sparsity");
        assert!((of("loss") - sum).abs() < 1e-4 * sum.abs(), "{sum} {}", of("loss"));
    }
}

#[test]
fn a_training_that_diverges_says_at_which_step_and_keeps_its_curve() {
    let bench = Bench::new();
    let method = Method::CfMapper(CfMapper { learning_rate: Some(1e30), ..course(5) });
    let mut state = bench.start(&method);
    let error = bench.slice(&method, &mut state, &mut Unhindered).unwrap_err();
    assert_eq!(error.reason(), domain::Reason::NonFinite);
    assert!(matches!(error, EditError::NonFinite { what: "the training loss", step: 1.. }), "{error}");
    let losses = state.curve().of("loss");
    assert!(losses[0].is_finite() && !losses[losses.len() - 1].is_finite(), "{losses:?}");
    assert_eq!(losses.len() as u32, state.steps() + 1);
    // One step alone ends before any loss has seen what it did.
    let method = Method::CfMapper(CfMapper { learning_rate: Some(f64::MAX), ..course(1) });
    let error = bench.slice(&method, &mut bench.start(&method), &mut Unhindered).unwrap_err();
    assert!(matches!(error, EditError::NonFinite { what: "the mapper", step: 0 }), "{error}");
}

#[test]
fn texts_share_what_is_known_of_the_training_images() {
    let bench = Bench::new();
    let known = |method: &Method| bench.sources.known(&bench.engine, method).unwrap();
    // Without the term that needs their pixels, all methods need the same.
    let plain = || CfMapper { sparsity: 0.0, ..course(1) };
    let first = known(&Method::CfMapper(plain()));
    let other_loss = known(&Method::StyleclipMapper(StyleclipMapper::default()));
    assert!(Rc::ptr_eq(&first, &other_loss), "both look at the images in the same way");
    let raw = Numerics { clip_input: domain::edit::ClipInput::AreaRaw, ..Numerics::default() };
    let through_another = known(&Method::CfMapper(CfMapper { numerics: raw, ..plain() }));
    assert!(!Rc::ptr_eq(&first, &through_another));
}

#[test]
fn latents_of_another_shape_are_refused() {
    let bench = Bench::new();
    let latents = bench.sources.latents();
    for latents in [latents.narrow(1, 0, 9), latents.narrow(0, 0, 0), latents.get(0)] {
        let refused: Result<_, _> = SourceSet::new(&bench.engine, set(), &latents);
        assert!(matches!(refused, Err(EditError::Input { .. })));
    }
}

#[test]
fn a_method_without_a_mapper_or_a_range_beyond_the_generator_is_refused() {
    let bench = Bench::new();
    let refused = |method: &Method| {
        TrainState::start(&bench.engine, &bench.text, method, &edit(), &set()).unwrap_err().to_string()
    };
    let per_image = Method::ClipNce(domain::edit::ClipNce::default());
    assert!(refused(&per_image).contains("clip-nce"));
    let guards = Guards { layers: Some([2, 17]), ..Guards::default() };
    assert!(refused(&Method::CfMapper(CfMapper { guards, ..course(1) })).contains("0 to 9"));
}
