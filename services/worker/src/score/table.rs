//! The CSV of scores: appended to batch by batch, and gone on with after an interruption.

use anyhow::{Context as _, Result, bail};
use domain::Digest;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Scores on disk.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    file: File,
    header: Option<csv::StringRecord>,
    known: HashSet<Digest>,
}

impl Table {
    /// The scores at `path`, with what stands there; a last line that was cut off is taken away.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no such table.
    pub fn open(path: &Path) -> Result<Self> {
        let named = || path.display().to_string();
        let file = OpenOptions::new().create(true).append(true).read(true).open(path).with_context(named)?;
        let text = std::fs::read(path).with_context(named)?;
        // a cell never holds a line break, so that the last one ends the last whole row
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        file.set_len(whole as u64).with_context(named)?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text[..whole]);
        let mut rows = reader.records();
        let header = rows.next().transpose().with_context(named)?;
        if header.as_ref().is_some_and(|header| header.get(0) != Some("sha256")) {
            bail!("{} exists and holds no scores; give another name", path.display());
        }
        let mut known = HashSet::new();
        for row in rows {
            let row = row.with_context(named)?;
            known.insert(row.get(0).unwrap_or_default().parse().with_context(named)?);
        }
        Ok(Self { path: path.to_owned(), file, header, known })
    }

    /// Whether an image stands in it.
    pub fn has(&self, digest: Digest) -> bool {
        self.known.contains(&digest)
    }

    /// Appends rows of finite scores; `classes` is empty where the classes have no names.
    ///
    /// # Errors
    /// When the file was begun for other classes, or cannot be written.
    pub fn append(&mut self, classes: &[String], images: &[Digest], scores: &[Vec<f32>]) -> Result<()> {
        let width = scores.first().map_or(0, Vec::len);
        let numbered: Vec<String>;
        let names = if classes.is_empty() {
            numbered = (0..width).map(|class| class.to_string()).collect();
            &numbered
        } else {
            classes
        };
        let columns = ["sha256".to_owned(), "label".to_owned()].into_iter();
        let header: csv::StringRecord = columns.chain(names.iter().map(|name| format!("score_{name}"))).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        match &self.header {
            Some(begun) if *begun != header => {
                bail!("{} was begun for other classes; give another name", self.path.display())
            }
            Some(_) => {}
            None => writer.write_record(&header)?,
        }
        for (digest, row) in images.iter().zip(scores) {
            let decided = (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            let cells = [digest.to_string(), names[decided].clone()].into_iter();
            writer.write_record(cells.chain(row.iter().map(f32::to_string)))?;
        }
        let text = writer.into_inner()?;
        self.file.write_all(&text).with_context(|| format!("cannot write {}", self.path.display()))?;
        self.header = Some(header);
        self.known.extend(images);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_table_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.csv");
        let (one, two) = (Digest::of("1"), Digest::of("2"));
        let classes = ["a".to_owned(), "b, c".to_owned()];
        Table::open(&path).unwrap().append(&classes, &[one, two], &[vec![0.25, 0.75], vec![0.5, 0.5]]).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        assert_eq!(whole, format!("sha256,label,score_a,\"score_b, c\"\n{one},\"b, c\",0.25,0.75\n{two},a,0.5,0.5\n"));
        // cut off within the last line
        std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
        let mut table = Table::open(&path).unwrap();
        assert!(table.has(one) && !table.has(two));
        let other = table.append(&["a".to_owned(), "x".to_owned()], &[two], &[vec![0.5, 0.5]]).unwrap_err();
        assert!(other.to_string().contains("other classes"), "{other}");
        table.append(&classes, &[two], &[vec![0.5, 0.5]]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, "file,label\na,b\n").unwrap();
        assert!(Table::open(&path).unwrap_err().to_string().contains("holds no scores"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "file,label\na,b\n");
    }
}
