//! Logs, metrics and traces: one [`init`] per process.
//!
//! **Owns** the tracing subscriber, the Prometheus recorder, the exporter of traces ([`traces`]), and the W3C `traceparent` texts that
//! travel with messages.
//!
//! **Never** reads the environment (but for crash points in debug builds) or decides what is worth measuring: services pass settings in and name their own metrics
//! (`cfx_*`); what each tells stands in the [`catalogue`].
//!
//! **After a crash** nothing needs repair: logs go to standard error line by line, and counters start at zero, which Prometheus
//! understands.

pub mod catalogue;
mod crash;
mod settings;
mod traceparent;
pub mod traces;

pub use crash::{crash_on, crash_point};
pub use settings::{TraceSettings, TraceSettingsError};
pub use traceparent::TraceParent;
pub use traces::TraceConfig;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer as _};

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
    /// Where traces go; nowhere if absent.
    pub traces: Option<TraceConfig>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned(), traces: None }
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
    /// Traces cannot be sent.
    #[error("traces cannot be sent: {0}; check OTEL_EXPORTER_OTLP_ENDPOINT")]
    Traces(String),
    /// Something else set up logging or metrics in this process before.
    #[error("telemetry is set up twice in one process")]
    Twice,
}

/// Renders the process's metrics; keep it for as long as the process lives.
#[derive(Clone)]
pub struct Guard {
    metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
}

impl Guard {
    /// All metrics in Prometheus' text format, for `/metrics`.
    pub fn render(&self) -> String {
        self.metrics.run_upkeep();
        self.metrics.render()
    }

    /// Sends what is recorded of traces and not sent yet, for some seconds at most: the last thing that a process does.
    pub fn finish(&self) {
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(LAST_WORDS)
        {
            tracing::debug!(%error, "the last spans are lost");
        }
    }
}

/// How long the end of a process may be held up by a collector that does not answer.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Crates whose spans make a trace; other libraries' are their own affair.
const TRACED: [&str; 6] = ["telemetry", "coordinator", "worker", "store", "broker", "artifacts"];

/// Seconds from a cancel to the idle device: a step takes from milliseconds to about a second.
const CANCEL_BUCKETS: [f64; 11] = [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];
/// Any other time: a query takes a millisecond, a page some, a batch seconds, a slice of training minutes.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 600.0];

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
    let provider = config.traces.as_ref().map(|traces| traces::provider(service, traces)).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(traces::tracer(provider));
        let ours = Targets::new().with_targets(TRACED.map(|name| (name, LevelFilter::INFO)));
        // where in the source a span begins, and in which thread, tells nothing about the work
        layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_filter(ours)
    });
    let registry = tracing_subscriber::registry().with(spans);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let set = match config.format {
        LogFormat::Text => registry.with(lines.with_target(false).with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    set.map_err(|_| TelemetryError::Twice)?;
    let metrics = PrometheusBuilder::new()
        .add_global_label("service", service)
        // published as histograms, so that quantiles can be taken over several processes
        .set_buckets_for_metric(Matcher::Full("cfx_cancel_to_idle_seconds".to_owned()), &CANCEL_BUCKETS)
        // safe because the list is not empty, which is all that is asked of it
        .expect("a list of buckets")
        .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".to_owned()), &BUCKETS)
        // safe as before
        .expect("a list of buckets")
        .install_recorder();
    let guard = Guard { metrics: metrics.map_err(|_| TelemetryError::Twice)?, traces: provider };
    catalogue::describe();
    Ok(guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_init_sets_up_logs_and_metrics_and_a_second_is_refused() {
        let config = LogConfig { format: LogFormat::Json, filter: "warn".to_owned(), traces: None };
        let guard = init("worker", &config).unwrap();
        metrics::counter!("cfx_worker_tasks_total", "outcome" => "edited").increment(3);
        metrics::histogram!("cfx_sign_duration_seconds").record(0.003);
        let text = guard.render();
        assert!(text.contains(r#"cfx_worker_tasks_total{service="worker",outcome="edited"} 3"#), "{text}");
        assert!(text.contains("# HELP cfx_worker_tasks_total Tasks that"), "{text}");
        assert!(text.contains(r#"cfx_sign_duration_seconds_bucket{service="worker",le="0.005"} 1"#), "{text}");
        assert!(matches!(init("worker", &config), Err(TelemetryError::Twice)));
    }

    #[test]
    fn a_bad_filter_or_format_is_named() {
        let config = LogConfig { format: LogFormat::Text, filter: "a=b=c".to_owned(), traces: None };
        let Err(error) = init("worker", &config) else { panic!("accepted") };
        assert!(error.to_string().contains("a=b=c"), "{error}");
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
