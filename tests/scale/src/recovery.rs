//! What `make faults` has measured, if it has run here.

use serde_json::{Value, json};
use std::path::Path;

/// Seconds until all that a fault held up goes on, by fault; or why there are none.
pub fn seconds(report: &Path) -> Value {
    let read = std::fs::read_to_string(report).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(told) = read else { return json!({ "why": "measured by `make faults`, which has left no report here" }) };
    let mut found = json!({ "how": "`make faults`: p50 and p95 over its runs", "runs": told["runs"] });
    for fault in told["faults"].as_array().into_iter().flatten() {
        let (Some(name), false) = (fault["name"].as_str(), fault["recovery_p50_s"].is_null()) else { continue };
        found[name] = json!({ "p50": fault["recovery_p50_s"], "p95": fault["recovery_p95_s"], "runs": fault["runs"] });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_taken_over_and_its_absence_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        assert!(seconds(&path)["why"].is_string());
        let faults = json!([
            { "name": "03 broker killed", "runs": 2, "recovery_p50_s": 1.5, "recovery_p95_s": 3.0, "violations": 0 },
            { "name": "15 rolling upgrade", "runs": 0, "recovery_p50_s": null, "recovery_p95_s": null, "violations": 0 },
        ]);
        std::fs::write(&path, json!({ "runs": 2, "faults": faults }).to_string()).unwrap();
        let told = seconds(&path);
        assert_eq!(told["03 broker killed"], json!({ "p50": 1.5, "p95": 3.0, "runs": 2 }));
        assert!(told["15 rolling upgrade"].is_null());
    }
}
