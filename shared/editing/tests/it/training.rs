//! Mapper training: slices, checkpoints, and that it learns.

use crate::demo;
use domain::Digest;
use domain::edit::{CfMapper, NceLoss};
use editing::train::{Slice, TrainState, run_slice};
use editing::{Control, Directive, EditError, EditText, Engine, Unhindered};
use tch::Tensor;

struct Bench {
    engine: Engine,
    text: EditText,
    latents: Tensor,
    method: CfMapper,
}

impl Bench {
    fn new(steps: u32) -> Self {
        let engine = demo::engine();
        let text = EditText::encode(&engine, "a face with green hair", "a face").expect("the text fits");
        let latents = engine.encode(&demo::pictures(&engine, "train", 0..24)).expect("faces of the right size");
        let loss = NceLoss { views: 2, ..NceLoss::default() };
        Self { engine, text, latents, method: CfMapper { steps, batch: 4, loss, ..CfMapper::default() } }
    }

    fn start(&self) -> TrainState {
        let (edit, set) = digests();
        TrainState::start(&self.engine, &self.text, &self.method, &edit, &set).expect("starts")
    }

    fn resume(&self, bytes: &[u8], method: &CfMapper) -> Result<TrainState, EditError> {
        let (edit, set) = digests();
        TrainState::resume(bytes, &self.engine, &self.text, method, &edit, &set)
    }

    fn slice(&self, state: &mut TrainState, control: &mut dyn Control) -> Slice {
        run_slice(&self.engine, &self.text, &self.method, &self.latents, state, control).expect("trains")
    }
}

fn digests() -> (Digest, Digest) {
    (Digest::of(b"edit"), Digest::of(b"training set"))
}

fn finished(slice: Slice) -> Vec<u8> {
    match slice {
        Slice::Done(mapper) => mapper.to_bytes().expect("can be written"),
        Slice::Yielded => panic!("nothing asked it to yield"),
    }
}

#[test]
fn a_training_cut_into_slices_ends_with_the_bytes_of_one_that_was_not() {
    let bench = Bench::new(9);
    let mut whole = bench.start();
    let expected = finished(bench.slice(&mut whole, &mut Unhindered));

    let mut state = bench.start();
    for pause in [2, 7] {
        let mut until = |step: u32, _: u32| if step < pause { Directive::Continue } else { Directive::Yield };
        assert!(matches!(bench.slice(&mut state, &mut until), Slice::Yielded));
        assert_eq!(state.steps(), pause);
        let checkpoint = state.to_bytes().unwrap();
        state = bench.resume(&checkpoint, &bench.method).unwrap();
        assert_eq!(state.to_bytes().unwrap(), checkpoint);
    }
    assert!(finished(bench.slice(&mut state, &mut Unhindered)) == expected, "the mappers differ");
    assert_eq!(state.losses(), whole.losses());
}

#[test]
fn a_checkpoint_of_another_training_or_a_damaged_one_is_refused() {
    let bench = Bench::new(1);
    let mut state = bench.start();
    bench.slice(&mut state, &mut Unhindered);
    let bytes = state.to_bytes().unwrap();
    let other = CfMapper { seed: 1, ..bench.method.clone() };
    assert!(matches!(bench.resume(&bytes, &other), Err(EditError::Checkpoint { .. })));
    let deeper = CfMapper { depth: 5, ..bench.method.clone() };
    assert!(matches!(bench.resume(&bytes, &deeper), Err(EditError::Load(_))));
    assert!(matches!(bench.resume(&bytes[..bytes.len() / 2], &bench.method), Err(EditError::Malformed { .. })));
}

#[test]
fn the_loss_falls() {
    let bench = Bench::new(40);
    let mut state = bench.start();
    bench.slice(&mut state, &mut Unhindered);
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    assert!(mean(&state.losses()[35..]) < mean(&state.losses()[..5]) - 0.5, "{:?}", state.losses());
}

#[test]
fn latents_of_another_shape_are_refused() {
    let bench = Bench::new(1);
    let mut state = bench.start();
    for latents in [bench.latents.narrow(1, 0, 9), bench.latents.narrow(0, 0, 0), bench.latents.get(0)] {
        let refused = run_slice(&bench.engine, &bench.text, &bench.method, &latents, &mut state, &mut Unhindered);
        assert!(matches!(refused, Err(EditError::Input { .. })));
    }
}
