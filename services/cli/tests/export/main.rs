//! `cfx job export` against a double of a coordinator: ended half-way and run again, and at a size that no memory holds.

mod coordinator;

use coordinator::{Coordinator, JOB};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::TestBucket;

fn export(coordinator: &Coordinator, format: &str, to: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfx"));
    command.args(["--server", &coordinator.address, "--json", "job", "export", JOB, "--format", format, "--to"]);
    command.arg(to).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn done(output: Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a report")
}

/// Every file under a folder.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.insert(path.strip_prefix(root).expect("within").to_owned(), bytes);
        }
    }
    found
}

/// Kills the export when the double has given all it was to give.
fn kill_when_silent(mut export: Child, coordinator: &Coordinator) {
    let began = Instant::now();
    while coordinator.patience.load(Ordering::SeqCst) >= 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the double was not asked for enough");
        assert!(export.try_wait().expect("a child").is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    export.kill().expect("a running export");
    export.wait().expect("a killed export");
}

#[test]
fn an_export_that_is_killed_goes_on_and_ends_as_one_that_was_not() -> std::io::Result<()> {
    // three pages; shards of a megabyte, so that some are whole and some are not when it is killed
    let more = ["--reconstructions", "--split", "train=0.7,test=0.3", "--shard-mib", "1"];
    for format in ["imagefolder", "webdataset", "parquet"] {
        let coordinator = coordinator::start(500, 8_000)?;
        let folder = TempDir::new()?;
        let (plain, broken) = (folder.path().join("plain"), folder.path().join("broken"));
        let whole = done(export(&coordinator, format, &plain, &more).output()?);
        let asked = coordinator.asked.swap(0, Ordering::SeqCst);
        for images in [230, 40, 290] {
            coordinator.patience.store(images, Ordering::SeqCst);
            kill_when_silent(export(&coordinator, format, &broken, &more).spawn()?, &coordinator);
            let part =
                |path: &PathBuf| path.to_string_lossy().ends_with("metadata.jsonl") || path.ends_with("export.json");
            let (there, plain) = (files(&broken), files(&plain));
            assert!(!there.keys().any(part), "no table before it is whole");
            for (path, bytes) in &there {
                let staged = path.starts_with(".cfx-export");
                assert!(staged || plain[path] == *bytes, "{} is half-written", path.display());
            }
        }
        coordinator.patience.store(i64::MAX, Ordering::SeqCst);
        let mut resumed = done(export(&coordinator, format, &broken, &more).output()?);
        resumed["to"] = whole["to"].clone();
        assert_eq!(resumed, whole);
        let (ours, theirs) = (files(&broken), files(&plain));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        assert!(ours == theirs, "the same bytes");
        let again = coordinator.asked.load(Ordering::SeqCst);
        assert!(again < asked * 3 / 2, "{format}: {again} images were fetched in place of {asked}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_in_a_bucket_go_up_in_parts_and_an_upload_that_is_killed_is_done_again() -> std::io::Result<()> {
    let bucket = TestBucket::create().await.map_err(std::io::Error::other)?;
    let coordinator = coordinator::start(700, 30_000)?;
    let folder = TempDir::new()?;
    // a shard of twenty megabytes is three parts
    let more = ["--shard-mib", "20"];
    let whole = done(export(&coordinator, "webdataset", &folder.path().join("plain"), &more).output()?);
    let to = format!("s3://{}/faces", TestBucket::NAME);
    let to_bucket = || {
        let mut command = export(&coordinator, "webdataset", Path::new(&to), &more);
        command.env("AWS_ACCESS_KEY_ID", TestBucket::ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", TestBucket::SECRET_KEY);
        command.env("AWS_REGION", TestBucket::REGION).env("CFX_EXPORT_S3_ENDPOINT", bucket.endpoint());
        command.env("CFX_STATE_DIR", folder.path().join("state"));
        command
    };
    for images in [500, 400] {
        coordinator.patience.store(images, Ordering::SeqCst);
        kill_when_silent(to_bucket().spawn()?, &coordinator);
    }
    coordinator.patience.store(i64::MAX, Ordering::SeqCst);
    let mut resumed = done(to_bucket().output()?);
    resumed["to"] = whole["to"].clone();
    assert_eq!(resumed, whole);
    let names = ["train-000000.tar", "train-000001.tar", "train-000002.tar", "manifest.jsonl", "export.json"];
    for name in names {
        let theirs = std::fs::read(bucket.object_path(&format!("faces/{name}")))?;
        assert!(theirs == std::fs::read(folder.path().join("plain").join(name))?, "{name}");
        assert!(!name.ends_with(".tar") || theirs.len() <= 20 << 20, "a shard is no larger than it may be");
    }
    assert!(!folder.path().join("state/exports").read_dir()?.any(|_| true), "nothing is left staged");
    Ok(())
}

#[test]
fn two_at_once_in_one_place_are_one_too_many() -> std::io::Result<()> {
    let coordinator = coordinator::start(50, 10)?;
    let folder = TempDir::new()?;
    coordinator.patience.store(5, Ordering::SeqCst);
    let mut first = export(&coordinator, "imagefolder", folder.path(), &[]).spawn()?;
    while coordinator.patience.load(Ordering::SeqCst) >= 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = export(&coordinator, "imagefolder", folder.path(), &[]).output()?;
    first.kill()?;
    first.wait()?;
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process"), "{second:?}");
    Ok(())
}

#[test]
fn what_is_wrong_with_the_command_line_is_said_before_anything_is_written() -> std::io::Result<()> {
    let coordinator = coordinator::start(5, 10)?;
    let folder = TempDir::new()?;
    for (flags, words) in [
        (["--split", "train=0.5"], "add up to 0.5"),
        (["--rai", "dataBias=x"], "dataBiases"),
        (["--edit", "purple"], "green"),
        (["--shard-mib", "0"], "shard-mib"),
    ] {
        let ended = export(&coordinator, "imagefolder", &folder.path().join("x"), &flags).output()?;
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(2) && told.contains(words), "{flags:?}: {ended:?}");
    }
    assert!(!folder.path().join("x").exists());
    Ok(())
}

/// Runs it to its end; its largest resident set in KiB.
fn peak_of(mut export: Command) -> std::io::Result<u64> {
    let mut running = export.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
    let mut peak = 0;
    while running.try_wait()?.is_none() {
        // gone between the two looks: what was seen before stands
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(running.wait()?.success());
    Ok(peak)
}

#[test]
fn memory_does_not_grow_with_the_number_of_pairs() -> std::io::Result<()> {
    let peak = |pairs: i64| -> std::io::Result<u64> {
        let coordinator = coordinator::start(pairs, 10)?;
        let folder = TempDir::new()?;
        peak_of(export(&coordinator, "prov", folder.path(), &[]))
    };
    let (small, large) = (peak(2_000)?, peak(20_000)?);
    assert!(large < small + 16 * 1024, "{small} KiB for 2,000 pairs, {large} KiB for 20,000");
    Ok(())
}

/// `cargo test --workspace --test export -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes and a gigabyte of disk; prints figures"]
fn a_hundred_thousand_pairs() -> std::io::Result<()> {
    let pairs = 100_000;
    let coordinator = coordinator::start(pairs, 4_000)?;
    for format in ["webdataset", "prov", "parquet", "imagefolder", "croissant"] {
        let folder = TempDir::new()?;
        let began = Instant::now();
        let peak = peak_of(export(&coordinator, format, folder.path(), &["--split", "train=0.8,val=0.1,test=0.1"]))?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "{format}: {pairs} pairs in {seconds:.0} s, {:.0} pairs/s, at most {} MiB",
            pairs as f64 / seconds,
            peak >> 10
        );
        assert!(peak >> 10 < 128, "{} MiB", peak >> 10);
    }
    Ok(())
}
