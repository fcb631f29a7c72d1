//! Long work that is cut and goes on elsewhere: a checkpoint, as its file holds it, leaves no trace in the result.

use crate::demo;
use domain::Digest;
use domain::edit::{ClipNce, Method, Numerics};
use domain::inversion::{Inversion, LatentSpace, PivotalTuning, Projection, Refinement};
use editing::descent::{Checkpoint, Descended};
use editing::invert::{Inverted, invert};
use editing::per_image::{Item, edit};
use editing::rng::RngKey;
use editing::{Control, Directive, EditText, Engine, Stop, Unhindered};
use std::rc::Rc;
use tch::{Device, Tensor};

/// Stops once so many steps were taken, whatever their numbers.
struct After(u32);

impl Control for After {
    fn before_step(&mut self, _: u32, _: u32) -> Directive {
        let over = self.0 == 0;
        self.0 = self.0.saturating_sub(1);
        if over { Directive::Yield } else { Directive::Continue }
    }
}

/// The checkpoint of an item that was handed back, written and read again.
fn kept<T: std::fmt::Debug>(end: Result<T, Stop>) -> Option<Rc<Checkpoint>> {
    let Err(Stop::Yielded(halted)) = end else { panic!("not handed back: {end:?}") };
    let bytes = halted?.to_bytes("this work").unwrap();
    let other = Checkpoint::from_bytes(&bytes, "other work", Device::Cpu).unwrap_err();
    assert!(other.to_string().contains("this work"), "{other}");
    Checkpoint::from_bytes(&bytes[..bytes.len() - 1], "this work", Device::Cpu).unwrap_err();
    Some(Rc::new(Checkpoint::from_bytes(&bytes, "this work", Device::Cpu).unwrap()))
}

fn same(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && a.eq_tensor(b).all().int64_value(&[]) == 1
}

#[test]
fn an_edit_that_was_cut_ends_with_the_bits_of_one_that_was_not() {
    let engine = demo::engine();
    let text = EditText::encode(&engine, "a face with green hair", "a face", &Numerics::default()).unwrap();
    let latents = engine.encode(&demo::pictures(&engine, "faces/source", 0..2)).unwrap().unbind(0);
    let method = Method::ClipNce(ClipNce { steps: 6, ..ClipNce::default() });
    let run = |begun: &[Option<Rc<Checkpoint>>], control: &mut dyn Control| -> Vec<Result<Descended, Stop>> {
        let item = |id: usize| Item {
            id,
            latent: &latents[id],
            key: RngKey::new("views", &Digest::of([id as u8]), &Digest::of(b"green"), 0),
            begun: begun.get(id).cloned().flatten(),
        };
        edit(&engine, &engine, &text, &method, &[item(0), item(1)], None, control).unwrap()
    };
    let whole: Vec<_> = run(&[], &mut Unhindered).into_iter().map(Result::unwrap).collect();
    assert!(run(&[], &mut After(0)).into_iter().all(|end| kept(end).is_none()), "nothing was done yet");
    for cut in [1, 3, 5] {
        let halted: Vec<_> = run(&[], &mut After(cut)).into_iter().map(kept).collect();
        let first = halted[0].as_ref().unwrap();
        assert_eq!((first.step, first.steps, first.loss.len()), (cut, 6, cut as usize));
        // cut once more, where there is a step left to take
        let halted = if cut < 5 { run(&halted, &mut After(1)).into_iter().map(kept).collect() } else { halted };
        for (end, whole) in run(&halted, &mut Unhindered).into_iter().zip(&whole) {
            let end = end.unwrap();
            assert!(same(&end.latent, &whole.latent), "cut after {cut} steps");
            assert_eq!((end.loss, end.steps), (whole.loss.clone(), whole.steps));
        }
    }
    // Items at different steps go on side by side, each from its own; one is alone in the end, and on some processors a batch of one is
    // rounded otherwise. Adam's first steps are as long as the rate (0.08) whatever the gradient, so a coordinate without a slope drifts.
    let halted: Vec<_> = run(&[], &mut After(3)).into_iter().map(kept).collect();
    let mixed = run(&[halted[0].clone(), None], &mut Unhindered);
    for (end, whole) in mixed.into_iter().zip(&whole) {
        let gap = (&end.unwrap().latent - &whole.latent).abs().max().double_value(&[]);
        assert!(gap < 2e-2, "{gap}");
    }
}

fn invert_from(
    engine: &Engine,
    method: &Inversion,
    images: &Tensor,
    begun: &[Option<Rc<Checkpoint>>],
    control: &mut dyn Control,
) -> Vec<Result<Inverted, Stop>> {
    let ids: Vec<usize> = (0..images.size()[0] as usize).collect();
    invert(engine, method, images, &ids, begun, control).unwrap()
}

#[test]
fn inversions_that_were_cut_again_and_again_end_with_the_bits_of_those_that_were_not() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..2);
    let refinement = |steps| Refinement { steps, ..Refinement::default() };
    let projection = |space| Projection { space, steps: 5, optimise_noise: true, ..Projection::default() };
    for method in [
        Inversion::Hybrid(refinement(5)),
        Inversion::Optimise(projection(LatentSpace::W)),
        Inversion::Optimise(projection(LatentSpace::WPlus)),
        Inversion::Pivotal(PivotalTuning { pivot: refinement(3), steps: 3, ..PivotalTuning::default() }),
    ] {
        let whole = invert_from(&engine, &method, &images, &[], &mut Unhindered);
        // items of the next slice, with where they are
        let mut going: Vec<(i64, Option<Rc<Checkpoint>>)> = vec![(0, None), (1, None)];
        let mut ended: Vec<Option<Inverted>> = vec![None, None];
        for slice in 0.. {
            assert!(slice < 12, "{method:?} does not end");
            let places: Vec<i64> = going.iter().map(|(place, _)| *place).collect();
            let images = images.index_select(0, &Tensor::from_slice(&places));
            let begun: Vec<_> = going.iter().map(|(_, begun)| begun.clone()).collect();
            going.clear();
            for (place, end) in places.into_iter().zip(invert_from(&engine, &method, &images, &begun, &mut After(2))) {
                match end {
                    Ok(done) => ended[place as usize] = Some(done),
                    stopped => going.push((place, kept(stopped))),
                }
            }
            if going.is_empty() {
                break;
            }
        }
        for (ended, whole) in ended.into_iter().zip(whole) {
            let (ended, whole) = (ended.unwrap(), whole.unwrap());
            assert!(same(&ended.latent, &whole.latent), "{method:?}");
            assert_eq!((ended.loss, ended.steps), (whole.loss, whole.steps), "{method:?}");
            let noise = |own: &editing::draw::Own| own.noise.as_ref().map_or(0, Vec::len);
            assert_eq!(noise(&ended.own), noise(&whole.own));
            for (a, b) in ended.own.noise.iter().flatten().zip(whole.own.noise.iter().flatten()) {
                assert!(same(a, b), "{method:?}: noise");
            }
            if let (Some(a), Some(b)) = (&ended.own.delta, &whole.own.delta) {
                assert!(a.0.iter().zip(&b.0).all(|((_, a), (_, b))| same(&a.u, &b.u) && same(&a.v, &b.v)), "weights");
            }
        }
    }
}
