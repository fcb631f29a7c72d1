//! What an output proves, and to whom: signed by coordinators for workers that hold no key, sealed with its job, verified level by
//! level, rendered again, and caught when anything of it was changed.

use anyhow::{Context as _, Result};
use domain::job_state::JobState;
use serde_json::Value;
use std::path::{Path, PathBuf};
use stories::{Cluster, PATIENCE, faces};
use testkit::{wait_until, workspace_root};
use wire::http::v1::JobSeals;

const JOB: &str = r#"
name = "proof"
dataset = "faces"
pack = "facesjs-64"
[[edits]]
text = "a face with green hair"
method = { kind = "clip-nce", steps = 2, views = 2 }
"#;

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn demo() -> String {
    text(&workspace_root().join("deploy/demo/pack"))
}

/// The findings of one file by check: level and result.
fn findings(report: &Value) -> Vec<(u64, String, String)> {
    let list = report["findings"].as_array().cloned().unwrap_or_default();
    let one = |f: &Value| {
        let word = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
        (f["level"].as_u64().unwrap_or(99), word("check"), word("result"))
    };
    list.iter().map(one).collect()
}

async fn verify(cluster: &Cluster, flags: &[&str], code: i32) -> Result<Vec<Value>> {
    let told = cluster.cfx([&["--json", "verify"], flags].concat()).await?.expect_code(code);
    serde_json::from_str(&told.stdout).with_context(|| told.stdout.clone())
}

async fn sealed(cluster: &Cluster, id: domain::JobId) -> JobSeals {
    wait_until("the job is sealed", PATIENCE, || async {
        let seals: JobSeals = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/seals")).await.ok()?).ok()?;
        Some(seals).filter(|seals| !seals.seals.is_empty())
    })
    .await
}

async fn fetched(cluster: &Cluster, id: domain::JobId, to: &Path) -> Result<Vec<PathBuf>> {
    cluster.cfx(["result", "fetch", &id.to_string(), "--to", &text(to)]).await?.expect_code(0);
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(to) {
        let path = entry?.into_path();
        if path.extension().is_some_and(|ending| ["png", "jpg", "webp"].iter().any(|known| ending == *known)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_proven_on_every_level_online_and_off() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let pictures = faces(3)?;
    cluster.dataset("faces", &pictures).await?.expect_code(0);
    let id = cluster.submit(JOB).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let seals = sealed(&cluster, id).await;
    assert_eq!((seals.seals.len(), seals.seals[0].results, seals.seals[0].failures), (1, 3, 0));

    // with the server: everything, down to the pixels rendered again
    let folder = cluster.folder().join("proof");
    let files = fetched(&cluster, id, &folder).await?;
    let reports = verify(&cluster, &[&text(&folder), "--pack", &demo(), "--replay"], 0).await?;
    for report in &reports {
        assert_eq!((report["proven"].as_u64(), &report["passed"]), (Some(5), &true.into()), "{report:#}");
    }
    let of_job = verify(&cluster, &[&id.to_string()], 0).await?;
    assert!(of_job.len() == 3 && of_job.iter().all(|r| r["proven"] == 4), "{of_job:#?}");

    // without it: the anchor, the seal and the weights are all that is needed
    let anchors = cluster.folder().join("anchors.pem");
    cluster.cfx(["keys", "export", &text(&anchors)]).await?.expect_code(0);
    cluster.cfx(["job", "seal", &id.to_string(), "--to", &text(&folder.join("seal"))]).await?.expect_code(0);
    let offline = [&text(&folder), "--offline", "--anchors", &text(&anchors), "--pack", &demo()];
    for report in verify(&cluster, &offline, 0).await? {
        let proven =
            findings(&report).iter().filter(|(level, _, _)| *level <= 3).all(|(_, _, result)| result == "pass");
        assert!(proven, "{report:#}");
    }
    // and whoever has no anchor learns that nobody vouches for the signer
    let unknown = verify(&cluster, &[&text(&files[0]), "--offline"], 0).await?;
    assert!(findings(&unknown[0]).contains(&(1, "trust".into(), "skipped".into())), "{unknown:#?}");
    assert_eq!(unknown[0]["proven"], 0);

    // a stranger's anchor, a manifest that says something else, a picture of another record
    let stranger = cluster.folder().join("stranger.pem");
    std::fs::write(&stranger, credentials::Authority::create(chrono::Utc::now())?.anchor)?;
    let distrusted = verify(&cluster, &[&text(&files[0]), "--offline", "--anchors", &text(&stranger)], 4).await?;
    assert!(findings(&distrusted[0]).contains(&(1, "trust".into(), "fail".into())), "{distrusted:#?}");
    let manifest = folder.join("seal/manifest.jsonl");
    let lines = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, lines.replacen("sample_id", "sample-id", 1))?;
    let forged = verify(&cluster, &offline, 4).await?;
    assert!(findings(&forged[0]).contains(&(3, "seal".into(), "fail".into())), "{forged:#?}");
    std::fs::write(&manifest, lines)?;
    let stripped = cluster.folder().join("stripped.png");
    std::fs::write(&stripped, credentials::strip_record(&std::fs::read(&files[0])?)?)?;
    let none = verify(&cluster, &[&text(&stripped), "--offline"], 4).await?;
    assert!(none[0]["proven"].is_null(), "{none:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_with_an_image_is_what_its_job_allows_and_a_recipe_is_asked_for_again() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(2)?).await?.expect_code(0);
    let minimal = cluster.submit(&format!("{JOB}\n[output]\nformat = 'jpeg'\ndetail = 'minimal'\n")).await?;
    let standard = cluster.submit(&format!("{JOB}\n[output]\nformat = 'webp'\ndetail = 'standard'\n")).await?;
    for id in [minimal, standard] {
        assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
        sealed(&cluster, id).await;
    }
    let files = fetched(&cluster, minimal, &cluster.folder().join("minimal")).await?;
    assert!(files.iter().all(|file| file.extension().is_some_and(|ending| ending == "jpg")), "{files:?}");
    let bytes = std::fs::read(&files[0])?;
    for secret in ["green", "clip-nce", "faces"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} has left");
    }
    // the record stays with the server, which has it; a lossy file is compared with what was drawn before
    for report in verify(&cluster, &[&text(&files[0]), "--replay", "--pack", &demo()], 0).await? {
        assert_eq!(report["proven"], 5, "{report:#}");
    }
    let alone = verify(&cluster, &[&text(&files[0]), "--offline"], 0).await?;
    assert!(findings(&alone[0]).contains(&(2, "record".into(), "skipped".into())), "{alone:#?}");
    let files = fetched(&cluster, standard, &cluster.folder().join("standard")).await?;
    let inspected = cluster.cfx(["inspect", &text(&files[0])]).await?.expect_code(0);
    let inspected: Value = serde_json::from_str(&inspected.stdout)?;
    assert_eq!(inspected["recipe"]["edit"]["text"], "a face with green hair");
    assert_eq!((&inspected["links"], &inspected["credential"]["state"]), (&Value::Null, &"valid".into()));

    // the same for other images, from the picture alone
    cluster.dataset("others", &faces(4)?[2..]).await?.expect_code(0);
    let again = cluster
        .cfx(["--json", "job", "submit", "--like", &text(&files[0]), "--dataset", "others"])
        .await?
        .expect_code(0);
    let again: wire::http::v1::Job = serde_json::from_str(&again.stdout)?;
    assert_eq!(cluster.ended(again.id).await.state, JobState::Succeeded);
    let made = fetched(&cluster, again.id, &cluster.folder().join("like")).await?;
    let (record, _) = credentials::extract_record(&std::fs::read(&made[0])?)?;
    assert_eq!(serde_json::to_value(&record.recipe.edit)?, inspected["recipe"]["edit"]);
    let told = cluster
        .cfx(["job", "submit", "--like", &text(&cluster.folder().join("minimal")), "--dataset", "others"])
        .await?;
    assert_ne!(told.code, 0, "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_takes_over_while_workers_run_and_the_old_ones_work_stays_valid() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(2)?).await?.expect_code(0);
    let signer = async |id: domain::JobId, to: &str| -> Result<String> {
        let folder = cluster.folder().join(to);
        let files = fetched(&cluster, id, &folder).await?;
        let reports = verify(&cluster, &[&text(&folder)], 0).await?;
        assert_eq!(reports.len(), files.len());
        Ok(reports[0]["credential"]["signed_by"].as_str().unwrap_or_default().to_owned())
    };
    let first = cluster.submit(JOB).await?;
    assert_eq!(cluster.ended(first).await.state, JobState::Succeeded);
    let before = signer(first, "before").await?;
    // the name of a key says the second it was made in
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let (rotated, told) = cluster.coordinator_verb(&["keys", "rotate"]).await?;
    assert!(rotated, "{told}");
    wait_until("the new key signs", PATIENCE, || async {
        let keys: wire::http::v1::Keys = serde_json::from_str(&cluster.get("/v1/keys").await.ok()?).ok()?;
        (keys.keys.len() == 2 && keys.keys[0].in_use).then_some(())
    })
    .await;
    let second = cluster.submit(&JOB.replace("steps = 2", "steps = 3")).await?;
    assert_eq!(cluster.ended(second).await.state, JobState::Succeeded);
    let after = signer(second, "after").await?;
    assert_ne!(before, after);
    assert_eq!(signer(first, "before").await?, before, "what the old key signed is as valid as before");
    Ok(())
}
