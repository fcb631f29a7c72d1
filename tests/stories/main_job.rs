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
    // the picture says by itself how it was made
    let inspected = cluster.cfx(["inspect", &files[0].to_string_lossy()]).await?.expect_code(0);
    assert!(inspected.stdout.contains("counterfactory/record/1") && inspected.stdout.contains("generator"));
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
    cluster.assert_invariants().await
}
