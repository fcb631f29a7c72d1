//! Checked counterfactuals: rules in the job file, masks, verdicts with reasons, accepted yield per edit, and jobs that ask for what
//! cannot be had.

use anyhow::{Context as _, Result};
use domain::accept::RejectReason;
use domain::job_state::JobState;
use domain::record::Verdict;
use image::{GrayImage, Luma};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stories::{Answer, Cluster, faces};
use wire::http::v1::{Dataset, EditResult, Page, Task};

/// Bits of the demo set's masks under which hair may change: hair, beard and brows are drawn in one colour.
const HAIR: u8 = 1 | 4 | 16;

/// A mask of the demo set as users give masks: white where the hair is.
fn hair_mask(face: &str) -> Result<GrayImage> {
    let path = testkit::workspace_root().join("deploy/demo/faces/mask").join(face);
    let bits = image::open(&path).with_context(|| path.display().to_string())?.to_luma8();
    Ok(GrayImage::from_fn(bits.width(), bits.height(), |x, y| {
        Luma([if bits.get_pixel(x, y).0[0] & HAIR == 0 { 0 } else { 255 }])
    }))
}

/// A folder of masks for `names`.
fn mask_folder(at: &Path, names: &[&str]) -> Result<PathBuf> {
    std::fs::create_dir_all(at)?;
    for name in names {
        hair_mask(name)?.save(at.join(name))?;
    }
    Ok(at.to_owned())
}

/// Registers the first eight faces, six of them with masks: the mask of `006.png` is cut short, `007.png` has none.
async fn masked_faces(cluster: &Cluster) -> Result<PathBuf> {
    let pictures = faces(8)?;
    let folder = cluster.folder().join("faces");
    std::fs::create_dir_all(&folder)?;
    for picture in &pictures {
        std::fs::write(folder.join(&picture.name), &picture.bytes)?;
    }
    let names: Vec<&str> = pictures[..7].iter().map(|p| p.name.as_str()).collect();
    let masks = mask_folder(&cluster.folder().join("hair"), &names)?;
    let cut = masks.join(names[6]);
    let whole = std::fs::read(&cut)?;
    std::fs::write(&cut, &whole[..whole.len() / 2])?;
    let argument = format!("hair={}", masks.display());
    let added = cluster.cfx(["dataset", "add", "faces", &folder.to_string_lossy(), "--mask", &argument]).await?;
    let told = added.expect_code(0).stdout;
    assert!(told.contains("masks     7 added") && told.contains("1 images have no mask 'hair'"), "{told}");
    Ok(folder)
}

fn job(green: &str) -> String {
    format!(
        r#"
name = "checked"
dataset = "faces"
pack = "facesjs-64"
[[edits]]
name = "green"
text = "a face with green hair"
method = {{ kind = "clip-nce", steps = 8, views = 2, region = {{ mask = "hair" }} }}
accept = {green}
[[edits]]
name = "blue"
text = "a face with blue skin"
method = {{ kind = "styleclip", steps = 4 }}
accept = {{ target = false, max_change = 0.001 }}
"#
    )
}

/// Verdicts by edit, as the results themselves tell them by SQL.
async fn by_sql(cluster: &Cluster) -> Result<BTreeMap<(String, String), i64>> {
    let pool = cluster.database.pool().await?;
    let sql = "SELECT e.slug, COALESCE(r.verdict, 'none'), count(*) FROM results r \
               JOIN job_edits e ON e.job_seq = r.job_seq AND e.edit_no = r.edit_no GROUP BY 1, 2";
    let rows: Vec<(String, String, i64)> = sqlx::query_as(sql).fetch_all(&pool).await?;
    pool.close().await;
    Ok(rows.into_iter().map(|(slug, verdict, n)| ((slug, verdict), n)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_rules_tells_the_yield_of_each_edit_and_keeps_its_rejects() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let folder = masked_faces(&cluster).await?;
    let listed: Dataset = serde_json::from_str(&cluster.get("/v1/datasets/faces").await?)?;
    assert_eq!(listed.masks, [("hair".to_owned(), 7)].into());

    // lenient rules on what a few steps can do: the verdict is theirs, not the target's
    let id = cluster.submit(&job("{ target = false, max_outside_change = 3.0 }")).await?;
    let done = cluster.ended(id).await;
    assert_eq!(done.state, JobState::Partial);
    let reasons: Vec<_> = done.reasons.iter().map(|r| (r.reason.code(), r.tasks)).collect();
    assert_eq!(reasons, [("missing_mask", 1), ("truncated", 1)], "each bad mask cost its own image");
    let dead = cluster.cfx(["job", "tasks", &id.to_string(), "--state", "dead", "--json"]).await?.expect_code(0);
    let dead: Vec<Task> = dead.json()?;
    let lacking = dead.iter().find(|t| t.source.as_deref().is_some_and(|s| s.ends_with("007.png")));
    let detail = lacking.and_then(|t| t.detail.clone()).unwrap_or_default();
    assert!(detail.contains("007.png") && detail.contains("'hair'"), "{dead:?}");

    // the figures, by the interface and by SQL
    let [green, blue] = done.edits.as_slice() else { panic!("{:?}", done.edits) };
    assert_eq!((green.succeeded, green.accepted, green.rejected, green.unjudged), (6, 6, 0, 0), "{green:?}");
    assert_eq!((green.accepted_yield, green.reasons.len()), (Some(1.0), 0));
    assert_eq!((blue.succeeded, blue.accepted, blue.rejected), (8, 0, 8), "{blue:?}");
    assert_eq!((blue.accepted_yield, &blue.reasons), (Some(0.0), &[(RejectReason::ChangedTooMuch, 8)].into()));
    let expected = [(("green".to_owned(), "accept".to_owned()), 6), (("blue".to_owned(), "reject".to_owned()), 8)];
    assert_eq!(by_sql(&cluster).await?, expected.into());
    let status = cluster.cfx(["job", "status", &id.to_string()]).await?.expect_code(0).stdout;
    assert!(status.contains("100.0 %") && status.contains("8 changed-too-much"), "{status}");
    let page = cluster.get(&format!("/jobs/{id}")).await?;
    assert!(page.contains("<b>100.0 %</b>") && page.contains("changed-too-much"), "{page}");

    // rejects are kept with image, record and reason; the accepted are fetched by themselves
    let list = ["result", "list", &id.to_string(), "--verdict", "rejected", "--reason", "changed-too-much", "--json"];
    let rejected: Vec<EditResult> = cluster.cfx(list).await?.expect_code(0).json()?;
    assert_eq!(rejected.len(), 8);
    assert!(rejected.iter().all(|r| r.edit == "blue" && r.rejected_for == [RejectReason::ChangedTooMuch]));
    let to = cluster.folder().join("accepted").to_string_lossy().into_owned();
    cluster.cfx(["result", "fetch", &id.to_string(), "--to", &to, "--accepted"]).await?.expect_code(0);
    assert_eq!(std::fs::read_to_string(Path::new(&to).join("results.jsonl"))?.lines().count(), 6);
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 14);
    let page: Page<EditResult> =
        serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/results?edit=green")).await?)?;
    for result in &page.items {
        assert!(result.metrics["outside_change"] <= 3.0, "{:?}", result.metrics);
        let record: domain::record::Record =
            serde_json::from_str(&cluster.get(&format!("/v1/records/{}", result.record)).await?)?;
        let name = result.source_uri.rsplit('/').next().unwrap_or_default();
        let mask = std::fs::read(cluster.folder().join("hair").join(name))?;
        assert_eq!(record.recipe.mask, Some(domain::Digest::of(mask)));
        assert_eq!((record.outcome.verdict, record.outcome.rejected_for), (Some(Verdict::Accept), vec![]));
    }
    cluster.assert_invariants().await?;

    // the mask that was missing comes later, the dead task is tried again; the damaged one stays as it was registered
    let late = mask_folder(&cluster.folder().join("late"), &["006.png", "007.png"])?;
    let argument = format!("hair={}", late.display());
    let again = cluster.cfx(["dataset", "add", "faces", &folder.to_string_lossy(), "--mask", &argument]).await?;
    assert!(again.expect_code(1).stdout.contains("006.png has another mask 'hair'"));
    cluster.cfx(["job", "retry", &id.to_string(), "--reason", "missing_mask"]).await?.expect_code(0);
    let done = cluster.until(id, "the retried edit has ended", |job| job.edits[0].succeeded == 7).await;
    assert_eq!(done.edits[0].accepted, 7);
    cluster.ended(id).await;

    // the same images under stricter rules are other results: nothing is taken over from the first job but the latents
    let strict = cluster.submit(&job("{ min_probability = 0.9999, max_change = 0.001 }")).await?;
    let done = cluster.ended(strict).await;
    let green = &done.edits[0];
    assert_eq!((green.succeeded, green.accepted, green.rejected, done.memoised), (7, 0, 7, 8), "{green:?}");
    assert_eq!(green.reasons.get(&RejectReason::TargetUnsure), Some(&7), "{:?}", green.reasons);
    assert_eq!(cluster.fetch_and_verify(strict).await?.len(), 15);
    cluster.assert_invariants().await
}

async fn submitted(cluster: &Cluster, edit: &str) -> Result<Answer> {
    let file = cluster.folder().join("bad.toml");
    std::fs::write(&file, format!("name = \"bad\"\ndataset = \"faces\"\npack = \"facesjs-64\"\n[[edits]]\n{edit}\n"))?;
    cluster.cfx(["job", "submit", &file.to_string_lossy()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_asks_for_what_cannot_be_had_is_refused_with_the_field() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    cluster.dataset("faces", &faces(2)?).await?.expect_code(0);
    let green = "text = \"a face with green hair\"";
    let elf = "text = \"a face with elf ears\"";
    let cases = [
        (
            format!("{green}\nmethod = {{ kind = \"clip-nce\", region = {{ mask = \"hair\" }} }}"),
            "edits[0].method.region.mask",
        ),
        (format!("{green}\nmethod = {{ kind = \"directional\", layers = [0, 60] }}"), "edits[0].method.layers"),
        (
            format!("{green}\nmethod = {{ kind = \"styleclip\", guide_resolution = 1024 }}"),
            "edits[0].method.guide_resolution",
        ),
        (
            format!("{green}\nmethod.kind = \"clip-nce\"\naccept.max_outside_change = 1.0"),
            "edits[0].accept.max_outside_change",
        ),
        (format!("{elf}\nmethod.kind = \"clip-nce\"\naccept.min_probability = 0.9"), "edits[0].accept.min_probability"),
        (format!("{elf}\nmethod.kind = \"clip-nce\"\nstrength_search = {{}}"), "edits[0].strength_search"),
        (
            format!("{green}\nmethod.kind = \"clip-nce\"\naccept.min_probability = 1.5"),
            "edits[0].accept.min_probability",
        ),
        ("text = \"A face\"\nmethod.kind = \"clip-nce\"".to_owned(), "edits[0].text"),
        (format!("{green}\nmethod = {{ kind = \"cf-mapper\", preset = \"repro-1999\" }}"), "repro-2022"),
    ];
    for (edit, words) in cases {
        let answer = submitted(&cluster, &edit).await?.expect_code(1);
        assert!(answer.stderr.contains(words), "{edit}\n{}", answer.stderr);
    }
    assert_eq!(cluster.sql_count("SELECT count(*) FROM jobs").await?, 0);
    // training on the images that are edited is allowed, and said
    let same =
        submitted(&cluster, &format!("{green}\nmethod = {{ kind = \"styleclip-mapper\", train_on = \"faces\" }}"))
            .await?;
    assert!(same.expect_code(0).stderr.contains("edits[0].method.train_on"));
    Ok(())
}
