//! A worker process that is looked at from outside: its metrics, and its processor time from the kernel.

use crate::rig::{Rig, free_address};
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use testkit::Child;

/// Stages by the metric that tells their seconds, with the label that picks them.
pub const STAGES: [(&str, &str, &str); 8] = [
    ("fetch", "cfx_s3_request_duration_seconds", "op=\"read\""),
    ("prepare", "cfx_worker_step_duration_seconds", "step=\"prepare\""),
    ("invert", "cfx_worker_request_duration_seconds", "request=\"invert\""),
    ("edit", "cfx_worker_request_duration_seconds", "request=\"edit\""),
    ("encode", "cfx_worker_step_duration_seconds", "step=\"encode\""),
    ("record", "cfx_worker_step_duration_seconds", "step=\"record\""),
    ("sign", "cfx_sign_duration_seconds", ""),
    ("upload", "cfx_s3_request_duration_seconds", "op=\"write\""),
];
/// The thread that owns every tensor.
const TENSORS: &str = "tensors";

/// A worker that computes.
pub struct Worker {
    child: Child,
    metrics: SocketAddr,
}

/// What a worker has done since it started.
#[derive(Clone, Copy, Default)]
pub struct Reading {
    /// Seconds of each of [`STAGES`].
    pub seconds: [f64; STAGES.len()],
    /// Processor seconds of the tensor thread.
    pub tensors: f64,
    /// Processor seconds of all other threads.
    pub others: f64,
}

impl Worker {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not built.
    pub fn start(rig: &Rig) -> Result<Self> {
        let metrics = free_address()?;
        let child = rig.worker_with(&[("CFX_METRICS_LISTEN", metrics.to_string())])?;
        Ok(Self { child, metrics })
    }

    /// What it has done until now.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn read(&self) -> Result<Reading> {
        let address = format!("http://{}/metrics", self.metrics);
        let answer = reqwest::get(&address).await.with_context(|| format!("a worker does not answer on {address}"))?;
        let text = answer.error_for_status()?.text().await?;
        let [tensors, others] = processor_seconds(self.child.pid())?;
        Ok(Reading { seconds: STAGES.map(|(_, name, label)| sum(&text, name, label)), tensors, others })
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it cannot be told.
    pub async fn end(mut self) -> Result<()> {
        self.child.terminate()?;
        self.child.wait(Duration::from_secs(60)).await;
        Ok(())
    }
}

impl Reading {
    /// What was done between an earlier reading and this one.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut seconds = self.seconds;
        seconds.iter_mut().zip(earlier.seconds).for_each(|(now, then)| *now -= then);
        Self { seconds, tensors: self.tensors - earlier.tensors, others: self.others - earlier.others }
    }

    /// Both together.
    pub fn and(mut self, other: &Self) -> Self {
        self.seconds.iter_mut().zip(other.seconds).for_each(|(mine, its)| *mine += its);
        Self { tensors: self.tensors + other.tensors, others: self.others + other.others, ..self }
    }

    /// Seconds of a stage.
    pub fn of(&self, stage: &str) -> f64 {
        STAGES.iter().zip(self.seconds).filter(|((name, ..), _)| *name == stage).map(|(_, seconds)| seconds).sum()
    }
}

/// The sum of a histogram over all series with the label.
fn sum(text: &str, name: &str, label: &str) -> f64 {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?.strip_prefix("_sum")?;
        let (labels, value) = rest.rsplit_once(' ')?;
        if labels.contains(label) { value.parse::<f64>().ok() } else { None }
    };
    text.lines().filter_map(of).sum()
}

/// Processor seconds of a process: of its tensor thread, and of all others, those that have ended included.
pub fn processor_seconds(pid: u32) -> Result<[f64; 2]> {
    let all = testkit::processor_seconds(Path::new(&format!("/proc/{pid}/stat")))?;
    let mut tensors = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = thread?.path();
        // a thread may end between two looks
        if std::fs::read_to_string(folder.join("comm")).is_ok_and(|name| name.trim_end() == TENSORS) {
            tensors += testkit::processor_seconds(&folder.join("stat"))?;
        }
    }
    Ok([tensors, all - tensors])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_summed_over_the_series_with_the_label() {
        let text = "# TYPE a_seconds histogram\na_seconds_bucket{op=\"read\",le=\"1\"} 7\na_seconds_sum{op=\"read\",outcome=\"ok\"} 1.5\n\
                    a_seconds_sum{op=\"read\",outcome=\"missing\"} 0.25\na_seconds_sum{op=\"write\"} 9\na_seconds_count{op=\"read\"} 3\n";
        assert_eq!(sum(text, "a_seconds", "op=\"read\""), 1.75);
        assert_eq!(sum(text, "a_seconds", ""), 10.75);
        assert_eq!(sum(text, "b_seconds", ""), 0.0);
    }

    #[test]
    fn a_process_has_used_some_time() {
        let [tensors, others] = processor_seconds(std::process::id()).unwrap();
        assert_eq!(tensors, 0.0);
        assert!((0.0..3600.0).contains(&others));
    }
}
