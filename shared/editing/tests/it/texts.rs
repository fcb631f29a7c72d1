//! Texts, the judge and the pack's parts.

use crate::demo;
use domain::Reason;
use domain::edit::{MapperText, Numerics, TemplateSet};
use editing::{EditText, Engine, score};
use serde_json::Value;
use tch::Device;

#[test]
fn texts_become_unit_directions_and_over_long_ones_are_refused() {
    let engine = demo::engine();
    let text = EditText::encode(&engine, "a face with green hair", "a face", &Numerics::default()).unwrap();
    assert_eq!(text.facts.templates, 28);
    assert_eq!(text.neutral.size(), [28, 128]);
    assert!((text.direction.norm().double_value(&[]) - 1.0).abs() < 1e-5);
    assert!((text.mapper_input.norm().double_value(&[]) - 128_f64.sqrt() / 4.0).abs() < 1e-4);
    let long = format!("a face with {} hair", "green ".repeat(40));
    let error = EditText::encode(&engine, &long, "a face", &Numerics::default()).unwrap_err();
    assert_eq!(error.reason(), Reason::TextTooLong, "{error}");
}

/// Case and spaces are nothing to the tokenizer, and a text the pack's CLIP reads as the neutral one gives no direction: all the
/// rest of an edit would follow rounding.
#[test]
fn texts_without_a_direction_are_refused_by_name() {
    let engine = demo::engine();
    let encode = |target: &str| EditText::encode(&engine, target, "a face", &Numerics::default());
    for target in ["a face", "A  Face ", "a\u{a0}face"] {
        let error = encode(target).unwrap_err();
        assert_eq!(error.reason(), Reason::NoDirection, "{target}: {error}");
        assert!(error.to_string().contains(target) && error.to_string().contains("'a face'"), "{error}");
    }
    for target in ["a face.", "a faces", "the face", "a face with green hair"] {
        assert!(encode(target).is_ok(), "{target}");
    }
}

#[test]
fn the_numeric_mode_chooses_templates_and_what_the_mapper_is_told() {
    let engine = demo::engine();
    let encode = |numerics: Numerics| EditText::encode(&engine, "green hair", "face", &numerics).unwrap();
    let counts = [TemplateSet::Pack, TemplateSet::Imagenet79, TemplateSet::Prompt]
        .map(|templates| encode(Numerics { templates, ..Numerics::default() }).facts.templates);
    assert_eq!(counts, [7, 79, 1]);
    let raw = encode(Numerics { mapper_text: MapperText::RawPrompt, ..Numerics::default() });
    let bare = engine.text_features(&["green hair".to_owned()]).unwrap().get(0);
    let length = raw.mapper_input.norm().double_value(&[]);
    assert!(((&raw.mapper_input / length) - bare).abs().max().double_value(&[]) < 1e-6);
    assert!((length - 1.0).abs() > 0.1, "the feature has CLIP's own length, {length}");
}

/// The report of the pack: the judge reads held-out faces right in .976 (mouth) to 1.0 of cases.
#[test]
fn the_judge_reads_held_out_faces() {
    let engine = demo::engine();
    let list = std::fs::read_to_string(demo::folder().join("faces/faces.jsonl")).unwrap();
    let truth: Vec<Value> = list.lines().take(64).map(|line| serde_json::from_str(line).unwrap()).collect();
    let faces = demo::pictures(&engine, "faces/source", 0..64);
    let readings = score::read(&engine, &faces).unwrap().unwrap();
    for head in ["hair_color", "skin", "glasses", "clothing", "background"] {
        let right = readings.iter().zip(&truth).filter(|(r, t)| r.class(head) == t[head].as_str()).count();
        assert!(right >= 62, "{head}: {right} of 64");
    }
    let sentences = engine.sentences("a face with green hair", "a face").target;
    assert_eq!(engine.second_similarity(&faces, &sentences).unwrap().unwrap().size(), [64]);
}

#[test]
fn a_pack_with_a_missing_or_foreign_part_names_it() {
    let mut config = demo::config();
    config.encoder = Some(config.generator.weights.clone().into());
    let error = Engine::open(&config, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("generator.safetensors"), "{error}");
    let mut config = demo::config();
    config.clip.merges = "no/such/merges.txt".into();
    let error = Engine::open(&config, Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("no/such/merges.txt"), "{error}");
}
