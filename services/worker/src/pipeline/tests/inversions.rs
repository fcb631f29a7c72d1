//! Inversions that find more than a latent, and what edits make of them.

use super::*;
use crate::stages::invert::read_note;
use domain::inversion::{PivotalTuning, Refinement};

/// At strength 0 an edit is the reconstruction, and only so if it is drawn with the weights that the inversion found; a face
/// without any goes through the same batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_a_pivotal_inversion_keep_its_weights() {
    let mut rig = Rig::new(MINUTE).await;
    let plain = inverted(&mut rig, 2).await;
    let sources: Vec<_> = plain.iter().map(|(source, _)| source.sha256).collect();
    let pivot = Refinement { steps: 5, ..Refinement::default() };
    let inversion = Inversion::Pivotal(PivotalTuning { pivot, steps: 12, ..PivotalTuning::default() });
    let mut items = invert_items(&rig, &sources, 1);
    for item in &mut items {
        let key = StageKey::new(Stage::Invert, rig.pack.digest, &[item.source.sha256], &inversion, Precision::Fp32);
        item.key = key.expect("a key");
    }
    let outcomes = rig.run(Work::Invert { inversion, items }).await;
    let mut tuned = Vec::new();
    for (outcome, (source, encoded)) in outcomes.iter().zip(&plain) {
        let Outcome::Stored { artifact, .. } = outcome.outcome else { panic!("{outcome:?}") };
        let (note, before) = (rig.get(artifact).await, rig.get(*encoded).await);
        let (note, before) = (read_note(&note).expect("a note"), read_note(&before).expect("a note"));
        assert_eq!(note.steps, 17);
        assert!(note.metrics["reconstruction_mse"] < before.metrics["reconstruction_mse"], "{note:?} {before:?}");
        assert_eq!(note.metrics.get("reconstruction_psnr").copied(), note.psnr);
        assert!(note.metrics["delta_bytes"] > 0.0 && !before.metrics.contains_key("delta_bytes"));
        tuned.push((source.clone(), artifact));
    }

    let latents = [tuned[0].clone(), plain[1].clone(), tuned[1].clone()];
    let spec = edit_spec(r#"{"kind":"clip-nce","steps":2}"#);
    let kept = rig.run(edit_work(&spec, None, &latents, 1, &[0.0; 3])).await;
    let moved = rig.run(edit_work(&spec, None, &latents, 1, &[1.0; 3])).await;
    for (place, (kept, moved)) in kept.iter().zip(&moved).enumerate() {
        let (kept, moved) = (edited(kept), edited(moved));
        assert_sound(&rig, kept).await;
        let pixels = |digest| {
            let rig = &rig;
            async move { credentials::raster::decode(&rig.get(digest).await).expect("a PNG").2 }
        };
        let before = pixels(kept.reconstruction).await;
        assert!(greatest_change(&before, &pixels(kept.image).await, 0, 64) <= 1, "{place}: it is the reconstruction");
        assert!(greatest_change(&before, &pixels(moved.image).await, 0, 64) > 3, "{place}: it is changed");
        let metrics = &kept.record.outcome.metrics;
        assert!(metrics["reconstruction_mse"] > 0.0 && metrics["reconstruction_psnr"] > 20.0, "{metrics:?}");
        assert_eq!(metrics.contains_key("delta_rounding_mse"), place != 1);
    }
}
