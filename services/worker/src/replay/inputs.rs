//! What a replay reads: outputs with their records, and the files that records name by digest.

use anyhow::{Context as _, Result, bail};
use domain::Digest;
use domain::record::Record;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An output, or its record alone.
#[derive(Debug)]
pub struct Output {
    /// Its record.
    pub record: Record,
    /// The record as it was read, with what this version does not know.
    pub json: Value,
    /// RGB8 raster of the picture; none where the record came alone.
    pub raster: Option<Vec<u8>>,
}

impl Output {
    /// Reads a picture, or a record as JSON.
    ///
    /// # Errors
    /// When there is no record, or the picture is not the one it was written for.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).context("the file cannot be read")?;
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            let record = serde_json::from_slice(&bytes).context("the file holds no record")?;
            return Ok(Self { record, json: serde_json::from_slice(&bytes)?, raster: None });
        }
        let (record, text) = credentials::extract_record(&bytes)?;
        let (_, _, raster) = credentials::raster::decode(&bytes)?;
        if Digest::of(&raster) != record.outcome.raster_sha256 {
            bail!("the picture's pixels are not those of its record; `cfx verify` says more");
        }
        Ok(Self { record, json: serde_json::from_slice(&text)?, raster: Some(raster) })
    }

    /// The digest of the raster that a replay must give: as the generator drew it, before a watermark or a lossy format.
    pub fn expected(&self) -> Digest {
        let rendered = self.json["outcome"]["rendered_sha256"].as_str().and_then(|text| text.parse().ok());
        rendered.unwrap_or(self.record.outcome.raster_sha256)
    }

    /// Where the source was registered from.
    pub fn source_uri(&self) -> Option<&str> {
        let told = [&self.json["links"]["source_uri"], &self.json["recipe"]["source"]["uri"]];
        told.into_iter().find_map(Value::as_str)
    }
}

/// Files by their digests, in the places that were given; each is hashed once.
#[derive(Debug)]
pub struct Objects {
    given: Vec<PathBuf>,
    /// What was hashed, once a guess by name did not do.
    hashed: Option<BTreeMap<Digest, PathBuf>>,
}

impl Objects {
    /// Files, and folders of files.
    pub fn new(given: &[PathBuf]) -> Self {
        Self { given: given.to_vec(), hashed: None }
    }

    /// The file of this digest: the one of the same name as in `uri` in a folder given, else any that was given, else the one at `uri`
    /// where nothing was given.
    ///
    /// # Errors
    /// When a place that was given cannot be read.
    pub fn find(&mut self, digest: Digest, uri: Option<&str>) -> Result<Option<Vec<u8>>> {
        if self.given.is_empty() {
            let local = uri.map(|uri| uri.strip_prefix("file://").unwrap_or(uri));
            return Ok(local.and_then(|path| std::fs::read(path).ok()).filter(|bytes| Digest::of(bytes) == digest));
        }
        let name = uri.and_then(|uri| uri.rsplit('/').next()).filter(|name| !name.is_empty());
        for folder in self.given.iter().filter(|path| path.is_dir()) {
            let named = name.and_then(|name| std::fs::read(folder.join(name)).ok());
            if let Some(bytes) = named.filter(|bytes| Digest::of(bytes) == digest) {
                return Ok(Some(bytes));
            }
        }
        if self.hashed.is_none() {
            self.hashed = Some(hash(&self.given)?);
        }
        let path = self.hashed.as_ref().and_then(|hashed| hashed.get(&digest));
        path.map(|path| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))).transpose()
    }
}

fn hash(given: &[PathBuf]) -> Result<BTreeMap<Digest, PathBuf>> {
    let mut hashed = BTreeMap::new();
    let mut open: Vec<PathBuf> = given.to_vec();
    while let Some(path) = open.pop() {
        let named = || format!("{} cannot be read", path.display());
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(named)? {
                open.push(entry.with_context(named)?.path());
            }
        } else {
            hashed.insert(packs::weights::file_digest(&path).with_context(named)?, path);
        }
    }
    Ok(hashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_digest_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("a.png"), b"a").unwrap();
        std::fs::write(folder.path().join("b.png"), b"b").unwrap();
        let mut all = Objects::new(&[folder.path().to_owned()]);
        assert_eq!(all.find(Digest::of("b"), Some("s3://x/b.png")).unwrap().as_deref(), Some(&b"b"[..]));
        assert!(all.hashed.is_none(), "the name was enough");
        assert_eq!(all.find(Digest::of("a"), None).unwrap().as_deref(), Some(&b"a"[..]));
        assert_eq!(
            all.find(Digest::of("c"), Some("b.png")).unwrap(),
            None,
            "another file of that name is another file"
        );
        let mut none = Objects::new(&[]);
        let uri = format!("file://{}", folder.path().join("b.png").display());
        assert_eq!(none.find(Digest::of("b"), Some(&uri)).unwrap().as_deref(), Some(&b"b"[..]));
        assert_eq!(none.find(Digest::of("c"), Some(&uri)).unwrap(), None);
        assert!(Objects::new(&["nowhere".into()]).find(Digest::of("c"), None).is_err());
    }
}
