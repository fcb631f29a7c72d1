//! Jobs in different precisions on one worker.

use super::*;
use crate::stages::invert::read_note;

/// Mean difference of two pictures of one size, in levels.
fn levels_apart(a: &[u8], b: &[u8]) -> f64 {
    let [a, b] = [a, b].map(|file| image::load_from_memory(file).expect("a PNG").to_rgb8().into_raw());
    let total: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    total / a.len() as f64
}

/// Whose turn it is decides in what the device computes: each job's results are its own, to the bit, whatever was computed between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_is_computed_in_its_own_precision() {
    let mut rig = Rig::new(MINUTE).await;
    let latents = inverted(&mut rig, 2).await;
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":4,"views":2}"#);
    let mut images = Vec::new();
    for precision in [Precision::Fp32, Precision::Bf16, Precision::Tf32, Precision::Fp32, Precision::Bf16] {
        let outcomes = rig.run_in(precision, edit_work(&spec, None, &latents, 1, &[1.0; 2])).await;
        let mut pair = Vec::new();
        for outcome in &outcomes {
            let edited = edited(outcome);
            assert_sound(&rig, edited).await;
            assert_eq!(edited.record.recipe.precision, precision.name());
            pair.push(rig.get(edited.record.outcome.latent).await);
        }
        images.push(pair);
    }
    assert_eq!(images[0], images[3], "fp32 is fp32 after bf16");
    assert_eq!(images[1], images[4], "bf16 is bf16 after fp32");
    assert_ne!(images[0], images[1]);
    // a CPU multiplies exactly where a GPU may round
    assert_eq!(images[0], images[2]);
}

/// Source and edit are compared pixel by pixel, so the reconstruction is drawn in what the edit is drawn in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconstruction_is_drawn_in_the_jobs_precision() {
    let mut rig = Rig::new(MINUTE).await;
    let source = rig.put_demo("faces/source/000.png").await;
    let mut drawn = Vec::new();
    for precision in [Precision::Fp32, Precision::Bf16] {
        let key = StageKey::new(Stage::Invert, rig.pack.digest, &[source], &Inversion::default(), precision);
        let mut items = invert_items(&rig, &[source], 1);
        items[0].key = key.expect("a key");
        let outcomes = rig.run_in(precision, invert(items)).await;
        let Outcome::Stored { artifact, .. } = outcomes[0].outcome else { panic!("{outcomes:?}") };
        let latent = rig.get(artifact).await;
        drawn.push(rig.get(read_note(&latent).expect("a note").reconstruction).await);
    }
    let apart = levels_apart(&drawn[0], &drawn[1]);
    assert!(apart > 0.0 && apart < 2.0, "{apart} levels");
}
