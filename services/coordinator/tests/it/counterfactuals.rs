//! What a job may ask of a pack and a dataset, and masks on their way in.

use crate::support::{Bench, job};
use anyhow::Result;
use axum::http::StatusCode;
use domain::Digest;
use serde_json::{Value, json};
use wire::http::v1::{Dataset, Job, Page, Source, SourcesAdded};

/// A job of one per-image edit with these fields on top, `method` among them.
fn edit_with(fields: Value) -> Value {
    let mut edit = json!({ "name": "green", "text": "a face with green hair", "method": { "kind": "clip-nce" } });
    for (name, value) in fields.as_object().into_iter().flatten() {
        match (edit.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            (Some(there), Some(given)) => there.extend(given.clone()),
            _ => edit[name] = value.clone(),
        }
    }
    json!({ "name": "x", "dataset": "faces", "pack": crate::support::PACK, "edits": [edit] })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pack_or_dataset_cannot_do_is_refused_by_its_field() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 2).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    // the demo pack with nothing that it can do without but the judge
    let pack = packs::Pack::open(testkit::workspace_root().join("deploy/demo/pack"))?;
    let mut bare = pack.manifest().clone();
    (bare.clip_second, bare.identity, bare.perceptual) = (None, None, None);
    bare.name = "bare".to_owned();
    let (status, answer) = bench.post("/v1/packs", &json!({ "manifest": toml::to_string(&bare)? }), &[]).await?;
    assert!(status.is_success(), "{status} {answer}");
    let on_bare = |fields: Value| {
        let mut spec = edit_with(fields);
        spec["pack"] = json!("bare");
        spec
    };
    let unknown = json!({ "text": "a face with elf ears" });
    let with = |more: Value| {
        let mut fields = unknown.clone();
        fields.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        fields
    };
    let cases = [
        (json!({ "method": { "identity": 0.1 } }), "edits[0].method.identity", "[identity]"),
        (json!({ "method": { "perceptual": 0.1 } }), "edits[0].method.perceptual", "[perceptual]"),
        (
            json!({ "method": { "kind": "cf-mapper", "preset": "repro-2022" } }),
            "edits[0].method.identity",
            "[identity]",
        ),
        (json!({ "method": { "layers": [4, 10] } }), "edits[0].method.layers", "0 to 9"),
        (json!({ "method": { "layers": [5, 4] } }), "edits[0].method.layers", "4"),
        (json!({ "method": { "guide_resolution": 64 } }), "edits[0].method.guide_resolution", "at most 32"),
        (json!({ "method": { "guide_resolution": 48 } }), "edits[0].method.guide_resolution", "power of two"),
        (json!({ "method": { "region": { "mask": "hair" } } }), "edits[0].method.region.mask", "no masks at all"),
        (json!({ "accept": { "min_identity": 0.5 } }), "edits[0].accept.min_identity", "[identity]"),
        (json!({ "accept": { "min_second_clip_gain": 0.1 } }), "edits[0].accept.min_second_clip_gain", "[clip_second]"),
        (json!({ "accept": { "min_identity": 1.5 } }), "edits[0].accept.min_identity", "-1 and 1"),
        (json!({ "accept": { "max_outside_change": 2 } }), "edits[0].accept.max_outside_change", "no region"),
        (with(json!({ "accept": { "min_probability": 0.9 } })), "edits[0].accept.min_probability", "green hair"),
        (with(json!({ "accept": { "min_preservation": 0.9 } })), "edits[0].accept.min_preservation", "elf ears"),
        (with(json!({ "strength_search": {} })), "edits[0].strength_search", "cannot tell"),
        (json!({ "text": "A Face" }), "edits[0].text", "neutral"),
    ];
    for (fields, field, words) in cases {
        let (status, answer) = bench.post("/v1/jobs", &on_bare(fields.clone()), &[]).await?;
        assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("invalid_spec")), "{fields}: {answer}");
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(field) && detail.contains(words), "{fields}: {detail}");
    }
    let (status, answer) = bench.post("/v1/jobs", &edit_with(json!({ "accept": { "min_luck": 1 } })), &[]).await?;
    assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("invalid_json")), "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|d| d.contains("min_luck")), "{answer}");

    // what this pack can do, and one thing that only the whole one can
    let (status, _) =
        bench.post("/v1/jobs", &edit_with(json!({ "accept": { "min_second_clip_gain": 0.1 } })), &[]).await?;
    assert_eq!(status, StatusCode::CREATED);
    let fine = json!({
        "method": { "kind": "styleclip", "layers": [0, 9], "guide_resolution": 32, "region": { "box": [0, 0, 1, 0.5] } },
        "accept": { "min_probability": 0.5, "min_preservation": 0.8, "max_change": 30, "max_outside_change": 2 },
        "strength_search": { "probability": 0.8 },
    });
    let (status, answer) = bench.post("/v1/jobs", &on_bare(fine), &[]).await?;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn training_on_the_edited_images_is_allowed_and_told() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 2).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let (_, apart) = bench.post("/v1/jobs", &job("apart"), &[]).await?;
    assert_eq!(apart.get("warnings"), None, "{apart}");
    let mut spec = job("same");
    spec["edits"][0]["method"]["train_on"] = json!("faces");
    let (status, told) = bench.post("/v1/jobs", &spec, &[]).await?;
    assert_eq!(status, StatusCode::CREATED);
    let told: Job = serde_json::from_value(told)?;
    assert!(told.warnings[0].starts_with("edits[0].method.train_on"), "{:?}", told.warnings);
    let methods: Vec<_> = told.edits.iter().map(|e| (e.method.as_str(), e.succeeded, e.accepted_yield)).collect();
    assert_eq!(methods, [("cf-mapper", 0, None), ("clip-nce", 0, None)]);
    let page = bench.get(&format!("/jobs/{}", told.id)).await?.2;
    assert!(String::from_utf8_lossy(&page).contains("these very images"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_come_in_with_sources_and_are_kept() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 3).await?;
    bench.pack().await?;
    let mask = bench.app.artifacts.put(b"a mask".to_vec()).await?;
    let other = bench.app.artifacts.put(b"another mask".to_vec()).await?;
    let source = |no: usize, masks: Value| json!({ "sha256": Digest::of(format!("faces {no}")), "uri": format!("faces/{no}.png"), "bytes": 7, "masks": masks });
    let add = async |sources: Vec<Value>| -> Result<SourcesAdded> {
        let (status, answer) = bench.post("/v1/datasets/faces/sources", &json!({ "sources": sources }), &[]).await?;
        anyhow::ensure!(status.is_success(), "{answer}");
        Ok(serde_json::from_value(answer)?)
    };
    let absent = Digest::of("never uploaded");
    let added = add(vec![source(0, json!({ "hair": mask })), source(1, json!({ "hair": absent }))]).await?;
    assert_eq!((added.added, added.masks, added.missing), (0, 1, vec![absent]));
    let added =
        add(vec![source(0, json!({ "hair": other })), source(2, json!({ "hair": other, "skin": mask }))]).await?;
    assert_eq!((added.masks, added.mask_conflicts.len()), (2, 1));
    let conflict = &added.mask_conflicts[0];
    assert_eq!((conflict.uri.as_str(), conflict.mask.as_str(), conflict.kept), ("faces/0.png", "hair", mask));
    let dataset: Dataset = bench.read("/v1/datasets/faces").await?;
    assert_eq!(dataset.masks, [("hair".to_owned(), 2), ("skin".to_owned(), 1)].into());
    let page: Page<Source> = bench.read("/v1/datasets/faces/sources").await?;
    assert_eq!(page.items.iter().map(|s| s.masks.len()).collect::<Vec<_>>(), [1, 0, 2]);
    assert_eq!(page.items[0].masks["hair"], mask);
    let bad = json!({ "sources": [source(1, json!({ "../hair": mask }))] });
    let (status, answer) = bench.post("/v1/datasets/faces/sources", &bad, &[]).await?;
    assert_eq!(status.as_u16(), 422);
    assert!(
        answer["detail"].as_str().is_some_and(|d| d.contains("sources[0].masks") && d.contains("../hair")),
        "{answer}"
    );
    assert!(String::from_utf8_lossy(&bench.get("/datasets").await?.2).contains("skin"));

    // a job may name a mask that some sources have, and the refusal of another names those there are
    let (status, answer) =
        bench.post("/v1/jobs", &edit_with(json!({ "method": { "region": { "mask": "hair" } } })), &[]).await?;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (_, answer) =
        bench.post("/v1/jobs", &edit_with(json!({ "method": { "region": { "mask": "ears" } } })), &[]).await?;
    assert!(answer["detail"].as_str().is_some_and(|d| d.contains("it has hair, skin")), "{answer}");
    Ok(())
}
