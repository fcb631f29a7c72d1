//! The per-image form on the demo pack: what an item's result depends on, and what it does not.

use crate::demo;
use domain::edit::{ClipNce, Directional, EarlyStop, Guards, Method, Numerics, Region, RegionSource, Styleclip};
use domain::{Digest, Reason};
use editing::descent::Descended;
use editing::per_image::{Item, edit};
use editing::rng::RngKey;
use editing::{Control, Directive, EditText, Engine, Stop, Unhindered, latent};
use tch::Tensor;

/// Kernels sum in another order at another batch size, and Adam divides a gradient by its own size: where a gradient is
/// nearly zero, its rounding decides the direction of a full step. After 14 steps of rate 0.08 the entries of the latents,
/// of the order of 2, were seen to differ by 6e-5 between batches of 1 and 4, and not at all between places in a batch.
const TOLERANCE: f64 = 1e-3;

struct Bench {
    engine: Engine,
    text: EditText,
    latents: Vec<Tensor>,
}

impl Bench {
    fn new(faces: usize) -> Self {
        let engine = demo::engine();
        let text =
            EditText::encode(&engine, "a face with green hair", "a face", &Numerics::default()).expect("the text fits");
        let latents = engine
            .encode(&demo::pictures(&engine, "faces/source", 0..faces))
            .expect("faces of the right size")
            .unbind(0);
        Self { engine, text, latents }
    }

    fn results(
        &self,
        method: &Method,
        seed: u64,
        faces: &[usize],
        control: &mut dyn Control,
    ) -> Vec<Result<Descended, Stop>> {
        let key = |id: usize| RngKey::new("views", &Digest::of(id.to_le_bytes()), &Digest::of(b"green"), seed);
        let items: Vec<_> =
            faces.iter().map(|&id| Item { id, latent: &self.latents[id], key: key(id), begun: None }).collect();
        edit(&self.engine, &self.engine, &self.text, method, &items, None, control).expect("the batch is computed")
    }

    fn run(&self, method: &Method, faces: &[usize]) -> Vec<Descended> {
        self.results(method, 0, faces, &mut Unhindered).into_iter().map(Result::unwrap).collect()
    }
}

fn steps(steps: u32) -> Method {
    Method::ClipNce(ClipNce { steps, ..ClipNce::default() })
}

#[track_caller]
fn assert_near(a: &Descended, b: &Descended) {
    assert_eq!(a.steps, b.steps);
    let gap = (&a.latent - &b.latent).abs().max().double_value(&[]);
    assert!(gap < TOLERANCE, "latents differ by {gap}");
    let gap = a.loss.iter().zip(&b.loss).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(gap < TOLERANCE, "losses differ by {gap}");
}

#[test]
fn a_result_does_not_depend_on_its_batch_mates_or_its_place() {
    let bench = Bench::new(8);
    let method = steps(8);
    let together = bench.run(&method, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let order = [5, 2, 7, 0, 3, 6, 1, 4];
    for (permuted, face) in bench.run(&method, &order).iter().zip(order) {
        assert_near(permuted, &together[face]);
    }
    for face in [0, 3] {
        assert_near(&bench.run(&method, &[face])[0], &together[face]);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_another_result() {
    let bench = Bench::new(2);
    let bytes = |seed| {
        let results = bench.results(&steps(4), seed, &[0, 1], &mut Unhindered);
        results.into_iter().map(|r| latent::to_bytes(&r.unwrap().latent).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(bytes(0), bytes(0));
    assert_ne!(bytes(0)[0], bytes(1)[0]);
}

#[test]
fn every_items_loss_falls() {
    let bench = Bench::new(4);
    for done in bench.run(&steps(20), &[0, 1, 2, 3]) {
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&done.loss[15..]) < mean(&done.loss[..5]) - 0.5, "{:?}", done.loss);
    }
}

#[test]
fn an_item_that_stops_early_leaves_the_others_alone() {
    let bench = Bench::new(4);
    let stop = Some(EarlyStop { patience: 2, min_delta: 0.05 });
    let patient = Method::ClipNce(ClipNce { steps: 14, early_stop: stop, ..ClipNce::default() });
    let together = bench.run(&patient, &[0, 1, 2, 3]);
    let taken: Vec<_> = together.iter().map(|d| d.steps).collect();
    assert!(taken.iter().any(|s| *s != taken[0]), "the test needs items that stop at different steps: {taken:?}");
    for (face, done) in together.iter().enumerate() {
        // The loss that made it stop was seen but no step was taken on it.
        let stopped_early = done.steps < 14;
        assert_eq!(done.loss.len(), done.steps as usize + usize::from(stopped_early));
        assert_near(&bench.run(&patient, &[face])[0], done);
    }
}

#[test]
fn an_item_that_is_not_finite_fails_alone() {
    let mut bench = Bench::new(3);
    let method = steps(4);
    let clean = bench.run(&method, &[0, 2]);
    bench.latents[1] = &bench.latents[1] * f64::NAN;
    let mut results = bench.results(&method, 0, &[0, 1, 2], &mut Unhindered).into_iter();
    assert_near(&results.next().unwrap().unwrap(), &clean[0]);
    match results.next().unwrap() {
        Err(Stop::Failed(error)) => assert_eq!(error.reason(), Reason::NonFinite),
        other => panic!("{other:?}"),
    }
    assert_near(&results.next().unwrap().unwrap(), &clean[1]);
}

/// Cancels one item from a step on, and yields at another.
struct Interruption {
    cancel: Option<(usize, u32)>,
    yield_at: Option<u32>,
    step: u32,
}

impl Control for Interruption {
    fn before_step(&mut self, step: u32, _: u32) -> Directive {
        self.step = step;
        if self.yield_at == Some(step) { Directive::Yield } else { Directive::Continue }
    }

    fn is_cancelled(&mut self, id: usize) -> bool {
        self.cancel.is_some_and(|(cancelled, from)| cancelled == id && self.step >= from)
    }
}

#[test]
fn a_cancelled_item_goes_and_a_yield_hands_all_back() {
    let bench = Bench::new(3);
    let method = steps(4);
    let clean = bench.run(&method, &[0, 1, 2]);
    let mut cancel = Interruption { cancel: Some((1, 2)), yield_at: None, step: 0 };
    let results = bench.results(&method, 0, &[0, 1, 2], &mut cancel);
    assert!(matches!(results[1], Err(Stop::Cancelled)));
    assert_near(results[0].as_ref().unwrap(), &clean[0]);
    assert_near(results[2].as_ref().unwrap(), &clean[2]);

    let mut drain = Interruption { cancel: None, yield_at: Some(1), step: 0 };
    let results = bench.results(&method, 0, &[0, 1], &mut drain);
    assert!(results.iter().all(|result| matches!(result, Err(Stop::Yielded(_)))));
}

/// Every method goes down its own loss, and moves the latent.
#[test]
fn each_method_lowers_its_loss() {
    let bench = Bench::new(2);
    for method in [
        steps(8),
        Method::Styleclip(Styleclip { steps: 8, ..Styleclip::default() }),
        Method::Directional(Directional { steps: 8, ..Directional::default() }),
    ] {
        for end in bench.run(&method, &[0, 1]) {
            assert!(end.loss[7] < end.loss[0], "{}: {:?}", method.name(), end.loss);
        }
    }
}

#[test]
fn closed_layers_stay_where_they_were() {
    let bench = Bench::new(1);
    let guards = Guards { layers: Some([4, 6]), ..Guards::default() };
    let method = Method::ClipNce(ClipNce { steps: 3, guards, ..ClipNce::default() });
    let change = &bench.run(&method, &[0])[0].latent - &bench.latents[0];
    let moved: Vec<f64> =
        Vec::try_from(change.abs().amax([1_i64].as_slice(), false).to_kind(tch::Kind::Double)).unwrap();
    for (layer, moved) in moved.into_iter().enumerate() {
        assert_eq!(moved > 0.0, (4..=6).contains(&layer), "layer {layer} moved by {moved}");
    }
    let beyond = Guards { layers: Some([4, 10]), ..Guards::default() };
    let method = Method::ClipNce(ClipNce { steps: 3, guards: beyond, ..ClipNce::default() });
    let items = [Item {
        id: 0,
        latent: &bench.latents[0],
        key: RngKey::new("v", &Digest::of(b""), &Digest::of(b""), 0),
        begun: None,
    }];
    let refused = edit(&bench.engine, &bench.engine, &bench.text, &method, &items, None, &mut Unhindered).unwrap_err();
    assert!(refused.to_string().contains("0 to 9"), "{refused}");
}

/// What lies outside the region cannot lower the loss: with an empty region nothing pulls but the latent's own length.
#[test]
fn only_the_region_is_guided() {
    let bench = Bench::new(1);
    let region = Region { source: RegionSource::Box([0.0, 0.0, 1.0, 0.5]), feather: 0.0 };
    let guards = Guards { region: Some(region.clone()), ..Guards::default() };
    let method = Method::ClipNce(ClipNce { steps: 4, latent_l2: 0.0, guards, ..ClipNce::default() });
    let items = [Item {
        id: 0,
        latent: &bench.latents[0],
        key: RngKey::new("v", &Digest::of(b""), &Digest::of(b""), 0),
        begun: None,
    }];
    let run = |mask: Tensor| {
        let ends =
            edit(&bench.engine, &bench.engine, &bench.text, &method, &items, Some(mask), &mut Unhindered).unwrap();
        ends.into_iter().next().unwrap().unwrap()
    };
    let upper = editing::region::soft_mask(&region, None, bench.engine.resolution(), bench.engine.device()).unwrap();
    let guided = run(upper.shallow_clone());
    assert!((&guided.latent - &bench.latents[0]).abs().max().double_value(&[]) > 0.0);
    let unguided = run(upper.zeros_like());
    assert_eq!((&unguided.latent - &bench.latents[0]).abs().max().double_value(&[]), 0.0);
}

/// At its full size the guide is the image; at half of it the loss is another, and still falls.
#[test]
fn a_guide_may_be_smaller_than_the_image() {
    let bench = Bench::new(1);
    let at = |side| {
        let guards = Guards { guide_resolution: side, ..Guards::default() };
        bench.run(&Method::ClipNce(ClipNce { steps: 5, guards, ..ClipNce::default() }), &[0]).remove(0)
    };
    assert_eq!(at(Some(64)).loss, at(None).loss);
    // CLIP reads 64 pixels; a smaller guide is enlarged to that.
    let guards = Guards { guide_resolution: Some(32), ..Guards::default() };
    let method = Method::ClipNce(ClipNce { steps: 5, guards, ..ClipNce::default() });
    let items = [Item {
        id: 0,
        latent: &bench.latents[0],
        key: RngKey::new("v", &Digest::of(b""), &Digest::of(b""), 0),
        begun: None,
    }];
    let smaller = edit(&bench.engine, &bench.engine, &bench.text, &method, &items, None, &mut Unhindered).unwrap();
    let smaller = smaller.into_iter().next().unwrap().unwrap();
    assert!(smaller.loss[4] < smaller.loss[0], "{:?}", smaller.loss);
}
