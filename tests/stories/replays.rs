//! Outputs are rendered again from the records inside them, bit by bit: every method, inversion, guard and precision, on the machine that
//! made them.

use anyhow::{Context as _, Result};
use domain::JobId;
use domain::job_state::JobState;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use stories::{Cluster, faces};

/// Twelve faces by a trained mapper and by descent, at two strengths, with a search, in a box and in masks: 24 outputs each, and 12.
const LARGE: &str = r#"
name = "large"
dataset = "faces"
pack = "facesjs-64"
strengths = [0.5, 2.0]
[[edits]]
name = "by-mapper"
text = "a face with green hair"
method = { kind = "cf-mapper", train_on = "training", train_limit = 16, steps = 5 }
[[edits]]
name = "by-descent"
text = "a face with purple hair"
method = { kind = "clip-nce", steps = 3, views = 2 }
[[edits]]
name = "searched"
text = "a face with blue skin"
method = { kind = "directional", steps = 2 }
strength_search = { probability = 0.95 }
[[edits]]
name = "boxed"
text = "a face with glasses"
method = { kind = "styleclip", steps = 2, region = { box = [0, 0, 1, 0.5] }, layers = [0, 5] }
only = { limit = 6 }
[[edits]]
name = "masked"
text = "a face with green hair"
method = { kind = "clip-nce", steps = 2, views = 2, region = { mask = "left" } }
"#;

/// A job of few sources whose inversion is `inversion`.
fn inverted_by(inversion: &str) -> String {
    format!(
        r#"
name = "inverted"
dataset = "portraits"
pack = "facesjs-64"
frame = "ffhq"
seeds = [0, 7]
inversion = {inversion}
[[edits]]
text = "a face with green hair"
method = {{ kind = "clip-nce", steps = 2, views = 2 }}
"#
    )
}

const INVERSIONS: [&str; 3] = [
    r#"{ kind = "hybrid", steps = 3 }"#,
    r#"{ kind = "optimise", steps = 4, pixel_weight = 1.0 }"#,
    r#"{ kind = "pivotal", steps = 3, pivot = { steps = 2 } }"#,
];

/// A job of few sources that is computed in `precision`, its mapper too.
fn computed_in(precision: &str) -> String {
    format!(
        r#"
name = "{precision}"
dataset = "portraits"
pack = "facesjs-64"
precision = "{precision}"
[[edits]]
name = "by-mapper"
text = "a face with green hair"
method = {{ kind = "cf-mapper", train_on = "training", train_limit = 8, steps = 3 }}
[[edits]]
name = "by-descent"
text = "a face with purple hair"
method = {{ kind = "clip-nce", steps = 3, views = 2 }}
"#
    )
}

/// A CPU multiplies exactly what a GPU may round to TF32.
const PRECISIONS: [&str; 3] = ["fp32", "bf16", "tf32"];

struct Replayed {
    code: i32,
    lines: Vec<Value>,
    said: String,
}

/// `worker replay` on the demo pack.
async fn replay(files: &[PathBuf], flags: &[&str]) -> Result<Replayed> {
    let mut command = tokio::process::Command::new(testkit::workspace_binary("worker")?);
    let pack = testkit::workspace_root().join("deploy/demo/pack");
    command.args(["replay", "--json", "--pack"]).arg(pack).args(flags).args(files).env_remove("CFX_DEVICE");
    command.env_remove("CUBLAS_WORKSPACE_CONFIG");
    let output = command.kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(serde_json::from_slice).collect::<Result<_, _>>().with_context(|| said.clone())?;
    Ok(Replayed { code: output.status.code().unwrap_or(-1), lines, said })
}

/// The outputs of a job that has succeeded, and the mappers that they name.
async fn outputs(cluster: &Cluster, id: JobId, mappers: &Path) -> Result<Vec<PathBuf>> {
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let files = cluster.fetch_and_verify(id).await?;
    let mut named = BTreeSet::new();
    for file in &files {
        let (record, _) = credentials::extract_record(&std::fs::read(file)?)?;
        named.extend(record.recipe.mapper);
    }
    std::fs::create_dir_all(mappers)?;
    for digest in named {
        let address = format!("http://{}/v1/blobs/{digest}", cluster.server());
        let bytes = reqwest::get(address).await?.error_for_status()?.bytes().await?;
        std::fs::write(mappers.join(digest.to_string()), bytes)?;
    }
    Ok(files)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_is_rendered_again_bit_by_bit() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let pictures = faces(28)?;
    let masks = cluster.folder().join("masks");
    std::fs::create_dir_all(&masks)?;
    for picture in &pictures[..12] {
        let half = image::GrayImage::from_fn(64, 64, |x, _| image::Luma([if x < 32 { 255 } else { 0 }]));
        half.save(masks.join(&picture.name))?;
    }
    cluster.dataset("faces", &pictures[..12]).await?.expect_code(0);
    let folder = cluster.folder().join("faces");
    let flag = format!("left={}", masks.display());
    cluster.cfx(["dataset", "add", "faces", &folder.to_string_lossy(), "--mask", &flag]).await?.expect_code(0);
    cluster.dataset("training", &pictures[12..]).await?.expect_code(0);
    let points = json!([[24.0, 28.0], [40.0, 28.0], [32.0, 36.0], [26.0, 44.0], [38.0, 44.0]]);
    let lines = pictures[..2].iter().map(|p| json!({ "file": p.name, "landmarks": points }).to_string());
    let manifest = folder.join("portraits.jsonl");
    std::fs::write(&manifest, lines.collect::<Vec<_>>().join("\n"))?;
    cluster.cfx(["dataset", "add", "portraits", &manifest.to_string_lossy()]).await?.expect_code(0);

    let mappers = cluster.folder().join("mappers");
    let mut jobs = vec![cluster.submit(LARGE).await?];
    for inversion in INVERSIONS {
        jobs.push(cluster.submit(&inverted_by(inversion)).await?);
    }
    for precision in PRECISIONS {
        jobs.push(cluster.submit(&computed_in(precision)).await?);
    }
    let (mut files, mut precisions) = (Vec::new(), BTreeMap::new());
    for id in jobs {
        files.extend(outputs(&cluster, id, &mappers).await?);
    }
    assert_eq!(files.len(), 24 + 24 + 24 + 12 + 24 + 3 * 4 + 3 * 4);
    for file in &files {
        let (record, _) = credentials::extract_record(&std::fs::read(file)?)?;
        *precisions.entry(record.recipe.precision.clone()).or_insert(0) += 1;
    }
    let counted = [("bf16", 4), ("fp32", 124), ("tf32", 4)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(precisions, BTreeMap::from(counted));
    let [mappers, sources, masks] = [&mappers, &folder, &masks].map(|path| path.to_string_lossy().into_owned());
    let places = ["--mapper", &mappers, "--source", &sources, "--mask", &masks];
    let replayed = replay(&files, &places).await?;
    let wrong: Vec<_> = replayed.lines.iter().filter(|line| line["exact"] != true).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), files.len());
    assert_eq!((replayed.code, replayed.lines.len()), (0, files.len()), "{}", replayed.said);
    assert!(replayed.lines.iter().all(|line| line["environment"] == json!([])), "nothing differs around them");

    // a record alone is enough for exactness
    let (_, text) = credentials::extract_record(&std::fs::read(&files[0])?)?;
    let alone = cluster.folder().join("record.json");
    std::fs::write(&alone, &text)?;
    let replayed = replay(std::slice::from_ref(&alone), &places).await?;
    assert_eq!((replayed.code, &replayed.lines[0]["exact"]), (0, &json!(true)), "{}", replayed.said);

    // a recipe that was another gives another picture, and what differs around it is told
    let mut record: Value = serde_json::from_slice(&text)?;
    let libtorch = record["execution"]["libtorch"].clone();
    record["recipe"]["strength"] = json!(3.0);
    record["execution"]["libtorch"] = json!("1.0.0");
    record["execution"]["environment"] = json!({ "CUBLAS_WORKSPACE_CONFIG": ":16:8" });
    std::fs::write(&alone, record.to_string())?;
    let replayed = replay(&[alone, files[0].clone()], &places).await?;
    assert_eq!((replayed.code, replayed.lines.len()), (4, 2), "{}", replayed.said);
    assert_eq!((&replayed.lines[0]["exact"], &replayed.lines[0]["departs_at"]), (&json!(false), &json!("edit")));
    let told = json!([
        { "field": "libtorch", "recorded": "1.0.0", "here": libtorch },
        { "field": "CUBLAS_WORKSPACE_CONFIG", "recorded": ":16:8", "here": ":4096:8" },
    ]);
    assert_eq!(replayed.lines[0]["environment"], told, "{}", replayed.said);
    assert_eq!(replayed.lines[1]["exact"], true, "the others go on");

    // what is missing is named, and costs its own file
    let replayed = replay(&files[..1], &["--source", &masks, "--mapper", &mappers]).await?;
    assert!(replayed.code == 1 && replayed.said.contains("--source FILE"), "{}", replayed.said);
    let by_mapper = files.iter().find(|file| file.to_string_lossy().contains("by-mapper")).context("one by mapper")?;
    let replayed = replay(std::slice::from_ref(by_mapper), &["--source", &sources]).await?;
    assert!(replayed.code == 1 && replayed.said.contains("--mapper FILE"), "{}", replayed.said);
    let bare = folder.join(&pictures[0].name);
    let replayed = replay(&[bare, files[0].clone()], &places).await?;
    assert!(replayed.code == 1 && replayed.lines[0]["error"].is_string(), "{}", replayed.said);
    assert_eq!(replayed.lines[1]["exact"], true, "{}", replayed.said);
    cluster.assert_invariants().await
}
