//! Pages offer what their reader may do, and nothing that would be refused.

use crate::dashboard::{fail_two, with_job, written};
use crate::life_of_a_job::{Serving, submit, until};
use crate::support::{Bench, job};
use crate::worker::{Manners, Worker};
use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::{Method, Request, header};
use coordinator::http::permissions::{Needs, RULES, Rule};
use domain::Scope;
use futures_util::StreamExt as _;
use std::collections::BTreeSet;
use std::time::Duration;
use wire::http::v1::{EditResult, Job, Page, Task};

/// The rule of a change of a page.
fn rule(path: &str) -> Result<&'static Rule> {
    let fits = |rule: &&Rule| {
        let (known, given) = (rule.path.split('/'), path.split('/'));
        rule.method == Method::POST
            && known.clone().count() == given.clone().count()
            && known.zip(given).all(|(known, given)| known == given || known.starts_with('{'))
    };
    RULES.iter().find(fits).with_context(|| format!("no route takes {path}"))
}

/// What a page lets its reader change, as routes.
fn offered(text: &str) -> Result<BTreeSet<&'static str>> {
    let posts = text.split("hx-post=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    posts.map(|path| Ok(rule(path)?.path)).collect()
}

/// A page, or the first that a stream tells.
async fn seen(bench: &Bench, path: &str, key: &str) -> Result<String> {
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {key}"));
    let answer = bench.answer(request.body(Body::empty())?).await?;
    anyhow::ensure!(answer.status().is_success(), "{path}: {}", answer.status());
    let mut body = answer.into_body().into_data_stream();
    let mut text = Vec::new();
    while let Some(part) = tokio::time::timeout(Duration::from_secs(10), body.next()).await? {
        text.extend(part?);
        if path.starts_with("/ui/events") {
            break;
        }
    }
    Ok(String::from_utf8(text)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_the_buttons_that_its_reader_may_press() -> Result<()> {
    // a job with results, one that goes on and has dead tasks, and a worker
    let (bench, ended) = with_job().await?;
    let serving = Serving::start(&bench.beside().await?).await?;
    let worker = Worker::start(&bench.app, Manners::Good);
    until(&bench, &ended.id.to_string(), "the job has ended", |job| job.state.is_terminal()).await;
    serving.end().await?;
    drop(worker);
    bench.dataset("others", 3).await?;
    let mut spec = job("goes on");
    spec["dataset"] = "others".into();
    let going: Job = bench.read(&format!("/v1/jobs/{}", submit(&bench, &spec).await?)).await?;
    written(&bench, &going).await?;
    fail_two(&bench, &going).await?;
    let going = going.id;
    let results: Page<EditResult> = bench.read(&format!("/v1/jobs/{}/results", ended.id)).await?;
    let tasks: Page<Task> = bench.read(&format!("/v1/jobs/{going}/tasks?state=ready")).await?;
    let (result, task) = (&results.items.first().context("a result")?.task, tasks.items.first().context("a task")?.id);

    let pages = [
        "/".to_owned(),
        "/jobs/new".to_owned(),
        format!("/jobs/{}", ended.id),
        format!("/jobs/{going}"),
        format!("/jobs/{}/gallery", ended.id),
        format!("/results/{result}"),
        format!("/tasks/{task}"),
        "/workers".to_owned(),
        "/datasets/faces".to_owned(),
        format!("/ui/events?job={going}"),
        "/ui/events?list=workers".to_owned(),
    ];
    let reads = vec!["/ui/jobs/estimate"];
    let submits = vec!["/ui/jobs", "/ui/jobs/preview"];
    let operates = vec![
        "/ui/jobs/{id}/cancel",
        "/ui/jobs/{id}/limits",
        "/ui/jobs/{id}/pause",
        "/ui/jobs/{id}/redrive/dry-run",
        "/ui/results/{task}/review",
        "/ui/tasks/{task}/cancel",
        "/ui/tasks/{task}/pause",
    ];
    let drains = vec!["/ui/workers/{boot}/drain"];
    for (scope, project, expected) in [
        (Scope::Read, None, vec![&reads]),
        (Scope::Submit, None, vec![&reads, &submits]),
        (Scope::Operate, Some("default"), vec![&reads, &submits, &operates]),
        (Scope::Operate, None, vec![&reads, &submits, &operates, &drains]),
        (Scope::Admin, None, vec![&reads, &submits, &operates, &drains]),
    ] {
        let key = bench.key(scope, project).await?;
        let mut all = BTreeSet::new();
        for path in &pages {
            let text = seen(&bench, path, &key).await?;
            assert_eq!(
                text.contains("href=\"/jobs/new"),
                scope >= Scope::Submit && !path.starts_with("/ui/"),
                "{path}"
            );
            all.extend(offered(&text)?);
        }
        let expected: BTreeSet<&str> = expected.into_iter().flatten().copied().collect();
        assert_eq!(all, expected, "{scope} for {project:?}");
        for path in all {
            let needs = rule(path)?.needs;
            let everywhere = matches!(needs, Needs::Everywhere(_));
            assert!(needs.scope().is_none_or(|least| scope >= least) && !(everywhere && project.is_some()), "{path}");
        }
    }
    Ok(())
}
