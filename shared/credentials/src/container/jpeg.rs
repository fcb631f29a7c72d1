//! JPEG: XMP in APP1, the record in as many APP10 segments as it needs, the credential in APP11 (C2PA 2.2, A.3.2).

use super::{EmbedError, Part, RECORD_KEYWORD};
use bytes::Bytes;
use img_parts::jpeg::{Jpeg, JpegSegment, markers};

/// XMP specification part 3, §1.1.3.
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// A segment's length has 16 bits and counts itself.
const LARGEST: usize = 65_533;

pub(super) fn put(file: &[u8], part: Part, body: &[u8]) -> Result<Vec<u8>, EmbedError> {
    if part == Part::Xmp && XMP.len() + body.len() > LARGEST {
        return Err(EmbedError::TooLong { format: "JPEG", bytes: body.len() });
    }
    let mut jpeg = read(file)?;
    jpeg.segments_mut().retain(|segment| !is(segment, part));
    let segments = match part {
        Part::Xmp => vec![segment(markers::APP1, &[XMP, body])],
        Part::Record => {
            let head = head();
            let room = LARGEST - head.len() - 2;
            let pieces = body.chunks(room).zip(0_u16..);
            pieces.map(|(piece, index)| segment(markers::APP10, &[&head, &index.to_be_bytes(), piece])).collect()
        }
    };
    // After JFIF's or EXIF's own segment, which must come first.
    let kept = jpeg.segments().iter().take_while(|s| [markers::APP0, markers::APP1].contains(&s.marker())).count();
    jpeg.segments_mut().splice(kept..kept, segments);
    Ok(jpeg.encoder().bytes().to_vec())
}

pub(super) fn get(file: &[u8], part: Part) -> Result<Vec<Vec<u8>>, EmbedError> {
    let jpeg = read(file)?;
    let of_part = jpeg.segments().iter().filter(|segment| is(segment, part));
    if part == Part::Xmp {
        return Ok(of_part.map(|segment| segment.contents()[XMP.len()..].to_vec()).collect());
    }
    let head = head().len();
    let mut found: Vec<Vec<u8>> = Vec::new();
    for segment in of_part {
        let (index, piece) = segment.contents()[head..].split_at_checked(2).unwrap_or_default();
        match found.last_mut() {
            // The first piece begins another record.
            Some(record) if index != [0, 0] => record.extend(piece),
            _ => found.push(piece.to_vec()),
        }
    }
    Ok(found)
}

pub(super) fn bare(file: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let mut jpeg = read(file)?;
    let ours = |s: &JpegSegment| s.marker() == markers::APP11 || is(s, Part::Record) || is(s, Part::Xmp);
    jpeg.segments_mut().retain(|segment| !ours(segment));
    Ok(jpeg.encoder().bytes().to_vec())
}

fn head() -> Vec<u8> {
    [RECORD_KEYWORD.as_bytes(), &[0]].concat()
}

fn is(segment: &JpegSegment, part: Part) -> bool {
    match part {
        Part::Record => segment.marker() == markers::APP10 && segment.contents().starts_with(&head()),
        Part::Xmp => segment.marker() == markers::APP1 && segment.contents().starts_with(XMP),
    }
}

fn segment(marker: u8, parts: &[&[u8]]) -> JpegSegment {
    JpegSegment::new_with_contents(marker, Bytes::from(parts.concat()))
}

fn read(file: &[u8]) -> Result<Jpeg, EmbedError> {
    Jpeg::from_bytes(Bytes::copy_from_slice(file))
        .map_err(|error| EmbedError::Damaged { format: "JPEG", detail: error.to_string() })
}
