//! Jobs that frame their sources as FFHQ does: by landmarks that were given, or by the pack's detector; and whatever a picture lacks,
//! its batch-mates do not miss it.

use super::*;
use crate::stages::invert::{LatentNote, read_note};
use crate::stages::prepare::{Limits, upright};
use domain::Landmarks;
use domain::record::LandmarkOrigin;
use image::{ImageFormat, Rgb, RgbImage};
use packs::Pack;
use std::collections::BTreeMap;
use std::io::Cursor;
use tch::{Kind, Tensor};
use testkit::workspace_root;
use wire::broker::v1::PackRef;

/// MTCNN with weights by hand. It takes for a face what is red: the first two networks let every square pass, and the third takes the
/// part of a square that is red for its probability, and has the landmarks at fixed places in it.
fn red_is_a_face() -> Vec<u8> {
    let shapes = workspace_root().join("shared/networks/tests/parity_detector/data/tensors.json");
    let shapes: BTreeMap<String, Vec<i64>> =
        serde_json::from_slice(&std::fs::read(shapes).expect("the names")).expect("JSON");
    let mut tensors: BTreeMap<_, _> = shapes
        .into_iter()
        .map(|(name, shape)| (name, Tensor::zeros(&shape, (Kind::Float, tch::Device::Cpu))))
        .collect();
    let mut set = |name: &str, places: &[(&[i64], f64)]| {
        for (at, value) in places {
            let mut place = tensors[name].shallow_clone();
            for index in *at {
                place = place.select(0, *index);
            }
            let _ = place.fill_(*value);
        }
        tensors.insert(name.to_owned(), tensors[name].shallow_clone());
    };
    set("pnet.conv4_1.bias", &[(&[1], 1.0)]);
    set("rnet.dense5_1.bias", &[(&[1], 2.0)]);
    // red is (1, -1, -1) in what the networks see: 2 - 1; skin, white and grey are below zero
    set("onet.conv1.weight", &[(&[0, 0, 1, 1], 1.0), (&[0, 1, 1, 1], -0.5), (&[0, 2, 1, 1], -0.5)]);
    set("onet.conv1.bias", &[(&[0], -1.0)]);
    set("onet.conv2.weight", &[(&[0, 0, 1, 1], 1.0)]);
    set("onet.conv3.weight", &[(&[0, 0, 1, 1], 1.0)]);
    set("onet.conv4.weight", &[(&[0, 0, 0, 0], 1.0)]);
    for place in 0..9 {
        set("onet.dense5.weight", &[(&[0, place * 128], 1.0 / 9.0)]);
    }
    set("onet.dense6_1.weight", &[(&[1, 0], 20.0)]);
    set("onet.dense6_1.bias", &[(&[1], -5.0)]);
    let points = [0.3, 0.7, 0.5, 0.35, 0.65, 0.35, 0.35, 0.55, 0.75, 0.75];
    for (index, part) in (0..).zip(points) {
        set("onet.dense6_3.bias", &[(&[index], part)]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("detector.safetensors");
    Tensor::write_safetensors(&tensors.into_iter().collect::<Vec<_>>(), &path).expect("written");
    std::fs::read(path).expect("read")
}

/// The demo pack with that detector.
async fn with_detector(rig: &Rig) -> PackRef {
    let detector = rig.put(red_is_a_face()).await;
    let demo = Pack::open(workspace_root().join("deploy/demo/pack")).expect("the demo pack");
    let part = format!(
        "\n[detector]\narchitecture = \"mtcnn\"\nfile = \"detector.safetensors\"\nsha256 = \"{detector}\"\ndtype = \"f32\"\n"
    );
    let text = demo.manifest_text().to_owned() + &part;
    let digest = packs::Manifest::from_toml(&text).expect("a manifest").digest();
    PackRef { name: "with-detector".into(), digest, manifest: rig.put(text.into_bytes()).await }
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

/// Grey, with red squares: left, top, side.
fn picture(faces: &[[u32; 3]]) -> Vec<u8> {
    png(&RgbImage::from_fn(140, 110, |x, y| {
        let red = |[left, top, side]: &[u32; 3]| (*left..left + side).contains(&x) && (*top..top + side).contains(&y);
        if faces.iter().any(red) { Rgb([255, 0, 0]) } else { Rgb([127; 3]) }
    }))
}

fn landmarks(points: [[f64; 2]; 5]) -> Landmarks {
    Landmarks::new(points.to_vec()).expect("landmarks")
}

async fn note(rig: &Rig, outcome: &ItemOutcome) -> LatentNote {
    match outcome.outcome {
        Outcome::Stored { artifact, .. } => read_note(&rig.get(artifact).await).expect("a note"),
        ref other => panic!("not inverted: {other:?}"),
    }
}

/// Items framed by landmarks, or by what the detector finds.
fn framed(rig: &Rig, sources: Vec<(Digest, Option<Landmarks>)>) -> Vec<InvertItem> {
    let digests: Vec<_> = sources.iter().map(|(digest, _)| *digest).collect();
    let mut items = invert_items(rig, &digests, 1);
    for (item, (_, landmarks)) in items.iter_mut().zip(sources) {
        item.framing = Framing::Ffhq { landmarks };
        item.key = StageKey(Digest::of(item.source.uri.as_bytes()));
    }
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_without_a_face_fails_alone_and_the_others_say_how_they_were_framed() {
    let mut rig = Rig::new(MINUTE).await;
    let given = landmarks([[24.0, 30.0], [40.0, 30.0], [32.0, 37.0], [26.0, 44.0], [38.0, 44.0]]);
    let elsewhere = landmarks([[924.0, 30.0], [940.0, 30.0], [932.0, 37.0], [926.0, 44.0], [938.0, 44.0]]);
    let demo = rig.put_demo("faces/source/000.png").await;
    let other = rig.put_demo("faces/source/001.png").await;
    let seen = picture(&[[50, 30, 40]]);
    let two = picture(&[[8, 60, 24], [60, 12, 60]]);
    let sources = vec![
        (demo, Some(given.clone())),
        (rig.put(picture(&[])).await, None),
        (rig.put(seen.clone()).await, None),
        (other, Some(elsewhere)),
        (rig.put(two).await, None),
        (rig.put(b"no image".to_vec()).await, None),
    ];
    let pack = with_detector(&rig).await;
    let items = framed(&rig, sources.clone());
    let outcomes = rig.run_on(pack, Work::Invert { inversion: Inversion::default(), items }).await;
    let (code, detail) = reason(&outcomes[1]);
    assert!(code == Reason::NoFace && detail.contains("landmarks"), "{code}: {detail}");
    let (code, detail) = reason(&outcomes[3]);
    assert!(code == Reason::BadLandmarks && detail.contains("(924, 30)"), "{code}: {detail}");
    assert_eq!(reason(&outcomes[5]).0, Reason::NotAnImage);

    let told = note(&rig, &outcomes[0]).await.source;
    assert!(told.conversions.contains(&"ffhq-frame".to_owned()), "{:?}", told.conversions);
    let face = told.face.expect("the face");
    assert_eq!((face.landmarks, face.origin), (given, LandmarkOrigin::Given));

    let told = note(&rig, &outcomes[2]).await.source;
    let face = told.face.clone().expect("the face");
    let LandmarkOrigin::Detected { probability, .. } = face.origin else { panic!("{face:?}") };
    assert!((0.7..=1.0).contains(&probability));
    // the largest square that is red enough reaches beyond what is red, which is (50, 30) to (90, 70)
    let [x, y] = face.landmarks.points()[2];
    assert!((45.0..95.0).contains(&x) && (25.0..75.0).contains(&y), "{face:?}");
    // what the record says is enough to make the pixels again
    let again = upright(&seen, &Limits::default()).expect("an image").framed(face, 64).expect("framed");
    assert_eq!((again.raster_sha256, again.conversions), (told.raster_sha256, told.conversions));
    assert!(outcomes[2].gpu_ms > 0.0 && outcomes[1].gpu_ms > 0.0, "looking for a face is work");

    let face = note(&rig, &outcomes[4]).await.source.face.expect("the face");
    let LandmarkOrigin::Detected { faces, .. } = face.origin else { panic!("{face:?}") };
    let [x, _] = face.landmarks.points()[2];
    assert!(faces >= 2 && x > 50.0, "the larger of {faces}: {face:?}");

    // the same on a pack without a detector: what has landmarks goes through
    let items = framed(&rig, sources[..3].to_vec());
    let outcomes = rig.run(Work::Invert { inversion: Inversion::default(), items }).await;
    note(&rig, &outcomes[0]).await;
    for place in [1, 2] {
        let (code, detail) = reason(&outcomes[place]);
        assert!(code == Reason::MissingLandmarks && detail.contains("--detector"), "{code}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mask_of_a_framed_face_is_framed_too_and_its_record_has_the_face() {
    let mut rig = Rig::new(MINUTE).await;
    // the frame is 32 px wide, in the upper half of the picture's 64: where the mask is white
    let given = landmarks([[28.0, 13.0], [36.0, 13.0], [32.0, 17.0], [29.0, 21.0], [35.0, 21.0]]);
    let source = rig.put_demo("faces/source/000.png").await;
    let items = framed(&rig, vec![(source, Some(given.clone()))]);
    let latents = rig.run(Work::Invert { inversion: Inversion::default(), items: items.clone() }).await;
    let Outcome::Stored { artifact, .. } = latents[0].outcome else { panic!("{latents:?}") };
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":12,"region":{"mask":"hair","feather":0}}"#);
    let mut work = edit_work(&spec, None, &[(items[0].source.clone(), artifact)], 1, &[1.0]);
    let upper = rig.put(mask(64)).await;
    if let Work::Edit { items, .. } = &mut work {
        items[0].mask = Some(upper);
    }
    let outcomes = rig.run(work).await;
    let edited = edited(&outcomes[0]);
    assert_sound(&rig, edited).await;
    assert_eq!(edited.record.recipe.source.face.as_ref().expect("the face").landmarks, given);
    let (_, _, before) = credentials::raster::decode(&rig.get(edited.reconstruction).await).expect("a PNG");
    let (_, _, after) = credentials::raster::decode(&rig.get(edited.image).await).expect("a PNG");
    assert!(greatest_change(&before, &after, 40, 64) > 3, "the frame's lower half is white in the mask as well");
}
