//! A classifier is audited by a job's counterfactuals: by the pack's judge, by a TorchScript file, and by a CSV of scores.

use anyhow::{Context as _, Result};
use domain::job_state::JobState;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use stories::{Cluster, faces};
use tch::{CModule, Device, Kind, Tensor};

const JOB: &str = r#"
name = "green & blue"
dataset = "people"
pack = "facesjs-64"
strengths = [1.0, 4.0]
[[edits]]
name = "green"
text = "a face with green hair"
method = { kind = "clip-nce", steps = 8, views = 2 }
[[edits]]
name = "blue"
text = "a face with blue skin"
method = { kind = "clip-nce", steps = 8, views = 2 }
only = { limit = 4 }
"#;

/// How much greener than red a face is, in levels of 0 to 1: what the script asks.
const GREENER: f64 = -0.02;

/// Two logits: whether green exceeds red by more than [`GREENER`] on average.
fn write_script(path: &Path) -> Result<()> {
    let example = Tensor::zeros([2, 3, 64, 64], (Kind::Float, Device::Cpu));
    let mut forward = |inputs: &[Tensor]| {
        let mean = inputs[0].mean_dim([2_i64, 3].as_slice(), false, Kind::Float); // [B, 3]
        let greener = (mean.narrow(1, 1, 1) - mean.narrow(1, 0, 1) - GREENER) * 50.0;
        vec![Tensor::cat(&[greener.neg(), greener], 1)]
    };
    let module = CModule::create_by_tracing("greener", "forward", &[example], &mut forward)?;
    Ok(module.save(path)?)
}

/// The same of a file, by its pixels.
fn is_greener(path: &Path) -> Result<bool> {
    let image = image::load_from_memory(&std::fs::read(path)?)?.to_rgb8();
    let mean = |channel: usize| {
        image.pixels().map(|pixel| f64::from(pixel.0[channel])).sum::<f64>() / f64::from(image.width() * image.height())
    };
    Ok((mean(1) - mean(0)) / 255.0 > GREENER)
}

/// The rows over all outputs and sources, by edit and strength.
fn rows(report: &Value) -> BTreeMap<(String, String), &Value> {
    let all = report["rows"].as_array().into_iter().flatten();
    let all = all.filter(|row| row["outputs"] == "all" && row["group"].is_null());
    all.map(|row| ((row["edit"].as_str().unwrap_or_default().to_owned(), row["strength"].to_string()), row)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classifier_is_audited_by_judge_by_script_and_by_scores() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let folder = cluster.folder().join("people");
    std::fs::create_dir_all(&folder)?;
    let mut lines = Vec::new();
    for (place, picture) in faces(6)?.iter().enumerate() {
        std::fs::write(folder.join(&picture.name), &picture.bytes)?;
        lines.push(json!({ "file": picture.name, "side": if place % 2 == 0 { "<even>" } else { "odd" } }).to_string());
    }
    let manifest = folder.join("people.jsonl");
    std::fs::write(&manifest, lines.join("\n"))?;
    cluster.cfx(["dataset", "add", "people", &manifest.to_string_lossy()]).await?.expect_code(0);
    let id = cluster.submit(JOB).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let id = id.to_string();
    let path = |name: &str| cluster.folder().join(name).to_string_lossy().into_owned();
    let pack = testkit::workspace_root().join("deploy/demo/pack").to_string_lossy().into_owned();

    // the pack's judge: what the records say that it read of reconstruction and edit, counted
    let to = path("by-judge");
    let flags =
        ["audit", &id, "--pack", &pack, "--head", "hair_color", "--positive", "green", "--group", "side", "--to", &to];
    let report: Value = cluster.cfx(flags.iter().chain(&["--json"])).await?.expect_code(0).json()?;
    let files = cluster.fetch_and_verify(id.parse()?).await?;
    assert_eq!((report["pairs"].as_u64(), files.len()), (Some(20), 20));
    let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
    for file in &files {
        let inspected: Value = cluster.cfx(["inspect", &file.to_string_lossy()]).await?.json()?;
        let record = if inspected["record"].is_null() { &inspected } else { &inspected["record"] };
        let edit = if record["recipe"]["text"]["target"] == "a face with green hair" { "green" } else { "blue" };
        let [before, after] = [0, 1].map(|i| record["outcome"]["judged"]["hair_color"][i] == "green");
        let key = (edit.to_owned(), record["recipe"]["strength"].to_string());
        *expected.entry(key).or_default() += u64::from(before != after);
    }
    let counted: BTreeMap<_, _> = rows(&report)
        .into_iter()
        .map(|(key, row)| (key, row["attributable"]["flips"].as_u64().unwrap_or(99)))
        .collect();
    let same = |counts: &BTreeMap<(String, String), u64>| {
        counts
            .iter()
            .map(|((edit, strength), n)| (edit.clone(), strength.parse::<f64>().unwrap_or(0.0).to_bits(), *n))
            .collect::<Vec<_>>()
    };
    assert_eq!(same(&counted), same(&expected), "{report:#}");
    assert!(expected.values().sum::<u64>() > 0, "some edit is read as green: {expected:?}");
    let gaps = report["gaps"].as_array().into_iter().flatten().filter(|gap| gap["outputs"] == "all");
    assert_eq!(gaps.count(), 4 * 3, "two edits at two strengths, three measures");
    let page = std::fs::read_to_string(cluster.folder().join("by-judge/report.html"))?;
    assert!(page.contains("<svg") && page.contains("green &#38; blue") && !page.contains("<even>"), "{page}");
    let flips = std::fs::read_to_string(cluster.folder().join("by-judge/flips.csv"))?;
    assert!(flips.lines().count() > 4 && !flips.contains("cluster-bootstrap"), "each source stands once: {flips}");

    // a TorchScript file, against the pixels
    let (script, to) = (path("greener.pt"), path("by-script"));
    write_script(Path::new(&script))?;
    let flags = ["audit", &id, "--classifier", &script, "--classes", "red,green", "--to", &to];
    let report: Value = cluster.cfx(flags.iter().chain(&["--json"])).await?.expect_code(0).json()?;
    let images = Path::new(&to).join("images");
    let pairs = csv_rows(&Path::new(&to).join("pairs.csv"))?;
    assert_eq!(pairs.len(), 20);
    let mut seen = [0_usize; 2];
    for pair in &pairs {
        for role in ["source", "reconstruction", "edit"] {
            let green = is_greener(&images.join(&pair[&format!("{role}_sha256")]))?;
            seen[usize::from(green)] += 1;
            assert_eq!(pair[&format!("{role}_class")], if green { "green" } else { "red" }, "{pair:?}");
        }
    }
    assert!(seen[0] > 0 && seen[1] > 0, "the script tells pictures apart: {seen:?}");
    // asked again, nothing is fetched or scored anew
    let before = modified(&images)?;
    cluster.cfx(flags).await?.expect_code(0);
    assert_eq!(modified(&images)?, before);

    // the same scores as a CSV are the same audit
    let scores = std::fs::read_dir(&to)?.filter_map(Result::ok).map(|entry| entry.path());
    let scores = scores.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("scores-")));
    let scores = std::fs::read_to_string(scores.last().context("the worker's scores")?)?;
    let (csv, to) = (path("scores.csv"), path("by-scores"));
    std::fs::write(&csv, &scores)?;
    let flags = ["audit", &id, "--scores", &csv, "--to", &to, "--json"];
    let again: Value = cluster.cfx(flags).await?.expect_code(0).json()?;
    assert_eq!(again["rows"], report["rows"]);

    // without some of them it is refused, unless that is asked for
    let some: Vec<_> = scores.lines().take(1 + 6).collect();
    std::fs::write(&csv, some.join("\n"))?;
    let answer = cluster.cfx(flags).await?.expect_code(1);
    assert!(answer.stderr.contains("have no score") && answer.stderr.contains("--allow-missing"), "{answer:?}");
    let unscored = pairs
        .iter()
        .flat_map(|pair| ["source", "reconstruction", "edit"].map(|role| pair[&format!("{role}_sha256")].clone()));
    let distinct: std::collections::BTreeSet<_> = unscored.collect();
    assert!(answer.stderr.contains(&format!("{} images have no score", distinct.len() - 6)), "{answer:?}");
    let mut complete: Vec<&str> = scores.lines().take(1).collect();
    let first = &pairs[0];
    let of_first = |line: &&str| {
        ["source", "reconstruction", "edit"].iter().any(|role| line.starts_with(&first[&format!("{role}_sha256")]))
    };
    complete.extend(scores.lines().filter(of_first));
    std::fs::write(&csv, complete.join("\n"))?;
    let report: Value = cluster.cfx(flags.iter().chain(&["--allow-missing"])).await?.expect_code(0).json()?;
    assert!(report["pairs"].as_u64() >= Some(1) && report["without_score"].as_u64() < Some(20), "{report:#}");
    std::fs::write(&csv, scores.replacen(",0.", ",NaN", 1))?;
    let answer = cluster.cfx(flags).await?.expect_code(1);
    assert!(answer.stderr.contains("scores.csv:"), "{answer:?}");
    let answer = cluster.cfx(["audit", &id, "--pack", &pack, "--head", "age", "--to", &to]).await?.expect_code(1);
    assert!(answer.stderr.contains("no head 'age'"), "{answer:?}");
    let answer = cluster.cfx(["audit", &id, "--scores", &csv, "--to", &to, "--edit", "nothing"]).await?;
    assert_eq!(answer.code, 1, "{answer:?}");
    cluster.cfx(["audit", &id, "--to", &to]).await?.expect_code(2);
    cluster.assert_invariants().await
}

fn csv_rows(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    let text = std::fs::read_to_string(path)?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| header.iter().zip(line.split(',')).map(|(h, v)| ((*h).to_owned(), v.to_owned())).collect();
    Ok(lines.map(row).collect())
}

/// When each file was written.
fn modified(folder: &Path) -> Result<BTreeMap<std::path::PathBuf, std::time::SystemTime>> {
    let each = std::fs::read_dir(folder)?.map(|entry| {
        let entry = entry?;
        Ok((entry.path(), entry.metadata()?.modified()?))
    });
    each.collect()
}
