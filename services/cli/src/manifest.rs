//! Manifests: lists of images with labels, as CSV (with a header) or JSON lines.
//!
//! The column `file` (or `path`, `image`, `uri`) names the image, relative to the manifest. The column `landmarks` says where the face
//! is: a JSON list of 5 or 68 points [x, y]. FFHQ's own form is taken too: `in_the_wild.file_path` and `in_the_wild.face_landmarks`.
//! Every other scalar is a label; nested JSON objects become dotted labels (`rgb.hair`). A bad row is reported with its line number
//! and left out.

use anyhow::{Context as _, Result, bail};
use domain::Landmarks;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One good row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Where the image lies.
    pub path: PathBuf,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The face in it.
    pub landmarks: Option<Landmarks>,
}

/// A row that names no image, with the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRow {
    /// `<manifest>:<line>`.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

const FILE_COLUMNS: [&str; 5] = ["file", "path", "image", "uri", "in_the_wild.file_path"];
const LANDMARK_COLUMNS: [&str; 2] = ["landmarks", "in_the_wild.face_landmarks"];

/// True for a path that is read as a manifest.
pub fn is_manifest(path: &Path) -> bool {
    matches!(extension(path).as_str(), "csv" | "jsonl" | "ndjson")
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase()
}

/// Reads a manifest.
///
/// # Errors
/// When the file cannot be read at all, or a CSV header has no column for the image.
pub fn read(path: &Path) -> Result<(Vec<Row>, Vec<BadRow>)> {
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let rows = if extension(path) == "csv" { csv_rows(path, &text)? } else { json_rows(&text) };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (line, fields) in rows {
        match fields.and_then(|fields| row(fields, folder)) {
            Ok(row) => good.push(row),
            Err(problem) => bad.push(BadRow { at: format!("{}:{line}", path.display()), problem }),
        }
    }
    Ok((good, bad))
}

type Fields = Result<BTreeMap<String, String>, String>;

fn csv_rows(path: &Path, text: &[u8]) -> Result<Vec<(u64, Fields)>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().with_context(|| format!("{} has no readable header", path.display()))?.clone();
    if !header.iter().any(|h| FILE_COLUMNS.contains(&h)) {
        bail!("{} has no column named file, path, image or uri in its header", path.display());
    }
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = |record: &csv::StringRecord| record.position().map_or(index as u64 + 2, csv::Position::line);
        rows.push(match record {
            Ok(record) if record.len() != header.len() => {
                (line(&record), Err(format!("the row has {} columns, the header {}", record.len(), header.len())))
            }
            Ok(record) => {
                let pairs = header.iter().zip(record.iter());
                (line(&record), Ok(pairs.map(|(h, v)| (h.to_owned(), v.to_owned())).collect()))
            }
            Err(error) => (error.position().map_or(index as u64 + 2, csv::Position::line), Err(error.to_string())),
        });
    }
    Ok(rows)
}

fn json_rows(text: &[u8]) -> Vec<(u64, Fields)> {
    let lines = text.split(|b| *b == b'\n').enumerate();
    let full = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    full.map(|(index, line)| {
        let fields = match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(object) => {
                let mut fields = BTreeMap::new();
                flatten("", &object, &mut fields);
                Ok(fields)
            }
            Err(error) => Err(format!("not a JSON object: {error}")),
        };
        (index as u64 + 1, fields)
    })
    .collect()
}

fn flatten(prefix: &str, object: &Map<String, Value>, into: &mut BTreeMap<String, String>) {
    for (name, value) in object {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(inner) => flatten(&format!("{name}."), inner, into),
            Value::String(text) => {
                into.insert(name, text.clone());
            }
            Value::Bool(_) | Value::Number(_) => {
                into.insert(name, value.to_string());
            }
            // no other list is a label, and null says that there is none
            Value::Array(_) if LANDMARK_COLUMNS.contains(&name.as_str()) => {
                into.insert(name, value.to_string());
            }
            Value::Array(_) | Value::Null => {}
        }
    }
}

fn row(mut fields: BTreeMap<String, String>, folder: &Path) -> Result<Row, String> {
    let named = FILE_COLUMNS.iter().find_map(|c| fields.remove(*c)).filter(|f| !f.is_empty());
    let file = named.ok_or("the row names no image (column file, path, image or uri)")?;
    if file.starts_with("s3://") {
        return Err(format!("{file} is in a bucket; register its prefix with `cfx dataset add NAME s3://...`"));
    }
    fields.retain(|_, value| !value.is_empty());
    let landmarks = LANDMARK_COLUMNS.iter().find_map(|c| fields.remove(*c));
    let landmarks =
        landmarks.map(|text| serde_json::from_str(&text).map_err(|e| format!("its landmarks: {e}"))).transpose()?;
    let path = folder.join(file.strip_prefix("file://").unwrap_or(&file));
    Ok(Row { path, labels: fields, landmarks })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> (Vec<Row>, Vec<BadRow>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (mut good, mut bad) = read(&path).unwrap();
        for row in &mut good {
            row.path = row.path.strip_prefix(folder.path()).unwrap().to_owned();
        }
        for row in &mut bad {
            row.at = row.at.rsplit_once('/').unwrap().1.to_owned();
        }
        (good, bad)
    }

    #[test]
    fn csv_rows_carry_labels_and_bad_ones_their_line() {
        let (good, bad) = read_text("m.csv", "file,age\na.png,old\nb.png\n,young\nc.png,\n");
        assert_eq!(good.len(), 2);
        assert_eq!(good[0].labels, BTreeMap::from([("age".to_owned(), "old".to_owned())]));
        assert!(good[1].labels.is_empty());
        assert_eq!(bad.iter().map(|b| b.at.as_str()).collect::<Vec<_>>(), ["m.csv:3", "m.csv:4"]);
    }

    #[test]
    fn landmarks_are_points_and_no_label_and_bad_ones_cost_their_row() {
        let points = "[[1,2],[3,2],[2,3],[1,4],[3,4.5]]";
        let csv = format!("file,landmarks,age\na.png,\"{points}\",old\nb.png,,\nc.png,\"[[1,2]]\",\nd.png,left eye,\n");
        let (good, bad) = read_text("m.csv", &csv);
        let expected: Landmarks = serde_json::from_str(points).unwrap();
        assert_eq!((&good[0].landmarks, good[0].labels.len()), (&Some(expected.clone()), 1));
        assert_eq!((good.len(), &good[1].landmarks), (2, &None));
        assert_eq!(bad.iter().map(|b| b.at.as_str()).collect::<Vec<_>>(), ["m.csv:4", "m.csv:5"]);
        assert!(bad[0].problem.contains("landmarks are 1 points; give 68"), "{}", bad[0].problem);
        // lines as of ffhq-dataset-v2.json
        let ffhq =
            format!(r#"{{"category":"training","in_the_wild":{{"file_path":"w/0.png","face_landmarks":{points}}}}}"#);
        let (good, bad) = read_text("m.jsonl", &ffhq);
        assert!(bad.is_empty(), "{bad:?}");
        assert_eq!((good[0].path.to_str(), &good[0].landmarks), (Some("w/0.png"), &Some(expected)));
        assert_eq!(good[0].labels, BTreeMap::from([("category".to_owned(), "training".to_owned())]));
    }

    #[test]
    fn json_lines_are_flattened_and_broken_ones_named() {
        let (good, bad) =
            read_text("m.jsonl", "{\"file\":\"a.png\",\"rgb\":{\"hair\":\"#fff\"},\"n\":3}\n\n{oops\n{\"x\":1}\n");
        assert_eq!(good[0].labels["rgb.hair"], "#fff");
        assert_eq!(good[0].labels["n"], "3");
        assert_eq!(bad.iter().map(|b| b.at.as_str()).collect::<Vec<_>>(), ["m.jsonl:3", "m.jsonl:4"]);
    }
}
