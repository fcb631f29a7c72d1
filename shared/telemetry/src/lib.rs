//! Logs, metrics and trace contexts: one [`init`] per process.
//!
//! **Owns** the tracing subscriber, the Prometheus recorder, and the W3C `traceparent` texts that travel with messages.
//!
//! **Never** reads the environment (but for crash points in debug builds) or decides what is worth measuring: services pass settings in and name their own metrics
//! (`cfx_*`).
//!
//! **After a crash** nothing needs repair: logs go to standard error line by line, and counters start at zero, which Prometheus
//! understands.

mod crash;
mod traceparent;

pub use crash::{crash_on, crash_point};
pub use traceparent::TraceParent;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people: one line an event.
    #[default]
    Text,
    /// For machines: one JSON object an event.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::Format(other.to_owned())),
        }
    }
}

/// What to log, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The look.
    pub format: LogFormat,
    /// `level` or `target=level,...`, for example `info,lapin=warn`.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Not a format.
    #[error("'{0}' is not a log format; use text or json")]
    Format(String),
    /// Not a filter.
    #[error("'{filter}' is not a log filter; use for example info or info,lapin=warn")]
    Filter {
        /// What was given.
        filter: String,
        /// Why it cannot be read.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something else set up logging or metrics in this process before.
    #[error("telemetry is set up twice in one process")]
    Twice,
}

/// Renders the process's metrics; keep it for as long as the process lives.
#[derive(Clone)]
pub struct Guard {
    metrics: PrometheusHandle,
}

impl Guard {
    /// All metrics in Prometheus' text format, for `/metrics`.
    pub fn render(&self) -> String {
        self.metrics.run_upkeep();
        self.metrics.render()
    }
}

/// Seconds from a cancel to the idle device: a step takes from milliseconds to about a second.
const CANCEL_BUCKETS: [f64; 11] = [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];

/// Sets up logs (to standard error, so that standard output stays a verb's own) and metrics for `service`.
///
/// # Errors
/// When the filter cannot be read, or on a second call.
pub fn init(service: &'static str, config: &LogConfig) -> Result<Guard, TelemetryError> {
    // The client libraries talk at info about every reconnection attempt, which our own supervisors already report.
    // A returned message is the publisher's answer, told where it matters.
    let quiet =
        format!("{},lapin=warn,lapin::returned_messages=error,aws_config=warn,hyper=warn,c2pa=error", config.filter);
    let filter = EnvFilter::try_new(&quiet)
        .map_err(|source| TelemetryError::Filter { filter: config.filter.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let set = match config.format {
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    set.map_err(|_| TelemetryError::Twice)?;
    let metrics = PrometheusBuilder::new()
        .add_global_label("service", service)
        // published as a histogram, so that quantiles can be taken over several coordinators
        .set_buckets_for_metric(Matcher::Full("cfx_cancel_to_idle_seconds".to_owned()), &CANCEL_BUCKETS)
        // safe because the list is not empty, which is all that is asked of it
        .expect("a list of buckets")
        .install_recorder();
    Ok(Guard { metrics: metrics.map_err(|_| TelemetryError::Twice)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_init_sets_up_logs_and_metrics_and_a_second_is_refused() {
        let config = LogConfig { format: LogFormat::Json, filter: "warn".to_owned() };
        let guard = init("worker", &config).unwrap();
        metrics::counter!("cfx_images_total", "stage" => "edit").increment(3);
        let text = guard.render();
        assert!(text.contains(r#"cfx_images_total{service="worker",stage="edit"} 3"#), "{text}");
        assert!(matches!(init("worker", &config), Err(TelemetryError::Twice)));
    }

    #[test]
    fn a_bad_filter_or_format_is_named() {
        let config = LogConfig { format: LogFormat::Text, filter: "a=b=c".to_owned() };
        let Err(error) = init("worker", &config) else { panic!("accepted") };
        assert!(error.to_string().contains("a=b=c"), "{error}");
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
