//! `cfx job export` against a double of a coordinator: ended half-way and run again, and at a size that no memory holds.

mod coordinator;

use coordinator::{Coordinator, JOB};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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

/// Rows of 100,000 pairs are 120 MB; the command must not know that.
#[test]
fn memory_does_not_grow_with_the_number_of_pairs() -> std::io::Result<()> {
    let peak = |pairs: i64| -> std::io::Result<u64> {
        let coordinator = coordinator::start(pairs, 10)?;
        let folder = TempDir::new()?;
        let mut running = export(&coordinator, "prov", folder.path(), &[]).stdout(Stdio::null()).spawn()?;
        let mut peak = 0;
        while running.try_wait()?.is_none() {
            // gone between the two looks: what was seen before stands
            let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = kib.unwrap_or(peak).max(peak);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(running.wait()?.success());
        Ok(peak)
    };
    let (small, large) = (peak(2_000)?, peak(20_000)?);
    assert!(large < small + 16 * 1024, "{small} KiB for 2,000 pairs, {large} KiB for 20,000");
    Ok(())
}
