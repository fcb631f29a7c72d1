//! From what a user typed (folders, globs, manifests, files) to a list of local images with labels.

use crate::manifest::{self, BadRow};
use anyhow::{Context as _, Result, bail};
use domain::Landmarks;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// File names taken from folders. Files named one by one, by glob or by manifest are taken whatever their name.
const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif"];

/// A local image to register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalSource {
    /// Where it lies.
    pub path: PathBuf,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The face in it.
    pub landmarks: Option<Landmarks>,
}

/// What the arguments name.
#[derive(Debug, Default)]
pub struct Found {
    /// Images, in order of arguments, then of names.
    pub sources: Vec<LocalSource>,
    /// Manifest rows that name none.
    pub bad: Vec<BadRow>,
    /// Files in folders whose name is no image's.
    pub skipped: usize,
}

/// Everything the arguments name.
///
/// # Errors
/// When an argument names nothing at all.
pub fn find(arguments: &[String]) -> Result<Found> {
    let mut found = Found::default();
    for argument in arguments {
        let path = Path::new(argument);
        if path.is_dir() {
            folder(path, &mut found)?;
        } else if path.is_file() && manifest::is_manifest(path) {
            let (rows, bad) = manifest::read(path)?;
            let source = |r: manifest::Row| LocalSource { path: r.path, labels: r.labels, landmarks: r.landmarks };
            found.sources.extend(rows.into_iter().map(source));
            found.bad.extend(bad);
        } else if path.is_file() {
            found.sources.push(LocalSource { path: path.to_owned(), labels: BTreeMap::new(), landmarks: None });
        } else {
            matching(argument, &mut found)?;
        }
    }
    Ok(found)
}

fn folder(path: &Path, found: &mut Found) -> Result<()> {
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.with_context(|| format!("{} cannot be listed", path.display()))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let extension = entry.path().extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        if EXTENSIONS.contains(&extension.as_str()) {
            found.sources.push(LocalSource { path: entry.into_path(), labels: BTreeMap::new(), landmarks: None });
        } else {
            found.skipped += 1;
        }
    }
    Ok(())
}

fn matching(pattern: &str, found: &mut Found) -> Result<()> {
    let paths = glob::glob(pattern).with_context(|| format!("'{pattern}' is neither a file, a folder nor a glob"))?;
    let before = found.sources.len();
    for path in paths {
        let path = path.with_context(|| format!("'{pattern}' cannot be listed"))?;
        if path.is_file() {
            found.sources.push(LocalSource { path, labels: BTreeMap::new(), landmarks: None });
        }
    }
    if found.sources.len() == before {
        bail!("'{pattern}' names no file; give a folder, a glob, a manifest (.csv, .jsonl) or an s3:// prefix");
    }
    Ok(())
}
