//! Pages and what they ask for, called in process: every page is rendered, streams go on where they were, reviews stand beside
//! verdicts, pictures are small.

use crate::support::{Bench, job};
use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use coordinator::sweep::Reconciler as _;
use domain::{BootId, Digest, Reason, RetryPolicy, Scope, Stage};
use futures_util::StreamExt as _;
use image::RgbImage;
use serde_json::{Value, json};
use std::io::Cursor;
use std::time::Duration;
use store::{ClaimRequest, ClaimedTasks, OutboxMessage, OutcomeRow};
use wire::http::v1::{Job, Page, Task};

async fn page(bench: &Bench, path: &str) -> Result<String> {
    let answer = bench.router_get(path).await?;
    let status = answer.status();
    let policy = answer.headers().get(header::CONTENT_SECURITY_POLICY).context(path.to_owned())?.to_str()?.to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
    let text = String::from_utf8(body.to_vec())?;
    assert_eq!(status, StatusCode::OK, "{path}: {text}");
    // what a strict policy would refuse, and names of files that there are none of
    for inline in ["<style", "onclick=", " style=", "javascript:", "src=\"\"", "href=\"\""] {
        assert!(!text.contains(inline), "{path} has {inline}");
    }
    Ok(text)
}

async fn form(bench: &Bench, path: &str, fields: &str) -> Result<(StatusCode, axum::http::HeaderMap, String)> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    // as pages have it in their head, and scripts send it
    let request = request.header("x-csrf-token", &bench.app.gate.local_csrf);
    let answer = bench.answer(request.body(Body::from(fields.to_owned()))?).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
    Ok((status, headers, String::from_utf8(body.to_vec())?))
}

/// A page as somebody sees it who has logged in with this key.
async fn page_of(bench: &Bench, path: &str, key: &str) -> Result<String> {
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
    let (status, _, body) = bench.send(request.body(Body::empty())?).await?;
    assert_eq!(status, StatusCode::OK, "{path}");
    Ok(String::from_utf8(body.to_vec())?)
}

/// Two of its sources cannot be read.
pub async fn fail_two(bench: &Bench, job: &Job) -> Result<()> {
    let store = &bench.app.store;
    let request = ClaimRequest {
        job_seq: job.seq,
        stage: Stage::Invert,
        edit_no: None,
        limit: 2,
        class: "cpu".to_owned(),
        estimate_ms: 1.0,
        limited: false,
    };
    let message =
        |_: &store::ClaimedBatch| OutboxMessage { routing_key: String::new(), payload: json!({}), traceparent: None };
    let batch = store.claim_batch(&request, message).await?.context("there are inversions")?;
    let ClaimedTasks::Invert(tasks) = &batch.tasks else { anyhow::bail!("inversions, not {batch:?}") };
    let boot = BootId::from_uuid(uuid::Uuid::now_v7());
    let fences: Vec<_> = tasks.iter().map(|task| task.fence).collect();
    store.started(boot, &fences).await?;
    let failed = |fence: &store::Fence| OutcomeRow::Failed {
        fence: *fence,
        reason: Reason::Truncated,
        detail: "half of it is missing".to_owned(),
        gpu_ms: 1.0,
    };
    store.apply_outcomes(boot, &fences.iter().map(failed).collect::<Vec<_>>(), &RetryPolicy::default()).await?;
    Ok(())
}

/// Writes the job's tasks.
pub async fn written(bench: &Bench, job: &Job) -> Result<()> {
    let row = bench.app.store.job_by_seq(job.seq).await?.context("it is there")?;
    while coordinator::enqueue::write_slice(&bench.app.store, 100, &row).await? > 0 {}
    Ok(())
}

pub async fn with_job() -> Result<(Bench, Job)> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 3).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let (status, answer) = bench.post("/v1/jobs", &job("<b>bold</b> & \"quoted\""), &[]).await?;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    Ok((bench, serde_json::from_value(answer)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_rendered_with_nothing_that_the_policy_refuses() -> Result<()> {
    let (bench, job) = with_job().await?;
    for path in ["/", "/jobs/new", "/workers", "/datasets", "/datasets/faces", "/packs", "/packs/facesjs-64", "/audit"]
    {
        page(&bench, path).await?;
    }
    let id = job.id;
    for path in [
        "",
        "/gallery",
        "/gallery?view=sources",
        "/gallery?sort=-preservation",
        "/gallery?review=flagged",
        "/gallery?sort=identity&review=flagged&verdict=rejected&edit=blue",
        "/gallery?sort=-strength&reason=target-missed&after=7",
    ] {
        let text = page(&bench, &format!("/jobs/{id}{path}")).await?;
        assert!(text.contains("&#60;b&#62;bold") && !text.contains("<b>bold"), "{path} escapes texts of users");
    }
    assert!(page(&bench, "/?q=BOLD&state=accepting").await?.contains(&id.to_string()));
    assert!(page(&bench, "/?q=nothing").await?.contains("No job fits"));
    for (path, status) in [
        ("/jobs/job_00000000000000000000000000000000", 404),
        ("/jobs/x", 400),
        (format!("/jobs/{id}/gallery?sort=loss").as_str(), 400),
        ("/datasets/none", 404),
        ("/results/1-99", 404),
        ("/?project=unheard-of", 404),
    ] {
        let (found, kind, body) = bench.get(path).await?;
        assert_eq!((found.as_u16(), kind.as_str()), (status, "text/html; charset=utf-8"), "{path}");
        assert!(String::from_utf8_lossy(&body).contains("All jobs"), "{path}");
    }
    // nobody made a project by looking for it
    assert!(bench.app.store.project("unheard-of").await?.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_by_events_and_goes_on_after_a_lost_connection() -> Result<()> {
    let (bench, job) = with_job().await?;
    let path = format!("/v1/jobs/{}/events", job.id);
    let open = async |last: Option<&str>| -> Result<axum::response::Response> {
        let mut request = Request::get(&path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        bench.answer(request.body(Body::empty())?).await
    };
    let answer = open(None).await?;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut stream = answer.into_body().into_data_stream();
    let event = async |stream: &mut axum::body::BodyDataStream| -> Result<String> {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await?.context("it goes on")??;
        Ok(String::from_utf8(chunk.to_vec())?)
    };
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
    };
    let first = event(&mut stream).await?;
    let told: Job = serde_json::from_str(&field(&first, "data"))?;
    assert_eq!((told.id, field(&first, "event").as_str()), (job.id, "job"));
    let seen = field(&first, "id");
    // who has seen this state hears of the next one only
    let mut again = open(Some(&seen)).await?.into_body().into_data_stream();
    assert!(tokio::time::timeout(Duration::from_millis(900), again.next()).await.is_err());
    let (status, _) = bench.post(&format!("/v1/jobs/{}/cancel", job.id), &json!({}), &[]).await?;
    assert_eq!(status, StatusCode::OK);
    for stream in [&mut stream, &mut again] {
        let next = event(stream).await?;
        let told: Job = serde_json::from_str(&field(&next, "data"))?;
        assert!(told.state.is_terminal() && field(&next, "id") != seen, "{next}");
        let end = event(stream).await?;
        assert!(end.contains("event: end"), "{end}");
        assert!(stream.next().await.is_none());
    }
    let last = field(&event(&mut open(None).await?.into_body().into_data_stream()).await?, "id");
    assert_eq!(open(Some(&last)).await?.status(), StatusCode::NO_CONTENT);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_act_as_the_interface_does_and_are_audited() -> Result<()> {
    let (bench, job) = with_job().await?;
    let ui = |what: &str| format!("/ui/jobs/{}/{what}", job.id);
    // its tasks are written first
    written(&bench, &job).await?;
    // a request that is not this page's changes nothing
    for token in [None, Some("another")] {
        let request = Request::post(ui("pause")).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match token {
            Some(token) => request.header("x-csrf-token", token),
            None => request,
        };
        assert_eq!(bench.answer(request.body(Body::empty())?).await?.status(), StatusCode::FORBIDDEN);
    }
    assert!(page(&bench, &format!("/jobs/{}", job.id)).await?.contains(&bench.app.gate.local_csrf), "the page has it");
    let (status, _, text) = form(&bench, &ui("pause"), "").await?;
    assert!(status.is_success() && text.contains("state paused") && text.contains("Resume"), "{text}");
    let (status, _, text) = form(&bench, &ui("resume"), "").await?;
    assert!(status.is_success() && text.contains("Pause"), "{text}");
    let (_, _, text) = form(&bench, &ui("redrive/dry-run"), "reason=truncated").await?;
    assert!(text.contains("nothing to retry"), "{text}");
    let (status, headers, text) = form(&bench, &ui("redrive/dry-run"), "reason=bad+luck").await?;
    assert!(
        status == StatusCode::BAD_REQUEST && headers["hx-retarget"] == "#notices" && text.contains("alert"),
        "{text}"
    );
    let (_, _, text) = form(&bench, &ui("cancel"), "").await?;
    assert!(text.contains("state cancelled"), "{text}");
    let (status, _, text) = form(&bench, &ui("resume"), "").await?;
    assert!(status == StatusCode::CONFLICT && text.contains("alert"), "{text}");

    let fields = "name=a&dataset=faces&pack=facesjs-64&texts=a+face+with+green+hair%0Aa+face+with+blue+skin&method=clip-nce&strengths=1,2&seeds=0";
    let (status, _, text) = form(&bench, "/ui/jobs/estimate", fields).await?;
    assert!(status.is_success() && text.contains("12 images") && text.contains("no worker"), "{text}");
    let (status, headers, text) = form(&bench, "/ui/jobs", &format!("{fields}&key=once")).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    let led = headers["hx-redirect"].to_str()?.to_owned();
    let (_, headers, _) = form(&bench, "/ui/jobs", &format!("{fields}&key=once")).await?;
    assert_eq!(headers["hx-redirect"].to_str()?, led, "a form that is sent twice is one job");
    let (status, _, text) = form(&bench, "/ui/jobs", &fields.replace("texts=a", "texts=")).await?;
    assert!(status.is_success() || text.contains("alert"), "{text}");
    let (status, _, text) = form(&bench, "/ui/jobs/preview", fields).await?;
    assert!(status.is_success() && text.contains("0 of 2 done"), "{text}");

    let log: Page<wire::http::v1::AuditEntry> = bench.read("/v1/audit").await?;
    let actions = log.items.iter().map(|entry| entry.action.as_str());
    let actions: Vec<&str> = actions.filter(|action| action.starts_with("job.") && *action != "job.submit").collect();
    assert_eq!(actions, ["job.cancel", "job.resume", "job.pause"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_by_a_form_that_operators_see() -> Result<()> {
    let (bench, job) = with_job().await?;
    let (path, ui) = (format!("/jobs/{}", job.id), format!("/ui/jobs/{}/limits", job.id));
    let of = async || bench.read::<Job>(&format!("/v1/jobs/{}", job.id)).await;
    let asked = "max_concurrent=2&budget_gpu_seconds=&tasks_per_minute=30.5&deadline=2090-01-01T10:00&priority=3";
    let (status, _, text) = form(&bench, &ui, asked).await?;
    assert_eq!(status, StatusCode::OK, "{text}");
    // the form as it is now, a word on it, and the part of the page that moves
    for part in ["value=\"2\"", "value=\"2090-01-01T10:00\"", "Limits set", "id=\"live\" hx-swap-oob"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let limits = of().await?.limits;
    assert_eq!(
        (limits.max_concurrent, limits.budget_gpu_seconds, limits.tasks_per_minute),
        (Some(2), None, Some(30.5))
    );
    assert_eq!(limits.deadline.map(|at| at.to_rfc3339()).as_deref(), Some("2090-01-01T10:00:00+00:00"));
    let (_, _, text) = form(&bench, &ui, asked).await?;
    assert!(text.contains("Nothing to change"), "{text}");
    let (status, headers, text) = form(&bench, &ui, &asked.replace("=2&", "=two&")).await?;
    assert!(status.is_client_error() && headers["hx-retarget"] == "#notices" && text.contains("two"), "{text}");
    let (status, _, _) =
        form(&bench, &ui, "max_concurrent=&budget_gpu_seconds=&tasks_per_minute=&deadline=&priority=").await?;
    assert!(status.is_success() && of().await?.limits.is_none(), "an empty field is no limit");
    // a form that was loaded before changes nothing
    let (status, _, text) = form(&bench, &ui, &format!("{asked}&seen=%22limits-0%22")).await?;
    assert!(status == StatusCode::PRECONDITION_FAILED && of().await?.limits.is_none(), "{text}");
    let log: Page<wire::http::v1::AuditEntry> = bench.read("/v1/audit").await?;
    let changes = log.items.iter().filter(|entry| entry.action == "job.limits").count();
    assert_eq!(changes, 2, "what changed nothing is not in the log");

    let (reader, operator) = (bench.key(Scope::Read, None).await?, bench.key(Scope::Operate, None).await?);
    assert!(page_of(&bench, &path, &operator).await?.contains("id=\"limits\""));
    assert!(!page_of(&bench, &path, &reader).await?.contains("id=\"limits\""));
    // it is there as long as the job goes on, also for who has the page open
    let watched = format!("/ui/events?job={}", job.id);
    let mut stream = bench.router_get(&watched).await?.into_body().into_data_stream();
    let mut shown = async || -> Result<String> {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await?.context("it goes on")??;
        Ok(String::from_utf8(chunk.to_vec())?)
    };
    assert!(shown().await?.contains("id=\"limits\""));
    bench.post(&format!("/v1{path}/cancel"), &json!({}), &[]).await?;
    let text = shown().await?;
    assert!(text.contains("state cancelled") && !text.contains("id=\"limits\""), "{text}");
    assert!(!page(&bench, &path).await?.contains("id=\"limits\""), "a job that has ended has no use for limits");
    let (status, _, text) = form(&bench, &ui, asked).await?;
    assert!(status == StatusCode::CONFLICT && text.contains("alert"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_before_its_tasks_are_written_and_they_are_written_all_the_same() -> Result<()> {
    let (bench, job) = with_job().await?;
    let path = format!("/v1/jobs/{}", job.id);
    let on = async |what: &str| -> Result<String> {
        let (status, answer) = bench.post(&format!("{path}/{what}"), &json!({}), &[]).await?;
        anyhow::ensure!(status == StatusCode::OK, "{what}: {status} {answer}");
        Ok(answer["state"].as_str().unwrap_or_default().to_owned())
    };
    let state = async || anyhow::Ok(bench.read::<Job>(&path).await?.state.name());
    assert_eq!((job.state.name(), on("pause").await?.as_str()), ("accepting", "paused"));
    assert_eq!((on("resume").await?.as_str(), on("pause").await?.as_str()), ("accepting", "paused"));
    let enqueue = coordinator::enqueue::Enqueue::new(bench.app.clone());
    while enqueue.run_once().await? > 0 {}
    let all: Job = bench.read(&path).await?;
    assert_eq!((state().await?, all.total()), ("paused", 16), "3 inversions, a training, 12 edits");
    assert_eq!(on("resume").await?, "active");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_paused_resumed_and_cancelled_alone() -> Result<()> {
    let (bench, job) = with_job().await?;
    written(&bench, &job).await?;
    let tasks: Page<Task> = bench.read(&format!("/v1/jobs/{}/tasks?state=ready", job.id)).await?;
    let of = |stage| tasks.items.iter().find(|task| task.stage == stage).map(|task| task.id).context("one is ready");
    let (id, training) = (of(Stage::Invert)?, of(Stage::Train)?);
    let reader = bench.key(Scope::Read, None).await?;
    assert!(page(&bench, &format!("/tasks/{id}")).await?.contains(&format!("/ui/tasks/{id}/pause")));
    assert!(!page_of(&bench, &format!("/tasks/{id}"), &reader).await?.contains("/ui/tasks/"));
    for (doing, words, state) in [
        ("resume", "Nothing to resume", "ready"),
        ("pause", "Paused.", "paused"),
        ("pause", "Nothing to pause", "paused"),
        ("resume", "Resumed.", "ready"),
        ("cancel", "Cancelled.", "cancelled"),
        ("cancel", "Nothing to cancel", "cancelled"),
    ] {
        let (status, _, text) = form(&bench, &format!("/ui/tasks/{id}/{doing}"), "").await?;
        let shown = format!("state {state}");
        assert!(status.is_success() && text.contains(words) && text.contains(&shown), "{doing}: {text}");
        assert_eq!(text.contains(&format!("/ui/tasks/{id}/cancel")), state != "cancelled", "{doing}: {text}");
    }
    // what edits wait for is cancelled with them, which is not done here
    assert!(!page(&bench, &format!("/tasks/{training}")).await?.contains("/cancel"));
    let (status, _, text) = form(&bench, &format!("/ui/tasks/{training}/cancel"), "").await?;
    assert!(status.is_client_error() && text.contains("trains a mapper"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_tasks_are_tried_again_and_the_page_shows_it_at_once() -> Result<()> {
    let (bench, job) = with_job().await?;
    written(&bench, &job).await?;
    fail_two(&bench, &job).await?;
    let dead = |text: &str| text.contains("half of it is missing");
    assert!(dead(&page(&bench, &format!("/jobs/{}", job.id)).await?));
    let ui = |what: &str| format!("/ui/jobs/{}/redrive{what}", job.id);
    let (_, _, text) = form(&bench, &ui("/dry-run"), "reason=truncated").await?;
    assert!(text.contains("10 dead tasks would be") && !text.contains("hx-swap-oob"), "{text}");
    let (_, _, text) = form(&bench, &ui(""), "reason=truncated").await?;
    assert!(text.contains("10 tasks will be tried again"), "{text}");
    let (_, live) = text.split_once("<div id=\"live\" hx-swap-oob=\"innerMorph\">").context(text.clone())?;
    assert!(live.contains("<b>0</b><span>dead</span>") && !dead(live), "{live}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_and_drains_name_what_there_is_not() -> Result<()> {
    let bench = Bench::new().await?;
    let review = |body: Value| {
        let request = Request::put("/v1/results/1-1/review").header(header::CONTENT_TYPE, "application/json");
        bench.send(request.body(Body::from(body.to_string())).expect("a request"))
    };
    let (status, _, body) = review(json!({ "decision": "flagged" })).await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "{}", String::from_utf8_lossy(&body));
    let (status, _, body) = review(json!({ "decision": "meh" })).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{}", String::from_utf8_lossy(&body));
    let path = "/v1/workers/boot_00000000000000000000000000000000/drain";
    let (status, answer) = bench.post(path, &json!({}), &[]).await?;
    assert_eq!((status, answer["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_are_small_and_what_is_no_image_harms_nobody() -> Result<()> {
    let bench = Bench::new().await?;
    let large = RgbImage::from_fn(2_000, 1_000, |x, y| image::Rgb([x as u8, y as u8, (x / 8) as u8]));
    let mut png = Cursor::new(Vec::new());
    large.write_to(&mut png, image::ImageFormat::Png)?;
    let digest = bench.app.artifacts.put(png.into_inner()).await?;
    let (status, kind, body) = bench.get(&format!("/ui/thumbs/{digest}")).await?;
    let small = image::load_from_memory(&body)?;
    assert_eq!((status, small.width(), small.height()), (StatusCode::OK, 256, 128), "{kind}");
    assert!(body.len() < 40_000, "{} bytes", body.len());
    let text = bench.app.artifacts.put(b"<script>alert(1)</script>".to_vec()).await?;
    let (status, kind, body) = bench.get(&format!("/ui/thumbs/{text}")).await?;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "image/svg+xml"));
    assert!(!String::from_utf8_lossy(&body).contains("script"));
    let (status, _, _) = bench.get(&format!("/ui/thumbs/{}", Digest::of("absent"))).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    Ok(())
}
