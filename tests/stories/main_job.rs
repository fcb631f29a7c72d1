//! Submit, and everything is edited, recorded and verifiable.

use anyhow::Result;
use domain::job_state::JobState;
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
    // reconstructions carry no record: those of the edits beside them speak for them, and notice when one is another picture
    let both = cluster.folder().join("both");
    let flags = ["result", "fetch", &id.to_string(), "--to", &both.to_string_lossy(), "--reconstructions"];
    cluster.cfx(flags).await?.expect_code(0);
    cluster.cfx(["verify", &both.to_string_lossy(), "--offline"]).await?.expect_code(0);
    let mut reconstructions = std::fs::read_dir(both.join("reconstructions"))?.filter_map(Result::ok).map(|e| e.path());
    let (one, other) = (reconstructions.next().expect("one"), reconstructions.next().expect("another"));
    std::fs::write(&one, &pictures[0].bytes)?;
    let answer = cluster.cfx(["verify", &both.to_string_lossy(), "--offline"]).await?.expect_code(4);
    let told = |path: &std::path::Path| path.to_string_lossy().into_owned();
    assert!(answer.stdout.contains(&format!("FAIL {}", told(&one))), "{answer:?}");
    assert!(answer.stdout.contains(&format!("ok   {}", told(&other))), "{answer:?}");
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
