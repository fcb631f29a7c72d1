//! Reconcilers: each finds what a lost message or a lost process left behind and moves it on. Each is bounded, safe to repeat and
//! to run in several coordinators at once, and decides by the database's clock alone.

mod deadlines;
mod jobs;
mod producers;
mod retention;
mod tasks;

pub use deadlines::Expired;
pub use jobs::Settled;
pub use producers::Rearmed;
