//! What an export says of itself: the README that hubs of datasets show, Croissant's description, the activity of PROV.

use super::documents::Images;
use super::plan::{Format, Plan};
use super::staging::State;
use chrono::{DateTime, Utc};
use domain::edit::EditSpec;
use domain::{DatasetId, Digest};
use exports::{Activity, Agent, Dataset, File, FileSet, Rai, Written, media_type};
use std::fmt::Write as _;

/// What is looked up for it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The pack's identity.
    pub pack: Digest,
    /// The edited dataset.
    pub dataset: DatasetId,
}

/// A file as Croissant describes it: its path with dashes is its name there.
pub fn file(path: &str, written: Written, table: bool) -> File {
    let id = path.replace('/', "-");
    File { id, path: path.to_owned(), encoding: media_type(path), written, table }
}

fn identifier(plan: &Plan) -> String {
    format!("urn:counterfactory:job:{}", plan.job.id)
}

fn derived_from(facts: &Facts) -> Vec<String> {
    vec![format!("urn:counterfactory:dataset:{}", facts.dataset)]
}

fn agents(plan: &Plan, facts: &Facts) -> Vec<Agent> {
    let pack = Agent { id: format!("urn:sha256:{}", facts.pack), name: plan.job.spec.pack.clone(), software: true };
    let engine =
        Agent { id: "urn:counterfactory:engine".to_owned(), name: "Counterfactory".to_owned(), software: true };
    let creator = plan.about().creator.as_ref();
    let creator =
        creator.map(|name| Agent { id: "urn:counterfactory:creator".to_owned(), name: name.clone(), software: false });
    [engine, pack].into_iter().chain(creator).collect()
}

fn ended(plan: &Plan) -> DateTime<Utc> {
    // safe: only jobs that have ended are exported, and those have this
    plan.job.finished_at.unwrap_or(plan.job.created_at)
}

/// The job, as PROV has it.
pub fn activity(plan: &Plan, facts: &Facts) -> Activity {
    let mut used = derived_from(facts);
    used.push(format!("urn:sha256:{}", facts.pack));
    Activity {
        id: identifier(plan),
        label: plan.job.spec.name.clone(),
        started: plan.job.created_at,
        ended: ended(plan),
        used,
        agents: agents(plan, facts),
    }
}

fn description(plan: &Plan) -> String {
    let spec = &plan.job.spec;
    let texts: Vec<&str> = spec.edits.iter().map(|edit| edit.text.as_str()).collect();
    format!(
        "Synthetic counterfactual images: sources of the dataset '{}' beside edits of them by text ({}), generated with the networks \
         of the pack '{}'. Every edited image is AI-generated.",
        spec.dataset,
        texts.join("; "),
        spec.pack
    )
}

/// What is known without asking anybody; what the owner says replaces it.
fn rai(plan: &Plan) -> Rai {
    let job = &plan.job;
    let mut methods: Vec<&str> = job.spec.edits.iter().map(|edit| edit.method.name()).collect();
    methods.sort_unstable();
    methods.dedup();
    let total = |count: fn(&wire::http::v1::EditYield) -> i64| job.edits.iter().map(count).sum::<i64>();
    let (accepted, rejected, unjudged) = (total(|e| e.accepted), total(|e| e.rejected), total(|e| e.unjudged));
    let dropped = if plan.is_filtered() {
        "this export has the accepted ones only"
    } else {
        "all of them are here, with their verdicts"
    };
    let known = [
        ("dataCollection", description(plan)),
        (
            "dataCollectionType",
            "Synthetic data: inversion into a generator's latent space, edit of the latent by text.".to_owned(),
        ),
        (
            "dataManipulationProtocol",
            format!(
                "Methods: {}. The provenance record of each image, named by record_digest, has every parameter.",
                methods.join(", ")
            ),
        ),
        (
            "dataLimitations",
            format!(
                "An edit may change more than its text asks for. Judged by networks that were not optimised against, {accepted} outputs \
                 met every rule, {rejected} missed one and {unjudged} were not judged; {dropped}. Failures are in failures.jsonl.",
            ),
        ),
    ];
    let mut rai: Rai = known.into_iter().map(|(property, text)| (property.to_owned(), text)).collect();
    rai.extend(plan.about().rai.clone());
    rai
}

/// The dataset, as Croissant has it.
pub fn dataset(plan: &Plan, facts: &Facts, state: &State, files: Vec<File>, images: &Images) -> Dataset {
    let about = plan.about();
    let set =
        |((split, what), encodings): (&(String, &'static str), &std::collections::BTreeSet<&'static str>)| FileSet {
            id: format!("{split}-{what}"),
            includes: format!("{split}/images/*/*.{what}.*"),
            encodings: encodings.clone(),
            description: match *what {
                "source" => "Unedited sources.",
                "edited" => "Edited images.",
                _ => "Sources as the generator draws them, unedited.",
            }
            .to_owned(),
        };
    Dataset {
        name: plan.job.spec.name.clone(),
        description: description(plan),
        license: about.license.clone(),
        url: about.url.clone(),
        creator: about.creator.clone(),
        citation: about.citation.clone(),
        version: "1.0.0".to_owned(),
        published: ended(plan),
        derived_from: derived_from(facts),
        activity: identifier(plan),
        activity_label: plan.job.spec.name.clone(),
        started: plan.job.created_at,
        ended: ended(plan),
        agents: agents(plan, facts),
        rai: rai(plan),
        columns: state.columns.clone(),
        files,
        file_sets: images.0.iter().map(set).collect(),
    }
}

/// A text as YAML reads it: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The README, whose head tells loaders which files are which split.
pub fn readme(plan: &Plan, state: &State) -> String {
    let mut text = "---\n".to_owned();
    let mut line = |line: String| {
        // safe: a String takes everything
        let _ = writeln!(text, "{line}");
    };
    if let Some(license) = &plan.about().license {
        line(format!("license: {}", quoted(license)));
    }
    line(format!("pretty_name: {}", quoted(&plan.job.spec.name)));
    line("tags: [counterfactual, synthetic, image-editing]".to_owned());
    if !state.splits.is_empty() {
        line("configs:\n- config_name: default\n  data_files:".to_owned());
    }
    for split in state.splits.keys() {
        let files = match plan.format() {
            Format::Webdataset => format!("{split}-*.tar"),
            _ => format!("{split}/**"),
        };
        line(format!("  - split: {split}\n    path: {}", quoted(&files)));
    }
    line("---\n".to_owned());
    line(format!("# {}\n", one_line(&plan.job.spec.name)));
    line(format!("{}\n", one_line(&description(plan))));
    line("| edit | text | neutral |\n|---|---|---|".to_owned());
    for edit in &plan.job.spec.edits {
        let EditSpec { text, neutral, .. } = edit;
        line(format!("| {} | {} | {} |", edit.slug(), cell(text), cell(neutral)));
    }
    for (property, told) in rai(plan) {
        line(format!("\n**{property}**: {}", one_line(&told)));
    }
    text
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}
