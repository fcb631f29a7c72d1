//! What a file is, by its first bytes (names and media types lie), and whether it ends where its container says.

use super::Reject;
use domain::Reason;
use image::ImageFormat;

/// Formats that are decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Png,
    Jpeg,
    Webp,
    Gif,
    Bmp,
    Tiff,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }
}

/// Known by their first bytes, so that the message can say more than "no image".
const UNSUPPORTED: [(usize, &[u8], &str); 13] = [
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypavi", "AVIF"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"gimp xcf", "GIMP"),
    (0, b"FUJIFILMCCD-RAW", "raw camera"),
];

/// Recognises the format.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, Reject> {
    if bytes.is_empty() {
        return Err(Reject::new(Reason::NotAnImage, "the file is empty"));
    }
    let unsupported = |name: &str| {
        let message = format!("{name} files are not supported; convert to PNG, JPEG, WebP, GIF, BMP or TIFF");
        Reject::new(Reason::UnsupportedFormat, message)
    };
    if let Some((_, _, name)) =
        UNSUPPORTED.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)))
    {
        return Err(unsupported(name));
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => Ok(Format::Png),
        Ok(ImageFormat::Jpeg) => Ok(Format::Jpeg),
        Ok(ImageFormat::WebP) => Ok(Format::Webp),
        Ok(ImageFormat::Gif) => Ok(Format::Gif),
        Ok(ImageFormat::Bmp) => Ok(Format::Bmp),
        Ok(ImageFormat::Tiff) => Ok(Format::Tiff),
        Ok(other) => Err(unsupported(other.extensions_str().first().unwrap_or(&"such"))),
        Err(_) => {
            Err(Reject::new(Reason::NotAnImage, "the file is no image: its first bytes belong to no image format"))
        }
    }
}

/// True if the container promises more bytes than there are. Only for formats whose decoder would not tell: JPEG's
/// paints missing rows grey, the others report an early end as some defect or not at all.
pub(super) fn ends_early(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Png => !png_reaches_end(bytes),
        Format::Jpeg => !scan_jpeg(bytes).reaches_end,
        Format::Webp => word_le(bytes, 4).is_none_or(|size| (bytes.len() as u64) < u64::from(size) + 8),
        Format::Gif => gif_reaches_trailer(bytes).is_none(),
        Format::Bmp | Format::Tiff => false,
    }
}

/// Walks the blocks of a GIF (GIF89a specification, appendix B) to its trailer; nothing if the file ends first.
fn gif_reaches_trailer(bytes: &[u8]) -> Option<()> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let skip_sub_blocks = |mut at: usize| loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        at = match *bytes.get(at)? {
            0x21 => skip_sub_blocks(at + 2)?,
            0x2C => skip_sub_blocks(at + 11 + table(*bytes.get(at + 9)?))?,
            // The trailer, or damage that the decoder is better at naming.
            _ => return Some(()),
        }
    }
}

fn png_reaches_end(bytes: &[u8]) -> bool {
    let mut at = 8_usize;
    while let Some(head) = bytes.get(at..at + 8) {
        if &head[4..] == b"IEND" {
            return true;
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        match at.checked_add(length).and_then(|end| end.checked_add(12)) {
            Some(next) => at = next,
            None => return false,
        }
    }
    false
}

/// Whether a PNG's pixels are palette indices (colour type 3 of its header, which comes first).
pub(super) fn png_has_palette(bytes: &[u8]) -> bool {
    bytes.get(12..16) == Some(b"IHDR") && bytes.get(25) == Some(&3)
}

/// What a walk over a JPEG's segments tells.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct JpegScan {
    /// An end-of-image marker follows the first scan.
    pub(super) reaches_end: bool,
    /// Four components in the frame header: CMYK or YCCK.
    pub(super) four_inks: bool,
}

/// Walks the segments up to the first scan (ITU-T T.81, annex B), then looks for the end-of-image marker: entropy-coded data never
/// holds FF D9, thumbnails lie in segments before the scan.
pub(super) fn scan_jpeg(bytes: &[u8]) -> JpegScan {
    let mut seen = JpegScan::default();
    let mut at = 2;
    while let Some(&[mark, code]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        match (mark, code) {
            (0xFF, 0xFF) => at += 1, // fill bytes may precede any marker
            (0xFF, 0xDA) => {
                seen.reaches_end = bytes[at..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
                break;
            }
            (0xFF, 0x01 | 0xD0..=0xD7) => at += 2,
            (0xFF, _) => {
                let Some(&[hi, lo]) = bytes.get(at + 2..).and_then(|rest| rest.first_chunk::<2>()) else { break };
                let frame_header = matches!(code, 0xC0..=0xCF) && !matches!(code, 0xC4 | 0xC8 | 0xCC);
                seen.four_inks |= frame_header && bytes.get(at + 9) == Some(&4);
                at += 2 + usize::from(u16::from_be_bytes([hi, lo]));
            }
            // Not a marker: damaged. The decoder, which can resynchronise, has the last word.
            _ => {
                seen.reaches_end = bytes[at..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
                break;
            }
        }
    }
    seen
}

/// Whether a TIFF has a second page: the offset after its first directory is not zero. BigTIFF is not looked into.
pub(super) fn tiff_has_more_pages(bytes: &[u8]) -> bool {
    let little = bytes.starts_with(b"II");
    let half = |at: usize| {
        let two = *bytes.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(two) } else { u16::from_be_bytes(two) })
    };
    let word = |at: usize| {
        let four = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize)
    };
    let next = || {
        let directory = word(4)?;
        let entries = usize::from(half(directory)?);
        word(directory.checked_add(2 + 12 * entries)?)
    };
    half(2) == Some(42) && next().is_some_and(|offset| offset != 0)
}

fn word_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}
