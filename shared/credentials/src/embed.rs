//! The record inside a PNG: one uncompressed iTXt chunk before IEND (PNG specification, third edition, §11.3.3.4).
//!
//! The chunk is spliced in and cut out byte by byte, never by re-encoding: stripping an output gives exactly the file that
//! `outcome.unsigned_sha256` was computed over.

use domain::record::{Record, WrittenRecord};
use std::ops::Range;

/// Keyword of the iTXt chunk.
pub const RECORD_KEYWORD: &str = "counterfactory.record";

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// A file that cannot carry, or does not carry, a readable record.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The bytes do not begin as a PNG does.
    #[error("the file is not a PNG; records travel inside the PNG files that a worker writes")]
    NotPng,
    /// A chunk runs past the end, or IEND is missing.
    #[error("the PNG ends before its last chunk: it is truncated or damaged at byte {at}")]
    Truncated {
        /// Offset of the chunk that is cut off.
        at: usize,
    },
    /// No record chunk: the file was never one of ours, or a program that rewrote it dropped the chunk.
    #[error("the PNG carries no record (chunk iTXt '{RECORD_KEYWORD}'); was it re-encoded by another program?")]
    NoRecord,
    /// More than one record chunk.
    #[error("the PNG carries {0} records; exactly one is allowed")]
    Several(usize),
    /// The record chunk is not a record.
    #[error("the record inside the PNG cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// `png` with the text of `record` inside, in front of IEND. A record that is already there is replaced.
///
/// # Errors
/// When `png` is not a whole PNG.
pub fn embed_record(png: &[u8], record: &WrittenRecord) -> Result<Vec<u8>, EmbedError> {
    let mut out = strip_record(png)?;
    let end = chunks(&out)?.into_iter().find(|c| c.kind == *b"IEND").map(|c| c.whole.start);
    let end = end.ok_or(EmbedError::Truncated { at: out.len() })?;
    out.splice(end..end, chunk(record.text().as_bytes()));
    Ok(out)
}

/// The record inside `png`, with the exact bytes it was read from (their digest is the record's digest).
///
/// # Errors
/// When there is no record, more than one, or an unreadable one.
pub fn extract_record(png: &[u8]) -> Result<(Record, Vec<u8>), EmbedError> {
    let found = record_chunks(png)?;
    let [only] = found.as_slice() else {
        return Err(if found.is_empty() { EmbedError::NoRecord } else { EmbedError::Several(found.len()) });
    };
    let json = png[only.text.clone()].to_vec();
    let record = serde_json::from_slice(&json).map_err(EmbedError::Unreadable)?;
    Ok((record, json))
}

/// `png` without any record chunk; all other bytes unchanged.
///
/// # Errors
/// When `png` is not a whole PNG.
pub fn strip_record(png: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let mut out = png.to_vec();
    for found in record_chunks(png)?.into_iter().rev() {
        out.drain(found.whole);
    }
    Ok(out)
}

struct RecordChunk {
    whole: Range<usize>,
    text: Range<usize>,
}

fn record_chunks(png: &[u8]) -> Result<Vec<RecordChunk>, EmbedError> {
    // keyword, NUL, compression flag 0, method 0, empty language tag NUL, empty translated keyword NUL
    let head = header();
    let ours = |c: &Chunk| c.kind == *b"iTXt" && png[c.data.clone()].starts_with(&head);
    let found = chunks(png)?.into_iter().filter(ours);
    Ok(found.map(|c| RecordChunk { whole: c.whole, text: c.data.start + head.len()..c.data.end }).collect())
}

fn header() -> Vec<u8> {
    [RECORD_KEYWORD.as_bytes(), &[0, 0, 0, 0, 0]].concat()
}

fn chunk(json: &[u8]) -> Vec<u8> {
    let body = [b"iTXt".as_slice(), &header(), json].concat();
    // safe because a record is a few kilobytes, far below the 2 GiB limit of a chunk
    let length = u32::try_from(body.len() - 4).expect("a record fits into a PNG chunk");
    [&length.to_be_bytes(), body.as_slice(), &crc32fast::hash(&body).to_be_bytes()].concat()
}

struct Chunk {
    kind: [u8; 4],
    whole: Range<usize>,
    data: Range<usize>,
}

fn chunks(png: &[u8]) -> Result<Vec<Chunk>, EmbedError> {
    if !png.starts_with(&SIGNATURE) {
        return Err(EmbedError::NotPng);
    }
    let mut found = Vec::new();
    let mut at = SIGNATURE.len();
    loop {
        let cut = EmbedError::Truncated { at };
        let Some(&[l0, l1, l2, l3, k0, k1, k2, k3]) = png.get(at..at + 8) else { return Err(cut) };
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let end = at + 12 + length;
        if end > png.len() {
            return Err(cut);
        }
        let kind = [k0, k1, k2, k3];
        found.push(Chunk { kind, whole: at..end, data: at + 8..end - 4 });
        if kind == *b"IEND" {
            return Ok(found);
        }
        at = end;
    }
}
