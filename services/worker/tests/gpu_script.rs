//! `tests/gpu/run.sh`, which nobody here can run on a GPU: a tiny set of it on the CPU, and what it does without a program.

use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn script(out: &Path, settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/gpu/run.sh"));
    command.env("WORKER", env!("CARGO_BIN_EXE_worker")).env("DEVICE", "cpu").env("QUICK", "1").env("OUT", out);
    command.envs(settings.iter().copied()).output().expect("bash starts")
}

/// What the process said, for messages of failed assertions.
fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_tiny_set_on_a_cpu_ends_with_a_report() {
    let folder = TempDir::new().expect("a folder");
    let parts = [("PARTS", "parity edit determinism throughput"), ("BUDGET", "500")];
    let output = script(folder.path(), &parts);
    assert!(output.status.success(), "{}", said(&output));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let report: Value = serde_json::from_str(&read("report.json")).expect("JSON");

    let tensors = report["parity"]["tensors"].as_array().expect("tensors");
    let named: Vec<_> = tensors.iter().filter_map(|row| row["tensor"].as_str()).collect();
    for name in ["generator.w_plus.grad", "mapping.w", "encoder.image.grad", "clip.image.grad", "text.features"] {
        assert!(named.contains(&name), "no {name} in {named:?}");
    }
    // Of the same device: the same numbers, and both off by rounding.
    for row in tensors {
        let median = row["median"].as_f64().expect("a number");
        assert!(row["between"] == 0.0 && row["holds"] == true && 0.0 < median && median < 1e-6, "{row}");
    }
    for (part, replayed) in [("edit", "3-steps-on-cpu"), ("determinism", "first-again")] {
        assert_eq!(report[part][replayed]["exact"], true, "{part}/{replayed}: {}", report[part]);
    }
    assert!(report["edit"]["bf16-in-fp32"]["psnr"].as_f64().is_some_and(|psnr| psnr > 30.0), "{}", report["edit"]);
    let cells = report["throughput"]["64-vit-b-32-fp32"]["cells"].as_array().expect("cells");
    assert!(!cells.is_empty() && cells.iter().all(|cell| cell["device_bytes"].is_null()), "{cells:?}");
    assert_eq!(report["wrong"], Value::Array(Vec::new()));
    let text = read("report.md");
    for wanted in ["# On cpu", "Nothing failed.", "the same pixels", "| apply | 64 |", "| parity/compare | done |"] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
}

#[test]
fn a_part_that_fails_or_has_no_time_is_told_and_the_rest_goes_on() {
    let folder = TempDir::new().expect("a folder");
    // It starts, and can do nothing.
    let useless = folder.path().join("useless");
    std::fs::write(&useless, "#!/bin/sh\n[ \"$1\" = --version ]\n").expect("a file");
    std::fs::set_permissions(&useless, Permissions::from_mode(0o755)).expect("a mode");
    let useless = useless.to_str().expect("a path");
    let output = script(folder.path(), &[("PARTS", "parity aside"), ("WORKER", useless), ("TORCH", "/bin/false")]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = std::fs::read_to_string(folder.path().join("report.md")).expect("a report");
    for wanted in ["**Wrong: parity/double.**", "| parity/double | failed (1) |", "left out: /bin/false has no torch"] {
        assert!(text.contains(wanted), "no {wanted} in {text}");
    }
    let output = script(folder.path(), &[("PARTS", "parity"), ("BUDGET", "0")]);
    assert!(output.status.success(), "{}", said(&output));
    let text = std::fs::read_to_string(folder.path().join("report.md")).expect("a report");
    assert!(text.contains("| parity/inputs | left out: the budget was spent |"), "{text}");

    let output = script(folder.path(), &[("WORKER", "no-such-worker")]);
    assert!(!output.status.success() && said(&output).contains("there is no program no-such-worker"));
}
