//! What can go wrong while a file is written.

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The writer underneath refused.
    #[error("{what} cannot be written")]
    Write {
        /// What was being written.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A row that JSON cannot hold.
    #[error("the row of sample {sample} cannot be written as JSON")]
    Json {
        /// The sample.
        sample: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Parquet refused.
    #[error("a Parquet table cannot be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A key that a reader of shards would cut in two.
    #[error("'{0}' cannot be the key of a sample: readers of shards split names at the first dot and at slashes")]
    Key(String),
}

impl ExportError {
    pub(crate) const fn write(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Write { what, source }
    }
}
