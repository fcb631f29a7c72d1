//! `--mask NAME=FOLDER`: which file of the folder is the mask of which image. The file of the same stem is: `hair/017.png` belongs
//! to `faces/017.jpg`.

use crate::args::UsageError;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The masks of one name.
#[derive(Debug)]
pub struct MaskFolder {
    /// The masks' name.
    pub name: String,
    files: BTreeMap<OsString, PathBuf>,
}

impl MaskFolder {
    /// Reads what lies in the folder of an argument `NAME=FOLDER`.
    ///
    /// # Errors
    /// When it is written otherwise, the folder cannot be listed or holds nothing, or two of its files have one stem.
    pub fn parse(argument: &str) -> Result<Self> {
        let Some((name, folder)) =
            argument.split_once('=').filter(|(name, folder)| !name.is_empty() && !folder.is_empty())
        else {
            bail!(UsageError(format!("--mask is '{argument}'; write NAME=FOLDER, such as hair=masks/hair")));
        };
        let mut files = BTreeMap::<OsString, PathBuf>::new();
        let listed = std::fs::read_dir(folder).with_context(|| format!("the masks of {folder} cannot be listed"))?;
        for entry in listed {
            let path = entry.with_context(|| format!("the masks of {folder} cannot be listed"))?.path();
            let Some(stem) = path.is_file().then(|| path.file_stem()).flatten().map(ToOwned::to_owned) else {
                continue;
            };
            if let Some(other) = files.insert(stem, path.clone()) {
                let (one, two) = (path.display(), other.display());
                bail!("{one} and {two} would be the mask of the same image; leave one of them");
            }
        }
        if files.is_empty() {
            bail!("{folder} holds no files that could be masks");
        }
        Ok(Self { name: name.to_owned(), files })
    }

    /// The mask of an image.
    pub fn of(&self, image: &Path) -> Option<&Path> {
        self.files.get(image.file_stem()?).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_found_by_its_stem() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap();
        assert!(MaskFolder::parse(&format!("hair={at}")).unwrap_err().to_string().contains("no files"));
        std::fs::write(folder.path().join("017.png"), b"x").unwrap();
        let masks = MaskFolder::parse(&format!("hair={at}")).unwrap();
        assert_eq!(
            (masks.name.as_str(), masks.of(Path::new("faces/017.jpg"))),
            ("hair", Some(&*folder.path().join("017.png")))
        );
        assert_eq!(masks.of(Path::new("faces/018.jpg")), None);
        std::fs::write(folder.path().join("017.tif"), b"x").unwrap();
        assert!(MaskFolder::parse(&format!("hair={at}")).unwrap_err().to_string().contains("same image"));
        for wrong in ["hair", "=x", "hair="] {
            assert!(MaskFolder::parse(wrong).unwrap_err().is::<UsageError>(), "{wrong}");
        }
    }
}
