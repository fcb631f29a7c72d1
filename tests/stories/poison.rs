//! Bad images are named and set aside; their batch-mates are edited.

use crate::per_image;
use anyhow::Result;
use domain::job_state::JobState;
use std::collections::BTreeMap;
use stories::{Cluster, faces, pictures_of_every_trouble};
use wire::http::v1::{Page, Task};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_image_ends_with_its_reason_and_the_rest_is_edited() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let troubles = pictures_of_every_trouble()?;
    let expected: BTreeMap<String, &str> =
        troubles.iter().filter_map(|(p, reason)| Some((p.name.clone(), (*reason)?))).collect();
    let good = faces(6)?;
    let all: Vec<_> = good.iter().cloned().chain(troubles.into_iter().map(|(p, _)| p)).collect();
    cluster.dataset("mixed", &all).await?.expect_code(0);

    let id = cluster.submit(&per_image("mixed", 2)).await?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Partial);
    let watched = cluster.cfx(["job", "watch", &id.to_string()]).await?;
    assert_eq!(watched.code, 3, "a job with failed items ends watching with 3: {watched:?}");

    let page: Page<Task> =
        serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/tasks?state=dead&limit=500")).await?)?;
    let mut inverted = BTreeMap::new();
    for task in &page.items {
        let name = task.source.as_deref().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let reason = task.reason.expect("a dead task has a reason").code();
        match task.stage {
            domain::Stage::Invert => {
                assert!(task.detail.as_deref().is_some_and(|d| !d.is_empty()), "{name} has no sentence");
                inverted.insert(name, reason);
            }
            _ => assert_eq!(reason, "producer_dead", "{name}"),
        }
    }
    let expected: BTreeMap<_, _> = expected.into_iter().collect();
    assert_eq!(inverted, expected);
    let files = cluster.fetch_and_verify(id).await?;
    assert_eq!(files.len(), all.len() - expected.len(), "every good picture is edited");
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_and_bad_rows_are_named_and_the_rest_is_registered() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let mut pictures = faces(3)?;
    let mut twin = pictures[0].clone();
    twin.name = "twin.png".to_owned();
    pictures.push(twin);
    let added = cluster.dataset("doubled", &pictures).await?.expect_code(0);
    assert!(added.stdout.contains("3 images added") && added.stdout.contains("twin.png"), "{}", added.stdout);

    let folder = cluster.folder().join("doubled");
    let manifest = folder.join("list.csv");
    let first = &pictures[1].name;
    std::fs::write(&manifest, format!("file,age\n{first},old\nabsent.png,young\n,none\n{first},old,surplus\n"))?;
    let added = cluster.cfx(["dataset", "add", "listed", &manifest.to_string_lossy()]).await?.expect_code(1);
    for said in ["1 images added", "absent.png", "list.csv:4", "list.csv:5"] {
        assert!(added.stdout.contains(said), "{said} is missing in {}", added.stdout);
    }
    Ok(())
}
