//! PROV-O as JSON-LD: each output with its source, the work that made it and its record, one node after the other, so that any number
//! of rows needs the memory of one.

use crate::{Agent, ExportError, Hashed, Row, Written};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::io::Write;

/// What made all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Activity {
    /// Its identifier.
    pub id: String,
    /// Shown to people.
    pub label: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Identifiers of what it used, besides the sources.
    pub used: Vec<String>,
    /// Who had a part in it.
    pub agents: Vec<Agent>,
}

/// A document that is being written.
#[derive(Debug)]
pub struct Prov<W> {
    out: Hashed<W>,
    job: String,
    first: bool,
}

fn digest(of: impl std::fmt::Display) -> Value {
    json!({ "@id": format!("urn:sha256:{of}") })
}

impl<W: Write> Prov<W> {
    /// Begins the document of one activity.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn new(out: W, activity: &Activity) -> Result<Self, ExportError> {
        let mut out = Hashed::new(out);
        let context = json!({
            "prov": "http://www.w3.org/ns/prov#",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
            "schema": "https://schema.org/",
            "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
            "prov:startedAtTime": { "@type": "xsd:dateTime" },
            "prov:endedAtTime": { "@type": "xsd:dateTime" },
        });
        write!(out, "{{\"@context\":{context},\"@graph\":[").map_err(ExportError::write("a PROV document"))?;
        let mut prov = Self { out, job: activity.id.clone(), first: true };
        for agent in &activity.agents {
            let kind = if agent.software { "prov:SoftwareAgent" } else { "prov:Agent" };
            prov.node(&json!({ "@id": agent.id, "@type": kind, "prov:label": agent.name }))?;
        }
        prov.node(&json!({
            "@id": activity.id,
            "@type": "prov:Activity",
            "prov:label": activity.label,
            "prov:startedAtTime": activity.started.to_rfc3339(),
            "prov:endedAtTime": activity.ended.to_rfc3339(),
            "prov:used": activity.used.iter().map(|id| json!({ "@id": id })).collect::<Vec<_>>(),
            "prov:wasAssociatedWith": activity.agents.iter().map(|a| json!({ "@id": a.id })).collect::<Vec<_>>(),
        }))?;
        Ok(prov)
    }

    fn node(&mut self, node: &Value) -> Result<(), ExportError> {
        let comma = if std::mem::take(&mut self.first) { "" } else { "," };
        write!(self.out, "{comma}\n{node}").map_err(ExportError::write("a PROV document"))
    }

    /// Adds an output.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn push(&mut self, row: &Row) -> Result<(), ExportError> {
        let task = format!("{}#{}", self.job, row.sample_id);
        // nodes of one source are repeated with each of its outputs: to readers of RDF they are one
        self.node(&json!({
            "@id": format!("urn:sha256:{}", row.source_sha256), "@type": "prov:Entity",
            "prov:label": format!("source {}", row.source_id),
        }))?;
        self.node(&json!({
            "@id": task,
            "@type": "prov:Activity",
            "prov:label": row.edit_prompt,
            "prov:wasInformedBy": { "@id": self.job },
            "prov:used": digest(row.source_sha256),
            "schema:additionalProperty": [
                { "schema:name": "edit", "schema:value": row.edit_id },
                { "schema:name": "strength", "schema:value": row.strength },
                { "schema:name": "seed", "schema:value": row.seed },
            ],
        }))?;
        let mut edited = json!({
            "@id": format!("urn:sha256:{}", row.edited_sha256),
            "@type": "prov:Entity",
            "prov:label": row.target_caption,
            "prov:wasDerivedFrom": digest(row.source_sha256),
            "prov:wasGeneratedBy": { "@id": task },
            "prov:has_provenance": digest(row.record_digest),
            "Iptc4xmpExt:DigitalSourceType": { "@id": row.digital_source_type },
            "schema:creativeWorkStatus": row.verdict,
        });
        if !row.edited_file_name.is_empty() {
            edited["schema:contentUrl"] = row.edited_file_name.as_str().into();
        }
        self.node(&edited)?;
        let Some(reconstruction) = row.recon_sha256 else { return Ok(()) };
        self.node(&json!({
            "@id": format!("urn:sha256:{reconstruction}"), "@type": "prov:Entity",
            "prov:wasDerivedFrom": digest(row.source_sha256), "prov:wasGeneratedBy": { "@id": self.job },
        }))
    }

    /// Ends the document.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> Result<(W, Written), ExportError> {
        let ended = self.out.write_all(b"\n]}\n").and_then(|()| self.out.flush());
        ended.map_err(ExportError::write("a PROV document"))?;
        Ok(self.out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::row;

    #[test]
    fn an_output_is_tied_to_its_source_its_work_and_its_record() {
        let activity = Activity {
            id: "urn:job".to_owned(),
            label: "a job".to_owned(),
            started: DateTime::UNIX_EPOCH,
            ended: DateTime::UNIX_EPOCH,
            used: vec!["urn:pack".to_owned()],
            agents: vec![Agent { id: "urn:agent".to_owned(), name: "x".to_owned(), software: true }],
        };
        let hostile = format!("\"\0\n'{}", "é".repeat(10_000));
        let row = Row { recon_sha256: Some(domain::Digest::of("recon")), ..row(3, &hostile) };
        let mut prov = Prov::new(Vec::new(), &activity).unwrap();
        prov.push(&row).unwrap();
        prov.push(&row).unwrap();
        let (bytes, written) = prov.finish().unwrap();
        assert_eq!(written, Written::of(&bytes));
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let nodes = document["@graph"].as_array().unwrap();
        assert_eq!(nodes.len(), 2 + 2 * 4);
        let edited = nodes.iter().find(|n| n["@id"] == format!("urn:sha256:{}", row.edited_sha256)).unwrap();
        assert_eq!(edited["prov:wasDerivedFrom"], digest(row.source_sha256));
        assert_eq!(edited["prov:has_provenance"], digest(row.record_digest));
        assert_eq!(edited["prov:wasGeneratedBy"]["@id"], "urn:job#7-3");
        assert_eq!(edited["prov:label"], hostile);
    }
}
