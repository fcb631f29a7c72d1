//! Frames against those that Pillow, NumPy and SciPy make (`fixtures/make.py`), and what lays no frame.

use super::{Done, Misplaced, align, align_mask};
use domain::Landmarks;
use domain::landmarks::Anchors;
use image::{GrayImage, RgbImage};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Case {
    landmarks: Landmarks,
    size: u32,
    shrunk: Option<u32>,
    padded: bool,
}

fn at(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/stages/prepare/align/fixtures").join(name)
}

fn picture(name: &str) -> RgbImage {
    image::open(at(&format!("{name}.png"))).expect("a fixture").to_rgb8()
}

#[test]
fn frames_are_those_of_pillow_numpy_and_scipy() {
    let cases = std::fs::read(at("cases.json")).expect("the fixtures");
    let cases: BTreeMap<String, Case> = serde_json::from_slice(&cases).expect("JSON");
    assert_eq!(cases.len(), 10);
    for (name, case) in cases {
        let made = align(picture(&name), &case.landmarks.anchors(), case.size);
        let (ours, done) = made.expect("landmarks in the image");
        assert_eq!(done, Done { shrunk: case.shrunk, padded: case.padded }, "{name}");
        let theirs = picture(&format!("{name}.framed"));
        assert_eq!(ours.dimensions(), theirs.dimensions(), "{name}");
        let apart = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let differences: Vec<u8> = ours.as_raw().iter().zip(theirs.as_raw()).map(apart).collect();
        let differing = differences.iter().filter(|d| **d > 0).count();
        let most = differences.iter().max().copied().unwrap_or(0);
        println!("{name}: {differing} of {} values differ, by {most} at most", differences.len());
        // All else is exact; a blur sums in another order, so that one value in thousands rounds the other way.
        assert!(most <= 1 && (case.padded || differing == 0), "{name}: by {most}");
        assert!(differing * 1000 <= differences.len(), "{name}: {differing} of {}", differences.len());
    }
}

fn anchors(points: [[f64; 2]; 4]) -> Anchors {
    let [eye_left, eye_right, mouth_left, mouth_right] = points;
    Anchors { eye_left, eye_right, mouth_left, mouth_right }
}

#[test]
fn what_lays_no_frame_on_the_image_is_refused() {
    let refused = |points| align(RgbImage::new(64, 64), &anchors(points), 16).map(|_| ()).unwrap_err();
    assert_eq!(refused([[9.0, 9.0]; 4]), Misplaced::OnePlace);
    let outside = refused([[90.0, 10.0], [110.0, 10.0], [92.0, 30.0], [108.0, 30.0]]);
    assert_eq!(outside, Misplaced::Outside(100.0, 12.0));
}

/// A frame of absurd size, with its middle on the image, must not take absurd memory.
#[test]
fn a_frame_far_larger_than_the_image_stays_small_in_memory() {
    let points = [[-500_000.0, 0.0], [500_000.0, 0.0], [-300_000.0, 60.0], [300_000.0, 60.0]];
    let (framed, done) = align(RgbImage::new(64, 64), &anchors(points), 16).expect("its middle is on it");
    assert_eq!(framed.dimensions(), (16, 16));
    assert!(done.padded && done.shrunk.is_some());
}

#[test]
fn a_mask_is_framed_like_its_image_and_black_beyond_it() {
    // the frame is 128 px wide, four to one of its own, and three quarters of it are beyond the mask's 64
    let points = [[-0.5, 23.0], [31.5, 23.0], [3.5, 57.0], [27.5, 57.0]];
    let white = GrayImage::from_fn(64, 64, |x, _| image::Luma([if x < 32 { 255 } else { 0 }]));
    let mask = align_mask(&white, &anchors(points), 32).expect("a frame");
    let row = &mask[16 * 32..17 * 32];
    assert_eq!((row[11], row[12], row[19], row[20]), (0, 255, 255, 0), "{row:?}");
    assert!(row.iter().all(|value| [0, 255].contains(value)), "nothing rings: {row:?}");
}
