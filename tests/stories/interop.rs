//! An output that is edited again names what it was made of. With `CFX_PROOF_TO` it is kept there, beside outputs in every format and
//! at every detail, their seals, records and anchor, for `tests/interop`.

use anyhow::{Context as _, Result};
use credentials::{Anchors, State, read_credential};
use domain::job_state::JobState;
use domain::record::Record;
use domain::{Digest, JobId};
use std::path::{Path, PathBuf};
use stories::{Cluster, PATIENCE, Picture, faces, pictures_of_every_trouble};
use testkit::wait_until;
use wire::http::v1::{EditResult, JobSeals};

/// A text that XML, JSON and shells have to write with care.
const TEXT: &str = "a face with \\\"grün\\\" hair & <blue> skin";

fn job(name: &str, dataset: &str, format: &str, detail: &str) -> String {
    format!(
        r#"
name = "{name}"
dataset = "{dataset}"
pack = "facesjs-64"
strengths = [0.5, 1.0]
[[edits]]
name = "mixed"
text = "{TEXT}"
method = {{ kind = "clip-nce", steps = 1, views = 2 }}
accept = {{ target = true }}
[output]
format = "{format}"
detail = "{detail}"
"#
    )
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What is kept of one job: its outputs, its seal, and every record, as the server tells it and as it was written.
async fn keep(cluster: &Cluster, id: JobId, to: &Path) -> Result<Vec<EditResult>> {
    wait_until("the job is sealed", PATIENCE, || async {
        let seals: JobSeals = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/seals")).await.ok()?).ok()?;
        (!seals.seals.is_empty()).then_some(())
    })
    .await;
    cluster.cfx(["result", "fetch", &id.to_string(), "--to", &text(to)]).await?.expect_code(0);
    cluster.cfx(["job", "seal", &id.to_string(), "--to", &text(&to.join("seal"))]).await?.expect_code(0);
    std::fs::create_dir_all(to.join("records"))?;
    let index = std::fs::read_to_string(to.join("results.jsonl"))?;
    let results: Vec<EditResult> = index.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for result in &results {
        let digest = result.record;
        let told = cluster.get(&format!("/v1/records/{digest}")).await?;
        std::fs::write(to.join(format!("records/{digest}.json")), told)?;
        std::fs::write(to.join(format!("records/{digest}.canonical")), object(cluster, digest)?)?;
    }
    Ok(results)
}

fn object(cluster: &Cluster, digest: Digest) -> Result<Vec<u8>> {
    let path = cluster.bucket.object_path(&digest.cas_key());
    std::fs::read(&path).with_context(|| path.display().to_string())
}

fn record(cluster: &Cluster, digest: Digest) -> Result<Record> {
    Ok(serde_json::from_slice(&object(cluster, digest)?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_edited_again_names_what_it_was_made_of() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let kept = std::env::var_os("CFX_PROOF_TO").map(PathBuf::from);
    let to = kept.clone().unwrap_or_else(|| cluster.folder().join("proof"));
    let mut pictures = faces(2)?;
    pictures.push(pictures_of_every_trouble()?.remove(0).0);
    cluster.dataset("faces", &pictures).await?.expect_code(0);
    let first = cluster.submit(&job("first", "faces", "png", "full")).await?;
    assert_eq!(cluster.ended(first).await.state, JobState::Partial, "one picture cannot be read");
    let made = keep(&cluster, first, &to.join("png-full")).await?;
    assert_eq!(made.len(), 4);
    std::fs::create_dir_all(&to)?;
    cluster.cfx(["keys", "export", &text(&to.join("anchors.pem"))]).await?.expect_code(0);

    // two of its outputs are what the next job edits
    let picture = |result: &EditResult| {
        Ok(Picture { name: format!("{}.png", result.image), bytes: object(&cluster, result.image)? })
    };
    let sources: Vec<Picture> = made.iter().filter(|r| r.strength == 1.0).map(picture).collect::<Result<_>>()?;
    cluster.dataset("outputs", &sources).await?.expect_code(0);
    let again = cluster.submit(&job("again", "outputs", "png", "full")).await?;
    assert_eq!(cluster.ended(again).await.state, JobState::Succeeded);
    let anchors = Anchors::read(&std::fs::read_to_string(to.join("anchors.pem"))?)?;
    for result in keep(&cluster, again, &to.join("png-again")).await? {
        let record = record(&cluster, result.record)?;
        let parent = made.iter().find(|r| r.image == record.recipe.source.sha256).context("its source is an output")?;
        assert_eq!(record.links.parents, [parent.record]);
        let credential = read_credential(&object(&cluster, result.image)?, &anchors)?;
        assert_eq!(credential.state, State::Trusted, "{credential:?}");
        assert_eq!(credential.ingredients, [(format!("{}.png", parent.image), true)]);
    }

    if kept.is_some() {
        for format in ["png", "jpeg", "webp"] {
            for detail in ["full", "standard", "minimal"] {
                let name = format!("{format}-{detail}");
                if to.join(&name).exists() {
                    continue;
                }
                let id = cluster.submit(&job(&name, "faces", format, detail)).await?;
                assert_eq!(cluster.ended(id).await.state, JobState::Partial);
                assert_eq!(keep(&cluster, id, &to.join(&name)).await?.len(), 4);
            }
        }
        // what leaves beside outputs: of pictures, and of outputs that were edited again
        for (id, name) in [(first, "beside"), (again, "beside-again")] {
            let to = text(&to.join(name));
            cluster
                .cfx(["result", "fetch", &id.to_string(), "--to", &to, "--reconstructions", "--latents"])
                .await?
                .expect_code(0);
        }
    }
    Ok(())
}
