//! What can go wrong in a loop. A loop never decides on an error's text: it logs the chain and tries again.

/// A step of a loop failed.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// Postgres.
    #[error("the database refused a step")]
    Store(#[from] store::StoreError),
    /// S3.
    #[error("the bucket refused a step")]
    Artifacts(#[from] artifacts::ArtifactError),
    /// RabbitMQ.
    #[error("the broker refused a step")]
    Broker(#[from] broker::BrokerError),
    /// OpenLineage.
    #[error("an event of lineage cannot be told")]
    Lineage(#[from] crate::lineage::LineageError),
    /// Kubernetes.
    #[error("a pod cannot be told its cost")]
    Pods(#[from] crate::pods::PodsError),
    /// A specification without canonical form: validation lets none through.
    #[error("a stage key cannot be computed")]
    Canonical(#[from] domain::digest::CanonicalError),
    /// A message that cannot be written.
    #[error("a message cannot be encoded")]
    Encode(#[from] serde_json::Error),
    /// A step that does not end: most likely its connection is one whose other end is gone.
    #[error("a step did not end within {0:?}; it is given up and made again")]
    Stuck(std::time::Duration),
    /// A row that another version wrote and this one cannot read.
    #[error("job {job}: {what}")]
    Unreadable {
        /// Sequence number of the job.
        job: i64,
        /// What is wrong.
        what: String,
    },
}

impl LoopError {
    /// The error with all its causes, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
