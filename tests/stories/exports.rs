//! An ended job becomes datasets that other programs load. With `CFX_EXPORTS_TO` they are kept there, for `tests/interop`.

use anyhow::{Context as _, Result};
use domain::job_state::JobState;
use domain::{Digest, JobId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use stories::{Cluster, faces, pictures_of_every_trouble};
use testkit::TestBucket;

/// A text that breaks what splits at lines, commas or quotes.
const NEUTRAL: &str = "a face, \\\"plain\\\" | as 'it' is\\nläuft";

fn job() -> String {
    format!(
        r#"
name = "to be \"exported\""
dataset = "labelled"
pack = "facesjs-64"
strengths = [0.5, 1.0]
[[edits]]
name = "green"
text = "a face with green hair"
neutral = "{NEUTRAL}"
method = {{ kind = "clip-nce", steps = 2, views = 2 }}
accept = {{ target = true }}
[[edits]]
name = "blue"
text = "a face with blue skin"
method = {{ kind = "clip-nce", steps = 1, views = 2 }}
only = {{ limit = 3 }}
accept = {{ target = false, max_change = 200.0 }}
"#
    )
}

/// Six faces, one of them with a split of its own, and a picture that cannot be read.
async fn labelled(cluster: &Cluster) -> Result<()> {
    let folder = cluster.folder().join("labelled");
    std::fs::create_dir_all(&folder)?;
    let mut pictures = faces(6)?;
    pictures.push(pictures_of_every_trouble()?.remove(0).0);
    let mut lines = String::new();
    for (no, picture) in pictures.iter().enumerate() {
        std::fs::write(folder.join(&picture.name), &picture.bytes)?;
        let note = format!("no. {no}, \"quoted\"\n{}", "é".repeat(500));
        let mut row = serde_json::json!({ "file": picture.name, "note": note });
        if no == 4 {
            row["split"] = "test".into();
        }
        lines += &format!("{row}\n");
    }
    std::fs::write(folder.join("list.jsonl"), lines)?;
    cluster.cfx(["dataset", "add", "labelled", &folder.join("list.jsonl").to_string_lossy()]).await?.expect_code(0);
    Ok(())
}

async fn export(cluster: &Cluster, id: JobId, format: &str, to: &str, more: &[&str]) -> Result<Value> {
    let id = id.to_string();
    let mut arguments = vec!["job", "export", &id, "--format", format, "--to", to, "--json"];
    arguments.extend(["--split", "train=0.5,val=0.5", "--license", "CC0-1.0", "--rai", "dataBiases=drawn faces"]);
    arguments.extend(more);
    cluster.cfx(arguments).await?.expect_code(0).json()
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column].as_str().unwrap_or_else(|| panic!("{column} of {row}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_job_becomes_a_dataset_in_every_form() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    labelled(&cluster).await?;
    let id = cluster.submit(&job()).await?;
    let to = match std::env::var_os("CFX_EXPORTS_TO") {
        Some(kept) => PathBuf::from(kept),
        None => cluster.folder().join("exports"),
    };
    let path = |name: &str| to.join(name).to_string_lossy().into_owned();
    let early = ["job", "export", &id.to_string(), "--format", "prov", "--to", &path("early")];
    let early = cluster.cfx(early).await?;
    assert!(early.code == 1 && early.stderr.contains("cfx job watch"), "{early:?}");
    assert_eq!(cluster.ended(id).await.state, JobState::Partial);

    // image folder
    let folder = to.join("imagefolder");
    let told = export(&cluster, id, "imagefolder", &path("imagefolder"), &["--reconstructions"]).await?;
    // 6 x 2 and 3 x 2 outputs; the picture that cannot be read fails its inversion and both of its edits' strengths
    assert_eq!((&told["pairs"], &told["failures"]), (&18.into(), &3.into()), "{told}");
    let mut sources = BTreeMap::<String, BTreeSet<String>>::new();
    let mut rows = 0;
    for split in told["splits"].as_object().expect("splits").keys() {
        for row in lines(&folder.join(split).join("metadata.jsonl"))? {
            for (file, digest) in [
                ("source_file_name", "source_sha256"),
                ("edited_file_name", "edited_sha256"),
                ("recon_file_name", "recon_sha256"),
            ] {
                let bytes = std::fs::read(folder.join(split).join(text(&row, file)))?;
                assert_eq!(Digest::of(bytes).to_string(), text(&row, digest), "{row}");
            }
            sources.entry(text(&row, "source_id").to_owned()).or_default().insert(split.clone());
            let green = text(&row, "edit_id") == "green";
            let neutral = if green { "a face, \"plain\" | as 'it' is\nläuft" } else { "a face" };
            assert_eq!(text(&row, "source_caption"), neutral);
            assert!(
                text(&row, "label_note").contains("\"quoted\"\nééé")
                    && row["steps"].as_i64() == Some(if green { 2 } else { 1 })
            );
            assert!(row["preservation"].is_number() && row["clip_sim_target"].is_number(), "{row}");
            assert!(["accepted", "rejected"].contains(&text(&row, "verdict")), "{row}");
            rows += 1;
        }
    }
    assert_eq!((rows, sources.len()), (18, 6));
    assert!(sources.values().all(|splits| splits.len() == 1), "no source leaks: {sources:?}");
    assert_eq!(sources["000004"], ["test".to_owned()].into(), "the dataset's own split goes first");
    let failures = lines(&folder.join("failures.jsonl"))?;
    assert!(failures.iter().any(|f| f["reason"] == "truncated" && f["stage"] == "invert"), "{failures:?}");
    assert_eq!(lines(&folder.join("manifest.jsonl"))?.len(), 18);
    assert!(!folder.join(".cfx-export").exists(), "nothing is left behind");

    // the seal lies beside it, so that all of it is proven without this installation
    let anchors = path("anchors.pem");
    cluster.cfx(["keys", "export", &anchors]).await?.expect_code(0);
    let verify = ["--json", "verify", &path("imagefolder"), "--offline", "--anchors", &anchors];
    let reports = cluster.cfx(verify).await?;
    let reports: Value = reports.json()?;
    let of = |part: &str| {
        let named = |report: &&Value| text(report, "file").contains(part);
        reports.as_array().into_iter().flatten().filter(named).map(|r| r["proven"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!((of(".edited."), of(".recon.")), (vec![Some(3); 18], vec![Some(2); 6]), "{reports:#}");

    // again: it is whole; as something else: refused
    assert_eq!(export(&cluster, id, "imagefolder", &path("imagefolder"), &["--reconstructions"]).await?, told);
    let other = ["job", "export", &id.to_string(), "--format", "parquet", "--to", &path("imagefolder")];
    let other = cluster.cfx(other).await?;
    assert!(other.code == 1 && other.stderr.contains("holds another export"), "{other:?}");
    assert!(!folder.join(".cfx-export").exists(), "what is refused leaves nothing behind");

    for format in ["webdataset", "parquet", "croissant", "prov"] {
        let told = export(&cluster, id, format, &path(format), &[]).await?;
        assert_eq!(told["pairs"], 18, "{format}");
    }
    let accepted = export(&cluster, id, "prov", &path("accepted"), &["--accepted", "--edit", "blue"]).await?;
    assert_eq!(accepted["pairs"], 6, "{accepted}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_the_same_files_as_a_folder() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(3)?).await?.expect_code(0);
    let id = cluster.submit(&crate::per_image("faces", 1)).await?;
    cluster.ended(id).await;
    let bucket = TestBucket::create().await?;
    let settings = [
        ("AWS_ACCESS_KEY_ID", TestBucket::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", TestBucket::SECRET_KEY.to_owned()),
        ("AWS_REGION", TestBucket::REGION.to_owned()),
        ("CFX_EXPORT_S3_ENDPOINT", bucket.endpoint()),
        ("CFX_STATE_DIR", cluster.folder().join("state").to_string_lossy().into_owned()),
    ];
    let folder = cluster.folder().join("plain");
    for format in ["imagefolder", "webdataset"] {
        let folder = folder.join(format);
        let told = export(&cluster, id, format, &folder.to_string_lossy(), &[]).await?;
        let s3 = format!("s3://{}/some/{format}", TestBucket::NAME);
        let arguments = ["job", "export", &id.to_string(), "--format", format, "--to", &s3, "--json"];
        let arguments = arguments.into_iter().chain(["--split", "train=0.5,val=0.5", "--license", "CC0-1.0"]);
        let arguments: Vec<&str> = arguments.chain(["--rai", "dataBiases=drawn faces"]).collect();
        let bucketed: Value = cluster.cfx_with(&settings, &arguments).await?.expect_code(0).json()?;
        assert_eq!((&bucketed["files"], &bucketed["pairs"]), (&told["files"], &told["pairs"]));
        let mut compared = 0;
        let mut open = vec![folder.clone()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(
                    std::fs::read_dir(&path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?,
                );
                continue;
            }
            let key = format!("some/{format}/{}", path.strip_prefix(&folder)?.to_string_lossy());
            assert!(std::fs::read(bucket.object_path(&key))? == std::fs::read(&path)?, "{key}");
            compared += 1;
        }
        assert!(compared >= 5, "{compared}");
        let again: Value = cluster.cfx_with(&settings, &arguments).await?.expect_code(0).json()?;
        assert_eq!(again, bucketed);
        std::fs::write(bucket.object_path(&format!("some/{format}/export.json")), "{}")?;
        let odd = cluster.cfx_with(&settings, &arguments).await?;
        assert!(odd.code == 1 && odd.stderr.contains("export.json"), "{odd:?}");
    }
    let wrong = [settings.as_slice(), &[("AWS_SECRET_ACCESS_KEY", "wrong".to_owned())]].concat();
    let to = format!("s3://{}/denied", TestBucket::NAME);
    let denied = cluster.cfx_with(&wrong, &["job", "export", &id.to_string(), "--format", "prov", "--to", &to]).await?;
    assert!(denied.code == 1 && denied.stderr.contains("check AWS_*"), "{denied:?}");
    Ok(())
}
