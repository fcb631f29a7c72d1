//! Photographs are framed by landmarks that come with them: submit to verified results, and what is refused or costs its own task.

use anyhow::Result;
use domain::job_state::JobState;
use serde_json::json;
use stories::{Cluster, by_state, faces};

const FRAMED: &str = r#"
name = "framed"
dataset = "portraits"
pack = "facesjs-64"
frame = "ffhq"
[[edits]]
text = "a face with green hair"
method = { kind = "clip-nce", steps = 2, views = 2 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_face_is_framed_by_its_landmarks_and_a_picture_without_any_fails_alone() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let pictures = faces(4)?;
    // the same pictures without landmarks: no task of such a job could succeed on a pack without a detector
    cluster.dataset("plain", &pictures).await?.expect_code(0);
    let flags =
        ["job", "submit", "--dataset", "plain", "--pack", "facesjs-64", "--text", "green hair", "--frame", "ffhq"];
    let refused = cluster.cfx(flags.iter().chain(&["--method", "clip-nce"])).await?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("landmarks") && refused.stderr.contains("--detector"), "{refused:?}");

    let folder = cluster.folder().join("plain");
    // eyes, nose and corners of the mouth; the third picture has none, and the fourth's lie outside of it
    let points = json!([[24.0, 28.0], [40.0, 28.0], [32.0, 36.0], [26.0, 44.0], [38.0, 44.0]]);
    let lines = [
        json!({ "file": pictures[0].name, "landmarks": points }),
        json!({ "file": pictures[1].name, "landmarks": points }),
        json!({ "file": pictures[2].name }),
        json!({ "file": pictures[3].name, "landmarks": [[924, 28], [940, 28], [932, 36], [926, 44], [938, 44]] }),
    ];
    let manifest = folder.join("portraits.jsonl");
    std::fs::write(&manifest, lines.map(|line| line.to_string()).join("\n"))?;
    cluster.cfx(["dataset", "add", "portraits", &manifest.to_string_lossy()]).await?.expect_code(0);
    let id = cluster.submit(FRAMED).await?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Partial);
    // two inversions and edits each way: an edit whose picture cannot be inverted dies with it
    assert_eq!(by_state(&job), [("dead".to_owned(), 4), ("succeeded".to_owned(), 4)].into());
    let reasons: Vec<_> = job.reasons.iter().map(|reason| (reason.reason.code(), reason.tasks)).collect();
    assert!(reasons.contains(&("missing_landmarks", 1)) && reasons.contains(&("bad_landmarks", 1)), "{reasons:?}");

    let files = cluster.fetch_and_verify(id).await?;
    assert_eq!(files.len(), 2);
    let record: serde_json::Value = cluster.cfx(["inspect", &files[0].to_string_lossy()]).await?.json()?;
    let source = &record["record"]["recipe"]["source"];
    let source = if source.is_null() { &record["recipe"]["source"] } else { source };
    assert!(source["conversions"].to_string().contains("ffhq-frame"), "{record}");
    assert_eq!(source["face"]["landmarks"], points, "{source}");

    // an audit shows its classifier the framed face, as the networks saw it, and not the whole picture
    let pack = testkit::workspace_root().join("deploy/demo/pack").to_string_lossy().into_owned();
    let to = cluster.folder().join("audit");
    let flags = ["audit", &id.to_string(), "--pack", &pack, "--head", "gender", "--to", &to.to_string_lossy()];
    cluster.cfx(flags).await?.expect_code(0);
    let framed = scores(&to, "scores-")?;
    let whole = to.join("whole.csv");
    let status = tokio::process::Command::new(testkit::workspace_binary("worker")?)
        .args(["score", "--pack", &pack, "--head", "gender", "--resolution", "64", "--images"])
        .arg(to.join("images"))
        .arg("--out")
        .arg(&whole)
        .stdout(std::process::Stdio::null())
        .status()
        .await?;
    assert!(status.success(), "{status}");
    let whole = scores(&to, "whole")?;
    let differ: Vec<_> = framed.iter().filter(|line| !whole.contains(line.as_str())).collect();
    let sources: Vec<_> = pictures[..2].iter().map(|picture| domain::Digest::of(&picture.bytes).to_string()).collect();
    assert_eq!((framed.len(), differ.len()), (6, 2), "{differ:?}");
    assert!(differ.iter().all(|line| sources.iter().any(|source| line.starts_with(source))), "{differ:?}");
    cluster.assert_invariants().await
}

/// The lines of the scores in `folder` whose file begins with `name`.
fn scores(folder: &std::path::Path, name: &str) -> Result<std::collections::BTreeSet<String>> {
    let mut lines = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(name) {
            lines.extend(std::fs::read_to_string(entry.path())?.lines().skip(1).map(str::to_owned));
        }
    }
    Ok(lines)
}
