//! `POST /ui/jobs/{id}/limits`: what a job may take at most, and its priority, as a form. It comes and goes with the part of the page
//! that moves, as its job ends and is revived; while it is there the stream leaves it as it is (`hx-morph-skip`), so that nothing is
//! changed under who is typing. Only fields that are not as they were shown are set, and none if somebody else has set some since.

use super::job;
use super::ui::{Form, Fragment, moved, noticed};
use crate::app::App;
use crate::http::etag::IfMatch;
use crate::http::extract::{Actor, Project, parse};
use crate::http::problem::ApiError;
use crate::http::{job_get, job_limits};
use askama::Template;
use axum::extract::{Path, State};
use chrono::{DateTime, NaiveDateTime, Utc};
use domain::JobId;
use std::fmt::Display;
use std::str::FromStr;
use store::JobRow;
use wire::http::v1::SetLimits;

/// As a browser's field for a date and a time has it.
const MOMENT: &str = "%Y-%m-%dT%H:%M";

/// The form, with the limits as they are.
#[derive(Template)]
#[template(path = "limits.html")]
pub struct LimitsForm {
    id: JobId,
    /// What is shown, as the interface for programs tags it.
    seen: String,
    fields: Fields,
}

/// What stands in the fields; nothing is no limit.
#[derive(serde::Deserialize)]
pub struct Fields {
    #[serde(default)]
    max_concurrent: String,
    #[serde(default)]
    budget_gpu_seconds: String,
    #[serde(default)]
    tasks_per_minute: String,
    #[serde(default)]
    deadline: String,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    seen: String,
}

fn text<T: Display>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

impl LimitsForm {
    /// The job's.
    pub fn of(job: &JobRow) -> Self {
        let limits = &job.limits;
        let fields = Fields {
            max_concurrent: text(limits.max_concurrent),
            budget_gpu_seconds: text(limits.budget_gpu_seconds),
            tasks_per_minute: text(limits.tasks_per_minute),
            deadline: text(limits.deadline.map(|at| at.format(MOMENT))),
            priority: job.priority.to_string(),
            seen: String::new(),
        };
        Self { id: job.id, seen: job_limits::tag(job), fields }
    }

    /// What `sent` asks for beyond what was shown.
    fn change(&self, sent: &Fields) -> Result<SetLimits, ApiError> {
        let shown = &self.fields;
        let deadline = sent.deadline.trim();
        let moved = deadline != shown.deadline;
        Ok(SetLimits {
            max_concurrent: changed("batches at once", &sent.max_concurrent, &shown.max_concurrent)?,
            budget_gpu_seconds: changed("the budget", &sent.budget_gpu_seconds, &shown.budget_gpu_seconds)?,
            tasks_per_minute: changed("tasks per minute", &sent.tasks_per_minute, &shown.tasks_per_minute)?,
            deadline: Some(deadline).filter(|text| moved && !text.is_empty()).map(moment).transpose()?,
            no_deadline: moved && deadline.is_empty(),
            priority: changed("the priority", &sent.priority, &shown.priority)?,
        })
    }
}

/// The number that a field asks for, if it is not as it was shown. An emptied one asks for 0, which takes a limit away.
fn changed<T: FromStr + Default>(field: &str, sent: &str, shown: &str) -> Result<Option<T>, ApiError> {
    match sent.trim() {
        text if text == shown => Ok(None),
        "" => Ok(Some(T::default())),
        text => {
            let wrong = |_| ApiError::InvalidRequest(format!("{field} is '{text}'; give a number, or nothing"));
            text.parse().map(Some).map_err(wrong)
        }
    }
}

/// A moment, in UTC. Browsers leave the seconds out when they are zero.
fn moment(text: &str) -> Result<DateTime<Utc>, ApiError> {
    let read = [MOMENT, "%Y-%m-%dT%H:%M:%S"].iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let wrong =
        || ApiError::InvalidRequest(format!("the deadline is '{text}'; give a date and a time as 2026-11-28T18:00"));
    read.map(|at| at.and_utc()).ok_or_else(wrong)
}

/// The form after it, and the job.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Form(sent): Form<Fields>,
) -> Fragment {
    let row = job_get::find(&app, project, parse(&id)?).await?;
    let shown = LimitsForm::of(&row);
    let condition = IfMatch::of(&sent.seen);
    condition.hold(&shown.seen)?;
    let set = shown.change(&sent)?;
    if set == SetLimits::default() {
        return noticed(&shown, "Nothing to change", "The limits are as the form has them.");
    }
    let row = job_limits::set(&app, &actor, &row, &condition, set).await?;
    let form = noticed(
        &LimitsForm::of(&row),
        "Limits set",
        "They hold for what is handed out from now on; what runs is finished.",
    )?;
    moved(form, &job::now(&app, row, super::may()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(texts: [&str; 5]) -> Fields {
        let [max_concurrent, budget_gpu_seconds, tasks_per_minute, deadline, priority] = texts.map(str::to_owned);
        Fields { max_concurrent, budget_gpu_seconds, tasks_per_minute, deadline, priority, seen: String::new() }
    }

    #[test]
    fn only_what_is_not_as_it_was_shown_is_set() {
        let id = JobId::from_uuid(uuid::Uuid::nil());
        let form = LimitsForm { id, seen: String::new(), fields: fields(["2", "", "30", "2026-11-28T18:00", "0"]) };
        let same = form.change(&fields([" 2 ", "", "30", "2026-11-28T18:00", "0"])).unwrap();
        assert_eq!(same, SetLimits::default());
        let set = form.change(&fields(["", "3600.5", "30", "", "-3"])).unwrap();
        let wanted = SetLimits {
            max_concurrent: Some(0),
            budget_gpu_seconds: Some(3600.5),
            no_deadline: true,
            priority: Some(-3),
            ..SetLimits::default()
        };
        assert_eq!(set, wanted);
        let later = form.change(&fields(["2", "", "30", "2026-11-29T06:30:15", "0"])).unwrap().deadline.unwrap();
        assert_eq!(later.to_rfc3339(), "2026-11-29T06:30:15+00:00");
        for wrong in [["many", "", "30", "", "0"], ["2", "", "30", "tomorrow", "0"], ["2", "", "30", "", "1.5"]] {
            assert!(form.change(&fields(wrong)).is_err(), "{wrong:?}");
        }
    }
}
