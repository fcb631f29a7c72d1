//! `cfx audit JOB`: flip rates of a classifier over a job's counterfactual pairs, as a report.

use super::Context;
use super::result_list::{self, Wanted};
use crate::args::{AuditArgs, UsageError};
use crate::audit::report::{Asked, Report};
use crate::audit::rows::{self, Pair, Question};
use crate::audit::scores::{Reader, Scores, digest_of};
use crate::audit::{Role, classify};
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use domain::{Digest, JobId, Stage};
use std::collections::{BTreeMap, BTreeSet};
use wire::http::v1::{EditResult, Job, Source};

/// Images without a score that are named.
const NAMED: usize = 5;

pub async fn run(at: &Context, args: &AuditArgs) -> Result<u8> {
    if args.pack.is_none() && args.classifier.is_none() && args.scores.is_none() {
        bail!(UsageError("name the classifier: --scores, --classifier or --pack".to_owned()));
    }
    let id: JobId = args.job.parse()?;
    let job: Job = at.client.get(&format!("/v1/jobs/{id}")).await?;
    let wanted = Wanted { edit: args.edit.clone(), ..Wanted::default() };
    let results = result_list::all(at, &args.job, &wanted, 0).await?;
    if results.is_empty() {
        let of = args.edit.as_ref().map(|edit| format!(" of the edit '{edit}'")).unwrap_or_default();
        bail!("the job has no results{of}; it is {}", job.state);
    }
    std::fs::create_dir_all(&args.to).with_context(|| format!("{} cannot be created", args.to.display()))?;
    let file = match &args.scores {
        Some(file) => file.clone(),
        None => classify::run(&at.client, args, &job, &results).await?,
    };
    // the worker writes the classes in their order, and a pack's judge names them itself
    let scores = Reader { classes: args.classes.clone(), threshold: args.threshold }.read(&file)?;
    let positive = match &args.positive {
        Some(class) => Some(scores.class(class)?),
        None => (scores.classes.len() == 2).then_some(1),
    };
    let question = Question { positive, groups: args.groups.clone(), seed: args.seed };
    let groups = groups(at, &job, &args.groups).await?;
    let labels = |result: &EditResult| groups.get(&result.source).cloned().unwrap_or(vec![None; args.groups.len()]);
    let pairs: Vec<Pair> = results.iter().filter_map(|result| Pair::of(result, &scores, labels(result))).collect();
    let missing = results.len() - pairs.len();
    if missing > 0 {
        unscored(&results, &scores, missing, args.allow_missing)?;
    }
    if pairs.is_empty() {
        bail!("{} has no score for any pair of the job", file.display());
    }
    let (rows, gaps) = rows::count(&pairs, &question);
    let report = Report {
        job: job.id,
        name: job.spec.name.clone(),
        dataset: job.spec.dataset.clone(),
        pack: job.spec.pack.clone(),
        asked: asked(args)?,
        positive: positive.map(|place| scores.classes[place].clone()),
        classes: scores.classes,
        groups: args.groups.clone(),
        seed: args.seed,
        pairs: pairs.len(),
        without_score: missing,
        failed_tasks: job.count(Some(Stage::Edit), "dead"),
        rows,
        gaps,
    };
    report.write(&args.to, &pairs, &question)?;
    if at.json {
        output::json(&report)?;
    } else {
        print(&report, args);
    }
    Ok(exit::OK)
}

/// Refuses, or only says, that pairs have an image without a score.
fn unscored(results: &[EditResult], scores: &Scores, pairs: usize, allowed: bool) -> Result<()> {
    let mut images: BTreeMap<Digest, (Role, &EditResult)> = BTreeMap::new();
    for result in results {
        for role in Role::ALL.into_iter().filter(|role| scores.of(result, *role).is_none()) {
            images.entry(digest_of(result, role)).or_insert((role, result));
        }
    }
    let named = images
        .iter()
        .take(NAMED)
        .map(|(digest, (role, result))| format!("{} of task {} ({digest})", role.name(), result.task));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if images.len() > NAMED { ", ..." } else { "" };
    let said = format!(
        "{} images have no score, so {pairs} of {} pairs cannot be counted: {named}{more}",
        images.len(),
        results.len()
    );
    if !allowed {
        bail!("{said}; --allow-missing goes on without them");
    }
    output::note(said);
    Ok(())
}

/// Each source's values of the labels.
async fn groups(at: &Context, job: &Job, labels: &[String]) -> Result<BTreeMap<Digest, Vec<Option<String>>>> {
    if labels.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sources: Vec<Source> = at.client.all(&format!("/v1/datasets/{}/sources", job.spec.dataset), 0).await?;
    for label in labels {
        if !sources.iter().any(|source| source.labels.contains_key(label)) {
            let known: BTreeSet<&str> = sources.iter().flat_map(|s| s.labels.keys().map(String::as_str)).collect();
            let known =
                if known.is_empty() { "none".to_owned() } else { known.into_iter().collect::<Vec<_>>().join(", ") };
            bail!("no source of the dataset '{}' has the label '{label}'; there are: {known}", job.spec.dataset);
        }
    }
    let values = |source: &Source| labels.iter().map(|label| source.labels.get(label).cloned()).collect();
    Ok(sources.iter().map(|source| (source.sha256, values(source))).collect())
}

/// The classifier, by its file.
fn asked(args: &AuditArgs) -> Result<Asked> {
    let named = |kind: &'static str, path: &std::path::Path| {
        let sha256 = packs::weights::file_digest(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Asked { kind, file, sha256, head: args.head.clone() })
    };
    match (&args.scores, &args.classifier, &args.pack) {
        (Some(file), _, _) => named("scores", file),
        (_, Some(file), None) => named("torchscript", file),
        (_, Some(file), Some(_)) => named("judge", file),
        (_, _, Some(pack)) => named("pack-judge", &pack.join("pack.toml")),
        _ => bail!("no classifier"),
    }
}

fn print(report: &Report, args: &AuditArgs) {
    let percent = |share: f64| format!("{:.1}%", 100.0 * share);
    let rows = report.rows.iter().map(|row| {
        let group = match (&row.label, &row.group) {
            (Some(label), Some(group)) => format!("{label}={group}"),
            _ => "-".to_owned(),
        };
        let net = row.net.interval;
        vec![
            row.edit.clone(),
            row.strength.to_string(),
            row.outputs.name().to_owned(),
            group,
            row.n.to_string(),
            percent(row.flip.rate),
            percent(row.control.rate),
            percent(row.attributable.rate),
            format!("{} [{}, {}]", percent(row.net.value), percent(net.low), percent(net.high)),
            format!("{:.2e}", row.p_holm),
        ]
    });
    let headings =
        ["EDIT", "STRENGTH", "OUTPUTS", "GROUP", "PAIRS", "FLIPS", "CONTROL", "BY EDIT", "NET OF CONTROL", "P (HOLM)"];
    output::table(&headings, &rows.collect::<Vec<_>>());
    let few = report.rows.iter().filter(|row| row.n < rows::FEW).count();
    if few > 0 {
        output::note(format!("{few} rows have fewer than {} pairs", rows::FEW));
    }
    output::note(format!("{}", args.to.join("report.html").display()));
}
