//! What the credentials of an output prove, and what they do not.
#![expect(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod certificates;
mod companion;
mod credential;
mod embed;
mod fixture;
mod hostile;
mod seal;
mod tamper;
mod texts;
