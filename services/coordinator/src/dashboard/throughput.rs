//! Images per minute by stage, for the chart of a job's page.

use crate::app::App;
use crate::http::problem::ApiError;
use domain::Stage;
use serde_json::json;
use std::time::Duration;
use store::JobRow;

/// What is shown at most, up to now or the job's end: a point a minute still has pixels of its own.
const SHOWN: Duration = Duration::from_secs(6 * 3600);

/// The curves.
pub struct Throughput {
    /// Stages that have one, in the order of their values.
    pub stages: Vec<&'static str>,
    /// The first minute, in seconds of Unix time.
    pub from: i64,
    /// Images of each minute by stage, as JSON.
    pub values: String,
    /// The chart for those who do not see it.
    pub label: String,
}

/// The job's.
pub async fn of(app: &App, job: &JobRow) -> Result<Throughput, ApiError> {
    let minutes = app.store.throughput(job.seq, job.state.is_terminal(), SHOWN).await?;
    Ok(curves(&minutes))
}

fn curves(minutes: &[store::Minute]) -> Throughput {
    let (mut stages, mut values, mut told) = (Vec::new(), serde_json::Map::new(), Vec::new());
    for stage in [Stage::Invert, Stage::Edit] {
        let of = |minute: &store::Minute| if stage == Stage::Invert { minute.inverted } else { minute.edited };
        let images: Vec<i64> = minutes.iter().map(of).collect();
        let most = images.iter().max().copied().unwrap_or(0);
        if most > 0 {
            stages.push(stage.name());
            told.push(format!("{} at most {most}", stage.name()));
            values.insert(stage.name().to_owned(), json!(images));
        }
    }
    let plural = if minutes.len() == 1 { "" } else { "s" };
    Throughput {
        stages,
        from: minutes.first().map_or(0, |minute| minute.minute.timestamp()),
        values: serde_json::Value::Object(values).to_string(),
        label: format!("Images per minute over {} minute{plural}: {}", minutes.len(), told.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeZone as _, Utc};

    #[test]
    fn a_stage_without_images_has_no_curve() {
        let minute = |at, edited| store::Minute { minute: Utc.timestamp_opt(at, 0).unwrap(), inverted: 0, edited };
        let told = curves(&[minute(600, 4), minute(660, 0), minute(720, 7)]);
        assert_eq!((told.stages, told.from, told.values.as_str()), (vec!["edit"], 600, r#"{"edit":[4,0,7]}"#));
        assert_eq!(told.label, "Images per minute over 3 minutes: edit at most 7");
        assert!(curves(&[minute(600, 0)]).stages.is_empty() && curves(&[]).stages.is_empty());
    }
}
