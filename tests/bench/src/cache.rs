//! What a run has computed so far, in folders named by the digest of everything that decides it. A run that was stopped goes
//! on, and several processes share the work: a cell belongs to whoever holds the lock of its folder, and a process that ends
//! gives its locks back.

use crate::edit::Cost;
use crate::measure::Scores;
use anyhow::{Context as _, Result};
use editing::raster;
use image::RgbImage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// A folder of results.
pub struct Folder {
    path: PathBuf,
}

/// What stands beside the images of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// What decides the result, for people; its digest is the folder's name.
    pub of: serde_json::Value,
    /// The revision that computed it.
    pub revision: String,
    /// What it took.
    pub cost: Cost,
}

/// Held while a cell is being worked on.
pub struct Lock {
    _file: File,
}

impl Folder {
    /// The folder of a result.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(cache: &Path, digest: &domain::Digest) -> Result<Self> {
        let path = cache.join(digest.to_string());
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's lock, or none if another process works there.
    ///
    /// # Errors
    /// When the lock cannot be asked for.
    pub fn try_lock(&self) -> Result<Option<Lock>> {
        let file = File::create(self.path.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The folder's lock, as soon as it is free.
    ///
    /// # Errors
    /// When the lock cannot be asked for.
    pub fn lock(&self) -> Result<Lock> {
        let file = File::create(self.path.join("lock"))?;
        file.lock()?;
        Ok(Lock { _file: file })
    }

    /// The scores, if they were measured by these rules ([`rules`](crate::measure::rules)).
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn scores(&self, rules: &str) -> Result<Option<Scores>> {
        read_json(&self.path.join(scores_file(rules)))
    }

    /// Keeps the scores that were measured by these rules.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put_scores(&self, rules: &str, scores: &Scores) -> Result<()> {
        replace(&self.path.join(scores_file(rules)), &serde_json::to_vec(scores)?)
    }

    /// What stands beside the images, if there are any.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn entry(&self) -> Result<Option<Entry>> {
        read_json(&self.path.join("edit.json"))
    }

    /// Keeps edited images `[N, 3, R, R]` with what stands beside them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put(&self, images: &Tensor, entry: &Entry) -> Result<()> {
        let rasters = raster::to_rgb8(images)?;
        // Safe to narrow: pixels and a few hundred images.
        let (width, height) = (images.size()[3] as u32, (images.size()[2] * images.size()[0]) as u32);
        let column = RgbImage::from_raw(width, height, rasters.concat()).context("rasters fill a picture")?;
        let mut bytes = std::io::Cursor::new(Vec::new());
        column.write_to(&mut bytes, image::ImageFormat::Png)?;
        replace(&self.images_file(), bytes.get_ref())?;
        // Last, since it says that the images are there.
        replace(&self.path.join("edit.json"), &serde_json::to_vec_pretty(entry)?)
    }

    /// The edited images one below the other, as rasters of `side` x `side`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rasters(&self, side: i64) -> Result<Vec<Vec<u8>>> {
        let path = self.images_file();
        let column = image::open(&path).with_context(|| path.display().to_string())?.into_rgb8();
        Ok(column.into_raw().chunks_exact((side * side * 3) as usize).map(<[u8]>::to_vec).collect())
    }

    /// The edited images `[N, 3, side, side]`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn images(&self, side: i64) -> Result<Tensor> {
        Ok(raster::from_rgb8(&self.rasters(side)?, side, Device::Cpu)?)
    }

    fn images_file(&self) -> PathBuf {
        self.path.join("edited.png")
    }
}

fn scores_file(rules: &str) -> String {
    format!("scores-{rules}.json")
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| path.display().to_string()).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Writes a file so that it is whole or absent.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).with_context(|| new.display().to_string())?;
    std::fs::rename(&new, path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn images_come_back_as_they_went_and_a_lock_excludes() {
        let cache = tempfile::tempdir().unwrap();
        let folder = Folder::open(cache.path(), &domain::Digest::of("a cell")).unwrap();
        let images = raster::as_published(&(Tensor::arange(2 * 3 * 64, (Kind::Float, Device::Cpu)) / 200.0 - 1.0))
            .unwrap()
            .view([2, 3, 8, 8]);
        let cost = Cost {
            seconds_per_image: 0.5,
            cpu_seconds_per_image: 0.25,
            training: None,
            strengths: None,
            failed: vec![1],
        };
        let entry = Entry { of: serde_json::json!({ "text": "t" }), revision: "r".to_owned(), cost };
        assert!(folder.entry().unwrap().is_none());
        let held = folder.try_lock().unwrap().expect("nobody works there");
        assert!(folder.try_lock().unwrap().is_none());
        folder.put(&images, &entry).unwrap();
        drop(held);
        assert!(folder.try_lock().unwrap().is_some());
        assert_eq!(folder.images(8).unwrap(), images);
        assert_eq!(folder.entry().unwrap().unwrap().cost.failed, [1]);
    }
}
