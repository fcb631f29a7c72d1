//! Batches on the demo pack, from a real bucket to outcomes that a real broker has confirmed.

mod framing;
mod inversions;
mod precision;
mod rig;

use domain::accept::RejectReason;
use domain::edit::EditSpec;
use domain::inversion::Inversion;
use domain::record::Verdict;
use domain::{Digest, Framing, Precision, Reason, Stage, StageKey};
use image::{GrayImage, Luma};
use rig::{Rig, fence};
use std::time::{Duration, Instant};
use wire::broker::v1::{
    EditItem, Edited, Fence, InvertItem, ItemOutcome, Outcome, ResultPointer, SourceRef, TrainItem, TrainingSet, Work,
};

const MINUTE: Duration = Duration::from_secs(60);

fn edit_spec(method: &str) -> EditSpec {
    let json = format!(r#"{{"name":"any","text":"a face with green hair","method":{method}}}"#);
    serde_json::from_str(&json).expect("an edit")
}

fn invert_items(rig: &Rig, sources: &[Digest], epoch: i64) -> Vec<InvertItem> {
    let item = |(no, &sha256): (i32, &Digest)| {
        let key = StageKey::new(Stage::Invert, rig.pack.digest, &[sha256], &Inversion::default(), Precision::Fp32);
        let source = SourceRef { sha256, uri: format!("file:///faces/{no}.png"), ordinal: i64::from(no) };
        InvertItem {
            fence: fence(no, epoch),
            key: key.expect("a key"),
            source,
            framing: Framing::default(),
            checkpoint: None,
        }
    };
    (0..).zip(sources).map(item).collect()
}

fn invert(items: Vec<InvertItem>) -> Work {
    Work::Invert { inversion: Inversion::default(), items }
}

/// Inverts held-out faces; gives what an edit of each needs.
async fn inverted(rig: &mut Rig, count: usize) -> Vec<(SourceRef, Digest)> {
    let mut sources = Vec::new();
    for number in 0..count {
        sources.push(rig.put_demo(&format!("faces/source/{number:03}.png")).await);
    }
    let items = invert_items(rig, &sources, 1);
    let outcomes = rig.run(invert(items.clone())).await;
    assert_eq!(outcomes.len(), count);
    let latent = |outcome: &ItemOutcome| match &outcome.outcome {
        Outcome::Stored { artifact, .. } => *artifact,
        other => panic!("not inverted: {other:?}"),
    };
    items.into_iter().zip(&outcomes).map(|(item, outcome)| (item.source, latent(outcome))).collect()
}

fn edit_work(
    edit: &EditSpec,
    mapper: Option<Digest>,
    latents: &[(SourceRef, Digest)],
    epoch: i64,
    strengths: &[f64],
) -> Work {
    let item = |((no, (source, latent)), &strength): ((i32, &(SourceRef, Digest)), &f64)| {
        let parameters = (&edit.text, &edit.method, strength);
        let key =
            StageKey::new(Stage::Edit, Digest::of("pack"), &[*latent], &parameters, Precision::Fp32).expect("a key");
        EditItem {
            fence: fence(100 + no, epoch),
            key,
            source: source.clone(),
            latent: *latent,
            mask: None,
            strength,
            seed: 5,
            checkpoint: None,
        }
    };
    let items = (0..).zip(latents).zip(strengths).map(item).collect();
    Work::Edit { edit: edit.clone(), inversion: Inversion::default(), mapper, items }
}

fn edited(outcome: &ItemOutcome) -> &Edited {
    match &outcome.outcome {
        Outcome::Edited(edited) => edited,
        other => panic!("not edited: {other:?}"),
    }
}

fn reason(outcome: &ItemOutcome) -> (Reason, &str) {
    match &outcome.outcome {
        Outcome::Failed { reason, detail } => (*reason, detail),
        other => panic!("not failed: {other:?}"),
    }
}

/// Everything that can be checked of an output with the bucket alone.
async fn assert_sound(rig: &Rig, edited: &Edited) {
    let file = rig.get(edited.image).await;
    let (findings, told) = credentials::check_file(&file);
    assert!(findings.iter().all(|finding| !finding.failed()), "{findings:?}");
    let (signed, _) = credentials::check_credential(&file, told.as_ref(), &Default::default());
    assert!(signed.iter().all(|finding| !finding.failed()), "{signed:?}");
    let (record, _) = credentials::extract_record(&file).expect("a record");
    assert_eq!(record, *edited.record.clone());
    assert_eq!(rig.get(edited.record_digest).await, domain::canonical_json(&record).expect("canonical"));
    rig.get(record.outcome.latent).await;
    rig.get(record.recipe.source_latent).await;
    let reconstruction = rig.get(edited.reconstruction).await;
    assert_eq!(edited.reconstruction, record.outcome.reconstruction);
    assert_eq!(credentials::raster::decode(&reconstruction).expect("a PNG").0, 64);
    let object = edited.key.image_key(record.links.job, record.links.task.no);
    let pointer: ResultPointer = rig.line.artifacts.get_result(&object).await.expect("readable").expect("a pointer");
    assert_eq!(pointer.outcome, Outcome::Edited(Box::new(edited.clone())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_end_each_on_their_own() {
    let mut rig = Rig::new(MINUTE).await;
    let mut sources = Vec::new();
    for number in 0..5 {
        sources.push(rig.put_demo(&format!("faces/source/{number:03}.png")).await);
    }
    let whole = rig::demo("faces/source/005.png");
    sources.insert(2, rig.put(whole[..whole.len() / 2].to_vec()).await);
    sources.insert(4, rig.put(include_bytes!("../stages/prepare/fixtures/animated.gif").to_vec()).await);
    sources.push(rig.put(include_bytes!("../stages/prepare/fixtures/exif-6.jpg").to_vec()).await);
    sources.push(Digest::of("never uploaded"));
    let items = invert_items(&rig, &sources, 1);
    let outcomes = rig.run(invert(items.clone())).await;
    let fences: Vec<_> = outcomes.iter().map(|o| o.fence).collect();
    assert_eq!(fences, items.iter().map(|i| i.fence).collect::<Vec<_>>());
    assert_eq!(reason(&outcomes[2]).0, Reason::Truncated);
    assert_eq!(reason(&outcomes[4]).0, Reason::Animated);
    assert_eq!(reason(&outcomes[8]).0, Reason::MissingSource);
    for place in [0, 1, 3, 5, 6, 7] {
        let Outcome::Stored { key, artifact } = outcomes[place].outcome else { panic!("{:?}", outcomes[place]) };
        assert_eq!(key, items[place].key);
        let note = crate::stages::invert::read_note(&rig.get(artifact).await).expect("a note");
        assert_eq!(note.source.sha256, sources[place]);
        assert_eq!(note.source.uri, None, "an address would make the latent depend on where the image was found");
        let (_, _, drawn) = credentials::raster::decode(&rig.get(note.reconstruction).await).expect("a PNG");
        assert_eq!(drawn.len(), 64 * 64 * 3);
        if place == 7 {
            let [width, height] = note.source.size;
            assert!(width < height, "{width} x {height} is the size before the picture was turned upright");
        } else {
            assert!(note.psnr.is_some_and(|db| db > 15.0), "{place}: {:?}", note.psnr);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn per_image_edits_carry_their_records_and_are_found_again() {
    let mut rig = Rig::new(MINUTE).await;
    let latents = inverted(&mut rig, 2).await;
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":3}"#);
    let outcomes = rig.run(edit_work(&spec, None, &latents, 1, &[1.0, 0.5])).await;
    for (outcome, (source, latent)) in outcomes.iter().zip(&latents) {
        let edited = edited(outcome);
        assert_sound(&rig, edited).await;
        let record = &edited.record;
        let recipe = &record.recipe;
        assert_eq!((recipe.source.sha256, &recipe.source.uri), (source.sha256, &None));
        assert_eq!((recipe.source_latent, recipe.pack), (*latent, rig.pack.digest));
        assert_eq!((recipe.edit.name.as_deref(), recipe.text.templates), (None, 28));
        let roles = ["clip", "clip.merges", "clip_second", "clip_second.merges", "encoder", "generator", "judge"];
        assert_eq!(recipe.models.keys().collect::<Vec<_>>(), roles);
        assert_eq!((record.outcome.loss.len(), record.outcome.steps), (3, 3));
        assert_eq!(record.outcome.judged.len(), 10);
        assert!(matches!(record.outcome.verdict, Some(Verdict::Accept | Verdict::Reject)));
        assert!(record.outcome.metrics.contains_key("preservation"), "{:?}", record.outcome.metrics);
        assert_eq!(record.execution.micro_batch.size, 2);
        assert_eq!((record.links.task, record.links.source), (outcome.fence.task, source.ordinal));
        assert!(outcome.gpu_ms > 0.0);
    }

    // Handed out again: found, and only the fence differs.
    let again = rig.run(edit_work(&spec, None, &latents, 2, &[1.0, 0.5])).await;
    for (again, first) in again.iter().zip(&outcomes) {
        assert_eq!((again.fence.epoch, &again.outcome), (2, &first.outcome));
    }

    // An image that is no longer there is made again, with the same pixels.
    std::fs::remove_file(rig.bucket.object_path(&edited(&outcomes[0]).image.cas_key())).expect("an object");
    let repaired = rig.run(edit_work(&spec, None, &latents, 3, &[1.0, 0.5])).await;
    let (first, made) = (edited(&outcomes[0]), edited(&repaired[0]));
    assert_eq!(made.record.execution.epoch, 3);
    assert_eq!(made.record.recipe_digest, first.record.recipe_digest);
    assert_sound(&rig, made).await;
    let (_, _, before) = credentials::raster::decode(&rig.get(first.reconstruction).await).expect("a PNG");
    let (_, _, after) = credentials::raster::decode(&rig.get(made.image).await).expect("a PNG");
    assert_ne!(before, after, "three steps change something");
    assert_eq!(edited(&repaired[1]), edited(&outcomes[1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapper_trains_in_slices_to_the_same_bytes_and_edits_a_batch() {
    let mut rig = Rig::new(Duration::ZERO).await;
    let mut sources = Vec::new();
    for number in 0..16 {
        sources.push(rig.put_demo(&format!("train/{number:03}.png")).await);
    }
    // One that cannot be decoded is left out.
    sources.insert(3, rig.put(b"no image".to_vec()).await);
    let list = serde_json::to_vec(&TrainingSet { sources, ..TrainingSet::default() }).expect("JSON");
    let training_set = rig.put(list).await;
    let spec = edit_spec(r#"{"kind":"cf-mapper","steps":5}"#);
    let key = StageKey::new(Stage::Train, rig.pack.digest, &[training_set], &spec, Precision::Fp32).expect("a key");
    let work = |epoch, checkpoint| {
        let item = TrainItem { fence: fence(7, epoch), key, training_set, checkpoint };
        Work::Train { edit: spec.clone(), item }
    };
    let (parts, end) = in_slices(&mut rig, work).await;
    let Outcome::Stored { artifact: mapper, .. } = end else { panic!("{end:?}") };
    assert_eq!(parts, [0.2, 0.4, 0.6, 0.8]);
    rig.set_slice(MINUTE);
    let whole = rig.run(work(1, None)).await;
    assert_eq!(whole[0].outcome, Outcome::Stored { key, artifact: mapper }, "slices leave no trace in the mapper");

    let latents = inverted(&mut rig, 3).await;
    let outcomes = rig.run(edit_work(&spec, Some(mapper), &latents, 1, &[1.0, 1.0, 0.0])).await;
    for outcome in &outcomes {
        assert_sound(&rig, edited(outcome)).await;
        assert_eq!(edited(outcome).record.recipe.mapper, Some(mapper));
    }
    let unmoved = edited(&outcomes[2]);
    let reconstruction = credentials::raster_digest(&rig.get(unmoved.reconstruction).await).expect("a PNG");
    assert_eq!(unmoved.record.outcome.raster_sha256, reconstruction, "strength 0 is the reconstruction");
}

/// Work until it ends, handing each checkpoint back; how far it was at each, and the end.
async fn in_slices(rig: &mut Rig, work: impl Fn(i64, Option<Digest>) -> Work) -> (Vec<f32>, Outcome) {
    let (mut checkpoint, mut parts) = (None, Vec::new());
    loop {
        let mut outcomes = rig.run(work(1 + parts.len() as i64, checkpoint)).await;
        match outcomes.swap_remove(0).outcome {
            Outcome::Yielded { checkpoint: Some(at), done } => {
                checkpoint = Some(at);
                parts.push(done);
            }
            end => return (parts, end),
        }
        assert!(parts.len() < 8, "a slice takes at least one step: {parts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_inversions_and_edits_go_on_from_slice_to_slice() {
    let mut rig = Rig::new(Duration::ZERO).await;
    let face = rig.put_demo("faces/source/000.png").await;
    let item = invert_items(&rig, &[face], 1).remove(0);
    let inversion = Inversion::Hybrid(domain::inversion::Refinement { steps: 4, ..Default::default() });
    let inverting = |epoch, checkpoint| {
        let fence = Fence { epoch, ..item.fence };
        Work::Invert { inversion: inversion.clone(), items: vec![InvertItem { fence, checkpoint, ..item.clone() }] }
    };
    let (parts, inverted) = in_slices(&mut rig, inverting).await;
    assert_eq!(parts, [0.25, 0.5, 0.75]);
    rig.set_slice(MINUTE);
    let whole = rig.run(inverting(1, None)).await.remove(0).outcome;
    assert_eq!(inverted, whole, "slices leave no trace in the latent");
    let Outcome::Stored { artifact, .. } = whole else { panic!("not inverted: {whole:?}") };

    let spec = edit_spec(r#"{"kind":"clip-nce","steps":4,"views":2}"#);
    let work = edit_work(&spec, None, &[(item.source.clone(), artifact)], 1, &[1.0]);
    let Work::Edit { edit, inversion, mapper, items } = work else { panic!("an edit") };
    let editing = |epoch, checkpoint| {
        let fence = Fence { epoch, ..items[0].fence };
        let items = vec![EditItem { fence, checkpoint, ..items[0].clone() }];
        Work::Edit { edit: edit.clone(), inversion: inversion.clone(), mapper, items }
    };
    let raster = |outcome: &Outcome| match outcome {
        Outcome::Edited(edited) => (edited.record.outcome.raster_sha256, edited.record.outcome.loss.clone()),
        other => panic!("not edited: {other:?}"),
    };
    let whole = rig.run(editing(1, None)).await.remove(0).outcome;
    rig.set_slice(Duration::ZERO);
    // another task, so that the result of the first does not answer for it
    let other = |epoch, checkpoint| match editing(epoch, checkpoint) {
        Work::Edit { edit, inversion, mapper, mut items } => {
            items[0].fence.task.no += 1;
            Work::Edit { edit, inversion, mapper, items }
        }
        other => other,
    };
    let (parts, edited) = in_slices(&mut rig, other).await;
    assert_eq!(parts, [0.25, 0.5, 0.75]);
    assert_eq!(raster(&edited), raster(&whole), "slices leave no trace in the image");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_that_diverges_fails_and_its_losses_can_be_read() {
    let mut rig = Rig::new(MINUTE).await;
    let sources = vec![rig.put_demo("train/000.png").await, rig.put_demo("train/001.png").await];
    let training_set =
        rig.put(serde_json::to_vec(&TrainingSet { sources, ..TrainingSet::default() }).expect("JSON")).await;
    let spec = edit_spec(r#"{"kind":"cf-mapper","steps":5,"batch":2,"learning_rate":1e30}"#);
    let key = StageKey::new(Stage::Train, rig.pack.digest, &[training_set], &spec, Precision::Fp32).expect("a key");
    let item = TrainItem { fence: fence(7, 1), key, training_set, checkpoint: None };
    let outcomes = rig.run(Work::Train { edit: spec, item }).await;
    let (code, detail) = reason(&outcomes[0]);
    assert_eq!(code, Reason::NonFinite, "{detail}");
    let named = detail.rsplit(' ').next().expect("a sentence");
    let curve = rig.get(named.parse().expect("the sentence ends with a digest")).await;
    let curve: serde_json::Value = serde_json::from_slice(&curve).expect("JSON");
    let losses = curve["loss"].as_array().expect("a list");
    assert!(losses[0].is_f64() && losses.last().expect("a step").is_null(), "{curve}");
    assert_eq!(curve["steps"], losses.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_latent_fails_alone() {
    let mut rig = Rig::new(MINUTE).await;
    let mut latents = inverted(&mut rig, 4).await;
    let mut poisoned = rig.get(latents[1].1).await;
    // The tensor's values are the end of the file.
    let last = poisoned.len() - 4;
    poisoned[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    latents[1].1 = rig.put(poisoned).await;
    latents[3].1 = Digest::of("never uploaded");
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":2}"#);
    let outcomes = rig.run(edit_work(&spec, None, &latents, 1, &[1.0; 4])).await;
    let (reason_of_poison, detail) = reason(&outcomes[1]);
    assert!(matches!(reason_of_poison, Reason::NonFinite | Reason::Internal), "{reason_of_poison}: {detail}");
    assert_eq!(reason(&outcomes[3]).0, Reason::Internal, "a lost latent is no fault of the source");
    for place in [0, 2] {
        assert_sound(&rig, edited(&outcomes[place])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_item_stops_and_ends_without_a_word() {
    let mut rig = Rig::new(MINUTE).await;
    let latents = inverted(&mut rig, 2).await;
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":4000}"#);
    let running = rig.start(edit_work(&spec, None, &latents, 1, &[1.0, 1.0]));
    let held = std::sync::Arc::clone(&rig.line.held);
    testkit::wait_until("the edit takes steps", MINUTE, || {
        let stepped = held.progress().iter().any(|p| p.done > 0.0);
        async move { stepped.then_some(()) }
    })
    .await;
    let asked = Instant::now();
    assert_eq!(held.cancel(|_| true), 2);
    running.await.expect("the batch ends");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    // The next batch's outcomes come first: nothing was said about the cancelled one.
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":1}"#);
    let outcomes = rig.run(edit_work(&spec, None, &latents[..1], 1, &[1.0])).await;
    assert_eq!(outcomes.len(), 1);
    edited(&outcomes[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concerns_the_whole_batch_reaches_every_item() {
    let mut rig = Rig::new(MINUTE).await;
    let latents = inverted(&mut rig, 2).await;
    let long = EditSpec { text: "hair ".repeat(50), ..edit_spec(r#"{"kind":"clip-nce","steps":1}"#) };
    let outcomes = rig.run(edit_work(&long, None, &latents, 1, &[1.0, 1.0])).await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|o| reason(o).0 == Reason::TextTooLong), "{outcomes:?}");

    // Another pack, whose generator is damaged in the bucket.
    let spoilt = rig.spoil_pack("generator.safetensors").await;
    let source = rig.put_demo("faces/source/000.png").await;
    let mut items = invert_items(&rig, &[source, source], 1);
    items[1].fence = fence(9, 1);
    let outcomes = rig.run_on(spoilt, invert(items)).await;
    assert_eq!(outcomes.len(), 2);
    for outcome in &outcomes {
        let (reason, detail) = reason(outcome);
        assert_eq!(reason, Reason::PackInvalid);
        assert!(detail.contains("generator.safetensors"), "the file is named: {detail}");
    }

    // A worker that drains hands back what it has not begun.
    rig.line.drain.begin(MINUTE);
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":1}"#);
    let outcomes = rig.run(edit_work(&spec, None, &latents, 1, &[1.0, 1.0])).await;
    let untouched = Outcome::Yielded { checkpoint: None, done: 0.0 };
    assert!(outcomes.len() == 2 && outcomes.iter().all(|o| o.outcome == untouched), "{outcomes:?}");
}

/// A mask file: white above the row `below`, black from there on.
fn mask(below: u32) -> Vec<u8> {
    let mask = GrayImage::from_fn(128, 128, |_, y| Luma([if y < below { 255 } else { 0 }]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    mask.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

/// Greatest change of a byte in the rows `from` to `to` of two 64 x 64 images.
fn greatest_change(a: &[u8], b: &[u8], from: usize, to: usize) -> u8 {
    let rows = from * 64 * 3..to * 64 * 3;
    a[rows.clone()].iter().zip(&b[rows]).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_stays_inside_its_mask_and_a_bad_mask_costs_its_item_alone() {
    let mut rig = Rig::new(MINUTE).await;
    let latents = inverted(&mut rig, 5).await;
    let mut spec = edit_spec(r#"{"kind":"clip-nce","steps":12,"region":{"mask":"hair","feather":0}}"#);
    spec.accept.max_outside_change = Some(0.01);
    spec.accept.min_preservation = Some(1.0);
    let upper = rig.put(mask(64)).await;
    let whole = mask(128);
    let cut = rig.put(whole[..whole.len() / 2].to_vec()).await;
    let masks = [Some(upper), None, Some(cut), Some(Digest::of("never uploaded")), Some(upper)];
    let with_masks = |work: Work, masks: &[Option<Digest>]| match work {
        Work::Edit { edit, inversion, mapper, mut items } => {
            items.iter_mut().zip(masks).for_each(|(item, mask)| item.mask = *mask);
            Work::Edit { edit, inversion, mapper, items }
        }
        other => other,
    };
    let outcomes = rig.run(with_masks(edit_work(&spec, None, &latents, 1, &[1.0; 5]), &masks)).await;
    for (place, expected, words) in [
        (1, Reason::MissingMask, "no mask 'hair'"),
        (2, Reason::Truncated, "the mask 'hair' of file:///faces/2.png"),
        (3, Reason::MissingMask, "faces/3.png"),
    ] {
        let (found, detail) = reason(&outcomes[place]);
        assert_eq!(found, expected, "{place}: {detail}");
        assert!(detail.contains(words), "{place}: {detail}");
    }
    for place in [0, 4] {
        let edited = edited(&outcomes[place]);
        assert_sound(&rig, edited).await;
        assert_eq!(edited.record.recipe.mask, Some(upper));
        let (_, _, before) = credentials::raster::decode(&rig.get(edited.reconstruction).await).expect("a PNG");
        let (_, _, after) = credentials::raster::decode(&rig.get(edited.image).await).expect("a PNG");
        assert!(greatest_change(&before, &after, 0, 32) > 3, "it changes inside");
        assert_eq!(greatest_change(&before, &after, 32, 64), 0, "and nowhere else");
        let outcome = &edited.record.outcome;
        assert_eq!(outcome.metrics["outside_change"], 0.0);
        assert!(outcome.metrics["mean_change"] > 0.0);
        assert!(!outcome.rejected_for.contains(&RejectReason::OutsideChanged));
        assert_eq!(outcome.verdict == Some(Verdict::Accept), outcome.rejected_for.is_empty());
    }

    // without the region the same rule rejects, and says why; the rules alone do not change the image
    let open = edit_spec(r#"{"kind":"clip-nce","steps":12}"#);
    let strict = |accept: &str| EditSpec { accept: serde_json::from_str(accept).expect("rules"), ..open.clone() };
    let rejected =
        rig.run(edit_work(&strict(r#"{"target":false,"max_change":0.001}"#), None, &latents[..1], 1, &[1.0])).await;
    let plain = rig.run(edit_work(&open, None, &latents[1..2], 1, &[1.0])).await;
    let accepted =
        rig.run(edit_work(&strict(r#"{"target":false,"max_change":255}"#), None, &latents[1..2], 4, &[1.0])).await;
    let told = |outcomes: &[ItemOutcome]| edited(&outcomes[0]).record.outcome.clone();
    assert_eq!(told(&rejected).verdict, Some(Verdict::Reject));
    assert_eq!(told(&rejected).rejected_for, [RejectReason::ChangedTooMuch]);
    assert_eq!((told(&accepted).verdict, told(&accepted).rejected_for), (Some(Verdict::Accept), vec![]));
    assert_eq!(told(&accepted).raster_sha256, told(&plain).raster_sha256);

    // a text the judge cannot tell, and no rule that could be applied: nothing is said
    let unknown = EditSpec { text: "a face with elf ears".to_owned(), ..open.clone() };
    let unjudged = rig.run(edit_work(&unknown, None, &latents[..1], 1, &[1.0])).await;
    assert_eq!((told(&unjudged).verdict, told(&unjudged).rejected_for), (None, vec![]));
}
