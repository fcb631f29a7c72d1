//! Packs on their way: from a user's disk to the bucket, and from the bucket to the cache that a host's workers share.

use anyhow::Result;
use domain::job_state::JobState;
use domain::{Digest, JobId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use stories::{Cluster, PATIENCE, PackFolder, faces, padded_pack};
use testkit::{Child, Fault, FaultProxy, wait_until};
use wire::http::v1::{Page, Task};

/// What workers read and write besides the pack: manifests, faces, latents, pictures.
const BESIDES: u64 = 4 << 20;
/// What a fetch that broke off may have to read again: `artifacts::PIECE`.
const PIECE: u64 = 16 << 20;

fn job(pack: &str, dataset: &str) -> String {
    let method = r#"{ kind = "clip-nce", steps = 2, views = 2 }"#;
    format!(
        "name = '{pack}'\ndataset = '{dataset}'\npack = '{pack}'\n[[edits]]\ntext = 'a face with green hair'\nmethod = {method}\n"
    )
}

fn demo() -> Result<PackFolder> {
    PackFolder::read(testkit::workspace_root().join("deploy/demo/pack"))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Names in a folder, none if it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn whole(pack: &PackFolder) -> BTreeSet<String> {
    pack.files.keys().map(|digest| format!("{digest}.file")).collect()
}

/// Lines of all workers with these words in them.
fn said(cluster: &Cluster, words: &str) -> usize {
    let lines = |worker: &Child| worker.output().lines().filter(|line| line.contains(words)).count();
    cluster.workers.iter().map(lines).sum()
}

/// Keys of everything in the bucket that is named by its digest.
fn stored(cluster: &Cluster) -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { walk(&entry.path(), found) } else { found.extend([text(&entry.path())]) }
        }
    }
    let mut found = BTreeSet::new();
    walk(&cluster.bucket.object_path("cas"), &mut found);
    found
}

/// A cluster without workers, with faces and a padded pack called `wide`, and a proxy before the bucket with the setting that leads a
/// worker to it.
async fn place(count: usize, mebibytes: usize) -> Result<(Cluster, PackFolder, FaultProxy, (&'static str, String))> {
    let cluster = Cluster::start(0).await?;
    cluster.dataset("faces", &faces(count)?).await?.expect_code(0);
    let pack = padded_pack(cluster.folder(), "wide", mebibytes)?;
    cluster.cfx(["pack", "add", &text(&pack.folder)]).await?.expect_code(0);
    let (proxy, endpoint) = FaultProxy::before(&cluster.bucket.endpoint()).await?;
    Ok((cluster, pack, proxy, ("CFX_S3_ENDPOINT", endpoint)))
}

async fn reasons(cluster: &Cluster, job: JobId, state: &str) -> Result<Vec<(String, String)>> {
    let page: Page<Task> =
        serde_json::from_str(&cluster.get(&format!("/v1/jobs/{job}/tasks?state={state}&limit=500")).await?)?;
    let told = |task: Task| Some((task.reason?.code().to_owned(), task.detail.unwrap_or_default()));
    Ok(page.items.into_iter().filter_map(told).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_one_host_fetch_a_file_once_and_go_on_from_what_a_killed_one_left() -> Result<()> {
    let (mut cluster, pack, proxy, through) = place(12, 40).await?;
    // 64 KiB a chunk: some seconds for the whole, time enough to kill it half way.
    proxy.set(Fault::Delay(Duration::from_millis(5)));
    cluster.add_worker_with(std::slice::from_ref(&through))?;
    let id = cluster.submit(&job("wide", "faces")).await?;
    let part = cluster.cache().join(format!("{}.part", pack.digest("generator.safetensors")?));
    wait_until("half of the generator is here", PATIENCE, || {
        let there = std::fs::metadata(&part).is_ok_and(|meta| meta.len() >= PIECE);
        async move { there.then_some(()) }
    })
    .await;
    cluster.workers[0].kill()?;
    let (kept, finished) = (std::fs::metadata(&part)?.len(), names(&cluster.cache()));
    let here: u64 = kept
        + pack.files.iter().filter(|(d, _)| finished.contains(&format!("{d}.file"))).map(|(_, (_, n))| n).sum::<u64>();

    proxy.set(Fault::None);
    let before = proxy.brought();
    cluster.add_worker_with(std::slice::from_ref(&through))?;
    cluster.add_worker_with(&[through])?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let brought = proxy.brought() - before;
    assert!(brought <= pack.bytes() - here + BESIDES, "{brought} bytes came for {} - {here}", pack.bytes());
    assert_eq!(said(&cluster, "a fetch goes on where it was"), 1);
    assert_eq!(said(&cluster, "fetched a file of a pack"), pack.files.len(), "each file once, over all processes");
    assert_eq!(names(&cluster.cache()), whole(&pack), "nothing else is left in the folder");
    assert_eq!(cluster.fetch_and_verify_with(id, &pack.folder).await?.len(), 12);
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_dies_in_the_middle_of_a_file_is_asked_for_the_rest() -> Result<()> {
    let (mut cluster, pack, proxy, through) = place(2, 40).await?;
    // Into the first piece of the generator, whatever came before it.
    let generator = pack.digest("generator.safetensors")?;
    cluster.add_worker_with(&[through])?;
    proxy.cut_after_brought(12 << 20);
    let id = cluster.submit(&job("wide", "faces")).await?;
    let retried = wait_until("the store's death is told for both faces", PATIENCE, || async {
        reasons(&cluster, id, "retry_wait").await.ok().filter(|told| told.len() == 2)
    })
    .await;
    assert!(
        retried.iter().all(|(reason, detail)| reason == "storage_unavailable" && detail.contains("wide")),
        "{retried:?}"
    );
    // And into the second one. The client asks some times for itself, so only a failed task says that a fetch has broken off.
    let failures = |cluster: &Cluster| cluster.coordinators[0].output().matches("a task failed").count();
    let before = failures(&cluster);
    proxy.bring(30 << 20);
    let part = cluster.cache().join(format!("{generator}.part"));
    wait_until("the store has died in the middle of the generator", PATIENCE, || {
        let there = std::fs::metadata(&part).is_ok_and(|meta| meta.len() >= PIECE) && failures(&cluster) > before;
        async move { there.then_some(()) }
    })
    .await;
    proxy.set(Fault::None);
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    assert!(said(&cluster, "a fetch goes on where it was") >= 1);
    // Three tries, of which two broke off within a piece.
    let brought = proxy.brought();
    assert!(brought <= pack.bytes() + 2 * PIECE + BESIDES, "{brought} bytes came for {}", pack.bytes());
    assert_eq!(names(&cluster.cache()), whole(&pack));
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_the_disk_is_fetched_again() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    cluster.dataset("faces", &faces(2)?).await?.expect_code(0);
    let pack = demo()?;
    let [clip, generator, judge] = ["clip", "generator", "judge"].map(|n| pack.digest(&format!("{n}.safetensors")));
    let cache = cluster.cache();
    std::fs::create_dir_all(&cache)?;
    let damage = |name: &str, length: usize, to: String| -> Result<()> {
        let mut bytes = std::fs::read(pack.folder.join(name))?;
        bytes.truncate(length);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(std::fs::write(cache.join(to), bytes)?)
    };
    damage("clip.safetensors", usize::MAX, format!("{}.file", clip?))?;
    damage("generator.safetensors", 1 << 20, format!("{}.part", generator?))?;
    // More than there is of it.
    std::fs::write(cache.join(format!("{}.part", judge?)), vec![7; 2 << 20])?;
    cluster.add_worker()?;
    let id = cluster.submit(&job("facesjs-64", "faces")).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    assert!(said(&cluster, "a cached file is damaged") > 0);
    assert_eq!(said(&cluster, "is damaged: fetching all of it"), 1);
    assert_eq!(names(&cache), whole(&pack));
    for digest in pack.files.keys() {
        assert_eq!(Digest::of(std::fs::read(cache.join(format!("{digest}.file")))?), *digest);
    }
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_costs_the_jobs_of_its_pack_and_no_others() -> Result<()> {
    let (mut cluster, pack, _proxy, _) = place(2, 1).await?;
    let generator = pack.digest("generator.safetensors")?;
    let object = cluster.bucket.object_path(&generator.cas_key());
    let mut bytes = std::fs::read(&object)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&object, bytes)?;
    cluster.add_worker()?;
    let spoilt = cluster.submit(&job("wide", "faces")).await?;
    let sound = cluster.submit(&job("facesjs-64", "faces")).await?;
    assert_eq!(cluster.ended(sound).await.state, JobState::Succeeded);
    assert_eq!(cluster.ended(spoilt).await.state, JobState::Failed);
    let told = reasons(&cluster, spoilt, "dead").await?;
    let of_pack: Vec<_> = told.iter().filter(|(reason, _)| reason != "producer_dead").collect();
    assert!(
        !of_pack.is_empty()
            && of_pack.iter().all(|(reason, detail)| {
                reason == "pack_invalid"
                    && ["wide", "generator.safetensors", "damaged"].iter().all(|w| detail.contains(w))
            }),
        "{told:?}"
    );
    assert!(!cluster.cache().join(format!("{generator}.part")).exists() && cluster.workers[0].ended()?.is_none());
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_with_a_small_cache_evict_only_what_no_other_uses() -> Result<()> {
    let (mut cluster, _, _proxy, _) = place(12, 2).await?;
    let small = [("CFX_CACHE_BYTES", "1000".to_owned()), ("CFX_PACKS_LOADED", "1".to_owned())];
    for _ in 0..2 {
        cluster.add_worker_with(&small)?;
    }
    // Both packs at once, over and over: each worker changes from one to the other while its neighbour uses either.
    let mut ids = Vec::new();
    for round in 0..3 {
        for pack in ["wide", "facesjs-64"] {
            let dataset = format!("faces-{round}-{pack}");
            cluster.dataset(&dataset, &faces(12)?).await?.expect_code(0);
            ids.push(cluster.submit(&job(pack, &dataset)).await?);
        }
    }
    for id in ids {
        let job = cluster.ended(id).await;
        assert_eq!(job.state, JobState::Succeeded, "{:?}", job.reasons);
    }
    assert_eq!(
        cluster.sql_count("SELECT count(*) FROM tasks WHERE attempts > 0").await?,
        0,
        "nothing was ever missing"
    );
    assert!(said(&cluster, "the packs in use are larger than the cache may be") > 0);

    // Whoever is alone keeps only what it uses.
    for worker in &mut cluster.workers {
        worker.terminate()?;
        worker.wait(Duration::from_secs(60)).await;
    }
    cluster.add_worker_with(&small)?;
    cluster.dataset("last", &faces(13)?[12..]).await?.expect_code(0);
    let id = cluster.submit(&job("facesjs-64", "last")).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    assert_eq!(names(&cluster.cache()), whole(&demo()?));
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_such_leaves_no_junk_and_is_got_over() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    cluster.dataset("faces", &faces(2)?).await?.expect_code(0);
    let cache = text(&cluster.cache());
    std::fs::create_dir_all(&cache)?;
    // A disk of its own, seen by this worker alone. Users other than root may mount in a namespace of theirs.
    let mut command = Command::new("unshare");
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self")?) == 0;
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    let script = r#"mount -t tmpfs -o size=8m none "$CFX_CACHE_DIR" && exec "$0" run"#;
    command.args(["--mount", "sh", "-c", script]).arg(testkit::workspace_binary("worker")?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CFX_")) {
        command.env_remove(name);
    }
    command.envs(cluster.worker_settings(&[]));
    cluster.workers.push(Child::spawn_command("worker on a small disk", command)?);
    let id = cluster.submit(&job("facesjs-64", "faces")).await?;
    let told = wait_until("the full disk is told", PATIENCE, || async {
        reasons(&cluster, id, "retry_wait").await.ok().filter(|told| !told.is_empty())
    })
    .await;
    assert!(
        told.iter().all(|(reason, detail)| reason == "storage_unavailable" && detail.contains("free some of the disk")),
        "{told:?}"
    );
    let pid = cluster.workers[0].pid();
    let inside = PathBuf::from(format!("/proc/{pid}/root{cache}"));
    let left = names(&inside);
    assert!(left.iter().all(|name| name.ends_with(".file")), "{left:?}");
    let mut enter = Command::new("nsenter");
    enter.args(["--target", &pid.to_string(), "--mount"]);
    if !root {
        enter.args(["--user", "--preserve-credentials"]);
    }
    let larger = enter.args(["mount", "-o", "remount,size=64m", &cache]).status()?;
    assert!(larger.success(), "{larger}");
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    assert_eq!(names(&inside), whole(&demo()?));
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_registers_nothing_and_sends_no_file_twice() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let pack = padded_pack(cluster.folder(), "wide", 40)?;
    let demo = demo()?;
    let before = stored(&cluster);
    let generator = pack.digest("generator.safetensors")?;
    let proxy = FaultProxy::start(cluster.server().to_string()).await?;
    let add = ["pack".to_owned(), "add".to_owned(), text(&pack.folder)];

    // In the middle of the one file that the bucket lacks: two of its pieces have arrived.
    proxy.cut_after_sent(36 << 20);
    cluster.cfx_through(proxy.address(), &add).await?.expect_code(5);
    assert_eq!(stored(&cluster), before, "neither object nor pieces");
    let packs = cluster.cfx(["pack", "list"]).await?.expect_code(0).stdout;
    assert!(!packs.contains("wide"), "{packs}");

    // Between the file and the registration: the bucket has all, nobody knows of it.
    proxy.set(Fault::None);
    let sent = proxy.sent();
    proxy.cut_after_sent(pack.files[&generator].1 + 2000);
    cluster.cfx_through(proxy.address(), &add).await?.expect_code(5);
    let packs = cluster.cfx(["pack", "list"]).await?.expect_code(0).stdout;
    assert!(!packs.contains("wide"), "{packs}");
    wait_until("the file has arrived", PATIENCE, || {
        let there = cluster.bucket.object_path(&generator.cas_key()).is_file();
        async move { there.then_some(()) }
    })
    .await;
    assert!(proxy.sent() - sent >= pack.files[&generator].1);

    proxy.set(Fault::None);
    let sent = proxy.sent();
    cluster.cfx_through(proxy.address(), &add).await?.expect_code(0);
    assert!(proxy.sent() - sent < 1 << 20, "{} bytes were sent again", proxy.sent() - sent);
    // One new file and one new manifest: what the demo pack has, too, is stored once.
    let new: Vec<_> = stored(&cluster).difference(&before).cloned().collect();
    assert_eq!(new.len(), 2, "{new:?}");
    let listed: serde_json::Value = cluster.cfx(["pack", "list", "--parts", "--json"]).await?.json()?;
    let wide = listed.as_array().and_then(|all| all.iter().find(|p| p["name"] == "wide")).expect("the pack").clone();
    assert_eq!(wide["bytes"], pack.bytes());
    let of = |role: &str| wide["parts"].as_array().and_then(|all| all.iter().find(|p| p["role"] == role)).cloned();
    let clip = of("clip").expect("a CLIP");
    assert_eq!(clip["sha256"], demo.digest("clip.safetensors")?.to_string());
    assert_eq!(clip["shared_with"], serde_json::json!(["facesjs-64"]));
    assert_eq!(of("generator").expect("a generator")["shared_with"], serde_json::json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_not_what_its_manifest_says_is_refused_by_its_files_name() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let pack = padded_pack(cluster.folder(), "spoilt", 1)?;
    let judge = pack.folder.join("judge.safetensors");
    let mut bytes = std::fs::read(&judge)?;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&judge, bytes)?;
    let before = stored(&cluster);
    for verb in ["verify", "add"] {
        let refused = cluster.cfx(["pack", verb, &text(&pack.folder)]).await?.expect_code(4);
        assert!(refused.stdout.contains("judge.safetensors (judge): SHA-256 is"), "{verb}: {}", refused.stdout);
    }
    assert_eq!(stored(&cluster), before, "not even its sound files are sent");
    let packs = cluster.cfx(["pack", "list"]).await?.expect_code(0).stdout;
    assert!(!packs.contains("spoilt"), "{packs}");
    Ok(())
}
