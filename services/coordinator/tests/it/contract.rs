//! Every answer that a test of this crate gets is held against the OpenAPI document: its status, its media type and its shape; and
//! every body that was accepted against the shape that is asked for. So a test of whatever else is one of the document too.

use anyhow::{Context as _, Result, bail, ensure};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = coordinator::http::openapi::text().expect("the document has a JSON form");
    serde_json::from_str(&text).expect("it is JSON")
});

/// A request and what came of it.
pub struct Exchange<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query.
    pub path: &'a str,
    /// Its body, where it is JSON.
    pub sent: Option<Value>,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's media type.
    pub media: &'a str,
    /// The answer's body.
    pub body: &'a [u8],
}

/// The path as the document has it.
fn template(path: &str) -> Option<&'static str> {
    let fits = |template: &&String| {
        let (want, have) = (template.split('/').collect::<Vec<_>>(), path.split('/').collect::<Vec<_>>());
        want.len() == have.len() && want.iter().zip(&have).all(|(want, have)| want.starts_with('{') || want == have)
    };
    // literal parts win over parameters
    let found = DOCUMENT["paths"].as_object()?.keys().filter(fits);
    found.min_by_key(|template| template.matches('{').count()).map(String::as_str)
}

/// Holds `value` against what the document has at `pointer`.
fn holds(pointer: &str, value: &Value) -> Result<()> {
    let mut schema = DOCUMENT.pointer(pointer).with_context(|| format!("the document has no {pointer}"))?.clone();
    // references lead there
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema)?;
    let faults: Vec<String> =
        validator.iter_errors(value).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    ensure!(faults.is_empty(), "{pointer}: {}", faults.join("; "));
    Ok(())
}

/// Every line is JSON.
fn lines(body: &[u8]) -> Result<()> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .try_for_each(|line| serde_json::from_slice::<Value>(line).map(drop).map_err(Into::into))
}

/// Fails where the document says otherwise. What is no part of it (pages) is left alone.
pub fn check(exchange: &Exchange<'_>) -> Result<()> {
    let Some(template) = template(exchange.path) else { return Ok(()) };
    let method = exchange.method.as_str().to_lowercase();
    let operation = &DOCUMENT["paths"][template][&method];
    if operation.is_null() {
        ensure!(
            exchange.status == StatusCode::METHOD_NOT_ALLOWED || exchange.status.is_client_error(),
            "{method} {template}"
        );
        return Ok(());
    }
    let at = format!("/paths/{}/{method}", template.replace('~', "~0").replace('/', "~1"));
    if let Some(sent) = &exchange.sent
        && exchange.status.is_success()
        && !operation["requestBody"].is_null()
    {
        holds(&format!("{at}/requestBody/content/application~1json/schema"), sent).context("a body was accepted")?;
    }
    let status = exchange.status.as_u16().to_string();
    let answer = &operation["responses"][&status];
    ensure!(!answer.is_null(), "{method} {template} answers {status}, which the document has not");
    let Some(content) = answer["content"].as_object() else {
        ensure!(exchange.body.is_empty(), "{method} {template} answers {status} with a body");
        return Ok(());
    };
    let media = exchange.media.split(';').next().unwrap_or_default();
    let Some(declared) = content.keys().find(|declared| *declared == media || *declared == "*/*") else {
        bail!("{method} {template} answers {status} as {media}; the document has {:?}", content.keys());
    };
    if media == "application/x-ndjson" {
        return lines(exchange.body);
    }
    if media.ends_with("json") && declared == media {
        let value: Value = serde_json::from_slice(exchange.body)?;
        let pointer = format!("{at}/responses/{status}/content/{}/schema", media.replace('/', "~1"));
        holds(&pointer, &value).with_context(|| format!("{method} {}: {status} {value}", exchange.path))?;
    }
    Ok(())
}

mod tests {
    use super::*;
    use domain::edit::Method as Editing;

    fn component(name: &str) -> String {
        format!("/components/schemas/{name}")
    }

    #[test]
    fn every_method_and_inversion_is_valid_as_it_is_written_and_as_it_may_be_asked_for() {
        let job = component("JobSpec");
        let with = |edit: &Value, inversion: &Value| json!({"name": "n", "dataset": "d", "pack": "p", "edits": [edit], "inversion": inversion});
        let encoder = json!({"kind": "encoder"});
        for kind in Editing::NAMES {
            for asked in [json!({"kind": kind}), json!({"kind": kind, "preset": "repro-2022", "numerics": "corrected"})]
            {
                let given = with(&json!({"text": "a face with elf ears", "method": asked}), &encoder);
                holds(&job, &given).unwrap();
                let spec: domain::job::JobSpec = serde_json::from_value(given).unwrap();
                holds(&job, &serde_json::to_value(&spec).unwrap()).unwrap();
            }
            let misspelt = with(&json!({"text": "t", "method": {"kind": kind, "stepz": 3}}), &encoder);
            assert!(holds(&job, &misspelt).is_err(), "{kind}");
            assert!(serde_json::from_value::<domain::job::JobSpec>(misspelt).is_err(), "{kind}");
        }
        for inversion in
            [encoder, json!({"kind": "hybrid"}), json!({"kind": "optimise", "space": "w"}), json!({"kind": "pivotal"})]
        {
            let given = with(&json!({"text": "t"}), &inversion);
            holds(&job, &given).unwrap();
            let spec: domain::job::JobSpec = serde_json::from_value(given).unwrap();
            holds(&job, &serde_json::to_value(&spec).unwrap()).unwrap();
        }
    }

    #[test]
    fn what_the_document_refuses_is_refused() {
        let job = component("JobSpec");
        let base = json!({"name": "n", "dataset": "d", "pack": "p", "edits": [{"text": "a face with elf ears"}]});
        holds(&job, &base).unwrap();
        for (pointer, value) in [
            ("/name", json!(" ")),
            ("/strengths", json!([11.0])),
            ("/strengths", json!([])),
            ("/seeds", json!([-1])),
            ("/edits", json!([])),
            ("/edits/0/text", json!("x".repeat(301))),
            ("/edits/0/method", json!({"kind": "clip-nce", "steps": 0})),
            ("/edits/0/method", json!({"kind": "clip-nce", "region": {"box": [0, 0, 1]}})),
            ("/edits/0/method", json!({"kind": "clip-nce", "region": {"mask": "hair", "feather": 65}})),
            ("/edits/0/method", json!({"kind": "clip-nce", "numerics": "repro-2023"})),
            ("/edits/0/method", json!({"kind": "cf-mapper", "mapper": "ABC"})),
            ("/output", json!({"quality": 0})),
            ("/inversion", json!({"kind": "hybrid", "steps": 2001})),
            ("/limits", json!({"max_concurrent": 0})),
        ] {
            let mut given = base.clone();
            match given.pointer_mut(pointer) {
                Some(field) => *field = value,
                None => {
                    let (parent, field) = pointer.rsplit_once('/').unwrap();
                    given.pointer_mut(parent).unwrap()[field] = value;
                }
            }
            assert!(holds(&job, &given).is_err(), "the document takes {given}");
            let read = serde_json::from_value::<domain::job::JobSpec>(given.clone());
            assert!(
                read.map_err(drop).and_then(|spec| spec.validate().map_err(drop)).is_err(),
                "the coordinator takes {given}"
            );
        }
    }
}
