//! What a classifier said of images, from a CSV file with a header.
//!
//! | column | meaning |
//! |---|---|
//! | `sha256` | the image, by the SHA-256 of its file |
//! | `file` | the image, by a path relative to the CSV: the file is hashed |
//! | `task` | the image, as the edit of a task; with `role` also its `source` or `reconstruction` |
//! | `label` | the class that was decided |
//! | `score` | how sure a classifier of two classes is of the second; decided by a threshold |
//! | `score_<class>` | how sure it is of a class; the largest decides, unless there is a `label` |
//!
//! Exactly one of the first three names the image. With classes given, a column may have a class's bare name.

use super::Role;
use anyhow::{Context as _, Result, bail};
use domain::{Digest, TaskId};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use wire::http::v1::EditResult;

/// What it said of one image.
#[derive(Clone, PartialEq, Debug)]
pub struct Reading {
    /// The decided class, by its place.
    pub class: usize,
    /// How sure it is of each class, in the order of the classes; finite. `None` if it only decides.
    pub scores: Option<Vec<f64>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Image {
    Digest(Digest),
    Task(TaskId, Role),
}

/// What it said of all.
#[derive(Debug)]
pub struct Scores {
    /// Names of the classes.
    pub classes: Vec<String>,
    readings: HashMap<Image, Reading>,
}

impl Scores {
    /// What was said of a result's image.
    pub fn of(&self, result: &EditResult, role: Role) -> Option<&Reading> {
        // who scores an export has the reconstruction with a credential inside
        let signed = result.signed_reconstruction.filter(|_| role == Role::Reconstruction);
        let by_digest = |digest| self.readings.get(&Image::Digest(digest));
        by_digest(digest_of(result, role))
            .or_else(|| signed.and_then(by_digest))
            .or_else(|| self.readings.get(&Image::Task(result.task, role)))
    }

    /// The place of a class.
    ///
    /// # Errors
    /// Names the classes that there are.
    pub fn class(&self, name: &str) -> Result<usize> {
        let place = self.classes.iter().position(|class| class == name);
        place.with_context(|| format!("no class is called '{name}'; there are {}", self.classes.join(", ")))
    }
}

/// The digest of a result's image.
pub fn digest_of(result: &EditResult, role: Role) -> Digest {
    match role {
        Role::Source => result.source,
        Role::Reconstruction => result.reconstruction,
        Role::Edit => result.image,
    }
}

/// How the columns are to be read.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Names of the classes, in order; empty where the columns tell.
    pub classes: Vec<String>,
    /// At which `score` the second class is decided.
    pub threshold: f64,
}

/// A header, understood.
struct Columns {
    image: usize,
    key: Key,
    role: Option<usize>,
    label: Option<usize>,
    score: Option<usize>,
    /// Column and name of each class.
    classes: Vec<(usize, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Digest,
    File,
    Task,
}

impl Reader {
    /// Reads a file.
    ///
    /// # Errors
    /// Names the file and the line or column that is wrong: unknown columns, numbers that are not finite, an image that is scored twice
    /// in two ways, a label that is no class.
    pub fn read(&self, path: &Path) -> Result<Scores> {
        let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(std::io::BufReader::new(file));
        let header = reader.headers().with_context(|| path.display().to_string())?.clone();
        let columns = self.columns(&header).with_context(|| path.display().to_string())?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| path.display().to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = self.row(&columns, &record, path.parent().unwrap_or(Path::new("")));
            rows.push((line, row.with_context(|| format!("{}:{line}", path.display()))?));
        }
        let classes = self.names(&columns, rows.iter().filter_map(|(_, row)| row.label.as_deref()));
        let mut readings = HashMap::new();
        for (line, Row { image, label, scores }) in rows {
            let reading = self.reading(&classes, label.as_deref(), scores);
            let reading = reading.with_context(|| format!("{}:{line}", path.display()))?;
            // one image may stand in two lines, as a source does that is edited twice, but not with two answers
            if readings.insert(image, reading.clone()).is_some_and(|before| before != reading) {
                bail!("{}:{line}: the image was scored before, in another way", path.display());
            }
        }
        Ok(Scores { classes, readings })
    }

    fn columns(&self, header: &csv::StringRecord) -> Result<Columns> {
        let (mut image, mut role, mut label, mut score, mut classes) = (None, None, None, None, Vec::new());
        let mut seen = BTreeSet::new();
        for (place, name) in header.iter().enumerate() {
            if !seen.insert(name) {
                bail!("there are two columns called '{name}'");
            }
            let key = match name {
                "sha256" => Some(Key::Digest),
                "file" => Some(Key::File),
                "task" => Some(Key::Task),
                _ => None,
            };
            match (key, name) {
                (Some(_), _) if image.is_some() => bail!("the image is named twice; keep one of sha256, file and task"),
                (Some(key), _) => image = Some((place, key)),
                (None, "role") => role = Some(place),
                (None, "label") => label = Some(place),
                (None, "score") => score = Some(place),
                (None, name) if self.classes.iter().any(|class| class == name) => {
                    classes.push((place, name.to_owned()))
                }
                (None, name) => match name.strip_prefix("score_").filter(|class| !class.is_empty()) {
                    Some(class) => classes.push((place, class.to_owned())),
                    None => bail!(
                        "the column '{name}' is unknown; there may be sha256, file or task, role, label, score, and score_<class> \
                         for each class (or its bare name, with --classes)"
                    ),
                },
            }
        }
        let (image, key) = image.context("no column names the image: sha256, file or task")?;
        if role.is_some() && key != Key::Task {
            bail!("the column 'role' belongs to the column 'task'");
        }
        if score.is_some() && !classes.is_empty() {
            bail!("there are both 'score' and scores of classes; keep one of them");
        }
        if classes.len() == 1 {
            bail!("only the class '{}' has scores; call the column 'score', or give both classes", classes[0].1);
        }
        if score.is_none() && classes.is_empty() && label.is_none() {
            bail!("no column says what was decided: label, score or score_<class>");
        }
        if let Some(missing) =
            self.classes.iter().find(|c| !classes.is_empty() && !classes.iter().any(|(_, n)| n == *c))
        {
            bail!("no column has scores of the class '{missing}'");
        }
        Ok(Columns { image, key, role, label, score, classes })
    }

    /// The classes: those given, else those of the columns, else 0 and 1, else the labels in alphabetical order.
    fn names<'a>(&self, columns: &Columns, labels: impl Iterator<Item = &'a str>) -> Vec<String> {
        if !self.classes.is_empty() {
            return self.classes.clone();
        }
        if !columns.classes.is_empty() {
            return columns.classes.iter().map(|(_, name)| name.clone()).collect();
        }
        if columns.score.is_some() && columns.label.is_none() {
            return vec!["0".to_owned(), "1".to_owned()];
        }
        let labels: BTreeSet<&str> = labels.collect();
        labels.into_iter().map(str::to_owned).collect()
    }

    fn row(&self, columns: &Columns, record: &csv::StringRecord, folder: &Path) -> Result<Row> {
        let cell = |place: usize| record.get(place).unwrap_or_default();
        let named = cell(columns.image);
        let image = match columns.key {
            Key::Digest => Image::Digest(named.parse().with_context(|| format!("'{named}' is no SHA-256"))?),
            Key::File => {
                let file = folder.join(named);
                let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
                Image::Digest(Digest::of(bytes))
            }
            Key::Task => {
                let task = named.parse().with_context(|| format!("'{named}' is no task's id, such as 412-17"))?;
                let role = columns.role.map_or("edit", cell);
                let known = Role::ALL.into_iter().find(|known| known.name() == role);
                let role = known.with_context(|| format!("'{role}' is none of source, reconstruction and edit"))?;
                Image::Task(task, role)
            }
        };
        let number = |place: usize, column: &str| -> Result<f64> {
            let text = cell(place);
            let value: f64 = text.parse().with_context(|| format!("{column}: '{text}' is no number"))?;
            if !value.is_finite() {
                bail!("{column} is {text}; every score must be finite");
            }
            Ok(value)
        };
        let scores = match columns.score {
            Some(place) => vec![number(place, "score")?],
            None => columns.classes.iter().map(|(place, name)| number(*place, name)).collect::<Result<_>>()?,
        };
        let label = columns.label.map(|place| cell(place).to_owned());
        if label.as_ref().is_some_and(String::is_empty) {
            bail!("the label is empty");
        }
        // in the order that the classes were given in
        let ordered = |scores: Vec<f64>| match (columns.score, self.classes.is_empty()) {
            (None, false) => {
                let place = |class: &String| columns.classes.iter().position(|(_, name)| name == class);
                self.classes.iter().filter_map(place).map(|place| scores[place]).collect()
            }
            _ => scores,
        };
        Ok(Row { image, label, scores: ordered(scores) })
    }

    fn reading(&self, classes: &[String], label: Option<&str>, scores: Vec<f64>) -> Result<Reading> {
        let decided = label
            .map(|label| {
                let place = classes.iter().position(|class| class == label);
                place.with_context(|| format!("the label '{label}' is no class; there are {}", classes.join(", ")))
            })
            .transpose()?;
        Ok(match scores.as_slice() {
            [] => Reading { class: decided.context("nothing was decided")?, scores: None },
            [score] if classes.len() == 2 => Reading {
                class: decided.unwrap_or(usize::from(*score >= self.threshold)),
                scores: Some(vec![1.0 - score, *score]),
            },
            [_] => bail!("a single score decides between two classes, and there are {}", classes.len()),
            all => {
                let largest = (1..all.len()).fold(0, |best, i| if all[i] > all[best] { i } else { best });
                Reading { class: decided.unwrap_or(largest), scores: Some(scores) }
            }
        })
    }
}

struct Row {
    image: Image,
    label: Option<String>,
    scores: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, classes: &[&str]) -> Result<Scores> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("face.png"), b"bytes")?;
        let path = folder.path().join("scores.csv");
        std::fs::write(&path, text)?;
        let classes = classes.iter().map(|c| (*c).to_owned()).collect();
        Reader { classes, threshold: 0.5 }.read(&path)
    }

    fn reading(scores: &Scores, digest: Digest) -> Reading {
        scores.readings[&Image::Digest(digest)].clone()
    }

    #[test]
    fn every_form_of_an_answer_is_read() {
        let (one, two) = (Digest::of("1"), Digest::of("2"));
        let scores =
            read(&format!("sha256,score_cat,score_dog\n{one},0.2,0.8\n{two},3,-1\n{one},0.2,0.8\n"), &[]).unwrap();
        assert_eq!(scores.classes, ["cat", "dog"]);
        assert_eq!(reading(&scores, one), Reading { class: 1, scores: Some(vec![0.2, 0.8]) });
        assert_eq!(reading(&scores, two).class, 0);

        let given = read(&format!("dog,sha256,cat\n0.8,{one},0.2\n"), &["cat", "dog"]).unwrap();
        assert_eq!(reading(&given, one), Reading { class: 1, scores: Some(vec![0.2, 0.8]) });

        let single = read(&format!("sha256,score\n{one},0.5\n{two},0.49\n"), &[]).unwrap();
        assert_eq!((reading(&single, one).class, reading(&single, two).class), (1, 0));
        assert_eq!(single.classes, ["0", "1"]);

        let labels = read("file,label\nface.png,dog\n", &[]).unwrap();
        assert_eq!(reading(&labels, Digest::of("bytes")), Reading { class: 0, scores: None });

        let tasks = read("task,role,label\n4-17,source,cat\n4-17,edit,dog\n", &[]).unwrap();
        let task: TaskId = "4-17".parse().unwrap();
        assert_eq!(tasks.readings[&Image::Task(task, Role::Edit)].class, 1);
        assert_eq!(tasks.class("dog").unwrap(), 1);
        assert!(tasks.class("cow").unwrap_err().to_string().contains("cat, dog"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let one = Digest::of("1");
        for (text, classes, said) in [
            ("sha256,colour\n", &[][..], "the column 'colour' is unknown"),
            ("label,score\n", &[], "no column names the image"),
            ("sha256,file,label\n", &[], "named twice"),
            ("sha256,label,label\n", &[], "two columns called 'label'"),
            ("sha256,role,label\n", &[], "belongs to the column 'task'"),
            ("sha256\n", &[], "no column says what was decided"),
            ("sha256,score_cat\n", &[], "only the class 'cat'"),
            ("sha256,score_cat,score_dog\n", &["cat", "cow"], "no column has scores of the class 'cow'"),
            (&format!("sha256,score\n{one},0.5\n{one},NaN\n"), &[], "scores.csv:3: score is NaN"),
            (&format!("sha256,score\n{one},high\n"), &[], "'high' is no number"),
            (&format!("sha256,score_a,score_b\n{one},inf,1\n"), &[], "a is inf"),
            (&format!("sha256,score\n{one},0.5\n{one},0.6\n"), &[], "scored before, in another way"),
            (&format!("sha256,label\n{one},cow\n"), &["cat", "dog"], "'cow' is no class; there are cat, dog"),
            (&format!("sha256,score\n{one},1\n"), &["a", "b", "c"], "a single score decides between two"),
            (&format!("sha256,label\n{one},\n"), &[], "the label is empty"),
            (&format!("sha256,label\n{one}\n"), &[], "scores.csv"),
            ("sha256,label\nabc,cat\n", &[], "'abc' is no SHA-256"),
            ("file,label\nno.png,cat\n", &[], "no.png cannot be read"),
            ("task,label\nx,cat\n", &[], "no task's id"),
            ("task,role,label\n1-1,mask,cat\n", &[], "'mask' is none of"),
        ] {
            let error = format!("{:#}", read(text, classes).unwrap_err());
            assert!(error.contains(said), "{error}\n{text}");
        }
    }
}
