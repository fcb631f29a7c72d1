//! `GET /jobs/new`: the form of a job, empty or filled in from a result (`?like=TASK`); `POST /ui/jobs/estimate`: what it would come to;
//! `POST /ui/jobs`: submits it.
//!
//! Common choices have fields of their own. Whatever else a specification can say stands as JSON under "more", in the form that
//! `POST /v1/jobs` takes, so that a form filled in from a result loses nothing.

use super::filters;
use super::ui::{Form, Fragment, fragment};
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Actor, Project, Query, parse};
use crate::http::problem::{ApiError, internal};
use crate::http::{jobs_submit, record, results, sources};
use crate::submit::{self, Checked};
use askama::Template;
use axum::extract::State;
use axum::http::HeaderName;
use axum::response::{IntoResponse, Response};
use domain::edit::Method;
use domain::job::JobSpec;
use domain::{Frame, Precision, Stage};
use serde_json::{Map, Value, json};
use store::WorkerState;
use wire::http::v1::Source;

/// Images of the dataset that an estimate shows.
const SHOWN: i64 = 8;
/// Names that the form's lists have.
const NAMES: i64 = 500;

/// The form as it is sent, and as it is filled in.
#[derive(Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct JobForm {
    /// So that a form that is sent twice is one job.
    key: String,
    name: String,
    dataset: String,
    pack: String,
    /// One text a line.
    texts: String,
    neutral: String,
    method: String,
    train_on: String,
    strengths: String,
    seeds: String,
    precision: String,
    /// Only the first so many images.
    limit: String,
    /// Probability that a strength search stops at.
    search: String,
    min_preservation: String,
    priority: String,
    budget: String,
    /// JSON: the method's other parameters.
    more_method: String,
    /// JSON: each edit's other fields.
    more_edit: String,
    /// JSON: the job's other fields.
    more_job: String,
}

fn object(field: &str, text: &str) -> Result<Map<String, Value>, ApiError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let read: Result<Map<String, Value>, _> = serde_json::from_str(text);
    read.map_err(|error| ApiError::InvalidRequest(format!("{field} is no JSON object: {error}")))
}

fn number(field: &str, text: &str) -> Result<Option<Value>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.parse::<i64>().map(Value::from);
    let number = whole.or_else(|_| text.parse::<f64>().map(Value::from));
    number.map(Some).map_err(|_| ApiError::InvalidRequest(format!("{field} is '{text}'; give a number")))
}

fn numbers(field: &str, text: &str) -> Result<Vec<Value>, ApiError> {
    let parts = text.split([',', ' ', '\n']).filter(|part| !part.trim().is_empty());
    let read: Result<Vec<_>, _> = parts.map(|part| number(field, part)).collect();
    Ok(read?.into_iter().flatten().collect())
}

impl JobForm {
    /// The specification that the form says.
    pub fn spec(&self) -> Result<JobSpec, ApiError> {
        let mut method = object("the method's parameters", &self.more_method)?;
        method.insert("kind".to_owned(), json!(self.method));
        let trains = self.method.ends_with("-mapper");
        if trains && !self.train_on.is_empty() {
            method.insert("train_on".to_owned(), json!(self.train_on));
        }
        let mut edit = object("the edits' further fields", &self.more_edit)?;
        edit.insert("method".to_owned(), Value::Object(method));
        if !self.neutral.trim().is_empty() {
            edit.insert("neutral".to_owned(), json!(self.neutral.trim()));
        }
        for (outer, inner, value) in [
            ("only", "limit", number("the number of images", &self.limit)?),
            ("strength_search", "probability", number("the probability searched for", &self.search)?),
            ("accept", "min_preservation", number("the least preservation", &self.min_preservation)?),
        ] {
            if let (Some(value), Some(table)) = (value, edit.entry(outer).or_insert_with(|| json!({})).as_object_mut())
            {
                table.insert(inner.to_owned(), value);
            }
            if edit.get(outer).is_some_and(|table| table.as_object().is_some_and(Map::is_empty)) {
                edit.remove(outer);
            }
        }
        let texts = self.texts.lines().map(str::trim).filter(|text| !text.is_empty());
        let edits: Vec<Value> = texts
            .map(|text| {
                let mut one = edit.clone();
                one.insert("text".to_owned(), json!(text));
                Value::Object(one)
            })
            .collect();
        let mut job = object("the job's further fields", &self.more_job)?;
        for (field, value) in
            [("strengths", numbers("a strength", &self.strengths)?), ("seeds", numbers("a seed", &self.seeds)?)]
        {
            if !value.is_empty() {
                job.insert(field.to_owned(), Value::Array(value));
            }
        }
        if !self.precision.is_empty() {
            job.insert("precision".to_owned(), json!(self.precision));
        }
        if let Some(priority) = number("the priority", &self.priority)? {
            job.insert("priority".to_owned(), priority);
        }
        if let Some(budget) = number("the budget", &self.budget)? {
            let limits = job.entry("limits").or_insert_with(|| json!({}));
            limits.as_object_mut().map(|limits| limits.insert("budget_gpu_seconds".to_owned(), budget));
        }
        for (field, value) in [
            ("name", json!(self.name.trim())),
            ("dataset", json!(self.dataset)),
            ("pack", json!(self.pack)),
            ("edits", json!(edits)),
        ] {
            job.insert(field.to_owned(), value);
        }
        serde_json::from_value(Value::Object(job)).map_err(|error| ApiError::InvalidRequest(error.to_string()))
    }

    /// The form of a specification of which all edits are as the first.
    fn of(spec: &JobSpec) -> Result<Self, ApiError> {
        let written = |error| internal("writing a specification", &error);
        let mut job = serde_json::to_value(spec).map_err(written)?;
        let mut edit = job["edits"][0].take();
        let mut method = edit["method"].take();
        let take = |value: &mut Value, outer: &str, inner: &str| {
            let found = value.get_mut(outer).and_then(Value::as_object_mut).and_then(|table| table.remove(inner));
            found.filter(|value| !value.is_null()).map(|value| value.to_string()).unwrap_or_default()
        };
        let limit = take(&mut edit, "only", "limit");
        let search = take(&mut edit, "strength_search", "probability");
        let min_preservation = take(&mut edit, "accept", "min_preservation");
        let budget = take(&mut job, "limits", "budget_gpu_seconds");
        let list = |value: &Value| {
            let items = value.as_array().into_iter().flatten();
            items.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let rest = |value: &mut Value, without: &[&str]| -> Result<String, ApiError> {
            let Some(table) = value.as_object_mut() else { return Ok(String::new()) };
            table.retain(|name, value| !without.contains(&name.as_str()) && !value.is_null() && *value != json!({}));
            if table.is_empty() { Ok(String::new()) } else { serde_json::to_string_pretty(table).map_err(written) }
        };
        Ok(Self {
            name: spec.name.clone(),
            dataset: spec.dataset.clone(),
            pack: spec.pack.clone(),
            texts: spec.edits.iter().map(|edit| edit.text.as_str()).collect::<Vec<_>>().join("\n"),
            neutral: spec.edits.first().map(|edit| edit.neutral.clone()).unwrap_or_default(),
            method: spec.edits.first().map_or("", |edit| edit.method.name()).to_owned(),
            train_on: method["train_on"].as_str().unwrap_or_default().to_owned(),
            strengths: list(&job["strengths"]),
            seeds: list(&job["seeds"]),
            precision: spec.precision.to_string(),
            priority: if spec.priority == 0 { String::new() } else { spec.priority.to_string() },
            limit,
            search,
            min_preservation,
            budget,
            more_method: rest(&mut method, &["kind", "train_on"])?,
            more_edit: rest(&mut edit, &["text", "neutral", "name", "method"])?,
            more_job: rest(
                &mut job,
                &["name", "dataset", "pack", "edits", "strengths", "seeds", "precision", "priority"],
            )?,
            key: String::new(),
        })
    }
}

/// What the form begins with.
#[derive(serde::Deserialize)]
pub struct Begin {
    /// A result to do again.
    like: Option<String>,
    /// A dataset to begin with.
    dataset: Option<String>,
}

#[derive(Template)]
#[template(path = "new_job.html")]
struct NewJobPage {
    tab: &'static str,
    form: JobForm,
    like: String,
    datasets: Vec<String>,
    packs: Vec<String>,
    methods: [&'static str; 5],
    precisions: [&'static str; 3],
}

/// The form of a result: its edit with the mapper that was used, strength, seed, inversion, frame and precision.
async fn like(app: &App, project: domain::ProjectId, task: &str) -> Result<JobForm, ApiError> {
    let result = results::find(app, project, parse(task)?).await?;
    let job = app.store.job_by_seq(result.task.job).await?;
    let mut spec = job.ok_or_else(|| ApiError::NotFound(format!("there is no job of task {task}")))?.spec;
    let recipe = record::find(app, result.record).await?.recipe;
    spec.edits = vec![match recipe.mapper {
        Some(mapper) => {
            domain::edit::EditSpec { method: recipe.edit.method.clone().with_mapper(mapper), ..recipe.edit }
        }
        None => recipe.edit,
    }];
    (spec.strengths, spec.seeds) = (vec![recipe.strength], vec![recipe.seed]);
    spec.inversion = recipe.inversion;
    spec.precision = recipe.precision.parse().map_err(|error| internal("reading a recipe's precision", &error))?;
    spec.frame = if recipe.source.face.is_some() { Frame::Ffhq } else { Frame::CentreSquare };
    let mut form = JobForm::of(&spec)?;
    form.name = format!("{} again", form.name);
    Ok(form)
}

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Query(begin): Query<Begin>) -> Page {
    let datasets: Vec<String> =
        app.store.datasets(project, None, NAMES).await?.into_iter().map(|dataset| dataset.name).collect();
    let packs: Vec<String> = app.store.packs().await?.into_iter().map(|pack| pack.name).collect();
    let mut form = match &begin.like {
        Some(task) => like(&app, project, task).await?,
        None => JobForm {
            dataset: begin.dataset.unwrap_or_default(),
            neutral: "a face".to_owned(),
            method: Method::default().name().to_owned(),
            strengths: "1".to_owned(),
            seeds: "0".to_owned(),
            ..JobForm::default()
        },
    };
    form.key = format!("form-{}", uuid::Uuid::new_v4());
    let like = begin.like.unwrap_or_default();
    render(&NewJobPage {
        tab: "new",
        form,
        like,
        datasets,
        packs,
        methods: Method::NAMES,
        precisions: Precision::NAMES,
    })
}

#[derive(Template)]
#[template(path = "estimate.html")]
struct Estimate {
    sources: i64,
    images: i64,
    inversions: i64,
    trainings: i64,
    /// Of all that is known, for people: `3.2 GPU-hours`.
    cost: Option<String>,
    /// What is not known yet.
    unknown: Vec<&'static str>,
    /// With the workers that there are.
    time: Option<String>,
    live: usize,
    selects: bool,
    first: Vec<Source>,
}

#[derive(Template)]
#[template(path = "unfinished.html")]
struct Unfinished {
    text: String,
}

/// What the form would come to. A form that is still being filled in is no error: it is told what it lacks.
pub async fn estimate(State(app): State<App>, Project(project): Project, Form(form): Form<JobForm>) -> Fragment {
    let checked = match form.spec() {
        Ok(spec) => submit::check(&app, project, &spec).await.map(|checked| (spec, checked)),
        Err(error) => Err(error),
    };
    let (spec, Checked { dataset, pack, .. }) = match checked {
        Ok(found) => found,
        Err(error) if error.problem().status < 500 => return fragment(&Unfinished { text: error.to_string() }),
        Err(error) => return Err(error.into()),
    };
    let estimates = app.store.estimates().await?;
    let per_edit = (spec.strengths.len() * spec.seeds.len()) as i64;
    let (mut ms, mut unknown, mut images, mut trainings) = (0.0, Vec::new(), 0, 0);
    let mut add =
        |stage: Stage, cost: &domain::Cost, tasks: i64| match estimates.task_ms(None, pack.digest, stage, cost) {
            Some(one) => ms += one * tasks as f64,
            None if tasks > 0 && !unknown.contains(&stage.name()) => unknown.push(stage.name()),
            None => {}
        };
    let mut inverted = 0;
    for edit in &spec.edits {
        let admitted = edit.only.limit.map_or(dataset.sources, |limit| dataset.sources.min(i64::from(limit)));
        inverted = inverted.max(admitted);
        images += admitted * per_edit;
        add(Stage::Edit, &edit.edit_cost(spec.precision), admitted * per_edit);
        if let Some(cost) = edit.train_cost(spec.precision).filter(|_| edit.method.given_mapper().is_none()) {
            trainings += 1;
            add(Stage::Train, &cost, 1);
        }
    }
    add(Stage::Invert, &spec.inversion.cost(spec.precision), inverted);
    let live = app.store.workers().await?.iter().filter(|w| w.state == WorkerState::Live).count();
    let first = app.store.sources(dataset.id, None, SHOWN).await?;
    let known = ms > 0.0;
    fragment(&Estimate {
        sources: dataset.sources,
        images,
        inversions: inverted,
        trainings,
        cost: known.then(|| {
            let hours = ms / 3_600_000.0;
            if hours < 0.1 { format!("{:.1} GPU-seconds", ms / 1000.0) } else { format!("{hours:.2} GPU-hours") }
        }),
        unknown,
        time: (known && live > 0).then(|| filters::span(ms / 1000.0 / live as f64)),
        live,
        selects: spec.edits.iter().any(|edit| !edit.only.is_all()),
        first: first.into_iter().map(sources::view).collect(),
    })
}

/// Submits the job, and leads to its page.
pub async fn submit(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Form(form): Form<JobForm>,
) -> Result<Response, super::ui::Denied> {
    let key = if form.key.is_empty() { format!("form-{}", uuid::Uuid::new_v4()) } else { form.key.clone() };
    let (_, job) = jobs_submit::submit(&app, project, &actor, key, form.spec()?).await?;
    Ok([(HeaderName::from_static("hx-redirect"), format!("/jobs/{}", job.id))].into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_survives_its_form() {
        let spec: JobSpec = serde_json::from_value(json!({
            "name": "n", "dataset": "d", "pack": "p", "strengths": [1.0, 2.5], "seeds": [3], "priority": 4,
            "limits": { "budget_gpu_seconds": 60.0, "max_concurrent": 2 },
            "edits": [{ "text": "a face with elf ears", "neutral": "a person",
                "method": { "kind": "cf-mapper", "train_on": "t", "steps": 7 },
                "strength_search": { "probability": 0.8, "scan": 4 },
                "accept": { "min_preservation": 0.9, "max_change": 3.0 }, "only": { "limit": 5 } }],
        }))
        .unwrap();
        let form = JobForm::of(&spec).unwrap();
        assert_eq!((form.strengths.as_str(), form.limit.as_str(), form.search.as_str()), ("1.0, 2.5", "5", "0.8"));
        assert_eq!(form.spec().unwrap(), spec);
    }

    #[test]
    fn a_plain_form_is_a_job_and_faults_are_named() {
        let plain = JobForm {
            name: "n".into(),
            dataset: "d".into(),
            pack: "p".into(),
            texts: "a face with green hair\n\n a face with blue skin ".into(),
            method: "clip-nce".into(),
            strengths: "1, 1.5".into(),
            ..JobForm::default()
        };
        let spec = plain.spec().unwrap();
        assert_eq!(
            (spec.edits.len(), spec.strengths.len(), spec.edits[1].text.as_str()),
            (2, 2, "a face with blue skin")
        );
        let fault = |form: JobForm| form.spec().unwrap_err().to_string();
        assert!(fault(JobForm { strengths: "x".into(), ..plain.clone() }).contains("'x'"));
        assert!(fault(JobForm { more_job: "[".into(), ..plain.clone() }).contains("JSON"));
        assert!(fault(JobForm { more_method: r#"{"stepz":1}"#.into(), ..plain }).contains("stepz"));
    }
}
