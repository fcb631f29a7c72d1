//! PNG (third edition, §11.3.3.4): the record and XMP are uncompressed iTXt chunks, the credential is a `caBX` chunk (C2PA 2.2, A.3.1).

use super::{EmbedError, Part, RECORD_KEYWORD};
use std::ops::Range;

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
const CREDENTIAL: [u8; 4] = *b"caBX";

struct Chunk {
    kind: [u8; 4],
    whole: Range<usize>,
    data: Range<usize>,
}

/// Keyword, NUL, compression flag 0, method 0, empty language tag NUL, empty translated keyword NUL.
fn head(part: Part) -> Vec<u8> {
    let keyword = match part {
        Part::Record => RECORD_KEYWORD,
        // XMP specification part 3, §1.1.5
        Part::Xmp => "XML:com.adobe.xmp",
    };
    [keyword.as_bytes(), &[0, 0, 0, 0, 0]].concat()
}

pub(super) fn put(png: &[u8], part: Part, body: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let head = head(part);
    let mut out = without(png, |c| is_text(png, c, &head))?;
    let all = chunks(&out)?;
    // Readers may stop looking for text where the pixels begin, and some (ExifTool) warn of what comes later.
    let at = match part {
        Part::Xmp => all.first().map(|c| c.whole.end),
        Part::Record => all.iter().find(|c| c.kind == *b"IDAT").map(|c| c.whole.start),
    };
    let at = at.ok_or_else(|| damaged(out.len()))?;
    out.splice(at..at, text_chunk(&head, body));
    Ok(out)
}

pub(super) fn get(png: &[u8], part: Part) -> Result<Vec<Vec<u8>>, EmbedError> {
    let head = head(part);
    let found = chunks(png)?.into_iter().filter(|c| is_text(png, c, &head));
    Ok(found.map(|c| png[c.data.start + head.len()..c.data.end].to_vec()).collect())
}

pub(super) fn bare(png: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let heads = [head(Part::Record), head(Part::Xmp)];
    without(png, |c| c.kind == CREDENTIAL || heads.iter().any(|head| is_text(png, c, head)))
}

fn is_text(png: &[u8], chunk: &Chunk, head: &[u8]) -> bool {
    chunk.kind == *b"iTXt" && png[chunk.data.clone()].starts_with(head)
}

fn without(png: &[u8], drop: impl Fn(&Chunk) -> bool) -> Result<Vec<u8>, EmbedError> {
    let mut out = png.to_vec();
    for chunk in chunks(png)?.into_iter().rev().filter(drop) {
        out.drain(chunk.whole);
    }
    Ok(out)
}

fn text_chunk(head: &[u8], body: &[u8]) -> Vec<u8> {
    let chunk = [b"iTXt".as_slice(), head, body].concat();
    // safe because a record is a few kilobytes, far below the 2 GiB limit of a chunk
    let length = u32::try_from(chunk.len() - 4).expect("a record fits into a PNG chunk");
    [&length.to_be_bytes(), chunk.as_slice(), &crc32fast::hash(&chunk).to_be_bytes()].concat()
}

/// Every chunk up to IEND.
fn chunks(png: &[u8]) -> Result<Vec<Chunk>, EmbedError> {
    if !png.starts_with(&SIGNATURE) {
        return Err(EmbedError::NoContainer);
    }
    let mut found = Vec::new();
    let mut at = SIGNATURE.len();
    loop {
        let Some(&[l0, l1, l2, l3, k0, k1, k2, k3]) = png.get(at..at + 8) else { return Err(damaged(at)) };
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let end = at + 12 + length;
        if end > png.len() {
            return Err(damaged(at));
        }
        let kind = [k0, k1, k2, k3];
        let sum: [u8; 4] = [png[end - 4], png[end - 3], png[end - 2], png[end - 1]];
        // A decoder looks at the sums of what it needs only, and a credential does not cover the frame it lies in.
        if crc32fast::hash(&png[at + 4..end - 4]) != u32::from_be_bytes(sum) {
            let detail = format!("the check sum of the chunk at byte {at} is wrong");
            return Err(EmbedError::Damaged { format: "PNG", detail });
        }
        found.push(Chunk { kind, whole: at..end, data: at + 8..end - 4 });
        if kind == *b"IEND" {
            return Ok(found);
        }
        at = end;
    }
}

fn damaged(at: usize) -> EmbedError {
    EmbedError::Damaged { format: "PNG", detail: format!("the chunk at byte {at} is cut off") }
}
