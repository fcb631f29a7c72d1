//! What Kubernetes is told of workers' pods, by a stand-in for its API server (there is no Kubernetes here) that checks each request as
//! the real one would: path, token, kind of patch.

use crate::life_of_a_job::{Serving, submit, until};
use crate::support::{Bench, job};
use crate::worker::{Manners, Worker};
use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::patch;
use axum::{Json, Router};
use coordinator::config::{Kubernetes, Tls};
use coordinator::http::tls::Certificates;
use domain::job_state::JobState;
use rcgen::generate_simple_self_signed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Costs by pod, in the order in which they came.
type Costs = Arc<Mutex<BTreeMap<String, Vec<i32>>>>;

async fn patched(
    State((folder, costs)): State<(std::path::PathBuf, Costs)>,
    Path((namespace, pod)): Path<(String, String)>,
    headers: HeaderMap,
    body: Json<Value>,
) -> StatusCode {
    let token = std::fs::read_to_string(folder.join("token")).expect("the account has a token");
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if told("authorization") != format!("Bearer {}", token.trim()) {
        return StatusCode::UNAUTHORIZED;
    }
    if namespace != "edits" {
        return StatusCode::FORBIDDEN;
    }
    if told("content-type") != "application/merge-patch+json" {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    // annotations are texts, and this one holds an i32
    let Some(cost) = body["metadata"]["annotations"][ANNOTATION].as_str().and_then(|cost| cost.parse().ok()) else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    costs.lock().expect("no test panics with it").entry(pod).or_default().push(cost);
    StatusCode::OK
}

/// A service account in a folder, and the API server that knows it.
async fn api_server(folder: &FilePath, costs: Costs, stop: CancellationToken) -> Result<Kubernetes> {
    let made = generate_simple_self_signed(["localhost".to_owned()])?;
    let files = Tls { certificate: folder.join("ca.crt"), key: folder.join("tls.key") };
    std::fs::write(&files.certificate, made.cert.pem())?;
    std::fs::write(&files.key, made.signing_key.serialize_pem())?;
    std::fs::write(folder.join("namespace"), "edits")?;
    std::fs::write(folder.join("token"), "first\n")?;
    let acceptor = Certificates::open(&files)?.acceptor()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("https://localhost:{}", listener.local_addr()?.port());
    let path = "/api/v1/namespaces/{namespace}/pods/{pod}";
    let router = Router::new().route(path, patch(patched)).with_state((folder.to_owned(), costs));
    tokio::spawn(async move {
        coordinator::http::serve::run(listener, Some(acceptor), router, &Default::default(), stop).await;
    });
    Ok(Kubernetes { server, account: folder.to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_told_what_their_workers_have_in_hand_and_that_they_are_idle() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.dataset("faces", 8).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let folder = tempfile::tempdir()?;
    let (costs, stop) = (Costs::default(), CancellationToken::new());
    let kubernetes = api_server(folder.path(), Arc::clone(&costs), stop.clone()).await?;
    bench.set(|config| config.kubernetes = Some(kubernetes))?;
    let serving = Serving::start(&bench.app).await?;

    let stuck = Worker::start(&bench.app, Manners::Stuck);
    let id = submit(&bench, &job("counted")).await?;
    let told = |what: &'static str, is: fn(&Vec<i32>) -> bool| {
        let costs = Arc::clone(&costs);
        async move {
            testkit::wait_until(what, Duration::from_secs(60), || async {
                costs.lock().unwrap().values().any(is).then_some(())
            })
            .await;
        }
    };
    told("a pod has work in hand", |costs| costs.last() > Some(&0)).await;
    // the token is renewed under the coordinator's hands
    std::fs::write(folder.path().join("token"), "second")?;
    drop(stuck);
    let worker = Worker::start(&bench.app, Manners::Good);
    let done = until(&bench, &id, "the job has succeeded", |job| job.state.is_terminal()).await;
    assert_eq!(done.state, JobState::Succeeded);
    told("an idle pod costs nothing", |costs| costs.last() == Some(&0)).await;
    drop(worker);
    stop.cancel();
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_without_its_files_stops_the_start_by_name() -> Result<()> {
    let mut bench = Bench::new().await?;
    let folder = tempfile::tempdir()?;
    let kubernetes = Kubernetes { server: "https://localhost:1".to_owned(), account: folder.path().to_owned() };
    bench.set(|config| config.kubernetes = Some(kubernetes))?;
    let said = Serving::refusal(&bench.app).await?;
    assert!(said.contains("ca.crt") && said.contains("automountServiceAccountToken"), "{said}");
    Ok(())
}
