//! From bytes to pixels as the file has them. Nothing is allocated for pixels before the header's size has been accepted.

use super::sniff::{self, Format};
use super::{Limits, Reject, conversion};
use domain::Reason;
use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder,
};
use image::error::ImageError;
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, ExtendedColorType, ImageDecoder};
use std::error::Error;
use std::io::{self, Cursor};

/// The pixels and what the file says about them.
pub(super) struct Decoded {
    pub(super) image: DynamicImage,
    pub(super) size: [u32; 2],
    pub(super) orientation: Orientation,
    pub(super) conversions: Vec<String>,
}

/// One file on its way through the checks.
struct Source<'a> {
    bytes: &'a [u8],
    format: Format,
    limits: &'a Limits,
}

/// Header facts, read before the decoder is used up.
struct Header {
    size: [u32; 2],
    orientation: Orientation,
    conversions: Vec<String>,
}

pub(super) fn decode(bytes: &[u8], format: Format, limits: &Limits) -> Result<Decoded, Reject> {
    let source = Source { bytes, format, limits };
    let cursor = Cursor::new(bytes);
    let failed = |error| source.reject(&error);
    match format {
        Format::Png => {
            let decoder = PngDecoder::with_limits(cursor, source.decoder_limits()).map_err(failed)?;
            if decoder.is_apng().map_err(failed)? {
                let mut decoder = decoder;
                let header = source.header(&mut decoder)?;
                return source.only_frame(header, decoder.apng().map_err(failed)?);
            }
            source.still(decoder)
        }
        Format::Webp => {
            let mut decoder = WebPDecoder::new(cursor).map_err(failed)?;
            if decoder.has_animation() {
                let header = source.header(&mut decoder)?;
                return source.only_frame(header, decoder);
            }
            source.still(decoder)
        }
        Format::Gif => {
            let mut decoder = GifDecoder::new(cursor).map_err(failed)?;
            let header = source.header(&mut decoder)?;
            source.only_frame(header, decoder)
        }
        Format::Jpeg => source.still(JpegDecoder::new(cursor).map_err(failed)?),
        Format::Bmp => source.still(BmpDecoder::new(cursor).map_err(failed)?),
        Format::Tiff => source.still(TiffDecoder::new(cursor).map_err(failed)?),
    }
}

impl Source<'_> {
    fn decoder_limits(&self) -> image::Limits {
        let mut limits = image::Limits::no_limits();
        limits.max_alloc = Some(self.limits.max_decode_bytes);
        limits
    }

    /// Checks sizes, sets the decoder's limits and reads what is beside the pixels.
    fn header(&self, decoder: &mut impl ImageDecoder) -> Result<Header, Reject> {
        let (width, height) = decoder.dimensions();
        self.check_size(width, height, decoder.total_bytes())?;
        if sniff::ends_early(self.format, self.bytes) {
            return Err(self.truncated());
        }
        decoder.set_limits(self.decoder_limits()).map_err(|error| self.reject(&error))?;
        let mut conversions = Vec::new();
        let mut note = |name: &str, applies: bool| conversions.extend(applies.then(|| name.to_owned()));
        note(conversion::FIRST_PAGE, self.format == Format::Tiff && sniff::tiff_has_more_pages(self.bytes));
        // Damaged metadata is no reason to refuse sound pixels: it counts as absent.
        note(
            conversion::ICC_PROFILE_IGNORED,
            matches!(decoder.icc_profile(), Ok(Some(profile)) if !profile.is_empty()),
        );
        note(conversion::CMYK_TO_RGB, self.is_cmyk(decoder.original_color_type()));
        note(conversion::PALETTE_TO_RGB, self.has_palette());
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        Ok(Header { size: [width, height], orientation, conversions })
    }

    fn check_size(&self, width: u32, height: u32, decoded_bytes: u64) -> Result<(), Reject> {
        let limits = self.limits;
        if width.min(height) < limits.min_side {
            let message =
                format!("the image is {width}x{height} pixels; each side must have at least {}", limits.min_side);
            return Err(Reject::new(Reason::TooSmall, message));
        }
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > limits.max_side || pixels > limits.max_pixels {
            let (side, most) = (limits.max_side, limits.max_pixels);
            let message = format!("the image is {width}x{height} pixels; allowed are {side} a side and {most} in all");
            return Err(Reject::new(Reason::TooLarge, message));
        }
        if decoded_bytes > limits.max_decode_bytes {
            let most = limits.max_decode_bytes;
            let message = format!("the image takes {decoded_bytes} bytes of memory when decoded; allowed are {most}");
            return Err(Reject::new(Reason::TooLarge, message));
        }
        Ok(())
    }

    fn is_cmyk(&self, original: ExtendedColorType) -> bool {
        let inks = matches!(original, ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16);
        inks || (self.format == Format::Jpeg && sniff::scan_jpeg(self.bytes).four_inks)
    }

    fn has_palette(&self) -> bool {
        match self.format {
            Format::Png => sniff::png_has_palette(self.bytes),
            Format::Gif => true,
            // Bits a pixel, in the header that nearly every file has (BITMAPINFOHEADER and later).
            Format::Bmp => self.bytes.get(28).is_some_and(|bits| (1..=8).contains(bits)),
            Format::Jpeg | Format::Webp | Format::Tiff => false,
        }
    }

    fn still(&self, mut decoder: impl ImageDecoder) -> Result<Decoded, Reject> {
        let Header { size, orientation, conversions } = self.header(&mut decoder)?;
        let image = DynamicImage::from_decoder(decoder).map_err(|error| self.reject(&error))?;
        Ok(Decoded { image, size, orientation, conversions })
    }

    /// A container for animations is fine as long as it holds one frame.
    fn only_frame<'d>(&self, header: Header, animation: impl AnimationDecoder<'d>) -> Result<Decoded, Reject> {
        let mut frames = animation.into_frames();
        let frame = frames.next().unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
        let image = frame.map_err(|error| self.reject(&error))?.into_buffer();
        match frames.next() {
            None => {}
            Some(Err(error)) => return Err(self.reject(&error)),
            Some(Ok(_)) => {
                let message = "the image is animated: no frame of it is the image; extract the one you mean";
                return Err(Reject::new(Reason::Animated, message));
            }
        }
        let Header { size, orientation, conversions } = header;
        Ok(Decoded { image: DynamicImage::ImageRgba8(image), size, orientation, conversions })
    }

    fn truncated(&self) -> Reject {
        let message = format!(
            "the {} file ends before the image does ({} bytes); fetch it again",
            self.format.name(),
            self.bytes.len()
        );
        Reject::new(Reason::Truncated, message)
    }

    /// The reason behind a decoder's error.
    fn reject(&self, error: &ImageError) -> Reject {
        let name = self.format.name();
        match error {
            ImageError::Limits(_) => Reject::new(
                Reason::TooLarge,
                format!("decoding the {name} file takes more memory than allowed: {error}"),
            ),
            ImageError::Unsupported(_) => {
                Reject::new(Reason::UnsupportedFormat, format!("this kind of {name} file is not supported: {error}"))
            }
            _ if sniff::ends_early(self.format, self.bytes) || is_early_end(error) => self.truncated(),
            _ => Reject::new(Reason::Corrupt, format!("the {name} file is damaged: {error}")),
        }
    }
}

/// Whether an unexpected end of file is somewhere in the chain of causes.
fn is_early_end(error: &ImageError) -> bool {
    // `source()` of an IoError is that of the error inside, so the chain has to start with the inner one.
    let mut cause: Option<&(dyn Error + 'static)> = match error {
        ImageError::IoError(inner) => Some(inner),
        other => other.source(),
    };
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    false
}
