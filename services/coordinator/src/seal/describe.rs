//! The Croissant document of a sealed job: what the data set is, where it comes from, and what its users must know.

use super::{Counts, SealError, urn};
use crate::app::App;
use crate::error::LoopError;
use domain::edit::EditSpec;
use exports::{Agent, Columns, Dataset, File, Rai, Written, media_type};
use store::{JobRow, SealedFile};

/// The document's text.
pub(super) async fn croissant(
    app: &App,
    job: &JobRow,
    edits: &[EditSpec],
    columns: Columns,
    files: &[SealedFile],
    counts: &Counts,
) -> Result<Vec<u8>, SealError> {
    let license = match app.store.pack(&job.pack.name).await? {
        Some(pack) => packs::Manifest::from_toml(&pack.manifest).ok().map(|m| m.license).filter(|l| !l.is_empty()),
        None => None,
    };
    let ended = job.finished_at.unwrap_or(job.created_at);
    let file = |file: &SealedFile| File {
        id: file.name.clone(),
        path: file.name.clone(),
        encoding: media_type(&file.name),
        written: Written { sha256: file.sha256, bytes: file.bytes },
        table: file.name == "records.parquet",
    };
    let agent = |id: String, name: &str| Agent { id, name: name.to_owned(), software: true };
    let mut rai = rai(job, edits, counts);
    if let Some(license) = license {
        rai.insert("dataUseCases".to_owned(), format!("The networks that drew the images are licensed: {license}."));
    }
    let dataset = Dataset {
        name: job.spec.name.clone(),
        description: description(job, edits),
        license: None,
        url: None,
        creator: None,
        citation: None,
        version: "1.0.0".to_owned(),
        published: ended,
        derived_from: vec![format!("urn:counterfactory:dataset:{}", job.dataset)],
        activity: format!("urn:counterfactory:job:{}", job.id),
        activity_label: job.spec.name.clone(),
        started: job.created_at,
        ended,
        agents: vec![
            agent("urn:counterfactory:engine".to_owned(), "Counterfactory"),
            agent(urn(job.pack.digest), &job.pack.name),
        ],
        rai,
        columns,
        files: files.iter().map(file).collect(),
        file_sets: Vec::new(),
    };
    let document = exports::croissant(&dataset).map_err(LoopError::Encode)?;
    Ok(format!("{document:#}\n").into_bytes())
}

fn description(job: &JobRow, edits: &[EditSpec]) -> String {
    let texts: Vec<&str> = edits.iter().map(|edit| edit.text.as_str()).collect();
    format!(
        "Synthetic counterfactual images: sources of the dataset '{}' beside edits of them by text ({}), generated with the networks \
         of the pack '{}'. Every edited image is AI-generated.",
        job.dataset_name,
        texts.join("; "),
        job.pack.name
    )
}

fn rai(job: &JobRow, edits: &[EditSpec], counts: &Counts) -> Rai {
    let mut methods: Vec<&str> = edits.iter().map(|edit| edit.method.name()).collect();
    methods.sort_unstable();
    methods.dedup();
    let Counts { accepted, rejected, unjudged, .. } = counts;
    let known = [
        ("dataCollection", description(job, edits)),
        (
            "dataCollectionType",
            "Synthetic data: inversion into a generator's latent space, edit of the latent by text.".to_owned(),
        ),
        (
            "dataManipulationProtocol",
            format!(
                "Methods: {}. The record of each image, named by record_digest, has every parameter.",
                methods.join(", ")
            ),
        ),
        (
            "dataLimitations",
            format!(
                "An edit may change more than its text asks for. Judged by networks that were not optimised against, {accepted} outputs \
                 met every rule, {rejected} missed one and {unjudged} were not judged. Failures are in failures.jsonl."
            ),
        ),
    ];
    known.into_iter().map(|(property, text)| (property.to_owned(), text)).collect()
}
