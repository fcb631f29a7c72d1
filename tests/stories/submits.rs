//! Submitting twice, submitting nonsense, and two coordinators at once.

use crate::per_image;
use anyhow::Result;
use domain::job_state::JobState;
use stories::{Cluster, faces};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_submit_twice_is_one_job_even_with_two_coordinators() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_second_coordinator().await?;
    cluster.dataset("faces", &faces(10)?).await?.expect_code(0);
    let job = per_image("faces", 2);
    let first = cluster.submit_keyed(&job, "key-1").await?;
    let second = cluster.submit_keyed(&job, "key-1").await?;
    assert_eq!(first, second);
    assert_eq!(cluster.ended(first).await.state, JobState::Succeeded);
    assert_eq!(cluster.sql_count("SELECT count(*) FROM jobs").await?, 1);
    assert_eq!(cluster.sql_count("SELECT count(*) FROM results").await?, 10);
    assert_eq!(
        cluster.sql_count("SELECT count(*) FROM tasks WHERE epoch > 1").await?,
        0,
        "nothing was handed out twice"
    );

    let file = cluster.folder().join("other.toml");
    std::fs::write(&file, per_image("faces", 3))?;
    let other = cluster.cfx(["job", "submit", &file.to_string_lossy(), "--idempotency-key", "key-1"]).await?;
    assert!(other.code == 1 && other.stderr.contains("key-1"), "{other:?}");
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_met_says_what_is_wrong() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    cluster.dataset("faces", &faces(2)?).await?.expect_code(0);
    let wrong: [(&str, &[&str], i32, &str); 6] = [
        ("unknown pack", &["--dataset", "faces", "--pack", "nope", "--text", "x"], 1, "nope"),
        ("unknown dataset", &["--dataset", "nope", "--pack", "facesjs-64", "--text", "x"], 1, "nope"),
        ("unknown training set", &["--dataset", "faces", "--pack", "facesjs-64", "--text", "x"], 1, "train"),
        ("empty text", &["--dataset", "faces", "--pack", "facesjs-64", "--text", "  "], 1, "edits[0].text"),
        ("no text", &["--dataset", "faces", "--pack", "facesjs-64"], 2, "--text"),
        (
            "bad strength",
            &["--dataset", "faces", "--pack", "facesjs-64", "--text", "x", "--strengths", "1e9"],
            1,
            "strengths",
        ),
    ];
    for (what, flags, code, said) in wrong {
        let answer = cluster.cfx(["job", "submit"].iter().chain(flags)).await?;
        assert!(answer.code == code && answer.stderr.contains(said), "{what}: {answer:?}");
    }
    let long = "green ".repeat(60);
    let flags = ["job", "submit", "--dataset", "faces", "--pack", "facesjs-64", "--text", &long];
    let answer = cluster.cfx(flags).await?;
    assert!(answer.code == 1 && answer.stderr.contains("300"), "{answer:?}");
    assert_eq!(cluster.sql_count("SELECT count(*) FROM jobs").await?, 0);
    Ok(())
}
