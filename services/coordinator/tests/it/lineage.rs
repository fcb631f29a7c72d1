//! An OpenLineage endpoint that is away, comes back, refuses an event, and loses answers: every event arrives, nothing waits for it.

use crate::life_of_a_job::{submit, until};
use crate::support::{Bench, job};
use crate::worker::{Manners, Worker};
use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use coordinator::app::App;
use coordinator::config::{Config, Lineage};
use coordinator::lineage::Teller;
use coordinator::sweep::{Reconciler as _, TellLineage};
use domain::JobId;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

/// What an endpoint answers, and what it heard.
#[derive(Clone, Default)]
struct Endpoint {
    answers: Arc<Mutex<Vec<StatusCode>>>,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Endpoint {
    /// Answers with `answers`, the last first; 201 when there are none left.
    async fn serve(&self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/api/v1/lineage", listener.local_addr()?);
        let hear = |State(endpoint): State<Self>, Json(event): Json<Value>| async move {
            endpoint.heard.lock().expect("one thread").push(event);
            endpoint.answers.lock().expect("one thread").pop().unwrap_or(StatusCode::CREATED)
        };
        let router = Router::new().route("/api/v1/lineage", post(hear)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.heard.lock().expect("one thread"))
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["eventType"].as_str().unwrap_or_default()).collect()
}

fn settings(url: &str) -> Lineage {
    Lineage { endpoint: url.to_owned(), namespace: "lab".to_owned(), api_key: None }
}

fn teller(url: &str) -> Result<Teller> {
    Ok(Teller::new(settings(url))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_is_told_when_it_begins_and_ends_whatever_the_endpoint_does() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 3).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let serving = crate::life_of_a_job::Serving::start(&bench.app).await?;
    let _worker = Worker::start(&bench.app, Manners::Good);
    let id = submit(&bench, &job("told")).await?;
    until(&bench, &id, "the job has ended", |job| job.state.is_terminal()).await;

    // nobody listens: the loop fails, the job has ended all the same
    let nowhere = TellLineage { app: bench.app.clone(), teller: teller("http://127.0.0.1:9/api/v1/lineage")? };
    assert!(nowhere.run_once().await.is_err());

    let endpoint = Endpoint::default();
    let told = TellLineage { app: bench.app.clone(), teller: teller(&endpoint.serve().await?)? };
    // the answer to the first event is lost, and a busy moment follows: the event comes again
    endpoint.answers.lock().expect("one thread").extend([StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY]);
    assert!(told.run_once().await.is_err() && told.run_once().await.is_err());
    assert_eq!(told.run_once().await?, 2);
    let events = endpoint.take();
    assert_eq!(kinds(&events), ["START", "START", "START", "COMPLETE"]);
    assert_eq!(events[0], events[2], "the same event again");
    let run = id.parse::<JobId>()?.as_uuid().to_string();
    for event in &events {
        assert_eq!((&event["run"]["runId"], &event["job"]["namespace"]), (&json!(run), &json!("lab")));
        assert!(event["schemaURL"].as_str().is_some_and(|url| url.contains("/2-0-2/")));
        assert_eq!(event["inputs"][0]["name"], "default/datasets/faces");
    }
    assert!(events[3]["eventTime"].as_str() > events[0]["eventTime"].as_str());
    assert_eq!(events[3]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"], 12);
    assert_eq!(told.run_once().await?, 0, "once each");

    // one that will never be taken is left out, and what follows is told; another coordinator has not the lease
    let id = submit(&bench, &job("cancelled")).await?;
    bench.post(&format!("/v1/jobs/{id}/cancel"), &json!({}), &[]).await?;
    until(&bench, &id, "the job is cancelled", |job| job.finished_at.is_some()).await;
    let beside = TellLineage { app: bench.beside().await?, teller: told.teller.clone() };
    assert_eq!((beside.run_once().await?, endpoint.take().len()), (0, 0));
    endpoint.answers.lock().expect("one thread").push(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(told.run_once().await?, 2);
    assert_eq!(kinds(&endpoint.take()), ["START", "ABORT"]);
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_with_the_setting_tells_by_itself() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 1).await?;
    bench.dataset("train", 1).await?;
    bench.pack().await?;
    let endpoint = Endpoint::default();
    let lineage = Some(settings(&endpoint.serve().await?));
    let config = Arc::new(Config { lineage, ..Config::clone(&bench.app.config) });
    let serving = crate::life_of_a_job::Serving::start(&App { config, ..bench.app.clone() }).await?;
    let id = submit(&bench, &job("told")).await?;
    bench.post(&format!("/v1/jobs/{id}/cancel"), &json!({}), &[]).await?;
    let heard = || async { (endpoint.heard.lock().expect("one thread").len() == 2).then_some(()) };
    testkit::wait_until("both events are told", Duration::from_secs(60), heard).await;
    assert_eq!(kinds(&endpoint.take()), ["START", "ABORT"]);
    serving.end().await
}
