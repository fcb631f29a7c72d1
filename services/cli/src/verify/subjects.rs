//! What is to be verified, one at a time: files, the images of folders, the results of jobs.

use crate::args::VerifyArgs;
use crate::commands::Context;
use anyhow::{Context as _, Result};
use domain::JobId;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use wire::http::v1::{EditResult, Page};

/// One image.
pub struct Subject {
    /// Its file, or the task whose result it is.
    pub name: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The credential that travels beside it, of a file that can have none inside.
    pub beside: Option<Vec<u8>>,
}

/// Endings of images that carry records.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];
/// Ending of latents.
const LATENT: &str = "safetensors";
/// Ending of the credential beside a file.
pub const CREDENTIAL: &str = "c2pa";

/// Reads them on demand.
pub struct Subjects<'a> {
    at: &'a Context,
    files: VecDeque<PathBuf>,
    jobs: VecDeque<JobId>,
    page: VecDeque<EditResult>,
    after: Option<String>,
}

/// Lists what the arguments name.
///
/// # Errors
/// When a folder cannot be listed, or a job is named and no server may be asked.
pub fn of<'a>(at: &'a Context, args: &VerifyArgs) -> Result<Subjects<'a>> {
    let (mut files, mut jobs) = (VecDeque::new(), VecDeque::new());
    for path in &args.files {
        if path.is_dir() {
            images(path, &mut files)?;
        } else if let Some(job) = path.to_str().and_then(|text| text.parse().ok()).filter(|_| !path.exists()) {
            anyhow::ensure!(!args.offline, "the results of {job} are with the server, and --offline was given");
            jobs.push_back(job);
        } else {
            files.push_back(path.clone());
        }
    }
    Ok(Subjects { at, files, jobs, page: VecDeque::new(), after: None })
}

fn images(folder: &Path, files: &mut VecDeque<PathBuf>) -> Result<()> {
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("{} cannot be listed", folder.display()))?;
        let ending = entry.path().extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        // weights lie in folders too: a latent is known by its credential
        let latent = || ending.as_deref() == Some(LATENT) && entry.path().with_extension(CREDENTIAL).is_file();
        let image = ending.as_deref().is_some_and(|ending| ENDINGS.contains(&ending));
        if entry.file_type().is_file() && (image || latent()) {
            files.push_back(entry.into_path());
        }
    }
    Ok(())
}

impl Subjects<'_> {
    /// The next image.
    ///
    /// # Errors
    /// When it cannot be read or fetched.
    pub async fn next(&mut self) -> Result<Option<Subject>> {
        if let Some(name) = self.files.pop_front() {
            let bytes = std::fs::read(&name).with_context(|| format!("{} cannot be read", name.display()))?;
            let beside =
                name.extension().is_some_and(|ending| ending == LATENT).then(|| name.with_extension(CREDENTIAL));
            let beside = beside.map(|path| {
                std::fs::read(&path)
                    .with_context(|| format!("{} has no credential: {} cannot be read", name.display(), path.display()))
            });
            return Ok(Some(Subject { bytes, beside: beside.transpose()?, name }));
        }
        loop {
            if let Some(result) = self.page.pop_front() {
                let bytes = self.at.client.blob(result.image).await?;
                return Ok(Some(Subject { name: PathBuf::from(result.task.to_string()), bytes, beside: None }));
            }
            let Some(job) = self.jobs.front() else { return Ok(None) };
            let after = self.after.as_deref().map(|after| format!("&after={after}")).unwrap_or_default();
            let page: Page<EditResult> =
                self.at.client.get(&format!("/v1/jobs/{job}/results?limit=100{after}")).await?;
            self.page.extend(page.items);
            self.after = page.next;
            if self.after.is_none() {
                self.jobs.pop_front();
                if self.page.is_empty() && self.jobs.is_empty() {
                    return Ok(None);
                }
            }
        }
    }
}
