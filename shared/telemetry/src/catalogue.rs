//! Every metric there is: its name, its kind, its labels and what it tells. [`crate::init`] gives the texts to Prometheus, and a test
//! holds the table against the names in the sources, in the alert rules and on the boards.
//!
//! Names follow Prometheus's conventions: one prefix, base units, `_total` for counters, and no label whose values are without number
//! (ids, addresses, texts of users).

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Goes up, and starts at zero with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by their size, in seconds.
    Histogram,
}

/// A metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, without `service`, which all have.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

const fn metric(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// All of them, by name.
pub const METRICS: &[Metric] = &[
    metric(Kind::Counter, "cfx_batches_dispatched_total", &[], "Batches that this coordinator handed out."),
    metric(Kind::Gauge, "cfx_batches_in_flight", &["class", "stage"], "Batches handed out and not ended."),
    metric(Kind::Gauge, "cfx_broker_blocked", &[], "1 while RabbitMQ blocks publishers (memory or disk alarm)."),
    metric(Kind::Gauge, "cfx_build_info", &["version", "commit"], "Always 1: which program this is."),
    metric(Kind::Histogram, "cfx_cancel_to_idle_seconds", &[], "From a cancel until its work has left the device."),
    metric(Kind::Counter, "cfx_http_problems_total", &["code"], "Requests that were refused, by problem code."),
    metric(
        Kind::Histogram,
        "cfx_http_request_duration_seconds",
        &["route", "method", "status"],
        "Time to answer a request.",
    ),
    metric(Kind::Counter, "cfx_jobs_ended_total", &["state"], "Jobs that ended, by how."),
    metric(Kind::Counter, "cfx_jobs_submitted_total", &[], "Jobs that were accepted."),
    metric(Kind::Counter, "cfx_lineage_refused_total", &[], "OpenLineage events that the endpoint refused."),
    metric(Kind::Counter, "cfx_loop_changed_total", &["loop"], "Rows that a loop of the coordinator changed."),
    metric(Kind::Histogram, "cfx_loop_duration_seconds", &["loop"], "Time of one step of a loop of the coordinator."),
    metric(Kind::Counter, "cfx_loop_errors_total", &["loop"], "Steps of a loop that failed; they are repeated."),
    metric(Kind::Gauge, "cfx_outbox_lag_seconds", &[], "Age of the oldest message that is not published yet."),
    metric(Kind::Gauge, "cfx_outbox_messages", &[], "Messages that are not published yet."),
    metric(
        Kind::Counter,
        "cfx_outcomes_not_believed_total",
        &[],
        "Outcomes whose claims do not fit together; their tasks fail.",
    ),
    metric(
        Kind::Counter,
        "cfx_outcomes_total",
        &["kind"],
        "Outcomes of tasks that were accepted: stored, edited, yielded, failed.",
    ),
    metric(
        Kind::Counter,
        "cfx_publish_failures_total",
        &["kind"],
        "Messages that RabbitMQ did not confirm; they are sent again.",
    ),
    metric(Kind::Counter, "cfx_published_total", &[], "Messages that RabbitMQ confirmed."),
    metric(Kind::Gauge, "cfx_queue_backlog_gpu_seconds", &["stage"], "Estimated tensor work that waits or runs."),
    metric(
        Kind::Gauge,
        "cfx_queue_tasks",
        &["stage", "state"],
        "Tasks of open jobs: ready, blocked, retrying, paused, running.",
    ),
    metric(
        Kind::Histogram,
        "cfx_s3_request_duration_seconds",
        &["op", "outcome"],
        "Time of a read or a write of the bucket, retries included.",
    ),
    metric(
        Kind::Histogram,
        "cfx_sign_duration_seconds",
        &[],
        "Time to make a Content Credential, the way to the key included.",
    ),
    metric(
        Kind::Counter,
        "cfx_signatures_total",
        &["answer"],
        "Requests for signatures that this coordinator answered, by how.",
    ),
    metric(Kind::Counter, "cfx_stale_outcomes_total", &[], "Outcomes that were late or doubled and changed nothing."),
    metric(Kind::Counter, "cfx_task_failures_total", &["reason"], "Attempts that failed, by reason code."),
    metric(
        Kind::Counter,
        "cfx_unreadable_messages_total",
        &["queue", "reason"],
        "Messages that could not be read; they are set aside.",
    ),
    metric(
        Kind::Gauge,
        "cfx_worker_device_memory_bytes",
        &["kind"],
        "Memory of the worker's GPU: used, by all processes together, and total.",
    ),
    metric(
        Kind::Gauge,
        "cfx_worker_memory_bytes",
        &["kind"],
        "Resident memory of the worker's process, now and at most.",
    ),
    metric(
        Kind::Counter,
        "cfx_worker_messages_refused_total",
        &["message"],
        "Messages of workers that the database refused for now.",
    ),
    metric(Kind::Counter, "cfx_worker_messages_total", &["message"], "Messages of workers, by kind."),
    metric(
        Kind::Histogram,
        "cfx_worker_request_duration_seconds",
        &["request"],
        "Time that the device was busy with a request: detect, invert, encode, train, edit.",
    ),
    metric(
        Kind::Histogram,
        "cfx_worker_step_duration_seconds",
        &["step"],
        "Time of an item's work beside the device: prepare (decoded and framed), encode (the file), record (written, put into the file).",
    ),
    metric(Kind::Gauge, "cfx_worker_tasks_held", &[], "Tasks that this worker has in hand."),
    metric(
        Kind::Counter,
        "cfx_worker_tasks_total",
        &["outcome"],
        "Tasks that this worker ended: stored, edited, yielded, failed.",
    ),
    metric(Kind::Gauge, "cfx_workers", &["class"], "Live workers."),
];

/// Gives every metric's text to the recorder in place.
pub fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, metrics::Unit::Seconds, *help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// Names of metrics in the files below `folder` with one of these endings.
    fn named(folder: &Path, endings: &[&str], found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                named(&entry, endings, found);
            } else if entry.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
                let text = std::fs::read_to_string(&entry).expect("a text");
                let rust = entry.extension().is_some_and(|ending| ending == "rs");
                // in sources a name stands in a macro; in rules and boards anywhere
                for part in text.split(if rust { "!(\"cfx_" } else { "cfx_" }).skip(1) {
                    let rest: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                    let name = format!("cfx_{rest}");
                    let bare = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
                    found.insert(bare.filter(|_| !rust).unwrap_or(&name).to_owned());
                }
            }
        }
    }

    #[test]
    fn the_table_has_every_metric_of_the_sources_and_no_other() {
        let mut found = BTreeSet::new();
        for folder in ["services/coordinator/src", "services/worker/src", "shared/broker/src", "shared/artifacts/src"] {
            named(&root().join(folder), &["rs"], &mut found);
        }
        let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
        assert_eq!(found, known);
        assert!(METRICS.is_sorted_by_key(|metric| metric.name));
    }

    #[test]
    fn rules_and_boards_name_metrics_that_there_are() {
        let mut found = BTreeSet::new();
        named(&root().join("deploy/prometheus"), &["yml", "yaml"], &mut found);
        named(&root().join("deploy/grafana"), &["json", "yml", "yaml"], &mut found);
        // the role that Grafana's user is a member of is called like that, too
        let others = ["cfx_reader"];
        let known: BTreeSet<String> =
            METRICS.iter().map(|m| m.name.to_owned()).chain(others.map(str::to_owned)).collect();
        let unknown: Vec<_> = found.iter().filter(|name| !known.contains(*name)).collect();
        assert!(unknown.is_empty() && found.len() > 15, "{unknown:?}");
    }

    #[test]
    fn names_follow_the_conventions() {
        for Metric { name, kind, help, .. } in METRICS {
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }
}
