//! The smallest strength that reaches the judged target, on the demo pack.

use crate::demo;
use domain::edit::StrengthSearch;
use editing::raster;
use editing::score::{Goal, read};
use editing::search::{at_strengths, smallest};

/// From a face towards another that has glasses, the judge sees them from some strength on.
#[test]
fn the_strength_found_reaches_the_target_and_less_does_not() {
    let engine = demo::engine();
    let faces = demo::pictures(&engine, "faces/source", 0..24);
    let latents = engine.encode(&faces).unwrap();
    let shown = raster::as_published(&engine.render(&latents).unwrap()).unwrap();
    let readings = read(&engine, &shown).unwrap().unwrap();
    let with = |wanted: bool| {
        let holds = |i: &usize| (readings[*i].class("glasses") == Some("glasses")) == wanted;
        (0..readings.len()).filter(holds).collect::<Vec<_>>()
    };
    let (bare, glasses) = (with(false), with(true));
    let pick = |i: usize| latents.narrow(0, i as i64, 1);
    let source = tch::Tensor::cat(&[pick(bare[0]), pick(bare[1]), pick(bare[2])], 0);
    // The third goes towards another bare face: no strength reaches the target.
    let edited = tch::Tensor::cat(&[pick(glasses[0]), pick(glasses[1]), pick(bare[3])], 0);
    let goal = Goal { head: "glasses".into(), class: "glasses".into(), tied: vec![] };
    let search = StrengthSearch { probability: 0.9, scan: 4, halvings: 5 };
    let show = |strengths: &[f64]| {
        raster::as_published(&engine.render(&at_strengths(&source, &edited, strengths).unwrap()).unwrap())
    };
    let found = smallest(&engine, &goal, &search, &[1.0, 1.0, 1.0], &mut |s| show(s)).unwrap();
    assert_eq!(found.iter().map(|f| f.reached).collect::<Vec<_>>(), [true, true, false]);
    // In vain: the scan's strength at which the judge was surest.
    let sure = |strength: f64| {
        let shown = show(&[strength; 3]).unwrap();
        read(&engine, &shown).unwrap().unwrap()[2].probability("glasses", "glasses").unwrap()
    };
    let surest = [0.25, 0.5, 0.75, 1.0].into_iter().max_by(|a, b| sure(*a).total_cmp(&sure(*b))).unwrap();
    assert_eq!(found[2].strength, surest);
    let probability = |factor: f64| -> Vec<f64> {
        let strengths: Vec<_> = found.iter().map(|f| f.strength * factor).collect();
        let readings = read(&engine, &show(&strengths).unwrap()).unwrap().unwrap();
        readings.iter().map(|r| r.probability("glasses", "glasses").unwrap()).collect()
    };
    let (there, less) = (probability(1.0), probability(0.9));
    assert!(there[0] >= 0.9 && there[1] >= 0.9, "{there:?}");
    assert!(less[0] < 0.9 && less[1] < 0.9, "{less:?}");
    let unknown = Goal { head: "wings".into(), class: "wings".into(), tied: vec![] };
    assert!(smallest(&engine, &unknown, &search, &[1.0, 1.0, 1.0], &mut |s| show(s)).is_err());
}
