//! How an image says how it was made.
//!
//! **Owns** the form in which a provenance record travels inside an output PNG (one iTXt chunk, keyword
//! [`RECORD_KEYWORD`]), and the checks that hold a file against its record. Signatures (C2PA, DSSE) will live here too.
//!
//! **Never** talks to a service or opens a file by itself: bytes in, findings out, so that everything here works offline.
//!
//! **After a crash** nothing needs repair: all functions are pure.

pub mod embed;
pub mod raster;
pub mod verify;

pub use embed::{EmbedError, RECORD_KEYWORD, embed_record, extract_record, strip_record};
pub use raster::{RasterError, raster_digest};
pub use verify::{Check, Finding, check_digest, check_file, check_object};
