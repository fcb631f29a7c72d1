//! A job's results as a dataset in a folder or a bucket.
//!
//! Two passes. The first ([`pairs`]) walks the job's results page by page, brings each image where it belongs, and appends each row to
//! a staged file; the second ([`documents`]) makes tables and documents of the staged rows. Neither holds more than a page in memory.
//!
//! After a crash: what is staged lies beside a note of how far it is ([`staging`]), written after every page. An export that is run
//! again cuts the staged files to the noted lengths and goes on there. Nothing appears under its own name before it is whole.

mod card;
mod documents;
mod images;
mod pairs;
mod plan;
mod shards;
mod sink;
mod staging;
mod survey;

pub use documents::{Report, report};
pub use plan::{Format, Plan};
pub use sink::Sink;
pub use staging::Staging;

use crate::client::Client;
use anyhow::Result;
use indicatif::ProgressBar;

/// What every pass works with.
pub struct Work<'a> {
    /// The coordinator.
    pub client: &'a Client,
    /// What is asked for.
    pub plan: &'a Plan,
    /// Where it goes.
    pub sink: &'a Sink,
    /// What is kept until it is whole.
    pub staging: &'a Staging,
    /// For people.
    pub bar: &'a ProgressBar,
}

/// Exports, or goes on with an export that was interrupted; `repeated` says that an older one lies there.
///
/// # Errors
/// Names what could not be read or written, and what to do.
pub async fn run(work: &Work<'_>, repeated: bool) -> Result<Report> {
    let noted = work.staging.load()?;
    let resumed = noted.is_some();
    let mut state = match noted {
        Some(state) if state.identity == work.plan.identity => state,
        Some(state) => {
            work.plan.same_place(&state.identity, work.sink)?;
            // the job went on meanwhile, or is described otherwise: images that are there are not fetched again
            survey::run(work, true).await?
        }
        None => survey::run(work, repeated).await?,
    };
    work.bar.set_length(state.total);
    work.bar.set_position(state.pairs);
    pairs::run(work, &mut state, resumed).await?;
    documents::run(work, &state).await
}
