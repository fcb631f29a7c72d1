//! Where traces go, as flags, environment and settings file say it: OpenTelemetry's own names, the same for every service.

use crate::TraceConfig;
use serde::Deserialize;

/// Settings of traces.
#[derive(clap::Args, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct TraceSettings {
    /// A collector of OpenTelemetry that traces are sent to by HTTP, for example `http://127.0.0.1:4318`. [default: none are recorded]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    pub otlp_endpoint: Option<String>,
    /// `http/protobuf` or `http/json`. [default: http/protobuf]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", global = true)]
    pub otlp_protocol: Option<String>,
    /// Share of the requests without a trace of their own that begin one, 0 to 1. [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", global = true)]
    pub traces_ratio: Option<f64>,
}

/// A setting of traces that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TraceSettingsError {
    /// Not a protocol that traces are sent by.
    #[error("OTEL_EXPORTER_OTLP_PROTOCOL is '{0}'; traces are sent by http/protobuf or http/json")]
    Protocol(String),
    /// Not a share.
    #[error("OTEL_TRACES_SAMPLER_ARG is {0}; it is a share from 0 to 1")]
    Ratio(String),
}

impl TraceSettings {
    /// What is not said here is taken from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            otlp_protocol: self.otlp_protocol.or(other.otlp_protocol),
            traces_ratio: self.traces_ratio.or(other.traces_ratio),
        }
    }

    /// Where traces go; none without an endpoint.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn config(&self) -> Result<Option<TraceConfig>, TraceSettingsError> {
        let json = match self.otlp_protocol.as_deref() {
            None | Some("http/protobuf") => false,
            Some("http/json") => true,
            Some(other) => return Err(TraceSettingsError::Protocol(other.to_owned())),
        };
        let ratio = self.traces_ratio.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&ratio) {
            return Err(TraceSettingsError::Ratio(ratio.to_string()));
        }
        let endpoint = self.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty());
        Ok(endpoint.map(|endpoint| TraceConfig { endpoint, json, ratio }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_nowhere_unless_told_and_faults_are_named() {
        assert_eq!(TraceSettings::default().config(), Ok(None));
        let given = TraceSettings { otlp_endpoint: Some("http://c:4318".to_owned()), ..TraceSettings::default() };
        let config = given.clone().or(TraceSettings { traces_ratio: Some(0.5), ..TraceSettings::default() }).config();
        let expected = TraceConfig { endpoint: "http://c:4318".to_owned(), json: false, ratio: 0.5 };
        assert_eq!(config, Ok(Some(expected)));
        let wrong = TraceSettings { otlp_protocol: Some("grpc".to_owned()), ..given.clone() }.config();
        assert_eq!(wrong, Err(TraceSettingsError::Protocol("grpc".to_owned())));
        for ratio in [1.5, -0.1, f64::NAN] {
            assert!(TraceSettings { traces_ratio: Some(ratio), ..given.clone() }.config().is_err());
        }
    }
}
