//! What a client may do again: requests with a key, reads of what it has already, changes of what it saw, whole lists, and uploads past
//! the coordinator.

use crate::life_of_a_job::{Serving, submit, until};
use crate::support::{Bench, job};
use crate::worker::{Manners, Worker};
use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use coordinator::http::permissions::{RULES, Surface};
use domain::Digest;
use serde_json::{Value, json};
use wire::http::v1::{EditResult, JobLimits, Page, Upload, Uploads};

/// Sends JSON with headers; the whole answer.
async fn send(
    bench: &Bench,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<(StatusCode, HeaderMap, Vec<u8>)> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = match body {
        Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))?,
        None => request.body(Body::empty())?,
    };
    let answer = bench.answer(request).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, axum::body::to_bytes(answer.into_body(), usize::MAX).await?.to_vec()))
}

fn code(body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_is_done_once() -> Result<()> {
    let bench = Bench::new().await?;
    let create = async |key: &str, name: &str, project: &str| {
        let headers = [("idempotency-key", key), ("cfx-project", project)];
        send(&bench, Method::POST, "/v1/datasets", &headers, Some(&json!({ "name": name }))).await
    };
    let (status, headers, first) = create("k1", "faces", "default").await?;
    assert_eq!((status, headers.get("idempotency-replayed")), (StatusCode::CREATED, None));
    let (status, headers, again) = create("k1", "faces", "default").await?;
    // without the key it would be 200: the dataset is there
    assert_eq!((status, again), (StatusCode::CREATED, first));
    assert_eq!(headers["idempotency-replayed"], "true");
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");

    // another body, and another project, are other requests
    for (name, project) in [("others", "default"), ("faces", "lab")] {
        let (status, _, refused) = create("k1", name, project).await?;
        assert_eq!((status, code(&refused).as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"));
    }
    // a refusal leaves the key free
    let (status, _, refused) = create("k2", "no name", "default").await?;
    assert_eq!((status, code(&refused).as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request"));
    assert_eq!(create("k2", "a-name", "default").await?.0, StatusCode::CREATED);

    // many at once: one does it, the others hear that it is in work, or what came of it
    let at_once = futures_util::future::join_all((0..8).map(|_| create("k3", "many", "default"))).await;
    let mut done = 0;
    for answer in at_once {
        let (status, headers, body) = answer?;
        match status {
            StatusCode::CREATED => done += u32::from(!headers.contains_key("idempotency-replayed")),
            StatusCode::CONFLICT => assert_eq!(code(&body), "idempotency_key_in_work"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(done, 1);

    // an answer with a secret is not kept
    let new = json!({ "name": "n", "scope": "read" });
    let (status, _, refused) =
        send(&bench, Method::POST, "/v1/api-keys", &[("idempotency-key", "k4")], Some(&new)).await?;
    assert_eq!((status, code(&refused).as_str()), (StatusCode::BAD_REQUEST, "invalid_parameter"));
    let (status, _, _) = create("", "faces", "default").await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_done_again_and_kept_a_day() -> Result<()> {
    let bench = Bench::new().await?;
    let store = &bench.app.store;
    let asked = store::KeyedRequest { principal: "local", key: "k", sha256: Digest::of("a request") };
    let patience = std::time::Duration::from_millis(300);
    assert_eq!(store.begin_keyed(asked, patience).await?, store::KeyedState::Begun);
    assert_eq!(store.begin_keyed(asked, patience).await?, store::KeyedState::InWork);
    tokio::time::sleep(patience * 2).await;
    let other = store::KeyedRequest { sha256: Digest::of("another"), ..asked };
    assert_eq!(store.begin_keyed(other, patience).await?, store::KeyedState::OtherRequest);
    assert_eq!(store.begin_keyed(asked, patience).await?, store::KeyedState::Begun, "its process is gone");
    let answer = store::KeptAnswer { status: 200, media_type: None, body: Vec::new() };
    store.keep_answer(asked, &answer).await?;
    assert_eq!(store.begin_keyed(asked, patience).await?, store::KeyedState::Answered(answer));
    assert_eq!(store.old_answers(10).await?, 0, "a day is not over");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_has_is_not_sent_again() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 3).await?;
    for rule in RULES.iter().filter(|rule| rule.surface == Surface::Api && rule.method == Method::GET) {
        let path = rule.path.replace("/datasets/{name}", "/datasets/faces");
        // lists and single things that are there; what moves by itself has another tag each time
        if path.contains('{') || !path.starts_with("/v1/") || path == "/v1/whoami" {
            continue;
        }
        let (status, headers, body) = send(&bench, Method::GET, &path, &[], None).await?;
        assert_eq!(status, StatusCode::OK, "{path}");
        let tag = headers.get(header::ETAG).with_context(|| format!("{path} has no tag"))?.to_str()?.to_owned();
        let (status, headers, rest) = send(&bench, Method::GET, &path, &[("if-none-match", &tag)], None).await?;
        assert_eq!(
            (status, rest.len(), &headers[header::ETAG]),
            (StatusCode::NOT_MODIFIED, 0, &tag.parse()?),
            "{path}: {body:?}"
        );
    }
    let (_, headers, _) = send(&bench, Method::GET, "/v1/datasets", &[], None).await?;
    let tag = headers[header::ETAG].to_str()?.to_owned();
    bench.dataset("more", 1).await?;
    let (status, _, _) = send(&bench, Method::GET, "/v1/datasets", &[("if-none-match", &tag)], None).await?;
    assert_eq!(status, StatusCode::OK, "it has changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_lists_come_as_lines_and_changes_may_depend_on_what_was_seen() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 20).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let serving = Serving::start(&bench.app).await?;
    let id = submit(&bench, &job("mine")).await?;

    // limits, while there is something to limit
    let path = format!("/v1/jobs/{id}/limits");
    let (status, headers, body) = send(&bench, Method::GET, &path, &[], None).await?;
    assert_eq!((status, serde_json::from_slice::<JobLimits>(&body)?.limits.max_concurrent), (StatusCode::OK, None));
    let seen = headers[header::ETAG].to_str()?.to_owned();
    let change = async |tag: &str, most: u32| {
        send(&bench, Method::POST, &path, &[("if-match", tag)], Some(&json!({ "max_concurrent": most }))).await
    };
    assert_eq!(change(&seen, 7).await?.0, StatusCode::OK);
    let (status, _, refused) = change(&seen, 9).await?;
    assert_eq!((status, code(&refused).as_str()), (StatusCode::PRECONDITION_FAILED, "changed_meanwhile"));
    let (_, headers, body) = send(&bench, Method::GET, &path, &[], None).await?;
    assert_eq!(serde_json::from_slice::<JobLimits>(&body)?.limits.max_concurrent, Some(7));
    assert_eq!(change(headers[header::ETAG].to_str()?, 0).await?.0, StatusCode::OK);
    assert_eq!(change("*", 5).await?.0, StatusCode::OK);

    let worker = Worker::start(&bench.app, Manners::Good);
    until(&bench, &id, "the job has ended", |job| job.state.is_terminal()).await;
    drop(worker);

    // lists: the same rows as page by page, whatever the number
    for list in ["results", "pairs", "tasks"] {
        let path = format!("/v1/jobs/{id}/{list}");
        let mut paged = Vec::new();
        let mut after = String::new();
        loop {
            let page: Page<Value> = bench.read(&format!("{path}?limit=7{after}")).await?;
            paged.extend(page.items);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        let accept = [("accept", "application/x-ndjson")];
        let (status, headers, body) = send(&bench, Method::GET, &path, &accept, None).await?;
        assert_eq!((status, &headers[header::CONTENT_TYPE]), (StatusCode::OK, &"application/x-ndjson".parse()?));
        let lines = |body: &[u8]| {
            let text = String::from_utf8_lossy(body).into_owned();
            text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()
        };
        assert!(paged.len() > 20);
        assert_eq!(lines(&body)?, paged, "{list}");
        let (_, _, body) = send(&bench, Method::GET, &format!("{path}?limit=3"), &accept, None).await?;
        assert_eq!(lines(&body)?, paged[..3], "{list}");
        let (status, _, body) = send(&bench, Method::GET, &format!("{path}?limit=0"), &accept, None).await?;
        assert_eq!((status, code(&body).as_str()), (StatusCode::BAD_REQUEST, "invalid_parameter"));
        let (status, _, body) = send(&bench, Method::GET, &format!("{path}?limits=3"), &accept, None).await?;
        assert_eq!((status, code(&body).as_str()), (StatusCode::BAD_REQUEST, "invalid_parameter"), "a misspelt name");
    }
    let (status, _, _) =
        send(&bench, Method::GET, "/v1/datasets/faces/sources", &[("accept", "application/x-ndjson")], None).await?;
    assert_eq!(status, StatusCode::OK);

    // reviews: two people who saw the same
    let results: Page<EditResult> = bench.read(&format!("/v1/jobs/{id}/results?limit=1")).await?;
    let path = format!("/v1/results/{}", results.items[0].task);
    let (_, headers, _) = send(&bench, Method::GET, &path, &[], None).await?;
    let seen = headers[header::ETAG].to_str()?.to_owned();
    let review = format!("{path}/review");
    let say = async |tag: &str, review_: Value| {
        send(&bench, Method::PUT, &review, &[("if-match", tag)], Some(&review_)).await
    };
    assert_eq!(say(&seen, json!({ "decision": "flagged", "note": "first" })).await?.0, StatusCode::OK);
    let (status, _, refused) = say(&seen, json!({ "decision": "approved" })).await?;
    assert_eq!((status, code(&refused).as_str()), (StatusCode::PRECONDITION_FAILED, "changed_meanwhile"));
    let (_, headers, _) = send(&bench, Method::GET, &path, &[], None).await?;
    let seen = headers[header::ETAG].to_str()?.to_owned();
    assert_eq!(say(&seen, json!({})).await?.0, StatusCode::OK, "taken away by who saw it");
    assert_eq!(say(&seen, json!({ "decision": "approved" })).await?.0, StatusCode::PRECONDITION_FAILED);
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_past_the_coordinator_and_only_as_they_were_named() -> Result<()> {
    let bench = Bench::new().await?;
    let there = bench.app.artifacts.put(b"there".to_vec()).await?;
    let (right, wrong) = (b"a picture".to_vec(), b"b picture".to_vec());
    let sha256 = Digest::of(&right);
    let asked = json!({ "uploads": [{ "sha256": there, "bytes": 5 }, { "sha256": sha256, "bytes": right.len() }] });
    let (status, answer) = bench.post("/v1/uploads", &asked, &[]).await?;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let Uploads { uploads } = serde_json::from_value(answer)?;
    assert!(uploads[0].there && uploads[0].url.is_none());
    let Upload { url: Some(url), headers, .. } = &uploads[1] else { anyhow::bail!("{uploads:?}") };
    assert!(!url.contains(testkit::TestBucket::SECRET_KEY));

    let http = reqwest::Client::new();
    let put = async |bytes: &[u8], without: Option<&str>| {
        let mut request = http.put(url).body(bytes.to_vec());
        for (name, value) in
            headers.iter().filter(|(name, _)| Some(name.as_str()) != without && *name != "content-length")
        {
            request = request.header(name, value);
        }
        request.send().await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(put(&wrong, None).await?, 400, "the store compares");
    assert_eq!(put(&right, Some("x-amz-checksum-sha256")).await?, 403, "the checksum is signed");
    assert_eq!(put(&right, None).await?, 200);
    assert_eq!(bench.app.artifacts.get(sha256).await?, right);

    bench.post("/v1/datasets", &json!({ "name": "d" }), &[]).await?;
    let source = json!({ "sha256": sha256, "uri": "a.png", "bytes": right.len() });
    let (_, added) = bench.post("/v1/datasets/d/sources", &json!({ "sources": [source] }), &[]).await?;
    assert_eq!((&added["added"], &added["missing"]), (&json!(1), &json!([])));

    for (body, status) in [
        (json!({ "uploads": [] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "uploads": [{ "sha256": sha256, "bytes": 1_u64 << 40 }] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "uploads": [{ "sha256": "abc", "bytes": 1 }] }), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(bench.post("/v1/uploads", &body, &[]).await?.0, status, "{body}");
    }
    Ok(())
}
