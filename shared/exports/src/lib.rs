//! Results of a job as datasets that other programs load: rows and bytes in, files out.
//!
//! **Owns** what a pair is called in every format: the columns ([`Row`], [`Columns`]), the splits ([`Splits`]), and the writers of
//! JSON lines ([`JsonLines`]), Parquet ([`Table`]), WebDataset shards ([`Shard`]), Croissant ([`croissant`]) and PROV ([`Prov`]).
//! All of them write to any [`std::io::Write`], hold a bounded number of rows, and give equal bytes for equal rows.
//!
//! **Never** opens a file, speaks to a network, reads a clock, or knows where rows come from. Which files exist, what they are called
//! and where they go is the caller's.
//!
//! **After a crash** nothing needs repair here, because nothing is kept. A caller that notes how long a file of JSON lines or a shard
//! was after a row can cut it there and go on ([`Shard::resume`]); tables and documents are written again from the rows.

mod croissant;
mod error;
mod hashed;
mod lines;
mod media;
mod prov;
mod row;
mod shard;
mod split;
mod table;

pub use croissant::{Agent, Dataset, File, FileSet, Rai, croissant};
pub use error::ExportError;
pub use hashed::{Hashed, Written};
pub use lines::{Failure, JsonLines, Manifested};
pub use media::{extension, media_type};
pub use prov::{Activity, Prov};
pub use row::{Column, Columns, Kind, Made, Row, Value, column_of_metric};
pub use shard::{Shard, safe_key};
pub use split::{SplitError, Splits};
pub use table::Table;
