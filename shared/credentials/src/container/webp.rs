//! WebP (RFC 9649): XMP in its `XMP ` chunk, the record in a chunk of its own (unknown chunks are allowed after the image), the credential
//! in a `C2PA` chunk. Any of them needs the extended form, whose header says what there is.

use super::{EmbedError, Part};
use bytes::Bytes;
use img_parts::riff::{RiffChunk, RiffContent};
use img_parts::webp::{CHUNK_VP8X, CHUNK_XMP, WebP};

const RECORD: [u8; 4] = *b"CFXR";
const CREDENTIAL: [u8; 4] = *b"C2PA";
/// RFC 9649 §2.7: the flag that says there is XMP.
const HAS_XMP: u8 = 1 << 2;

pub(super) fn put(file: &[u8], part: Part, body: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let mut webp = read(file)?;
    webp.remove_chunks_by_id(id(part));
    extend(&mut webp)?;
    if part == Part::Xmp {
        flag(&mut webp, |flags| flags | HAS_XMP);
    }
    webp.chunks_mut().push(chunk(id(part), body));
    Ok(webp.encoder().bytes().to_vec())
}

pub(super) fn get(file: &[u8], part: Part) -> Result<Vec<Vec<u8>>, EmbedError> {
    let webp = read(file)?;
    let bodies = webp.chunks().iter().filter(|c| c.id() == id(part)).filter_map(|c| c.content().data());
    Ok(bodies.map(|body| body.to_vec()).collect())
}

pub(super) fn bare(file: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let mut webp = read(file)?;
    for id in [RECORD, CHUNK_XMP, CREDENTIAL] {
        webp.remove_chunks_by_id(id);
    }
    flag(&mut webp, |flags| flags & !HAS_XMP);
    // An extended header that says nothing is no part of the picture.
    let header = webp.chunk_by_id(CHUNK_VP8X).and_then(|c| c.content().data());
    if header.is_some_and(|data| data.first() == Some(&0)) {
        webp.remove_chunks_by_id(CHUNK_VP8X);
    }
    Ok(webp.encoder().bytes().to_vec())
}

const fn id(part: Part) -> [u8; 4] {
    match part {
        Part::Record => RECORD,
        Part::Xmp => CHUNK_XMP,
    }
}

/// Gives the file its extended header, if it has none.
fn extend(webp: &mut WebP) -> Result<(), EmbedError> {
    if webp.has_chunk(CHUNK_VP8X) {
        return Ok(());
    }
    let Some((width, height)) = webp.dimensions() else {
        return Err(EmbedError::Damaged { format: "WebP", detail: "it does not say how large it is".to_owned() });
    };
    let side = |pixels: u32| pixels.saturating_sub(1).to_le_bytes();
    let ([w0, w1, w2, _], [h0, h1, h2, _]) = (side(width), side(height));
    webp.chunks_mut().insert(0, chunk(CHUNK_VP8X, &[0, 0, 0, 0, w0, w1, w2, h0, h1, h2]));
    Ok(())
}

fn flag(webp: &mut WebP, change: impl Fn(u8) -> u8) {
    for part in webp.chunks_mut().iter_mut().filter(|c| c.id() == CHUNK_VP8X) {
        let Some(mut header) = part.content().data().map(|data| data.to_vec()) else { continue };
        if let Some(flags) = header.first_mut() {
            *flags = change(*flags);
        }
        *part = chunk(CHUNK_VP8X, &header);
    }
}

fn chunk(id: [u8; 4], body: &[u8]) -> RiffChunk {
    RiffChunk::new(id, RiffContent::Data(Bytes::copy_from_slice(body)))
}

fn read(file: &[u8]) -> Result<WebP, EmbedError> {
    WebP::from_bytes(Bytes::copy_from_slice(file))
        .map_err(|error| EmbedError::Damaged { format: "WebP", detail: error.to_string() })
}
