//! JSON lines: rows for loaders of images, one line per output for verifiers, failures with their reasons.

use crate::{Columns, ExportError, Hashed, Row, Written};
use domain::Digest;
use serde::Serialize;
use std::io::Write;

/// A line of `manifest.jsonl`: what ties a file to its record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
pub struct Manifested {
    /// The output.
    pub sample_id: String,
    /// Its file, from the root of the export.
    pub file_name: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// SHA-256 of the source.
    pub source_sha256: Digest,
    /// Digest of the provenance record.
    pub record_digest: Digest,
}

impl Manifested {
    /// Of a row whose files lie under `folder` (empty, or ending with a slash).
    pub fn of(row: &Row, folder: &str) -> Self {
        Self {
            sample_id: row.sample_id.clone(),
            file_name: format!("{folder}{}", row.edited_file_name),
            sha256: row.edited_sha256,
            source_sha256: row.source_sha256,
            record_digest: row.record_digest,
        }
    }
}

/// A line of `failures.jsonl`: what there is no output of, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
pub struct Failure {
    /// The task.
    pub sample_id: String,
    /// Which part of the work failed.
    pub stage: String,
    /// `dead` or `cancelled`.
    pub status: String,
    /// The edit, where one is concerned.
    pub edit_id: Option<String>,
    /// The source, where one is concerned.
    pub source_uri: Option<String>,
    /// A stable code.
    pub reason: Option<String>,
    /// A sentence.
    pub detail: Option<String>,
}

/// Writes lines.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: Hashed<W>,
}

impl<W: Write> JsonLines<W> {
    /// In front of `out`, which should be buffered.
    pub fn new(out: W) -> Self {
        Self { out: Hashed::new(out) }
    }

    /// One row with every column.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn row(&mut self, columns: &Columns, row: &Row) -> Result<(), ExportError> {
        self.push(&columns.flat(row), &row.sample_id)
    }

    /// One line of anything; `sample` names it in errors.
    ///
    /// # Errors
    /// When the writer refuses, or the value has no JSON.
    pub fn push(&mut self, value: &impl Serialize, sample: &str) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.out, value)
            .map_err(|source| ExportError::Json { sample: sample.to_owned(), source })?;
        self.out.write_all(b"\n").map_err(ExportError::write("a line of JSON"))
    }

    /// The writer, flushed, and what went to it.
    ///
    /// # Errors
    /// When the writer refuses.
    pub fn finish(mut self) -> Result<(W, Written), ExportError> {
        self.out.flush().map_err(ExportError::write("a line of JSON"))?;
        Ok(self.out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::{columns, row};

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        let hostile = format!("\"a\"\n\r\t\0\u{1b}\u{2028}'\\,{}", "é".repeat(10_000));
        let rows = [row(0, &hostile), row(1, "")];
        let columns = columns(&rows);
        let mut lines = JsonLines::new(Vec::new());
        for row in &rows {
            lines.row(&columns, row).unwrap();
        }
        let (bytes, written) = lines.finish().unwrap();
        assert_eq!(written, Written::of(&bytes));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), 2);
        let back: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(back["target_caption"], hostile);
    }
}
