//! One pair and its columns, by the names that users of paired datasets know.

use domain::accept::{RejectReason, metric};
use domain::edit::EditSpec;
use domain::record::{TRAINED_ALGORITHMIC_MEDIA, Verdict};
use domain::{Digest, TaskId};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// One output beside its source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Names this output.
    pub sample_id: String,
    /// Names source and edit: outputs that differ in strength or seed alone share it.
    pub pair_id: String,
    /// Names the source.
    pub source_id: String,
    /// Names the edit.
    pub edit_id: String,
    /// Factor on the edit's change.
    pub strength: f64,
    /// Seed.
    pub seed: i64,
    /// Training, test, ...: the same for all outputs of a source.
    pub split: String,
    /// File of the source, beside the table.
    pub source_file_name: String,
    /// File of the output.
    pub edited_file_name: String,
    /// File of the source as the generator draws it, unedited: the control against artefacts of the inversion.
    pub recon_file_name: Option<String>,
    /// What the source shows without the edit.
    pub source_caption: String,
    /// What the output should show.
    pub target_caption: String,
    /// What was asked for.
    pub edit_prompt: String,
    /// Steps that were taken, where the method takes steps for each image.
    pub steps: Option<i64>,
    /// How the task ended.
    pub status: String,
    /// `accepted`, `rejected` or `unjudged`.
    pub verdict: String,
    /// Rules that are missed.
    pub rejected_for: Vec<String>,
    /// IPTC's word for how the output came to be.
    pub digital_source_type: String,
    /// SHA-256 of the source's file.
    pub source_sha256: Digest,
    /// SHA-256 of the output's file.
    pub edited_sha256: Digest,
    /// SHA-256 of the reconstruction's file.
    pub recon_sha256: Option<Digest>,
    /// Digest of the provenance record.
    pub record_digest: Digest,
    /// Scores by column.
    pub metrics: BTreeMap<String, f64>,
    /// Labels of the source, by their own names.
    pub labels: BTreeMap<String, String>,
}

/// What is known of an output, wherever it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The task whose result it is.
    pub task: TaskId,
    /// Ordinal of the source in its dataset.
    pub ordinal: i64,
    /// Short name of the edit.
    pub edit: &'a str,
    /// Factor on the edit's change.
    pub strength: f64,
    /// Seed, at most 2^53 - 1.
    pub seed: u64,
    /// Steps that were taken, where they are known.
    pub steps: Option<i64>,
    /// Whether the counterfactual holds, where that was judged.
    pub verdict: Option<Verdict>,
    /// Rules that are missed.
    pub rejected_for: &'a [RejectReason],
    /// SHA-256 of the source's file.
    pub source: Digest,
    /// SHA-256 of the output's file.
    pub image: Digest,
    /// SHA-256 of the reconstruction's file, where it belongs to the table.
    pub reconstruction: Option<Digest>,
    /// Digest of the provenance record.
    pub record: Digest,
    /// Scores by our own names.
    pub metrics: &'a BTreeMap<String, f64>,
    /// Labels of the source.
    pub labels: &'a BTreeMap<String, String>,
}

impl Row {
    /// The row of an output of `edit` in a split, without the names of files.
    pub fn of(made: &Made<'_>, edit: Option<&EditSpec>, split: String) -> Self {
        let (neutral, text) = edit.map_or(("", ""), |edit| (edit.neutral.as_str(), edit.text.as_str()));
        let source_id = format!("{:06}", made.ordinal);
        let verdict = match made.verdict {
            Some(Verdict::Accept) => "accepted",
            Some(Verdict::Reject) => "rejected",
            None => "unjudged",
        };
        Self {
            sample_id: made.task.to_string(),
            pair_id: format!("{source_id}-{}", made.edit),
            source_id,
            edit_id: made.edit.to_owned(),
            strength: made.strength,
            seed: made.seed.cast_signed(),
            split,
            source_file_name: String::new(),
            edited_file_name: String::new(),
            recon_file_name: None,
            source_caption: neutral.to_owned(),
            target_caption: text.to_owned(),
            edit_prompt: text.to_owned(),
            steps: made.steps,
            status: "succeeded".to_owned(),
            verdict: verdict.to_owned(),
            rejected_for: made.rejected_for.iter().map(|reason| reason.name().to_owned()).collect(),
            digital_source_type: TRAINED_ALGORITHMIC_MEDIA.to_owned(),
            source_sha256: made.source,
            edited_sha256: made.image,
            recon_sha256: made.reconstruction,
            record_digest: made.record,
            metrics: made.metrics.iter().map(|(name, value)| (column_of_metric(name), *value)).collect(),
            labels: made.labels.clone(),
        }
    }
}

/// What a column holds. Every value may be absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text.
    Text,
    /// A double.
    Float,
    /// A signed integer of 64 bits.
    Integer,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A value of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A finite number.
    Float(f64),
    /// An integer.
    Integer(i64),
    /// Nothing.
    Absent,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Absent => serializer.serialize_none(),
        }
    }
}

/// The columns that every row has, in order; scores and labels follow them.
const FIXED: [(&str, Kind); 23] = [
    ("sample_id", Kind::Text),
    ("pair_id", Kind::Text),
    ("source_id", Kind::Text),
    ("edit_id", Kind::Text),
    ("strength", Kind::Float),
    ("seed", Kind::Integer),
    ("split", Kind::Text),
    ("source_file_name", Kind::Text),
    ("edited_file_name", Kind::Text),
    (RECON_FILE, Kind::Text),
    ("source_caption", Kind::Text),
    ("target_caption", Kind::Text),
    ("edit_prompt", Kind::Text),
    ("steps", Kind::Integer),
    ("status", Kind::Text),
    ("verdict", Kind::Text),
    ("rejected_for", Kind::Text),
    ("digital_source_type", Kind::Text),
    ("source_sha256", Kind::Text),
    ("edited_sha256", Kind::Text),
    (RECON_SHA, Kind::Text),
    ("record_digest", Kind::Text),
    // a name that loaders of images look for, so that no label or score takes it
    ("file_name", Kind::Text),
];

const RECON_FILE: &str = "recon_file_name";
const RECON_SHA: &str = "recon_sha256";
/// The last of [`FIXED`] is reserved and not written.
const WRITTEN: usize = FIXED.len() - 1;

/// The column of a score of ours: by the name that other paired datasets use, where there is one.
pub fn column_of_metric(name: &str) -> String {
    match name {
        metric::IDENTITY => "id_sim".to_owned(),
        // the cosine of output and target text, by the CLIP that was not optimised against
        "second_clip" => "clip_sim_target".to_owned(),
        taken if FIXED.iter().any(|(fixed, _)| *fixed == taken) => format!("metric_{taken}"),
        other => other.to_owned(),
    }
}

/// Which columns a table has. All rows of a table have the same ones, because loaders infer types file by file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Columns {
    metrics: BTreeSet<String>,
    labels: BTreeSet<String>,
    /// Whether reconstructions are there.
    reconstructions: bool,
}

impl Columns {
    /// Those that every row has.
    pub fn new(reconstructions: bool) -> Self {
        Self { reconstructions, ..Self::default() }
    }

    /// Takes note of the scores and labels of a row, by the names of [`Row::metrics`] and [`Row::labels`].
    pub fn note<'a>(
        &mut self,
        metrics: impl IntoIterator<Item = &'a String>,
        labels: impl IntoIterator<Item = &'a String>,
    ) {
        for (all, seen) in [
            (&mut self.metrics, metrics.into_iter().collect::<Vec<_>>()),
            (&mut self.labels, labels.into_iter().collect()),
        ] {
            for name in seen {
                if !all.contains(name) {
                    all.insert(name.clone());
                }
            }
        }
    }

    /// The columns in order.
    pub fn list(&self) -> Vec<Column> {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let fixed = self.fixed().map(|(name, kind)| column(name, kind));
        let metrics = self.metrics.iter().map(|name| column(name, Kind::Float));
        let labels = self.labels.iter().map(|name| column(&format!("label_{name}"), Kind::Text));
        fixed.chain(metrics).chain(labels).collect()
    }

    fn fixed(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        let with = self.reconstructions;
        FIXED[..WRITTEN].iter().copied().filter(move |(name, _)| with || (*name != RECON_FILE && *name != RECON_SHA))
    }

    /// The values of a row, in the columns' order. A label that its source lacks is an empty text: a column without any value in some
    /// split has no type there for readers of JSON, and they refuse to put the splits together.
    pub fn values<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = Value<'a>> {
        let fixed = self.fixed().map(|(name, _)| row.value(name));
        let metrics = self.metrics.iter().map(|name| row.metrics.get(name).map_or(Value::Absent, |v| float(*v)));
        let labels = self.labels.iter().map(|name| text(row.labels.get(name).map_or("", String::as_str)));
        fixed.chain(metrics).chain(labels)
    }

    /// The row as one flat JSON object with every column.
    pub const fn flat<'a>(&'a self, row: &'a Row) -> Flat<'a> {
        Flat { columns: self, row }
    }
}

/// A row as a flat object.
#[derive(Clone, Copy, Debug)]
pub struct Flat<'a> {
    columns: &'a Columns,
    row: &'a Row,
}

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.columns.list();
        let mut map = serializer.serialize_map(Some(columns.len()))?;
        for (column, value) in columns.iter().zip(self.columns.values(self.row)) {
            map.serialize_entry(&column.name, &value)?;
        }
        map.end()
    }
}

const fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

/// Neither JSON nor most readers of tables take a number that is not finite.
fn float(number: f64) -> Value<'static> {
    if number.is_finite() { Value::Float(number) } else { Value::Absent }
}

fn digest(digest: &Digest) -> Value<'static> {
    Value::Text(Cow::Owned(digest.to_string()))
}

impl Row {
    fn value(&self, column: &str) -> Value<'_> {
        match column {
            "sample_id" => text(&self.sample_id),
            "pair_id" => text(&self.pair_id),
            "source_id" => text(&self.source_id),
            "edit_id" => text(&self.edit_id),
            "strength" => float(self.strength),
            "seed" => Value::Integer(self.seed),
            "split" => text(&self.split),
            "source_file_name" => text(&self.source_file_name),
            "edited_file_name" => text(&self.edited_file_name),
            RECON_FILE => self.recon_file_name.as_deref().map_or(Value::Absent, text),
            "source_caption" => text(&self.source_caption),
            "target_caption" => text(&self.target_caption),
            "edit_prompt" => text(&self.edit_prompt),
            "steps" => self.steps.map_or(Value::Absent, Value::Integer),
            "status" => text(&self.status),
            "verdict" => text(&self.verdict),
            "rejected_for" => Value::Text(Cow::Owned(self.rejected_for.join(","))),
            "digital_source_type" => text(&self.digital_source_type),
            "source_sha256" => digest(&self.source_sha256),
            "edited_sha256" => digest(&self.edited_sha256),
            RECON_SHA => self.recon_sha256.as_ref().map_or(Value::Absent, digest),
            "record_digest" => digest(&self.record_digest),
            _ => Value::Absent,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row whose texts are all `text`.
    pub(crate) fn row(no: u64, text: &str) -> Row {
        let own = || text.to_owned();
        Row {
            sample_id: format!("7-{no}"),
            pair_id: format!("{no}-{text}"),
            source_id: format!("{no:06}"),
            edit_id: own(),
            strength: 0.1 + no as f64,
            seed: (1 << 53) - 1,
            split: "train".to_owned(),
            source_file_name: format!("images/{no}.source.png"),
            edited_file_name: format!("images/{no}.edited.png"),
            recon_file_name: None,
            source_caption: own(),
            target_caption: own(),
            edit_prompt: own(),
            steps: Some(30),
            status: "succeeded".to_owned(),
            verdict: "rejected".to_owned(),
            rejected_for: vec!["target-missed".to_owned(), "not-preserved".to_owned()],
            digital_source_type: TRAINED_ALGORITHMIC_MEDIA.to_owned(),
            source_sha256: Digest::of(no.to_le_bytes()),
            edited_sha256: Digest::of("e"),
            recon_sha256: None,
            record_digest: Digest::of("r"),
            metrics: [("id_sim".to_owned(), 0.25), ("odd".to_owned(), f64::NAN)].into(),
            labels: [("hair\"style".to_owned(), own())].into(),
        }
    }

    pub(crate) fn columns(rows: &[Row]) -> Columns {
        let mut columns = Columns::default();
        rows.iter().for_each(|row| columns.note(row.metrics.keys(), row.labels.keys()));
        columns
    }

    #[test]
    fn every_column_has_its_value_and_every_row_every_column() {
        let mut bare = row(1, "x");
        (bare.metrics, bare.labels) = Default::default();
        let rows = [row(0, "x"), bare];
        let columns = Columns { reconstructions: true, ..columns(&rows) };
        for row in &rows {
            assert_eq!(columns.values(row).count(), columns.list().len());
            for (column, value) in columns.list().iter().zip(columns.values(row)) {
                let fits = matches!(
                    (&value, column.kind),
                    (Value::Text(_), Kind::Text)
                        | (Value::Float(_), Kind::Float)
                        | (Value::Integer(_), Kind::Integer)
                        | (Value::Absent, _)
                );
                assert!(fits, "{} is {value:?}", column.name);
            }
        }
        let flat = serde_json::to_value(columns.flat(&rows[0])).unwrap();
        assert_eq!(flat["rejected_for"], "target-missed,not-preserved");
        assert_eq!(flat["id_sim"], 0.25);
        assert!(flat["odd"].is_null() && flat["recon_file_name"].is_null());
        assert_eq!(flat["label_hair\"style"], "x");
        assert_eq!(serde_json::to_value(columns.flat(&rows[1])).unwrap()["label_hair\"style"], "");
        let absent = serde_json::to_value(columns.flat(&rows[1])).unwrap();
        assert_eq!(
            flat.as_object().unwrap().keys().collect::<Vec<_>>(),
            absent.as_object().unwrap().keys().collect::<Vec<_>>()
        );
    }

    #[test]
    fn without_reconstructions_their_columns_are_left_out() {
        let names: Vec<_> = Columns::default().list().into_iter().map(|c| c.name).collect();
        assert!(!names.iter().any(|name| name.starts_with("recon") || name == "file_name"), "{names:?}");
    }

    #[test]
    fn scores_have_the_names_users_know_and_take_no_column() {
        assert_eq!(column_of_metric("identity"), "id_sim");
        assert_eq!(column_of_metric("strength"), "metric_strength");
        assert_eq!(column_of_metric("file_name"), "metric_file_name");
        assert_eq!(column_of_metric("preservation"), "preservation");
    }
}
