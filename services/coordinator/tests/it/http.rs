//! The router, called in process, on real services.

use crate::support::{Bench, PACK, job};
use anyhow::Result;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use domain::Digest;
use serde_json::{Value, json};
use wire::http::v1::{Dataset, Job, Page, Problem, Source, SourcesAdded};

fn problem(body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|e| panic!("no problem ({e}): {}", String::from_utf8_lossy(body)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_with_its_code() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 2).await?;
    bench.dataset("train", 2).await?;
    bench.post("/v1/datasets", &json!({ "name": "empty" }), &[]).await?;
    bench.pack().await?;
    let with = |pointer: &str, value: Value| {
        let mut spec = job("x");
        match spec.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => spec[pointer.trim_start_matches('/')] = value,
        }
        spec.to_string()
    };
    let digest = Digest::of("absent");
    let json_type = "application/json";
    let cases: Vec<(&str, &str, &str, String, u16, &str, &str)> = vec![
        ("GET", "/v1/nowhere", "", String::new(), 404, "not_found", "/v1/nowhere"),
        ("DELETE", "/v1/jobs", "", String::new(), 405, "method_not_allowed", "DELETE"),
        ("POST", "/v1/jobs", json_type, "{".into(), 400, "invalid_json", "EOF"),
        ("POST", "/v1/jobs", json_type, with("/nmae", json!("x")), 400, "invalid_json", "nmae"),
        ("POST", "/v1/jobs", "text/plain", job("x").to_string(), 415, "not_json", "application/json"),
        ("POST", "/v1/jobs", json_type, format!("\"{}\"", "x".repeat(70_000)), 413, "too_large", "65536"),
        ("POST", "/v1/jobs", json_type, with("/edits/0/text", json!(" ")), 422, "invalid_spec", "edits[0].text"),
        ("POST", "/v1/jobs", json_type, with("/edits", json!([])), 422, "invalid_spec", "edits"),
        ("POST", "/v1/jobs", json_type, with("/strengths", json!([1, 1])), 422, "invalid_spec", "strengths"),
        (
            "POST",
            "/v1/jobs",
            json_type,
            with("/dataset", json!("faecs")),
            422,
            "unknown_dataset",
            "'empty', 'faces' and 'train'",
        ),
        ("POST", "/v1/jobs", json_type, with("/pack", json!("big")), 422, "unknown_pack", PACK),
        ("POST", "/v1/jobs", json_type, with("/dataset", json!("empty")), 422, "empty_dataset", "empty"),
        (
            "POST",
            "/v1/jobs",
            json_type,
            with("/edits/0/method/train_on", json!("x")),
            422,
            "unknown_dataset",
            "edits[0].method.train_on",
        ),
        (
            "POST",
            "/v1/jobs",
            json_type,
            with("/seeds", json!((0..3000).collect::<Vec<u32>>())),
            422,
            "invalid_request",
            "12000",
        ),
        ("GET", "/v1/jobs/job_1", "", String::new(), 400, "invalid_parameter", "job_1"),
        ("GET", "/v1/jobs?after=x", "", String::new(), 400, "invalid_parameter", "after"),
        ("GET", "/v1/jobs?state=done", "", String::new(), 400, "invalid_parameter", "done"),
        ("GET", "/v1/jobs/job_0190f1c2d3e47a5b8c6d7e8f90a1b2c3", "", String::new(), 404, "not_found", "job_0190"),
        ("GET", "/v1/blobs/xyz", "", String::new(), 400, "invalid_parameter", "xyz"),
        ("GET", "/v1/results/1-1", "", String::new(), 404, "not_found", "1-1"),
        ("POST", "/v1/datasets", json_type, r#"{"name":"../x"}"#.into(), 422, "invalid_request", "../x"),
        (
            "POST",
            "/v1/datasets",
            json_type,
            r#"{"name":"a","import":"http://x"}"#.into(),
            422,
            "invalid_request",
            "s3://",
        ),
        (
            "POST",
            "/v1/datasets",
            json_type,
            r#"{"name":"faces","import":"s3://b/p"}"#.into(),
            409,
            "dataset_conflict",
            "faces",
        ),
        ("POST", "/v1/datasets/none/sources", json_type, r#"{"sources":[]}"#.into(), 404, "not_found", "none"),
        (
            "POST",
            "/v1/datasets/faces/sources",
            json_type,
            json!({ "sources": [{ "sha256": digest, "uri": "", "bytes": 1 }] }).to_string(),
            422,
            "invalid_request",
            "sources[0].uri",
        ),
        ("POST", "/v1/packs", json_type, r#"{"manifest":"format = 1"}"#.into(), 422, "invalid_pack", "pack.toml"),
    ];
    for (method, path, media, body, status, code, words) in cases {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
        let (got, kind, answer) = bench.send(request.body(Body::from(body))?).await?;
        assert_eq!(got.as_u16(), status, "{method} {path}: {}", String::from_utf8_lossy(&answer));
        let told = problem(&answer);
        assert_eq!(
            (kind.as_str(), told.code.as_str(), told.status),
            ("application/problem+json", code, status),
            "{method} {path}"
        );
        assert!(told.detail.contains(words), "{method} {path}: '{}' does not say '{words}'", told.detail);
        assert_eq!(told.kind, format!("/problems/{code}"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_is_one_job_per_key() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 3).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let key = [("idempotency-key", "once")];
    let (first, created) = bench.post("/v1/jobs", &job("a"), &key).await?;
    let (second, same) = bench.post("/v1/jobs", &job("a"), &key).await?;
    assert_eq!((first, second), (StatusCode::CREATED, StatusCode::OK));
    assert_eq!(created["id"], same["id"]);
    let (status, refused) = bench.post("/v1/jobs", &job("b"), &key).await?;
    assert_eq!((status, &refused["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused")));
    let (status, fresh) = bench.post("/v1/jobs", &job("a"), &[]).await?;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(created["id"], fresh["id"]);

    // the list is newest first and its cursor goes on
    let page: Page<Job> = bench.read("/v1/jobs?limit=1").await?;
    assert_eq!(json!(page.items[0].id), fresh["id"]);
    let page: Page<Job> = bench.read(&format!("/v1/jobs?limit=1&after={}", page.next.unwrap_or_default())).await?;
    assert_eq!(json!(page.items[0].id), created["id"]);

    // another project sees nothing of it
    let request = Request::get(format!("/v1/jobs/{}", created["id"].as_str().unwrap_or_default()));
    let (status, _, _) = bench.send(request.header("cfx-project", "other").body(Body::empty())?).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_what_its_digest_says() -> Result<()> {
    let bench = Bench::new().await?;
    let png = first_png()?;
    let digest = Digest::of(&png);
    let (status, body) = bench.put_blob(Digest::of("other"), png.clone()).await?;
    assert_eq!((status.as_u16(), problem(&body).code.as_str()), (422, "digest_mismatch"));
    assert_eq!(bench.get(&format!("/v1/blobs/{digest}")).await?.0, StatusCode::NOT_FOUND);
    assert_eq!(bench.put_blob(digest, png.clone()).await?.0, StatusCode::CREATED);
    assert_eq!(bench.put_blob(digest, png.clone()).await?.0, StatusCode::OK);
    let (status, media, body) = bench.get(&format!("/v1/blobs/{digest}")).await?;
    assert_eq!((status, media.as_str()), (StatusCode::OK, "image/png"));
    assert_eq!(body, png);
    let head = Request::head(format!("/v1/blobs/{digest}")).body(Body::empty())?;
    assert_eq!(bench.send(head).await?.0, StatusCode::OK);

    let large = vec![0_u8; (8 << 20) + 1];
    let (status, body) = bench.put_blob(Digest::of(&large), large).await?;
    assert_eq!((status.as_u16(), problem(&body).code.as_str()), (413, "too_large"));
    Ok(())
}

fn first_png() -> std::io::Result<Vec<u8>> {
    let folder = testkit::workspace_root().join("deploy/demo/train");
    let entry = std::fs::read_dir(folder)?.next().ok_or(std::io::ErrorKind::NotFound)??;
    std::fs::read(entry.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_kept_once_and_missing_ones_are_named() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 3).await?;
    let there = Digest::of("faces 1");
    let absent = Digest::of("absent");
    let sources = json!({ "sources": [
        { "sha256": there, "uri": "again.png", "bytes": 7 },
        { "sha256": absent, "uri": "absent.png", "bytes": 7 },
    ]});
    let (_, answer) = bench.post("/v1/datasets/faces/sources", &sources, &[]).await?;
    let added: SourcesAdded = serde_json::from_value(answer)?;
    assert_eq!((added.added, added.missing), (0, vec![absent]));
    assert_eq!((added.duplicates[0].uri.as_str(), added.duplicates[0].same_as.as_str()), ("again.png", "faces/1.png"));
    let page: Page<Source> = bench.read("/v1/datasets/faces/sources?limit=2").await?;
    assert_eq!((page.items.len(), page.items[1].ordinal, page.next.as_deref()), (2, 1, Some("1")));
    let dataset: Dataset = bench.read("/v1/datasets/faces").await?;
    assert_eq!(dataset.sources, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_needs_its_files_and_keeps_its_name() -> Result<()> {
    let bench = Bench::new().await?;
    let pack = packs::Pack::open(testkit::workspace_root().join("deploy/demo/pack"))?;
    let (status, answer) = bench.post("/v1/packs", &json!({ "manifest": pack.manifest_text() }), &[]).await?;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("missing_blobs")));
    assert!(answer["detail"].as_str().is_some_and(|d| d.contains("generator.safetensors")), "{answer}");
    let first = bench.pack().await?;
    assert_eq!((&first["name"], &first["digest"]), (&json!(PACK), &json!(pack.digest())));
    assert_eq!(bench.pack().await?, first, "the same pack again is no error");
    let changed = pack.manifest_text().replacen("version = \"", "version = \"9.", 1);
    assert_ne!(changed, pack.manifest_text());
    let (status, answer) = bench.post("/v1/packs", &json!({ "manifest": changed }), &[]).await?;
    assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("pack_conflict")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_answer() -> Result<()> {
    let bench = Bench::new().await?;
    assert_eq!(bench.get("/healthz").await?.0, StatusCode::OK);
    let ready = || async { (bench.get("/readyz").await.ok()?.0 == StatusCode::OK).then_some(()) };
    testkit::wait_until("the coordinator is ready", std::time::Duration::from_secs(20), ready).await;
    bench.get("/v1/nowhere").await?;
    let (_, media, text) = bench.get("/metrics").await?;
    let text = String::from_utf8_lossy(&text);
    assert!(media.starts_with("text/plain") && text.contains("cfx_http_problems_total"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_render_for_an_empty_and_a_filled_installation() -> Result<()> {
    let bench = Bench::new().await?;
    for path in ["/", "/workers", "/datasets", "/packs"] {
        let (status, media, body) = bench.get(path).await?;
        assert_eq!((status, media.as_str()), (StatusCode::OK, "text/html; charset=utf-8"), "{path}");
        assert!(String::from_utf8_lossy(&body).contains("class=\"empty\""), "{path}");
    }
    bench.dataset("faces", 3).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let mut spec = job("<script>alert(1)</script>");
    spec["edits"][0]["name"] = json!("grün & hell");
    let (_, created) = bench.post("/v1/jobs", &spec, &[]).await?;
    let id = created["id"].as_str().unwrap_or_default();
    let pages = [
        ("/".to_owned(), "faces"),
        (format!("/jobs/{id}"), "clip-nce"),
        (format!("/jobs/{id}/gallery"), "edit=gr%C3%BCn-hell"),
    ];
    for (path, words) in pages {
        let answer = bench.router_get(&path).await?;
        let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY).cloned();
        assert!(policy.is_some_and(|p| p.as_bytes().starts_with(b"default-src 'none'")), "{path}");
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(words), "{path}: {text}");
        assert!(!text.contains("<script>alert"), "{path} does not escape");
        assert!(!text.contains(" style=") && !text.contains("onclick"), "{path} breaks its own policy");
    }
    let (_, _, page) = bench.get("/").await?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let assets: Vec<&str> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(assets.len() > 4, "{assets:?}");
    for path in assets {
        let answer = bench.router_get(path).await?;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let kept = answer.headers().get(header::CACHE_CONTROL).and_then(|v| v.to_str().ok()).unwrap_or_default();
        assert!(kept.contains("immutable"), "{path}: {kept}");
    }
    let (status, media, _) = bench.get("/jobs/job_0190f1c2d3e47a5b8c6d7e8f90a1b2c3").await?;
    assert_eq!((status, media.as_str()), (StatusCode::NOT_FOUND, "text/html; charset=utf-8"));
    Ok(())
}
