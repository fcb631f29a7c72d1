//! Requests and answers over HTTP.

pub mod v1;
