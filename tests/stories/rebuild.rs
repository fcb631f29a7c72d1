//! The database is lost with everything in it; the bucket is enough (I12).

use crate::per_image;
use anyhow::Result;
use domain::Stage;
use domain::job_state::JobState;
use stories::{Cluster, by_state, faces};

/// Everything of a result that a user may have noted down.
const RESULTS: &str = "SELECT concat_ws(' ', r.job_seq, r.no, r.edit_no, r.ordinal, r.strength, r.seed, encode(r.key, 'hex'),
        encode(r.image, 'hex'), encode(r.reconstruction, 'hex'), encode(r.record, 'hex'), r.metrics, r.verdict, r.rejected_for,
        r.epoch, r.boot, d.record)
    FROM results r JOIN records d ON d.digest = r.record ORDER BY r.job_seq, r.no";
/// Jobs, what they were asked for, and the names and images they refer to.
const JOBS: &str = "SELECT concat_ws(' ', j.seq, j.id, j.idempotency_key, j.spec, encode(j.spec_digest, 'hex'), j.pack_name,
        encode(j.pack_digest, 'hex'), j.created_at, p.id, p.name, d.id, d.name, d.sources,
        (SELECT string_agg(concat_ws(' ', s.ordinal, encode(s.sha256, 'hex'), s.uri, s.bytes, s.labels), ',' ORDER BY s.ordinal)
         FROM sources s WHERE s.dataset = d.id))
    FROM jobs j JOIN projects p ON p.id = j.project JOIN datasets d ON d.id = j.dataset ORDER BY j.seq";

const WITH_MAPPER: &str = r#"
name = "both methods"
dataset = "faces"
pack = "facesjs-64"
strengths = [0.5, 1.0]
[[edits]]
text = "a face with green hair"
method = { kind = "cf-mapper", train_on = "training", train_limit = 8, steps = 3 }
[[edits]]
text = "a face with purple hair"
method = { kind = "clip-nce", steps = 2, views = 2 }
only = { limit = 3 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_rebuilt_from_the_bucket() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    let pictures = faces(16)?;
    cluster.dataset("faces", &pictures[..8]).await?.expect_code(0);
    cluster.dataset("training", &pictures[8..]).await?.expect_code(0);
    let ended = cluster.submit(WITH_MAPPER).await?;
    assert_eq!(cluster.ended(ended).await.state, JobState::Succeeded);
    // the same edits once more: equal keys, and records of their own
    let twin = cluster.submit(WITH_MAPPER).await?;
    assert_eq!(cluster.ended(twin).await.state, JobState::Succeeded);
    let cancelled = cluster.submit(&per_image("faces", 5000)).await?;
    cluster.cfx(["job", "cancel", &cancelled.to_string()]).await?.expect_code(0);
    cluster.ended(cancelled).await;
    cluster.until_count("SELECT count(*) FROM jobs WHERE state = 'cancelled' AND NOT cancel_archived", 0).await;
    // half done when it happens
    let begun = cluster.submit(&per_image("faces", 40)).await?;
    cluster.until(begun, "some edits are done", |job| job.count(Some(Stage::Edit), "succeeded") >= 4).await;
    cluster.workers[0].kill()?;
    cluster.coordinators[0].kill()?;
    let (results, jobs) = (cluster.sql_texts(RESULTS).await?, cluster.sql_texts(JOBS).await?);
    assert!(results.len() > 44, "{} results", results.len());

    cluster.lose_database().await?;
    let told = cluster.rebuild().await?;
    assert!(told.contains("4 jobs with") && told.contains(&format!("{} results", results.len())), "{told}");
    assert!(!told.contains("left out"), "{told}");
    let found = cluster.sql_texts(RESULTS).await?;
    // those that were uploaded and not yet told are results too
    assert!(results.iter().all(|result| found.contains(result)), "a result is missing or differs");
    assert_eq!(cluster.sql_texts(JOBS).await?, jobs);
    // once more: nothing is doubled
    let told = cluster.rebuild().await?;
    assert!(
        told.starts_with("0 projects, 0 packs, 0 datasets with 0 sources\n0 jobs with 0 tasks\n0 results"),
        "{told}"
    );

    cluster.restart_coordinator().await?;
    cluster.add_worker()?;
    assert_eq!(cluster.job(ended).await?.state, JobState::Succeeded);
    assert_eq!(cluster.job(twin).await?.state, JobState::Succeeded);
    assert_eq!(cluster.ended(cancelled).await.state, JobState::Cancelled);
    assert_eq!(cluster.job(begun).await?.state, JobState::Paused);
    cluster.cfx(["job", "resume", &begun.to_string()]).await?.expect_code(0);
    let job = cluster.ended(begun).await;
    assert_eq!((job.state, by_state(&job)), (JobState::Succeeded, [("succeeded".to_owned(), 8)].into()));
    assert_eq!(cluster.fetch_and_verify(ended).await?.len(), 22);
    assert_eq!(cluster.fetch_and_verify(twin).await?.len(), 22);
    assert_eq!(cluster.fetch_and_verify(begun).await?.len(), 8);
    // hand-outs of the lost database cannot be taken for those of this one
    assert_eq!(cluster.sql_count("SELECT count(*) FROM tasks WHERE epoch < 1000000000000").await?, 0);
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_leaves_out_what_is_missing_and_names_it() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(3)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", 2)).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let refused = cluster.try_rebuild().await?;
    assert!(refused.contains("stop its coordinators"), "{refused}");
    cluster.workers[0].kill()?;
    cluster.coordinators[0].kill()?;
    let image =
        cluster.sql_texts("SELECT encode(image, 'hex') FROM results WHERE no = (SELECT min(no) FROM results)").await?;
    let digest: domain::Digest = image[0].parse()?;
    std::fs::remove_file(cluster.bucket.object_path(&digest.cas_key()))?;
    cluster.lose_database().await?;
    let told = cluster.rebuild().await?;
    assert!(told.contains("2 results") && told.contains("left out") && told.contains(&digest.cas_key()), "{told}");
    cluster.restart_coordinator().await?;
    cluster.add_worker()?;
    cluster.cfx(["job", "resume", &id.to_string()]).await?.expect_code(0);
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 3, "it was made again");
    cluster.assert_invariants().await
}
