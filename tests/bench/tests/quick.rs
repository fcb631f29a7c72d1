//! The benchmark from drawing to gallery, so small that it takes seconds: that it runs, that its reference rows are what they
//! must be, and that a second run computes nothing again.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

fn quality(cache: &Path, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ran = Command::new(env!("CARGO_BIN_EXE_quality"))
        .args(arguments)
        .arg("--quick")
        .args([Path::new("--root"), &root, Path::new("--cache"), cache])
        .output()
        .expect("the benchmark starts");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    said
}

/// Every file below a folder that holds images, with the time it was written.
fn written(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the cache") {
        let entry = entry.expect("an entry of that folder");
        if entry.path().is_dir() {
            files.extend(written(&entry.path()));
        } else if entry.file_name() == "edited.png" || entry.file_name() == "mapper.safetensors" {
            let written = entry.metadata().and_then(|metadata| metadata.modified()).expect("a file has a time");
            files.push((entry.path(), written));
        }
    }
    files.sort();
    files
}

#[test]
fn from_drawing_to_gallery_and_nothing_twice() {
    let cache = tempfile::tempdir().unwrap();
    let out = cache.path().join("out");
    quality(cache.path(), &["run"]);
    let first = written(cache.path());
    quality(cache.path(), &["run"]);
    assert!(!first.is_empty() && first == written(cache.path()));
    quality(cache.path(), &["report", "--out", out.to_str().unwrap()]);

    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(out.join("quality.json")).unwrap()).unwrap();
    for row in &rows {
        assert_eq!(row["n"], 8);
        for figure in ["success", "preservation", "outside_change", "ssim_to_truth", "clip_gain"] {
            assert!(row[figure].is_number(), "{figure} of {row}");
        }
        let [low, high] = [0, 1].map(|end| row["ci95"]["preservation"]["faces"][end].as_f64().unwrap());
        assert!(low <= row["preservation"].as_f64().unwrap() && row["preservation"].as_f64().unwrap() <= high);
    }
    let row = |method: &str, text: &str| {
        rows.iter().find(|row| row["method"] == method && row["text"].as_str().unwrap().ends_with(text)).unwrap()
    };
    for text in ["green hair", "glasses"] {
        let (before, truth) = (row("before (reconstruction)", text), row("ceiling (drawn truth)", text));
        assert_eq!(before["success"], 0.0);
        assert_eq!(before["outside_change"], 0.0);
        assert_eq!(before["preservation"], 1.0);
        assert_eq!(truth["success"], 1.0);
        assert_eq!(truth["ssim_to_truth"], 1.0);
        assert!(truth["psnr_to_truth"].is_null());
        let inverted = row("ceiling (truth, inverted)", text);
        assert!(inverted["psnr_to_truth"].as_f64() > before["psnr_to_truth"].as_f64());
    }
    assert_eq!(row("ceiling (drawn truth)", "green hair")["success_by_colour"], 1.0);
    assert!(row("ceiling (drawn truth)", "glasses")["success_by_colour"].is_null());
    let mapper = row("cf-mapper", "green hair");
    assert!(mapper["training_seconds"].as_f64() > Some(0.0) && mapper["setting"]["method"]["steps"] == 5);
    assert!(row("clip-nce", "green hair")["training_seconds"].is_null());

    let page = std::fs::read_to_string(out.join("QUALITY.md")).unwrap();
    assert!(page.contains("All of the plan is measured") && page.contains("## Ours against the rivals"));
    let gallery = std::fs::read_to_string(out.join("gallery/index.html")).unwrap();
    assert!(gallery.contains("url(green-hair.png)") && !gallery.contains("http"));
    let sheet = image::open(out.join("gallery/green-hair.png")).unwrap();
    assert_eq!((sheet.width() % 64, sheet.height() % 64), (0, 0));
}
