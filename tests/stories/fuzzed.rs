//! The HTTP interface under requests that a generator makes up from its own document, right ones and wrong ones, against a live cluster:
//! no answer is a fault of the server's, and every answer is what the document says. `make api` sends over ten thousand; among the
//! tests it is a few hundred.

use anyhow::{Context as _, Result, ensure};
use domain::job_state::JobState;
use stories::{Cluster, Picture, faces, looked_at_by};
use wire::http::v1::{EditResult, Page, Source, Task};

const JOB: &str = r#"
name = "there"
dataset = "faces"
pack = "facesjs-64"

[[edits]]
name = "green-hair"
text = "a face with green hair"
method = { kind = "clip-nce", steps = 4 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_can_be_made_up_is_answered_with_a_fault() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let mut pictures = faces(4)?;
    let whole = pictures[0].bytes.clone();
    pictures.push(Picture { name: "broken.png".to_owned(), bytes: whole[..whole.len() / 2].to_vec() });
    cluster.dataset("faces", &pictures).await?.expect_code(0);
    let job = cluster.submit(JOB).await?;
    ensure!(cluster.ended(job).await.state == JobState::Partial, "the broken image alone is dead");
    let worker = cluster.seen_workers().await?.first().context("a worker is seen")?.boot;
    // jobs that are made up need not be worked on
    cluster.workers.clear();
    let results: Page<EditResult> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{job}/results")).await?)?;
    let result = results.items.first().context("there is a result")?;
    let dead: Page<Task> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{job}/tasks?state=dead")).await?)?;
    let sources: Page<Source> = serde_json::from_str(&cluster.get("/v1/datasets/faces/sources").await?)?;

    let things = [
        ("JOB", job.to_string()),
        ("TASK", result.task.to_string()),
        ("DEAD", dead.items.first().context("the broken image is dead")?.id.to_string()),
        ("DATASET", "faces".to_owned()),
        ("PACK", "facesjs-64".to_owned()),
        ("PROJECT", "default".to_owned()),
        ("RECORD", result.record.to_string()),
        ("IMAGE", result.image.to_string()),
        ("SOURCE", sources.items.first().context("there is a source")?.sha256.to_string()),
        ("KIND", "reconstruction".to_owned()),
        ("WORKER", worker.to_string()),
    ];
    let mut variables: Vec<_> = things.map(|(name, value)| (format!("CFX_API_{name}"), value)).into();
    variables.push(("CFX_SERVER".to_owned(), format!("http://{}", cluster.server())));
    if !looked_at_by("tests/api/fuzz.sh", "CFX_API_MUST", variables).await? {
        return Ok(());
    }
    let said = cluster.coordinators[0].output();
    ensure!(!said.contains("panicked"), "a handler panicked: {said}");
    Ok(())
}
