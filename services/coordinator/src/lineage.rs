//! OpenLineage (spec 2-0-2): one run per job, told when it begins and when it ends, so that a catalogue draws which dataset became which.
//!
//! Events are made of what the database says of a job, so the same event can be made again after a crash, by any coordinator.

use crate::config::Lineage;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::job_state::JobState;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use store::JobRow;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const ENGINE_FACET: &str =
    "https://openlineage.io/spec/facets/1-1-1/ProcessingEngineRunFacet.json#/$defs/ProcessingEngineRunFacet";
const ERROR_FACET: &str =
    "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet";
const TYPE_FACET: &str = "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet";
const ROWS_FACET: &str = "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet";
/// Names this program and its version.
const PRODUCER: &str = concat!("urn:counterfactory:coordinator:", env!("CARGO_PKG_VERSION"));
/// Nothing waits for an answer, so nobody is the wiser for a longer wait.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An event that the endpoint did not take.
#[derive(Debug, thiserror::Error)]
pub enum LineageError {
    /// It does not answer, or has a trouble of its own: the event is sent again.
    #[error("the OpenLineage endpoint does not take events")]
    Unavailable(#[source] reqwest::Error),
    /// It will never take this event.
    #[error("the OpenLineage endpoint refuses an event with {0}")]
    Refused(StatusCode),
}

/// Sends events to one endpoint.
#[derive(Clone, Debug)]
pub struct Teller {
    http: reqwest::Client,
    settings: Lineage,
}

impl Teller {
    /// For the endpoint of the settings. Connects on first use.
    ///
    /// # Errors
    /// When the TLS set-up of this machine is broken.
    pub fn new(settings: Lineage) -> Result<Self, reqwest::Error> {
        // the broker's client may have installed the same provider already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { http, settings })
    }

    /// That a job began.
    pub fn start(&self, job: &JobRow) -> Value {
        self.event("START", job.created_at, job)
    }

    /// That it ended, and with how many images.
    pub fn end(&self, job: &JobRow, at: DateTime<Utc>, images: i64) -> Value {
        let kind = match job.state {
            JobState::Failed => "FAIL",
            JobState::Cancelled => "ABORT",
            _ => "COMPLETE",
        };
        let mut event = self.event(kind, at, job);
        event["outputs"][0]["outputFacets"]["outputStatistics"] =
            json!({ "_producer": PRODUCER, "_schemaURL": ROWS_FACET, "rowCount": images, "fileCount": images });
        if job.state == JobState::Failed {
            event["run"]["facets"]["errorMessage"] = json!({
                "_producer": PRODUCER, "_schemaURL": ERROR_FACET, "programmingLanguage": "Rust",
                "message": format!("no task of job {} succeeded; `cfx job status` tells the reasons", job.id),
            });
        }
        event
    }

    fn event(&self, kind: &str, at: DateTime<Utc>, job: &JobRow) -> Value {
        let namespace = &self.settings.namespace;
        let project = &job.project_name;
        json!({
            "eventType": kind,
            "eventTime": at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {
                "runId": job.id.as_uuid(),
                "facets": { "processing_engine": {
                    "_producer": PRODUCER, "_schemaURL": ENGINE_FACET, "name": "counterfactory", "version": env!("CARGO_PKG_VERSION"),
                } },
            },
            "job": {
                "namespace": namespace,
                "name": format!("{project}/{}", job.spec.name),
                "facets": { "jobType": {
                    "_producer": PRODUCER, "_schemaURL": TYPE_FACET, "processingType": "BATCH", "integration": "COUNTERFACTORY",
                    "jobType": "JOB",
                } },
            },
            "inputs": [
                { "namespace": namespace, "name": format!("{project}/datasets/{}", job.dataset_name) },
                { "namespace": namespace, "name": format!("packs/{}@{}", job.pack.name, job.pack.digest) },
            ],
            "outputs": [{ "namespace": namespace, "name": format!("{project}/jobs/{}", job.id) }],
        })
    }

    /// Brings an event to the endpoint.
    ///
    /// # Errors
    /// Whether it may be sent again.
    pub async fn send(&self, event: &Value) -> Result<(), LineageError> {
        let mut request = self.http.post(&self.settings.endpoint).json(event);
        if let Some(key) = &self.settings.api_key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.map_err(LineageError::Unavailable)?;
        let status = answer.status();
        // a wrong key, an endpoint that is not there yet or too busy: somebody will set that right
        let later = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if status.is_client_error() && !later.contains(&status) {
            return Err(LineageError::Refused(status));
        }
        answer.error_for_status().map(drop).map_err(LineageError::Unavailable)
    }
}
