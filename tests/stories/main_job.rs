//! Submit, and everything is edited, recorded and verifiable.

use anyhow::{Context as _, Result};
use domain::JobId;
use domain::job_state::JobState;
use std::path::{Path, PathBuf};
use stories::{Cluster, by_state, faces};
use wire::http::v1::{EditResult, Page};

const BOTH_METHODS: &str = r#"
name = "both methods"
dataset = "faces"
pack = "facesjs-64"
strengths = [0.5, 1.0]
[[edits]]
name = "green"
text = "a face with green hair"
method = { kind = "cf-mapper", train_on = "training", train_limit = 16, steps = 5 }
[[edits]]
name = "purple"
text = "a face with purple hair"
method = { kind = "clip-nce", steps = 3, views = 2 }
only = { limit = 4 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_and_its_texts_become_edited_images_with_records() -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let pictures = faces(28)?;
    cluster.dataset("faces", &pictures[..12]).await?.expect_code(0);
    cluster.dataset("training", &pictures[12..]).await?.expect_code(0);

    let id = cluster.submit(BOTH_METHODS).await?;
    let watched = cluster.cfx(["job", "watch", &id.to_string()]).await?;
    assert_eq!(watched.code, 0, "{watched:?}");
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    // 12 latents, 1 mapper, 12 x 2 strengths by mapper, 4 x 2 strengths per image
    assert_eq!(by_state(&job), [("succeeded".to_owned(), 12 + 1 + 24 + 8)].into());

    let files = cluster.fetch_and_verify(id).await?;
    assert_eq!(files.len(), 32);
    let page: Page<EditResult> =
        serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/results?limit=500")).await?)?;
    assert!(page.items.iter().all(|r| r.verdict.is_some() && r.metrics.contains_key("preservation")), "judged");
    what_leaves_beside_them(&cluster, id, &pictures[0].bytes).await?;
    // the picture says by itself how it was made
    let inspected = cluster.cfx(["inspect", &files[0].to_string_lossy()]).await?.expect_code(0);
    assert!(inspected.stdout.contains("counterfactory/record/2") && inspected.stdout.contains("generator"));
    // and one changed byte is noticed
    let mut bytes = std::fs::read(&files[0])?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&files[0], bytes)?;
    cluster.cfx(["verify", &files[0].to_string_lossy(), "--offline"]).await?.expect_code(4);
    cluster.assert_invariants().await?;

    // the same sources again: latents and mapper are there, only the edits run
    let again = cluster.submit(BOTH_METHODS).await?;
    let job = cluster.ended(again).await;
    assert_eq!((job.state, job.memoised), (JobState::Succeeded, 13));
    assert_eq!(by_state(&job), [("succeeded".to_owned(), 32)].into());
    for page in ["/", &format!("/jobs/{id}"), &format!("/jobs/{id}/gallery"), "/workers", "/datasets", "/packs"] {
        assert!(cluster.get(page).await?.contains("<html"), "{page}");
    }
    cluster.assert_invariants().await?;

    // a mapper that was trained before is brought along: nothing is trained, and the images score the same
    let record: serde_json::Value = cluster.cfx(["inspect", &files[1].to_string_lossy()]).await?.json()?;
    let mapper = find_text(&record, "mapper").expect("the record names its mapper");
    let kept = [
        "name = 'kept'\ndataset = 'faces'\npack = 'facesjs-64'\nstrengths = [0.5, 1.0]\n[[edits]]",
        "text = 'a face with green hair'\n[edits.method]\nkind = 'cf-mapper'",
        &format!("mapper = '{mapper}'"),
    ]
    .join("\n");
    let job = cluster.ended(cluster.submit(&kept).await?).await;
    assert_eq!((job.state, job.memoised), (JobState::Succeeded, 12));
    assert_eq!(by_state(&job), [("succeeded".to_owned(), 24)].into());
    let alike = "SELECT count(*) FROM results a JOIN results b USING (edit_no, ordinal, strength)
        WHERE a.edit_no = 0 AND a.job_seq = (SELECT min(job_seq) FROM results)
          AND b.job_seq = (SELECT max(job_seq) FROM results) AND a.metrics = b.metrics";
    assert_eq!(cluster.sql_count(alike).await?, 24);
    let nowhere = "0".repeat(64);
    let text = "a face with red hair";
    let flags = ["job", "submit", "--dataset", "faces", "--pack", "facesjs-64", "--text", text, "--mapper", &nowhere];
    let answer = cluster.cfx(flags).await?;
    assert!(answer.code == 1 && answer.stderr.contains("edits[0].method.mapper"), "{answer:?}");
    cluster.assert_invariants().await
}

/// The first text under `key`, wherever in the document.
fn find_text<'a>(value: &'a serde_json::Value, key: &str) -> Option<&'a str> {
    let fields = value.as_object()?;
    let here = fields.get(key).and_then(serde_json::Value::as_str);
    here.or_else(|| fields.values().find_map(|value| find_text(value, key)))
}

/// Reconstructions and latents leave with credentials, which are held against the records of the edits beside them, or of the server.
async fn what_leaves_beside_them(cluster: &Cluster, id: JobId, stranger: &[u8]) -> Result<()> {
    let folder = cluster.folder().join("beside");
    let told = |path: &Path| path.to_string_lossy().into_owned();
    let fetch = ["result", "fetch", &id.to_string(), "--to", &told(&folder), "--reconstructions", "--latents"];
    cluster.cfx(fetch).await?.expect_code(0);
    let anchors = told(&cluster.folder().join("anchors.pem"));
    cluster.cfx(["keys", "export", &anchors]).await?.expect_code(0);
    let all = ["--json", "verify", &told(&folder), "--offline", "--anchors", &anchors];
    let reports: serde_json::Value = cluster.cfx(all).await?.expect_code(0).json()?;
    let reports = reports.as_array().context("reports")?;
    let proven = |part: &str| {
        let of_part = reports.iter().filter(|r| r["file"].as_str().is_some_and(|file| file.contains(part)));
        of_part.map(|report| report["proven"].as_u64()).collect::<Vec<_>>()
    };
    // 32 outputs of 12 sources: each has an edited latent, and each source a reconstruction and a latent
    assert_eq!(proven("/reconstructions/"), [Some(2); 12], "{reports:#?}");
    assert_eq!(proven("/latents/"), [Some(2); 32 + 12], "{reports:#?}");

    // fetched again, nothing is signed again: the bytes are the same
    let bytes = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let files = |part: &str| -> Result<Vec<PathBuf>> {
        let mut files: Vec<_> = std::fs::read_dir(folder.join(part))?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        files.sort();
        Ok(files)
    };
    let (reconstructions, latents) = (files("reconstructions")?, files("latents/sources")?);
    let (one, other) = (&reconstructions[0], &reconstructions[1]);
    let before = bytes(one)?;
    std::fs::remove_file(one)?;
    cluster.cfx(fetch).await?.expect_code(0);
    assert!(bytes(one)? == before, "signed once");

    // alone, the record that names it is the server's; offline there is none, and nothing is claimed
    let alone = cluster.folder().join("alone.png");
    std::fs::copy(one, &alone)?;
    let report: serde_json::Value = cluster.cfx(["--json", "verify", &told(&alone)]).await?.expect_code(0).json()?;
    assert_eq!(report[0]["proven"], 2, "{report}");
    let report: serde_json::Value =
        cluster.cfx(["--json", "verify", &told(&alone), "--offline"]).await?.expect_code(0).json()?;
    assert_eq!(report[0]["proven"], 0, "{report}");

    // another picture, another latent, a credential of another latent, none
    let (latent, another) = (&latents[0], &latents[2]);
    assert!(latent.extension().is_some_and(|e| e == "c2pa") && another.extension() == latent.extension());
    std::fs::write(one, stranger)?;
    std::fs::copy(another, latent)?;
    let answer = cluster.cfx(["verify", &told(&folder), "--offline"]).await?.expect_code(4);
    let changed = latent.with_extension("safetensors");
    for (path, verdict) in
        [(one, "FAIL"), (other, "ok  "), (&changed, "FAIL"), (&another.with_extension("safetensors"), "ok  ")]
    {
        assert!(answer.stdout.contains(&format!("{verdict} {}", told(path))), "{verdict} {path:?}: {answer:?}");
    }
    std::fs::write(latent, b"no credential")?;
    let answer = cluster.cfx(["verify", &told(&changed), "--offline"]).await?.expect_code(4);
    assert!(answer.stdout.contains("the credential beside the file cannot be read"), "{answer:?}");
    std::fs::remove_file(latent)?;
    let answer = cluster.cfx(["verify", &told(&changed), "--offline"]).await?.expect_code(1);
    assert!(answer.stderr.contains("has no credential"), "{answer:?}");

    let page: Page<EditResult> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/results?limit=1")).await?)?;
    let task = page.items[0].task;
    assert!(page.items[0].signed_reconstruction.is_some());
    let address = format!("http://{}/v1/results/{task}/companions/soul", cluster.server());
    let refused = reqwest::get(address).await?;
    assert_eq!(refused.status(), 404);
    assert!(refused.text().await?.contains("reconstruction, latent, source-latent"));
    Ok(())
}
