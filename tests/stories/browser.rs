//! Every page and action of the dashboard in a real browser, against a live cluster: `make browser` installs what that needs and runs
//! it. What the browser is told of is here; what it does is in `tests/browser/pages.mjs`.

use anyhow::{Context as _, Result, ensure};
use domain::job_state::JobState;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use stories::{Cluster, Picture, faces};
use testkit::workspace_root;
use wire::http::v1::{EditResult, Page, Task};

/// A job of two edits at two strengths on `limit` images, per image.
fn colours(name: &str, limit: usize, steps: u32) -> String {
    let edit = |slug: &str, text: &str| {
        format!(
            r#"
[[edits]]
name = "{slug}"
text = "{text}"
only = {{ limit = {limit} }}
method = {{ kind = "clip-nce", steps = {steps} }}
accept = {{ min_preservation = 0.8 }}
"#
        )
    };
    let head = format!("name = \"{name}\"\ndataset = \"faces\"\npack = \"facesjs-64\"\nstrengths = [1.0, 2.0]\n");
    head + &edit("green-hair", "a face with green hair") + &edit("blue-skin", "a face with blue skin")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and Node.js: make browser"]
async fn every_page_and_action_in_a_browser() -> Result<()> {
    let modules = std::env::var("CFX_BROWSER_MODULES").context("run it with `make browser`")?;
    let mut cluster = Cluster::start(1).await?;
    let mut pictures = faces(24)?;
    let whole = pictures[0].bytes.clone();
    pictures.insert(0, Picture { name: "001z-broken.png".to_owned(), bytes: whole[..whole.len() / 2].to_vec() });
    cluster.neutral_dataset("faces", &pictures).await?;

    let done = cluster.submit(&colours("two colours, two strengths", 9, 30)).await?;
    let job = cluster.ended(done).await;
    ensure!(job.state == JobState::Partial, "the broken image alone is dead, not {job:?}");
    // more than the workers can do while the browser looks
    let running = cluster.submit(&colours("a job under way", 24, 120)).await?;
    cluster.until(running, "the job runs", |job| job.count(None, "running") > 0).await;
    let doomed = cluster.submit(&colours("to be cancelled", 24, 60)).await?;
    cluster.until(doomed, "its tasks are written", |job| job.state == JobState::Active).await;
    // whose tasks stay where they are, however fast the machine is
    let held = cluster.submit(&colours("held back", 24, 60)).await?;
    cluster.until(held, "its tasks are written", |job| job.state == JobState::Active).await;
    cluster.cfx(["job", "pause", &held.to_string()]).await?.expect_code(0);
    cluster.add_worker()?;
    let workers = cluster.seen_workers().await?;
    let worker = workers.first().context("a worker is seen")?.boot;

    let results: Page<EditResult> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{done}/results")).await?)?;
    let shown =
        results.items.iter().find(|r| r.strength > 1.0 && r.edit == "green-hair").context("there is a result")?;
    let dead: Page<Task> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{done}/tasks?state=dead")).await?)?;
    let waiting: Page<Task> =
        serde_json::from_str(&cluster.get(&format!("/v1/jobs/{running}/tasks?state=blocked&limit=1000")).await?)?;
    let facts = json!({
        "server": format!("http://{}", cluster.server()), "done": done, "running": running, "doomed": doomed, "held": held,
        "task": shown.task, "dead": dead.items.first().context("the broken image is dead")?.id,
        "waiting": waiting.items.last().context("something waits")?.id,
        "dataset": "faces", "pack": "facesjs-64", "worker": worker,
    });
    let told = cluster.folder().join("facts.json");
    std::fs::write(&told, facts.to_string())?;
    let out = std::env::var_os("CFX_BROWSER_TO").map_or_else(|| cluster.folder().join("pages"), PathBuf::from);
    let mut browser = Command::new("node");
    browser.arg(workspace_root().join("tests/browser/pages.mjs")).arg(&told).arg(&out);
    browser.env("CFX_BROWSER_MODULES", modules);
    let status = tokio::task::spawn_blocking(move || browser.status()).await?.context("node cannot be run")?;
    ensure!(status.success(), "the browser found faults; they are above, and screenshots in {}", out.display());
    Ok(())
}
