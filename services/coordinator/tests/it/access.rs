//! Nobody gets in where they do not belong: every route, with every kind of key, and things of another project.

use crate::life_of_a_job::{Serving, submit, until};
use crate::support::{Bench, PACK, job};
use crate::worker::{Manners, Worker};
use anyhow::Result;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, StatusCode, header};
use coordinator::access::{authenticate, issue};
use coordinator::http::permissions::{Needs, RULES, Rule, Surface};
use domain::{ApiKeyId, ApiKeyToken, BootId, Digest, Scope, TaskId};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use store::{HeartbeatRow, NewApiKey, RunningTask};
use tower::ServiceExt as _;
use wire::http::v1::{self, EditResult, Page};

/// Somebody on another machine.
fn far() -> ConnectInfo<SocketAddr> {
    ConnectInfo(SocketAddr::from(([10, 0, 0, 9], 40_000)))
}

/// A request of that somebody with a key.
fn asked(method: &Method, path: &str, token: Option<&str>, body: &str) -> Result<Request<Body>> {
    let request = Request::builder().method(method).uri(path).extension(far());
    // what pages send are forms
    let media = if path.starts_with("/ui/") { "application/x-www-form-urlencoded" } else { "application/json" };
    let request = request.header(header::CONTENT_TYPE, media);
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    Ok(request.body(Body::from(body.to_owned()))?)
}

/// Status and, for a problem, its code and sentence.
async fn told(bench: &Bench, request: Request<Body>) -> Result<(u16, String, String)> {
    let answer = bench.answer(request).await?;
    let status = answer.status();
    // a stream of events has no end to wait for, and a refusal is none
    let media = answer.headers().get(header::CONTENT_TYPE).cloned();
    let problem: Value = match media {
        Some(media) if media.as_bytes().starts_with(b"text/event-stream") => Value::Null,
        _ => {
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
            serde_json::from_slice(&body).unwrap_or_default()
        }
    };
    let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    Ok((status.as_u16(), text("code"), text("detail")))
}

/// A path with something in each place that nobody has.
fn absent(path: &str) -> String {
    let id = if path.contains("api-keys") { "key" } else { "job" };
    path.replace("{id}", &format!("{id}_0190f1c2d3e47a5b8c6d7e8f90a1b2c3"))
        .replace("{name}", "absent")
        .replace("{task}", "999999-1")
        .replace("{kind}", "reconstruction")
        .replace("{boot}", "boot_0190f1c2d3e47a5b8c6d7e8f90a1b2c3")
        .replace("{digest}", &Digest::of("absent").to_string())
        .replace("{sha256}", &Digest::of("absent").to_string())
}

/// Keys that prove nothing, and how each is refused.
async fn void_keys(bench: &Bench) -> Result<Vec<(Option<String>, &'static str)>> {
    let make = async |expires_at| {
        let token = issue::new_key()?;
        let key = NewApiKey {
            id: token.id(),
            name: "void".to_owned(),
            scope: Scope::Admin,
            project: None,
            secret_sha256: token.secret_sha256(),
            created_by: "test".to_owned(),
            expires_at,
        };
        bench.app.store.create_api_key(&key).await?;
        anyhow::Ok(token)
    };
    let (revoked, rotated) = (make(None).await?, make(None).await?);
    let expired = make(Some(chrono::Utc::now() - chrono::Duration::seconds(5))).await?;
    bench.app.store.revoke_api_key(revoked.id(), "test").await?;
    let other = issue::new_secret(rotated.id())?;
    bench.app.store.rotate_api_key(rotated.id(), other.secret_sha256(), std::time::Duration::ZERO).await?;
    let stranger = ApiKeyToken::new(ApiKeyId::from_uuid(uuid::Uuid::now_v7()), issue::random()?);
    let guessed = issue::new_secret(other.id())?;
    let texts = [
        (revoked.reveal(), "revoked_key"),
        (expired.reveal(), "expired_key"),
        (rotated.reveal(), "rotated_key"),
        (stranger.reveal(), "invalid_key"),
        (guessed.reveal(), "invalid_key"),
        ("cfx_".to_owned(), "invalid_key"),
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "invalid_key"),
    ];
    let mut keys = vec![(None, "unauthenticated")];
    keys.extend(texts.map(|(text, code)| (Some(text), code)));
    Ok(keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_the_table_says_and_nobody_else() -> Result<()> {
    let mut bench = Bench::new().await?;
    // every wrong key is to be told why it is wrong
    bench.set(|config| config.limits.wrong_keys_per_minute = 1_000_000)?;
    bench.post("/v1/projects/other", &json!({}), &[]).await?;
    let void = void_keys(&bench).await?;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        for project in [None, Some("other")] {
            keys.push((scope, project, bench.key(scope, project).await?));
        }
    }
    let mut requests = 0;
    for rule in RULES {
        let Rule { method, path, needs, surface } = rule;
        let address = absent(path);
        let body = if *surface == Surface::Api && *method != Method::GET { "{}" } else { "" };
        for (token, code) in &void {
            let (status, found, _) = told(&bench, asked(method, &address, token.as_deref(), body)?).await?;
            requests += 1;
            let at = format!("{method} {path} with {code}");
            match (needs, surface) {
                (Needs::Nothing, _) => assert!(status != 401 && status != 303, "{at}: {status}"),
                (_, Surface::Api) => assert_eq!((status, found.as_str()), (401, *code), "{at}"),
                (_, Surface::Page | Surface::Form) => assert_eq!(status, 303, "{at}: people are sent to the login"),
            }
        }
        for (scope, project, token) in &keys {
            let (status, code, detail) = told(&bench, asked(method, &address, Some(token), body)?).await?;
            requests += 1;
            let at = format!("{method} {path} with {scope} for {}", project.unwrap_or("all"));
            let enough = needs.scope().is_none_or(|needed| *scope >= needed);
            let everywhere = !matches!(needs, Needs::Everywhere(_)) || project.is_none();
            if enough && everywhere {
                assert!(![401, 403, 405].contains(&status), "{at}: {status} {code} {detail}");
                assert!(!detail.starts_with("there is nothing at"), "{at}: the router has no such route");
                assert!(status < 500 || *path == "/readyz", "{at}: {status} {detail}");
            } else if *surface == Surface::Api {
                assert_eq!((status, code.as_str()), (403, "insufficient_scope"), "{at}");
            } else {
                assert_eq!(status, 403, "{at}: people are told by a page");
            }
        }
    }
    assert!(requests > 800, "{requests} requests");
    // what is not there is told to whoever may look, and to nobody else
    assert_eq!(told(&bench, asked(&Method::GET, "/v1/nowhere", None, "")?).await?.0, 401);
    assert_eq!(told(&bench, asked(&Method::GET, "/v1/nowhere", Some(&keys[0].2), "")?).await?.0, 404);
    assert_eq!(told(&bench, asked(&Method::DELETE, "/v1/jobs", None, "")?).await?.0, 401);
    assert_eq!(told(&bench, asked(&Method::DELETE, "/v1/jobs", Some(&keys[0].2), "")?).await?.0, 405);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_nobody_declared_answers_nobody() -> Result<()> {
    let bench = Bench::new().await?;
    let layer = axum::middleware::from_fn_with_state(bench.app.clone(), authenticate::layer);
    let router = axum::Router::new().route("/v1/secrets", axum::routing::get(|| async { "secret" })).layer(layer);
    for token in [None, Some(bench.key(Scope::Admin, None).await?)] {
        let request = asked(&Method::GET, "/v1/secrets", token.as_deref(), "")?;
        let answer = router.clone().oneshot(request).await?;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
        assert!(String::from_utf8_lossy(&body).contains("undeclared_route"), "{body:?}");
    }
    Ok(())
}

/// What the project `default` has, by the places of paths.
struct Things {
    job: String,
    task: String,
    record: String,
    key: String,
}

impl Things {
    fn path(&self, path: &str) -> String {
        let id = if path.contains("api-keys") { &self.key } else { &self.job };
        let name = if path.contains("projects") { "default" } else { "faces" };
        let path = path.replace("{id}", id).replace("{name}", name).replace("{task}", &self.task);
        path.replace("{digest}", &self.record).replace("{kind}", "reconstruction")
    }

    fn body(&self, path: &str) -> String {
        match path {
            _ if path.starts_with("/ui/") => "decision=flagged".to_owned(),
            _ if path.contains("/tasks/") => json!({ "tasks": [self.task] }).to_string(),
            _ if path.ends_with("/sources") => r#"{"sources":[]}"#.to_owned(),
            _ if path.ends_with("/rotate") => r#"{"overlap_seconds":0}"#.to_owned(),
            _ => "{}".to_owned(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn things_of_another_project_are_not_there() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 2).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let serving = Serving::start(&bench.app).await?;
    let worker = Worker::start(&bench.app, Manners::Good);
    let id = submit(&bench, &job("mine")).await?;
    until(&bench, &id, "the job has ended", |job| job.state.is_terminal()).await;
    drop(worker);
    let results: Page<EditResult> = bench.read(&format!("/v1/jobs/{id}/results")).await?;
    let (task, record) = (results.items[0].task.to_string(), results.items[0].record.to_string());
    let own_key: ApiKeyToken = bench.key(Scope::Read, Some("default")).await?.parse()?;
    let things = Things { job: id.clone(), task, record, key: own_key.id().to_string() };
    let (mine, theirs) =
        (bench.key(Scope::Admin, Some("default")).await?, bench.key(Scope::Admin, Some("other")).await?);

    for rule in RULES.iter().filter(|rule| rule.path.contains('{')) {
        let Rule { method, path, needs, .. } = rule;
        // packs are the installation's, and a blob's digest is the permission to read it
        let shared = ["/packs/", "/blobs/", "/thumbs/", "/assets/"].iter().any(|part| path.contains(part));
        if shared || matches!(needs, Needs::Everywhere(_)) {
            continue;
        }
        let (address, body) = (things.path(path), things.body(path));
        let (status, code, _) = told(&bench, asked(method, &address, Some(&theirs), &body)?).await?;
        assert_eq!(status, 404, "{method} {path} by another project's administrator: {code}");
        // the files of this job's results were never stored
        let stored = path.contains("/companions/") || path.ends_with("/credential");
        if *method == Method::GET && !stored {
            let (status, code, _) = told(&bench, asked(method, &address, Some(&mine), "")?).await?;
            // the page of a task that has a result is that of the result
            let led = *path == "/tasks/{task}" && status == 303;
            assert!(status == 200 || led, "{method} {path} by its own administrator: {status} {code}");
        }
    }
    // nothing of what was asked for has happened
    let (status, _, _) = told(&bench, asked(&Method::GET, "/v1/whoami", Some(&own_key.reveal()), "")?).await?;
    assert_eq!(status, 200, "the key was neither rotated nor revoked");

    let list = async |path: &str, token: &str| -> Result<Vec<Value>> {
        let (status, _, body) = bench.send(asked(&Method::GET, path, Some(token), "")?).await?;
        anyhow::ensure!(status == StatusCode::OK, "{path}: {status}");
        Ok(serde_json::from_slice::<Page<Value>>(&body)?.items)
    };
    for path in ["/v1/jobs", "/v1/datasets"] {
        assert!(list(path, &theirs).await?.is_empty() && !list(path, &mine).await?.is_empty(), "{path}");
    }
    let names: Vec<_> = list("/v1/projects", &theirs).await?.iter().map(|p| p["name"].clone()).collect();
    assert_eq!(names, ["other"]);
    assert!(list("/v1/api-keys", &theirs).await?.iter().all(|key| key["project"] == "other"));
    assert!(list("/v1/audit", &theirs).await?.iter().all(|entry| entry["project"] == "other"));
    let seen = list("/v1/audit", &mine).await?;
    for action in ["job.submit", "dataset.create", "api_key.create"] {
        assert!(seen.iter().any(|entry| entry["action"] == action), "{action}");
    }

    // a key for one project cannot be talked into another, by whatever route
    for rule in RULES.iter().filter(|rule| rule.needs.scope().is_some() && rule.surface == Surface::Api) {
        let mut request = asked(&rule.method, &things.path(rule.path), Some(&theirs), &things.body(rule.path))?;
        request.headers_mut().insert("cfx-project", "default".parse()?);
        let (status, code, _) = told(&bench, request).await?;
        let refused = ["wrong_project", "insufficient_scope"].contains(&code.as_str());
        assert!(status == 403 && refused, "{} {}: {status} {code}", rule.method, rule.path);
    }
    // nor by what pages keep of a choice
    assert_eq!(told(&bench, asked(&Method::GET, "/?project=default", Some(&theirs), "")?).await?.0, 404);
    for (token, sees) in [(&mine, true), (&theirs, false)] {
        let mut request = asked(&Method::GET, "/", Some(token), "")?;
        request.headers_mut().insert(header::COOKIE, "cfx-project=default".parse()?);
        let (status, _, body) = bench.send(request).await?;
        assert_eq!((status.as_u16(), String::from_utf8_lossy(&body).contains(&id)), (200, sees));
    }
    // nor out of its project by what it writes: a dataset or pack of others is unknown to its jobs
    let (status, code, _) =
        told(&bench, asked(&Method::POST, "/v1/jobs", Some(&theirs), &job("x").to_string())?).await?;
    assert_eq!((status, code.as_str()), (422, "unknown_dataset"));
    let import = json!({ "name": "all", "import": format!("s3://{}/cas/", testkit::TestBucket::NAME) }).to_string();
    let (status, code, _) = told(&bench, asked(&Method::POST, "/v1/datasets", Some(&theirs), &import)?).await?;
    assert_eq!((status, code.as_str()), (403, "own_bucket"));
    assert_eq!(told(&bench, asked(&Method::GET, &format!("/v1/packs/{PACK}"), Some(&theirs), "")?).await?.0, 200);
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_workers_do_for_other_projects_the_amount_is_told_and_nothing_else() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 2).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    bench.post("/v1/projects/unannounced", &json!({}), &[]).await?;
    let id = submit(&bench, &job("a quiet plan")).await?;
    let of_job: v1::Job = bench.read(&format!("/v1/jobs/{id}")).await?;
    let row = bench.app.store.job_by_seq(of_job.seq).await?.unwrap_or_else(|| panic!("the job is there"));
    while coordinator::enqueue::write_slice(&bench.app.store, 100, &row).await? > 0 {}
    let held = |no| RunningTask { task: TaskId { job: of_job.seq, no }, epoch: 1, done: 0.5 };
    let said = HeartbeatRow {
        boot: BootId::from_uuid(uuid::Uuid::now_v7()),
        name: "host/1".to_owned(),
        class: "cpu".to_owned(),
        device: "cpu".to_owned(),
        version: "0".to_owned(),
        draining: false,
        running: vec![held(0), held(1)],
        images: 3,
        busy_ms: 10,
        waits_for: None,
        control_queue: None,
        memory_bytes: None,
        device_memory: None,
    };
    bench.app.store.heartbeat(&said).await?;
    let (mine, theirs) = (bench.key(Scope::Read, Some("default")).await?, bench.key(Scope::Read, Some("other")).await?);
    let read = async |path: &str, token: &str| -> Result<String> {
        let (status, _, body) = bench.send(asked(&Method::GET, path, Some(token), "")?).await?;
        anyhow::ensure!(status == StatusCode::OK, "{path}: {status}");
        Ok(String::from_utf8(body.to_vec())?)
    };
    let workers =
        async |token: &str| anyhow::Ok(serde_json::from_str::<Page<v1::Worker>>(&read("/v1/workers", token).await?)?);
    for (token, known) in [(&mine, 2), (&theirs, 0)] {
        let worker = workers(token).await?.items.remove(0);
        assert_eq!((worker.running, worker.tasks.len()), (2, known));
    }
    // the page and its stream; each has one of its own, also when both are watched at once
    let streamed = async |token: &str| -> Result<String> {
        let answer = bench.answer(asked(&Method::GET, "/ui/events?list=workers", Some(token), "")?).await?;
        let mut stream = answer.into_body().into_data_stream();
        let first = tokio::time::timeout(std::time::Duration::from_secs(10), stream.next()).await?;
        Ok(String::from_utf8(first.unwrap_or_else(|| panic!("the stream goes on"))?.to_vec())?)
    };
    let (own, other) = tokio::try_join!(streamed(&mine), streamed(&theirs))?;
    for (own, other) in [(read("/workers", &mine).await?, read("/workers", &theirs).await?), (own, other)] {
        assert!(
            own.contains("a quiet plan")
                && own.contains(&format!("/jobs/{id}?project=default"))
                && !own.contains("of other projects"),
            "{own}"
        );
        assert!(other.contains("2 tasks of other projects") && other.contains("host/1"), "{other}");
        assert!(!other.contains("a quiet plan") && !other.contains(&id) && !other.contains("invert"), "{other}");
    }
    // what is there besides is not told either
    for path in ["/", "/jobs/new", "/audit", "/v1/projects", "/v1/audit", "/v1/jobs", "/v1/datasets"] {
        let text = read(path, &theirs).await?;
        assert!(
            !text.contains("unannounced") && !text.contains("a quiet plan") && !text.contains(&id),
            "{path}: {text}"
        );
    }
    assert!(read("/", &bench.key(Scope::Read, None).await?).await?.contains("unannounced"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lives_from_its_making_to_its_revocation() -> Result<()> {
    let bench = Bench::new().await?;
    let admin = bench.key(Scope::Admin, Some("lab")).await?;
    let post = async |token: &str, path: &str, body: Value| -> Result<(u16, Value)> {
        let (status, _, body) = bench.send(asked(&Method::POST, path, Some(token), &body.to_string())?).await?;
        Ok((status.as_u16(), serde_json::from_slice(&body)?))
    };
    let holds = async |token: &str| told(&bench, asked(&Method::GET, "/v1/whoami", Some(token), "")?).await;

    // made by an administrator of a project, for that project only
    let new = json!({ "name": "ada", "scope": "submit", "project": "lab", "expires_in_days": 30 });
    let (status, made) = post(&admin, "/v1/api-keys", new).await?;
    assert_eq!((status, &made["key"]["state"]), (201, &json!("active")), "{made}");
    let (first, id) = (made["token"].as_str().unwrap_or_default(), made["key"]["id"].as_str().unwrap_or_default());
    for (body, code) in [
        (json!({ "name": "x", "scope": "read", "project": "other" }), "wrong_project"),
        (json!({ "name": "x", "scope": "read" }), "wrong_project"),
        (json!({ "name": "a b", "scope": "read", "project": "lab" }), "invalid_request"),
        (json!({ "name": "x", "scope": "root", "project": "lab" }), "invalid_json"),
        (json!({ "name": "x", "scope": "read", "project": "lab", "expires_in_days": 0 }), "invalid_request"),
    ] {
        assert_eq!(post(&admin, "/v1/api-keys", body.clone()).await?.1["code"], code, "{body}");
    }
    // it tells who it is, its project is its own, and its use is noted
    let (_, _, body) = bench.send(asked(&Method::GET, "/v1/whoami", Some(first), "")?).await?;
    let who: Value = serde_json::from_slice(&body)?;
    assert_eq!((&who["kind"], &who["scope"], &who["projects"]), (&json!("key"), &json!("submit"), &json!(["lab"])));
    assert_eq!(who["name"], format!("ada ({id})"));
    assert_eq!(post(first, "/v1/datasets", json!({ "name": "mine" })).await?.0, 201);
    let project = bench.app.store.project_id("lab").await?.unwrap_or_else(|| panic!("there is a project lab"));
    assert!(bench.app.store.dataset(project, "mine").await?.is_some());
    assert!(bench.app.store.api_key(id.parse()?).await?.is_some_and(|key| key.last_used_at.is_some()));

    // rotated: both hold for the overlap, then the new one only
    let (_, rotated) = post(&admin, &format!("/v1/api-keys/{id}/rotate"), json!({ "overlap_seconds": 3600 })).await?;
    let second = rotated["token"].as_str().unwrap_or_default();
    assert_eq!((holds(first).await?.0, holds(second).await?.0), (200, 200));
    let (_, rotated) = post(&admin, &format!("/v1/api-keys/{id}/rotate"), json!({ "overlap_seconds": 0 })).await?;
    let third = rotated["token"].as_str().unwrap_or_default();
    for old in [first, second] {
        assert_eq!((holds(old).await?.0, holds(old).await?.1.as_str()), (401, "rotated_key"));
    }
    assert_eq!(holds(third).await?.0, 200);

    // revoked: for good, and repeating it is no error
    for _ in 0..2 {
        let (status, ..) =
            told(&bench, asked(&Method::DELETE, &format!("/v1/api-keys/{id}"), Some(&admin), "")?).await?;
        assert_eq!(status, 200);
    }
    assert_eq!(holds(third).await?.1, "revoked_key");
    let (status, refused) = post(&admin, &format!("/v1/api-keys/{id}/rotate"), json!({ "overlap_seconds": 0 })).await?;
    assert_eq!((status, &refused["code"]), (409, &json!("not_now")));

    // and every step stands in the log, by whom and in which project, without a secret
    let log: Value = bench.read("/v1/audit").await?;
    let of_key = |entry: &&Value| entry["subject"] == id;
    let steps: Vec<_> = log["items"].as_array().into_iter().flatten().filter(of_key).map(|e| &e["action"]).collect();
    assert_eq!(steps, ["api_key.revoke", "api_key.rotate", "api_key.rotate", "api_key.create"]);
    let admin_id = admin.parse::<ApiKeyToken>()?.id();
    for entry in log["items"].as_array().into_iter().flatten().filter(of_key) {
        assert_eq!((&entry["actor"], &entry["project"]), (&json!(format!("admin-lab ({admin_id})")), &json!("lab")));
    }
    let text = log.to_string();
    assert!([first, second, third].iter().all(|token| !text.contains(&token[37..])), "no secret is in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_all_projects_makes_none_and_metrics_are_for_here_and_for_keys() -> Result<()> {
    let mut bench = Bench::new().await?;
    let reader = bench.key(Scope::Read, None).await?;
    let mut request = asked(&Method::GET, "/v1/jobs", Some(&reader), "")?;
    request.headers_mut().insert("cfx-project", "typo".parse()?);
    assert_eq!(told(&bench, request).await?.0, 404);
    assert_eq!(bench.app.store.project_id("typo").await?, None);

    let metrics = async |bench: &Bench, token| told(bench, asked(&Method::GET, "/metrics", token, "")?).await;
    assert_eq!(metrics(&bench, None).await?.0, 401);
    assert_eq!(metrics(&bench, Some(reader.as_str())).await?.0, 200);
    bench.set(|config| config.access.auth = coordinator::config::Auth::Keys)?;
    assert_eq!(bench.get("/metrics").await?.0, StatusCode::OK, "from this machine");
    assert_eq!(bench.get("/v1/jobs").await?.0, StatusCode::UNAUTHORIZED, "which is nothing more with CFX_AUTH=keys");
    bench.set(|config| config.access.metrics_open = true)?;
    assert_eq!(metrics(&bench, None).await?.0, 200);
    bench.set(|config| {
        config.access.auth = coordinator::config::Auth::Loopback;
        config.listen = SocketAddr::from(([0, 0, 0, 0], 8080));
    })?;
    assert_eq!(
        bench.get("/v1/jobs").await?.0,
        StatusCode::UNAUTHORIZED,
        "a coordinator that others reach asks everybody"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_each_key_and_for_who_guesses() -> Result<()> {
    let mut bench = Bench::new().await?;
    let (one, two) = (bench.key(Scope::Read, None).await?, bench.key(Scope::Read, None).await?);
    bench.set(|config| {
        config.limits.requests_per_second = 1;
        config.limits.request_burst = 3;
        config.limits.wrong_keys_per_minute = 5;
    })?;
    let ask = async |token: &str| -> Result<(u16, Option<u64>)> {
        let answer = bench.answer(asked(&Method::GET, "/v1/whoami", Some(token), "")?).await?;
        let wait = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        Ok((answer.status().as_u16(), wait))
    };
    for _ in 0..3 {
        assert_eq!(ask(&one).await?.0, 200);
    }
    assert_eq!(ask(&one).await?, (429, Some(1)));
    assert_eq!(ask(&two).await?.0, 200, "another key has its own bucket");

    // guesses at a key that is there: told apart from nothing, and slowed down; its owner is not
    let id = two.parse::<ApiKeyToken>()?.id();
    for _ in 0..5 {
        assert_eq!(ask(&issue::new_secret(id)?.reveal()).await?.0, 401);
    }
    let (status, wait) = ask(&issue::new_secret(id)?.reveal()).await?;
    assert!(status == 429 && wait.is_some_and(|seconds| (1..=12).contains(&seconds)), "{status} {wait:?}");
    assert_eq!(ask(&two).await?.0, 200);
    Ok(())
}
