//! Fills a dataset from an `s3://` prefix, in the background: lists page by page, fetches, hashes, copies each object into the
//! content-addressed store, registers it. The cursor moves with every page, so a restart goes on where it stopped; two
//! coordinators at the same page do harmless double work, and only one of them moves the cursor.

use crate::app::App;
use crate::error::LoopError;
use crate::sweep::Reconciler;
use artifacts::{ArtifactClass, ArtifactError, Listed, S3Uri};
use domain::DatasetId;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Import, SourceRow};

/// Objects fetched at once.
const FETCHED_AT_ONCE: usize = 8;
/// The loop's body.
pub struct ImportPrefixes {
    /// What it works with.
    pub app: App,
}

impl Reconciler for ImportPrefixes {
    const NAME: &'static str = "import";
    const EAGER: bool = true;
    /// Every source of a slice is read and hashed.
    const PATIENCE: Duration = Duration::from_secs(3600);

    async fn run_once(&self) -> Result<u64, LoopError> {
        let mut pages = 0;
        for import in self.app.store.importing().await? {
            pages += self.page(&import).await?;
        }
        Ok(pages)
    }
}

impl ImportPrefixes {
    /// Imports one page; 1 if the import moved on.
    async fn page(&self, import: &Import) -> Result<u64, LoopError> {
        let prefix: S3Uri = match import.uri.parse() {
            Ok(prefix) => prefix,
            Err(error) => return self.end(import, format!("{error}")).await,
        };
        let page = match self.app.artifacts.list_uri(&prefix, import.cursor.as_deref()).await {
            Ok(page) => page,
            // no such bucket, no right to list it: asking again does not help, and the user should read why
            Err(error) if error.class() != ArtifactClass::Unavailable => {
                return self.end(import, format!("{}: {error}", import.uri)).await;
            }
            Err(error) => return Err(error.into()),
        };
        let objects = page.objects.into_iter().filter(|object| !object.key.ends_with('/'));
        let limit = self.app.config.limits.image_bytes as u64;
        let fetched = stream::iter(objects.map(|object| self.fetch(&prefix.bucket, object, limit)));
        let fetched: Vec<Result<SourceRow, Refusal>> = fetched.buffered(FETCHED_AT_ONCE).collect().await;
        let (mut rows, mut errors) = (Vec::new(), Vec::new());
        for result in fetched {
            match result {
                Ok(row) => rows.push(row),
                Err(Refusal::Object(sentence)) => errors.push(sentence),
                Err(Refusal::Later(error)) => return Err(error.into()),
            }
        }
        self.register(import.dataset, rows, &mut errors).await?;
        let (from, cursor) = (import.cursor.as_deref(), page.next.as_deref());
        let moved = self.app.store.import_progress(import.dataset, from, cursor, &errors, page.next.is_none()).await?;
        if moved && page.next.is_none() {
            tracing::info!(dataset = %import.dataset, uri = import.uri, "an import ended");
        }
        Ok(u64::from(moved))
    }

    async fn register(
        &self,
        dataset: DatasetId,
        rows: Vec<SourceRow>,
        errors: &mut Vec<String>,
    ) -> Result<(), LoopError> {
        if rows.is_empty() {
            return Ok(());
        }
        let added = self.app.store.add_sources(dataset, &rows).await?;
        // a page that is imported again after a restart finds its own sources: that is no duplicate worth telling
        let doubled = added.duplicates.into_iter().filter(|d| d.uri != d.same_as);
        errors.extend(doubled.map(|d| format!("{}: the same bytes as {}; kept once", d.uri, d.same_as)));
        Ok(())
    }

    /// Ends an import that cannot go on, with the reason.
    async fn end(&self, import: &Import, sentence: String) -> Result<u64, LoopError> {
        tracing::warn!(dataset = %import.dataset, uri = import.uri, sentence, "an import cannot go on");
        let cursor = import.cursor.as_deref();
        let moved = self.app.store.import_progress(import.dataset, cursor, cursor, &[sentence], true).await?;
        Ok(u64::from(moved))
    }

    async fn fetch(&self, bucket: &str, object: Listed, limit: u64) -> Result<SourceRow, Refusal> {
        let address = S3Uri { bucket: bucket.to_owned(), key: object.key };
        let uri = address.to_string();
        if object.bytes > limit {
            return Err(Refusal::Object(format!("{uri}: {} bytes, the limit is {limit}", object.bytes)));
        }
        let bytes = match self.app.artifacts.get_uri(&address).await {
            Ok(bytes) => bytes,
            Err(error) if error.class() == ArtifactClass::Unavailable => return Err(Refusal::Later(error)),
            Err(error) => return Err(Refusal::Object(format!("{uri}: {error}"))),
        };
        let length = bytes.len() as i64;
        let sha256 = self.app.artifacts.put(bytes).await.map_err(Refusal::Later)?;
        Ok(SourceRow { sha256, uri, bytes: length, labels: BTreeMap::new(), masks: BTreeMap::new(), landmarks: None })
    }
}

/// Why an object is not imported now.
enum Refusal {
    /// It never will be: told to the user.
    Object(String),
    /// The bucket failed: the page is tried again.
    Later(ArtifactError),
}
