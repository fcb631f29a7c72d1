//! `GET /jobs/{id}/gallery`: source, reconstruction and edit of each result, by edit, verdict, reason and review, in the order of their
//! numbers or of a score; or one row a source. All choices are in the address, and all go together.

use super::filters::{self, address};
use super::review::ReviewBox;
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Project, Query, parse, task_cursor};
use crate::http::problem::ApiError;
use crate::http::{job_get, results};
use askama::Template;
use axum::extract::{Path, State};
use domain::review::Decision;
use std::collections::BTreeSet;
use store::{ByScore, JobRow, Score, VerdictKind};
use wire::http::v1::{EditResult, Job};

/// Results of a page.
const SHOWN: usize = 24;
/// Sources of a page, where each has a row.
const SOURCES: usize = 12;
/// Results read for those at most.
const MOST_OF_SOURCES: usize = 600;

/// What a score is called.
const fn title(score: Score) -> &'static str {
    match score {
        Score::TargetProbability => "target probability",
        Score::Preservation => "preservation",
        Score::Identity => "identity",
        Score::MeanChange => "mean change",
        Score::OutsideChange => "outside change",
        Score::SecondClipGain => "second CLIP gain",
        Score::Strength => "strength found",
    }
}

/// What is shown.
#[derive(Debug, Default, Clone, serde::Deserialize)]
pub struct Choices {
    /// Slug of the edit; all when absent.
    edit: Option<String>,
    /// `accepted`, `rejected` or `unjudged`; all when absent.
    verdict: Option<String>,
    /// Why it was rejected; all when absent.
    reason: Option<String>,
    /// A reviewer's decision.
    review: Option<String>,
    /// A score, rising; with a hyphen before it, falling.
    sort: Option<String>,
    /// `sources`: one row a source.
    view: Option<String>,
    /// With `view=sources`, what the columns are: `edit` or `strength`.
    columns: Option<String>,
    /// Cursor.
    after: Option<String>,
}

impl Choices {
    fn tidy(mut self) -> Self {
        for field in [
            &mut self.edit,
            &mut self.verdict,
            &mut self.reason,
            &mut self.review,
            &mut self.sort,
            &mut self.view,
            &mut self.columns,
        ] {
            field.take_if(|text| text.is_empty());
        }
        self
    }

    fn href(&self, job: &JobRow) -> String {
        let given = [
            ("view", self.view.as_deref()),
            ("columns", self.columns.as_deref()),
            ("edit", self.edit.as_deref()),
            ("verdict", self.verdict.as_deref()),
            ("reason", self.reason.as_deref()),
            ("review", self.review.as_deref()),
            ("sort", self.sort.as_deref()),
            ("after", self.after.as_deref()),
        ];
        address(&format!("/jobs/{}/gallery", job.id), &given)
    }

    /// The same with other choices, from the first page on.
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = Self { after: None, ..self.clone() };
        change(&mut other);
        other
    }

    /// The order that is asked for, if it is one by a score.
    fn order(&self) -> Result<Option<ByScore>, ApiError> {
        let read = |text: &str| {
            let (falling, name) = text.strip_prefix('-').map_or((false, text), |name| (true, name));
            Ok(ByScore { score: parse(name)?, falling })
        };
        self.sort.as_deref().map(read).transpose()
    }

    fn by_source(&self) -> bool {
        self.view.as_deref() == Some("sources")
    }
}

struct Choice {
    name: String,
    href: String,
    chosen: bool,
}

struct Group {
    name: &'static str,
    choices: Vec<Choice>,
}

struct Order {
    value: String,
    name: String,
    chosen: bool,
}

/// A source with its results, one cell a column.
struct SourceRow {
    ordinal: i64,
    source: domain::Digest,
    source_uri: String,
    cells: Vec<Vec<EditResult>>,
}

#[derive(Template)]
#[template(path = "gallery.html")]
struct GalleryPage {
    tab: &'static str,
    groups: Vec<Group>,
    orders: Vec<Order>,
    choices: Choices,
    order: Option<ByScore>,
    results: Vec<EditResult>,
    columns: Vec<String>,
    sources: Vec<SourceRow>,
    next: Option<String>,
    first: Option<String>,
    job: JobRow,
}

impl GalleryPage {
    /// The score that results are sorted by.
    fn score(&self, result: &EditResult) -> Option<String> {
        let score = self.order?.score;
        result.metrics.get(score.name()).map(|value| format!("{} {value:.4}", title(score)))
    }

    #[expect(clippy::unused_self, reason = "templates call methods of the page")]
    fn review(&self, result: &EditResult) -> String {
        ReviewBox { r: result, wide: false }.render().unwrap_or_default()
    }
}

/// What can be chosen.
fn groups(row: &JobRow, job: &Job, now: &Choices) -> Vec<Group> {
    let choice = |name: &str, to: Choices, chosen: bool| Choice { name: name.to_owned(), href: to.href(row), chosen };
    let mut groups = Vec::new();
    let by_source = now.by_source();
    groups.push(Group {
        name: "View",
        choices: vec![
            choice("results", now.with(|c| (c.view, c.columns) = (None, None)), !by_source),
            choice(
                "by source",
                now.with(|c| (c.view, c.sort, c.review) = (Some("sources".into()), None, None)),
                by_source,
            ),
        ],
    });
    if by_source && row.spec.strengths.len() > 1 {
        let by_strength = now.columns.as_deref() == Some("strength");
        groups.push(Group {
            name: "Columns",
            choices: vec![
                choice("edits", now.with(|c| c.columns = None), !by_strength),
                choice("strengths", now.with(|c| c.columns = Some("strength".into())), by_strength),
            ],
        });
    }
    let mut edits = vec![choice("all edits", now.with(|c| c.edit = None), now.edit.is_none())];
    edits.extend(job.edits.iter().map(|came| {
        let chosen = now.edit.as_deref() == Some(came.edit.as_str());
        choice(&came.edit, now.with(|c| c.edit = Some(came.edit.clone())), chosen)
    }));
    groups.push(Group { name: "Edit", choices: edits });
    let none = now.verdict.is_none() && now.reason.is_none();
    let mut verdicts = vec![choice("any verdict", now.with(|c| (c.verdict, c.reason) = (None, None)), none)];
    verdicts.extend(VerdictKind::ALL.map(|kind| {
        let chosen = now.verdict.as_deref() == Some(kind.name());
        choice(kind.name(), now.with(|c| (c.verdict, c.reason) = (Some(kind.name().into()), None)), chosen)
    }));
    // only the reasons that there are
    let reasons: BTreeSet<_> = job.edits.iter().flat_map(|came| came.reasons.keys()).collect();
    verdicts.extend(reasons.into_iter().map(|why| {
        let chosen = now.reason.as_deref() == Some(why.name());
        choice(why.name(), now.with(|c| (c.verdict, c.reason) = (None, Some(why.name().into()))), chosen)
    }));
    groups.push(Group { name: "Verdict", choices: verdicts });
    if !by_source {
        let mut reviews = vec![choice("any review", now.with(|c| c.review = None), now.review.is_none())];
        reviews.extend(Decision::ALL.map(|decision| {
            let chosen = now.review.as_deref() == Some(decision.name());
            choice(decision.name(), now.with(|c| c.review = Some(decision.name().into())), chosen)
        }));
        groups.push(Group { name: "Review", choices: reviews });
    }
    groups
}

fn orders(now: &Choices) -> Vec<Order> {
    let sort = now.sort.as_deref().unwrap_or_default();
    let mut orders = vec![Order { value: String::new(), name: "number".to_owned(), chosen: sort.is_empty() }];
    for score in Score::ALL {
        for (sign, way) in [("-", "highest first"), ("", "lowest first")] {
            let value = format!("{sign}{}", score.name());
            orders.push(Order { name: format!("{}, {way}", title(score)), chosen: sort == value, value });
        }
    }
    orders
}

/// A page in the order of a score, and the cursor of the next one.
async fn sorted(
    app: &App,
    job: &JobRow,
    filter: &results::Filter,
    order: ByScore,
) -> Result<(Vec<EditResult>, Option<String>), ApiError> {
    let after = task_cursor(filter.after.as_deref())?;
    let rows = app.store.results_by_score(job.seq, results::asked(job, filter)?, order, after, SHOWN as i64).await?;
    let next = rows.last().filter(|_| rows.len() == SHOWN).map(|row| row.task.no.to_string());
    Ok((rows.into_iter().map(|row| results::view(row, job)).collect(), next))
}

/// Rows by source: tasks are numbered source by source, so a page of results in their order has whole sources but for its last.
fn by_source(
    results: Vec<EditResult>,
    columns: &[String],
    of: impl Fn(&EditResult) -> String,
    whole: bool,
) -> (Vec<SourceRow>, Option<String>) {
    let mut rows: Vec<SourceRow> = Vec::new();
    let mut ends: Vec<i32> = Vec::new();
    for result in results {
        if rows.last().is_none_or(|row| row.ordinal != result.ordinal) {
            rows.push(SourceRow {
                ordinal: result.ordinal,
                source: result.source,
                source_uri: result.source_uri.clone(),
                cells: columns.iter().map(|_| Vec::new()).collect(),
            });
            ends.push(result.task.no);
        }
        if let (Some(row), Some(end)) = (rows.last_mut(), ends.last_mut()) {
            *end = result.task.no;
            let column = of(&result);
            if let Some(at) = columns.iter().position(|name| *name == column) {
                row.cells[at].push(result);
            }
        }
    }
    if !whole && rows.len() > 1 {
        rows.pop();
    }
    let more = rows.len() > SOURCES || !whole;
    rows.truncate(SOURCES);
    let next = rows.len().checked_sub(1).and_then(|last| ends.get(last)).filter(|_| more);
    (rows, next.map(ToString::to_string))
}

/// The page.
pub async fn page(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    Query(choices): Query<Choices>,
) -> Page {
    let choices = choices.tidy();
    let row = job_get::find(&app, project, parse(&id)?).await?;
    let job = job_get::view(&app, row.clone()).await?;
    let filter = |limit: usize| results::Filter {
        edit: choices.edit.clone(),
        verdict: choices.verdict.clone(),
        reason: choices.reason.clone(),
        review: choices.review.clone(),
        after: choices.after.clone(),
        limit: u32::try_from(limit).ok(),
    };
    let (mut shown, mut columns, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let order = choices.order()?;
    let next;
    if choices.by_source() {
        let per_source = row.spec.edits.len() * row.spec.strengths.len() * row.spec.seeds.len();
        let limit = ((SOURCES + 1) * per_source).clamp(SOURCES, MOST_OF_SOURCES);
        let page = results::list(&app, &row, &filter(limit)).await?;
        let by_strength = choices.columns.as_deref() == Some("strength");
        columns = if by_strength {
            row.spec.strengths.iter().map(ToString::to_string).collect()
        } else {
            let chosen = |slug: &String| choices.edit.as_ref().is_none_or(|edit| edit == slug);
            job.edits.iter().map(|came| came.edit.clone()).filter(chosen).collect()
        };
        let of = |r: &EditResult| if by_strength { r.strength.to_string() } else { r.edit.clone() };
        (sources, next) = by_source(page.items, &columns, of, page.next.is_none());
    } else if let Some(order) = order {
        (shown, next) = sorted(&app, &row, &filter(SHOWN), order).await?;
    } else {
        let page = results::list(&app, &row, &filter(SHOWN)).await?;
        (shown, next) = (page.items, page.next);
    }
    let next = next.map(|after| Choices { after: Some(after), ..choices.clone() }.href(&row));
    render(&GalleryPage {
        tab: "jobs",
        groups: groups(&row, &job, &choices),
        orders: orders(&choices),
        first: choices.after.is_some().then(|| choices.with(|_| ()).href(&row)),
        choices,
        order,
        results: shown,
        columns,
        sources,
        next,
        job: row,
    })
}
