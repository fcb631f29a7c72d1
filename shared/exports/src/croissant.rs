//! Croissant 1.1 (MLCommons): one JSON-LD document that says which files a dataset has, what their columns mean, where they came from
//! (PROV-O) and what their users must know (RAI). Its size does not depend on the number of rows.

use crate::{Columns, Kind, Written};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody or something that had a part in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// An identifier, for example `urn:sha256:...` of a file of weights.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// Whether it is a program or a model rather than a person or an institution.
    pub software: bool,
}

/// A file of the dataset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its name within the document.
    pub id: String,
    /// Where it is, from the document.
    pub path: String,
    /// Its media type.
    pub encoding: &'static str,
    /// What is in it.
    pub written: Written,
    /// Whether it is a table with the columns of the dataset.
    pub table: bool,
}

/// Files that are described by a pattern. Their digests are columns of the tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSet {
    /// Its name within the document.
    pub id: String,
    /// A glob, from the document.
    pub includes: String,
    /// The media types.
    pub encodings: BTreeSet<&'static str>,
    /// What it is for.
    pub description: String,
}

/// What users of a dataset must be told (Croissant's RAI vocabulary): property to text, such as `dataLimitations`.
pub type Rai = BTreeMap<String, String>;

/// What the document says.
#[derive(Clone, PartialEq, Debug)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// A sentence or two.
    pub description: String,
    /// Licence, as an address or an SPDX expression, where it is known.
    pub license: Option<String>,
    /// Where it can be found, where that is known.
    pub url: Option<String>,
    /// Who answers for it, where that is known.
    pub creator: Option<String>,
    /// How it is to be cited, where that is known.
    pub citation: Option<String>,
    /// Its version.
    pub version: String,
    /// When it was published.
    pub published: DateTime<Utc>,
    /// Identifiers of what it was made of.
    pub derived_from: Vec<String>,
    /// Identifier of the activity that made it.
    pub activity: String,
    /// What the activity did.
    pub activity_label: String,
    /// When that began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Who had a part in it.
    pub agents: Vec<Agent>,
    /// What users must be told.
    pub rai: Rai,
    /// The columns of its tables.
    pub columns: Columns,
    /// Its files.
    pub files: Vec<File>,
    /// Its images.
    pub file_sets: Vec<FileSet>,
}

/// Prefixes and terms of Croissant 1.1, as the specification prints them.
const CONTEXT: &str = include_str!("croissant.context.json");

/// What a column means, for readers who have never seen the dataset.
fn meaning(column: &str) -> Option<&'static str> {
    Some(match column {
        "sample_id" => "Names the output.",
        "pair_id" => "Names source and edit; outputs that differ in strength or seed alone share it.",
        "source_id" => "Names the source; all its outputs lie in one split.",
        "edit_id" => "Names the edit.",
        "strength" => "Factor on the edit's change.",
        "seed" => "Seed of the edit.",
        "split" => "Split, the same for all outputs of a source.",
        "source_file_name" => "File of the unedited source.",
        "edited_file_name" => "File of the edited image.",
        "recon_file_name" => {
            "File of the source as the generator draws it, unedited: the control against artefacts of the inversion."
        }
        "source_caption" => "What the source shows without the edit.",
        "target_caption" => "What the edited image should show.",
        "edit_prompt" => "What was asked for.",
        "steps" => "Optimiser steps taken for this image.",
        "status" => "How the task ended.",
        "verdict" => "accepted, rejected or unjudged, by networks that were not optimised against.",
        "rejected_for" => "The rules of acceptance that are missed, separated by commas.",
        "digital_source_type" => "IPTC's word for how the image came to be.",
        "source_sha256" => "SHA-256 of the source's file.",
        "edited_sha256" => "SHA-256 of the edited image's file.",
        "recon_sha256" => "SHA-256 of the reconstruction's file.",
        "record_digest" => "SHA-256 of the output's provenance record.",
        _ => return None,
    })
}

/// The document.
///
/// # Errors
/// Never for the context that this crate ships; the signature leaves that to the reader of the error.
pub fn croissant(dataset: &Dataset) -> Result<Value, serde_json::Error> {
    let mut document = Map::new();
    document.insert("@context".to_owned(), serde_json::from_str(CONTEXT)?);
    let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
    put("@type", "sc:Dataset".into());
    put("conformsTo", "http://mlcommons.org/croissant/1.1".into());
    put("name", dataset.name.as_str().into());
    put("description", dataset.description.as_str().into());
    put("version", dataset.version.as_str().into());
    put("datePublished", dataset.published.format("%Y-%m-%d").to_string().into());
    if let Some(license) = &dataset.license {
        put("license", license.as_str().into());
    }
    if let Some(url) = &dataset.url {
        put("url", url.as_str().into());
    }
    if let Some(citation) = &dataset.citation {
        put("citeAs", citation.as_str().into());
    }
    if let Some(creator) = &dataset.creator {
        put("creator", json!({ "@type": "sc:Organization", "name": creator }));
    }
    for (property, text) in &dataset.rai {
        put(&format!("rai:{property}"), text.as_str().into());
    }
    put("prov:wasDerivedFrom", dataset.derived_from.iter().map(|id| json!({ "@id": id })).collect());
    put("prov:wasAttributedTo", dataset.agents.iter().map(agent).collect());
    put("prov:wasGeneratedBy", activity(dataset));
    let files = dataset.files.iter().map(|file| file_object(file, &dataset.activity));
    put("distribution", files.chain(dataset.file_sets.iter().map(file_set)).collect());
    let tables = dataset.files.iter().filter(|file| file.table);
    put("recordSet", tables.map(|table| record_set(table, &dataset.columns)).collect());
    Ok(Value::Object(document))
}

fn agent(agent: &Agent) -> Value {
    let kind = if agent.software { "prov:SoftwareAgent" } else { "prov:Agent" };
    json!({ "@id": agent.id, "@type": kind, "prov:label": agent.name })
}

fn activity(dataset: &Dataset) -> Value {
    json!({
        "@id": dataset.activity,
        "@type": "prov:Activity",
        "prov:label": dataset.activity_label,
        "prov:startedAtTime": dataset.started.to_rfc3339(),
        "prov:endedAtTime": dataset.ended.to_rfc3339(),
        "prov:used": dataset.derived_from.iter().map(|id| json!({ "@id": id })).collect::<Vec<_>>(),
    })
}

fn file_object(file: &File, activity: &str) -> Value {
    json!({
        "@type": "cr:FileObject",
        "@id": file.id,
        "name": file.id,
        "contentUrl": file.path,
        "contentSize": format!("{} B", file.written.bytes),
        "encodingFormat": file.encoding,
        "sha256": file.written.sha256,
        "prov:wasGeneratedBy": { "@id": activity },
    })
}

fn file_set(set: &FileSet) -> Value {
    json!({
        "@type": "cr:FileSet",
        "@id": set.id,
        "name": set.id,
        "description": set.description,
        "includes": set.includes,
        "encodingFormat": set.encodings,
    })
}

fn record_set(table: &File, columns: &Columns) -> Value {
    let id = format!("{}-pairs", table.id);
    let field = |column: crate::Column| {
        let kind = match column.kind {
            Kind::Text => "sc:Text",
            Kind::Float => "sc:Float",
            Kind::Integer => "sc:Integer",
        };
        let mut field = json!({
            "@type": "cr:Field",
            "@id": format!("{id}/{}", column.name),
            "name": column.name,
            "dataType": kind,
            "source": { "fileObject": { "@id": table.id }, "extract": { "column": column.name } },
        });
        if let Some(meaning) = meaning(&column.name) {
            field["description"] = meaning.into();
        }
        field
    };
    json!({
        "@type": "cr:RecordSet",
        "@id": id,
        "name": id,
        "key": { "@id": format!("{id}/sample_id") },
        "field": columns.list().into_iter().map(field).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::{columns, row};

    #[test]
    fn every_file_has_its_digest_and_every_column_its_field() {
        let columns = columns(&[row(0, "x")]);
        let table = |id: &str| File {
            id: id.to_owned(),
            path: format!("{id}/metadata.jsonl"),
            encoding: "application/jsonlines",
            written: Written::of(b"{}"),
            table: true,
        };
        let dataset = Dataset {
            name: "faces \"edited\"".to_owned(),
            description: "line\nline\0".to_owned(),
            license: None,
            url: None,
            creator: None,
            citation: None,
            version: "1.0.0".to_owned(),
            published: DateTime::UNIX_EPOCH,
            derived_from: vec!["urn:x".to_owned()],
            activity: "urn:job".to_owned(),
            activity_label: "a job".to_owned(),
            started: DateTime::UNIX_EPOCH,
            ended: DateTime::UNIX_EPOCH,
            agents: vec![Agent { id: "urn:pack".to_owned(), name: "pack".to_owned(), software: true }],
            rai: [("dataLimitations".to_owned(), "few".to_owned())].into(),
            columns: columns.clone(),
            files: vec![table("train"), table("test")],
            file_sets: Vec::new(),
        };
        let document = croissant(&dataset).unwrap();
        assert_eq!(document["distribution"][1]["sha256"], Written::of(b"{}").sha256.to_string());
        assert_eq!(document["recordSet"][0]["field"].as_array().unwrap().len(), columns.list().len());
        assert_eq!(document["prov:wasGeneratedBy"]["prov:endedAtTime"], "1970-01-01T00:00:00+00:00");
        assert_eq!(document["rai:dataLimitations"], "few");
        let described = columns.list().iter().filter(|column| meaning(&column.name).is_some()).count();
        assert_eq!(described, columns.list().len() - 3, "all but two scores and a label");
        assert!(document.get("license").is_none(), "nothing is made up");
    }
}
