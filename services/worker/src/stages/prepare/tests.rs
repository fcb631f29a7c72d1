//! Every sort of file a user has ever put into a dataset folder. What the `image` crate can write is made here; the rest lies in
//! `fixtures/`, made by Pillow (`fixtures/make.py`), so that reader and writer are not the same code.

use super::{Limits, Prepared, Reject, conversion, upright};
use domain::Reason;
use image::{DynamicImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use rand::{Rng, SeedableRng};
use std::io::Cursor;

/// Decoded, and its centred square.
fn prepare(bytes: &[u8], limits: &Limits, resolution: u32) -> Result<Prepared, Reject> {
    upright(bytes, limits)?.square(resolution)
}

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => { [$(($name, include_bytes!(concat!("fixtures/", $name)) as &[u8])),*] };
}

const FIXTURES: [(&str, &[u8]); 27] = fixtures![
    "animated.gif",
    "animated.png",
    "animated.webp",
    "bomb.png",
    "cmyk.jpg",
    "cmyk.tif",
    "exif-1.jpg",
    "exif-2.jpg",
    "exif-3.jpg",
    "exif-4.jpg",
    "exif-5.jpg",
    "exif-6.jpg",
    "exif-7.jpg",
    "exif-8.jpg",
    "grey-float.tif",
    "icc.jpg",
    "lossy.webp",
    "one-frame.png",
    "palette.bmp",
    "palette.png",
    "progressive.jpg",
    "sixteen.png",
    "still.gif",
    "two-pages.tif",
    "wave-64-pillow-bicubic.png",
    "wave-96.png",
    "expected.txt",
];

fn fixture(name: &str) -> &'static [u8] {
    FIXTURES.iter().find(|(n, _)| *n == name).map(|(_, bytes)| *bytes).unwrap_or_else(|| panic!("no fixture {name}"))
}

fn run(bytes: &[u8], resolution: u32) -> Result<Prepared, Reject> {
    prepare(bytes, &Limits::default(), resolution)
}

fn ok(bytes: &[u8], resolution: u32) -> Prepared {
    run(bytes, resolution).unwrap_or_else(|reject| panic!("refused as {}: {reject}", reject.reason))
}

fn refused(bytes: &[u8]) -> Reject {
    run(bytes, 64).expect_err("should be refused")
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn pixel(prepared: &Prepared, x: u32, y: u32) -> [u8; 3] {
    let at = ((y * prepared.resolution + x) * 3) as usize;
    prepared.raster[at..at + 3].try_into().unwrap()
}

fn close(a: [u8; 3], b: [u8; 3], tolerance: u8) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= tolerance)
}

/// The fixtures' quarters are 20x12 pixels in 40x24; at resolution 24 the centre crop cuts 8 columns off each side and nothing is
/// resized, so Pillow's spots at x = 10 and 30 become 2 and 22.
const SPOTS: [(u32, u32); 4] = [(2, 6), (22, 6), (2, 18), (22, 18)];
const QUARTERS: [[u8; 3]; 4] = [[220, 30, 20], [30, 160, 40], [20, 60, 210], [200, 200, 200]];

#[test]
fn colours_agree_with_pillow_in_every_format() {
    let expected = std::str::from_utf8(fixture("expected.txt")).unwrap();
    let mut seen = 0;
    for line in expected.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let prepared = ok(fixture(name), 24);
        for ((x, y), colour) in SPOTS.into_iter().zip(words) {
            let colour: Vec<u8> = colour.split(',').map(|v| v.parse().unwrap()).collect();
            let found = pixel(&prepared, x, y);
            // Two decoders of a lossy format may round their inverse transforms apart.
            assert!(
                close(found, colour.clone().try_into().unwrap(), 2),
                "{name} at {x},{y}: {found:?}, Pillow says {colour:?}"
            );
        }
        assert_eq!(prepared.original_size, [40, 24], "{name}");
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn what_was_done_is_listed_in_order() {
    use conversion::*;
    for (name, format, conversions) in [
        ("cmyk.jpg", "jpeg", vec![CMYK_TO_RGB, CENTRE_CROP]),
        ("cmyk.tif", "tiff", vec![CMYK_TO_RGB, CENTRE_CROP]),
        ("palette.png", "png", vec![PALETTE_TO_RGB, CENTRE_CROP]),
        ("palette.bmp", "bmp", vec![PALETTE_TO_RGB, CENTRE_CROP]),
        ("still.gif", "gif", vec![PALETTE_TO_RGB, OPAQUE_ALPHA_DROPPED, CENTRE_CROP]),
        ("progressive.jpg", "jpeg", vec![CENTRE_CROP]),
        ("icc.jpg", "jpeg", vec![ICC_PROFILE_IGNORED, CENTRE_CROP]),
        ("sixteen.png", "png", vec![SIXTEEN_BIT_TO_EIGHT, CENTRE_CROP]),
        ("two-pages.tif", "tiff", vec![FIRST_PAGE, CENTRE_CROP]),
        ("lossy.webp", "webp", vec![CENTRE_CROP]),
        ("exif-1.jpg", "jpeg", vec![CENTRE_CROP]),
        ("exif-6.jpg", "jpeg", vec!["exif-orientation-6", CENTRE_CROP]),
    ] {
        let prepared = ok(fixture(name), 24);
        assert_eq!(
            (prepared.format, prepared.conversions),
            (format, conversions.iter().map(ToString::to_string).collect()),
            "{name}"
        );
    }
    assert_eq!(ok(fixture("progressive.jpg"), 64).conversions, [CENTRE_CROP, RESIZE_CATMULL_ROM]);
}

#[test]
fn an_image_that_already_fits_passes_untouched() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let image = RgbImage::from_fn(64, 64, |_, _| Rgb(rng.random()));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let prepared = ok(&encode(image.clone(), format), 64);
        assert_eq!(prepared.raster, *image.as_raw(), "{format:?}");
        assert!(prepared.conversions.is_empty(), "{format:?}: {:?}", prepared.conversions);
        assert_eq!(prepared.raster_sha256, domain::Digest::of(image.as_raw()));
    }
}

#[test]
fn sixteen_bits_are_rounded_not_cut() {
    let prepared = ok(fixture("sixteen.png"), 24);
    for ((x, y), colour) in SPOTS.into_iter().zip(QUARTERS) {
        assert_eq!(pixel(&prepared, x, y), colour.map(|v| v + 1));
    }
    let grey = image::ImageBuffer::from_fn(32, 32, |_, _| Luma([0xFFFF_u16]));
    assert_eq!(pixel(&ok(&encode(grey, ImageFormat::Png), 32), 5, 5), [255, 255, 255]);
}

#[test]
fn floats_are_clamped_to_eight_bits() {
    let image = image::Rgb32FImage::from_fn(32, 32, |x, _| Rgb([x as f32 / 15.5 - 0.5, 0.5, f32::NAN]));
    let prepared = ok(&encode(image, ImageFormat::Tiff), 32);
    assert_eq!([0, 16, 31].map(|x| pixel(&prepared, x, 0)[0]), [0, 136, 255]);
    assert_eq!(pixel(&prepared, 0, 0)[1], 128);
    assert_eq!(prepared.conversions, [conversion::FLOAT_TO_EIGHT_BIT]);
    assert_eq!(refused(fixture("grey-float.tif")).reason, Reason::UnsupportedFormat);
}

#[test]
fn transparency_is_blended_over_white_at_any_depth() {
    let eight = image::ImageBuffer::from_fn(32, 32, |x, _| Rgba([255_u8, 0, 0, [0, 128, 255][(x % 3) as usize]]));
    let sixteen =
        image::ImageBuffer::from_fn(32, 32, |x, _| Rgba([65535_u16, 0, 0, [0, 32896, 65535][(x % 3) as usize]]));
    let eight = ok(&encode(eight, ImageFormat::Png), 32);
    let sixteen = ok(&encode(sixteen, ImageFormat::Png), 32);
    for (prepared, name) in [(&eight, "8"), (&sixteen, "16")] {
        let row: Vec<_> = (0..3).map(|x| pixel(prepared, x, 9)).collect();
        assert_eq!(row, [[255, 255, 255], [255, 127, 127], [255, 0, 0]], "{name} bits");
    }
    assert_eq!(eight.conversions, [conversion::ALPHA_OVER_WHITE]);
    assert_eq!(sixteen.conversions, [conversion::SIXTEEN_BIT_TO_EIGHT, conversion::ALPHA_OVER_WHITE]);
    let grey = image::ImageBuffer::from_fn(32, 32, |_, _| LumaA([100_u8, 255]));
    let grey = ok(&encode(grey, ImageFormat::Png), 32);
    assert_eq!((pixel(&grey, 0, 0), grey.conversions.len()), ([100, 100, 100], 2));
    assert_eq!(grey.conversions, [conversion::GREY_TO_RGB, conversion::OPAQUE_ALPHA_DROPPED]);
}

#[test]
fn exif_orientation_is_applied() {
    // Where the upright picture's quarters (red, green / blue, grey) are found; EXIF 2.3, tag 0x0112. Sides are 40 and 24, so the
    // corners of the crop stay inside their quarters.
    let [red, green, blue, grey] = QUARTERS;
    for (orientation, corners) in [
        (1, [red, green, blue, grey]),
        (2, [green, red, grey, blue]),
        (3, [grey, blue, green, red]),
        (4, [blue, grey, red, green]),
        (5, [red, blue, green, grey]),
        (6, [blue, red, grey, green]),
        (7, [grey, green, blue, red]),
        (8, [green, grey, red, blue]),
    ] {
        let prepared = ok(fixture(&format!("exif-{orientation}.jpg")), 24);
        assert_eq!(prepared.original_size, [40, 24], "as stored, not as shown");
        for ((x, y), colour) in [(2, 2), (21, 2), (2, 21), (21, 21)].into_iter().zip(corners) {
            let found = pixel(&prepared, x, y);
            assert!(close(found, colour, 4), "orientation {orientation} at {x},{y}: {found:?}, expected {colour:?}");
        }
    }
}

#[test]
fn resizing_is_pillows_bicubic() {
    let ours = ok(fixture("wave-96.png"), 64);
    let pillow = ok(fixture("wave-64-pillow-bicubic.png"), 64);
    assert_eq!(ours.conversions, [conversion::RESIZE_CATMULL_ROM]);
    let worst = ours.raster.iter().zip(&pillow.raster).map(|(a, b)| a.abs_diff(*b)).max();
    // Both use fixed-point kernels; their rounding may differ by one step.
    assert!(worst <= Some(1), "differs by up to {worst:?} of 255");
}

#[test]
fn the_crop_is_the_centre_whatever_the_sides() {
    for (width, height) in [(40, 17), (17, 40), (33, 32), (32, 33)] {
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0]));
        let side = width.min(height);
        let prepared = ok(&encode(image, ImageFormat::Png), side);
        assert_eq!(pixel(&prepared, 0, 0), [((width - side) / 2) as u8, ((height - side) / 2) as u8, 0]);
    }
}

#[test]
fn animations_are_refused_but_one_frame_is_an_image() {
    for name in ["animated.gif", "animated.png", "animated.webp"] {
        assert_eq!(refused(fixture(name)).reason, Reason::Animated, "{name}");
    }
    ok(fixture("one-frame.png"), 24);
    ok(fixture("still.gif"), 24);
}

#[test]
fn sizes_are_refused_from_the_header_alone() {
    let reject = refused(fixture("bomb.png"));
    assert_eq!(reject.reason, Reason::TooLarge);
    assert!(reject.message.contains("30000x30000"), "{reject}");

    let one = encode(RgbImage::new(1, 1), ImageFormat::Png);
    assert_eq!(refused(&one).reason, Reason::TooSmall);
    assert_eq!(refused(&encode(RgbImage::new(15, 400), ImageFormat::Jpeg)).reason, Reason::TooSmall);
    ok(&encode(RgbImage::new(16, 16), ImageFormat::Png), 64);

    let wide = encode(RgbImage::new(20_001, 16), ImageFormat::Png);
    assert!(refused(&wide).message.contains("20001x16"));
    let tight = Limits { max_decode_bytes: 1000, ..Limits::default() };
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif]
    {
        let bytes = encode(RgbImage::new(32, 32), format);
        assert_eq!(prepare(&bytes, &tight, 32).map_err(|r| r.reason), Err(Reason::TooLarge), "{format:?}");
    }
}

/// A header may claim any size in any format; none may cost memory or time.
#[test]
fn a_claim_of_30000_pixels_is_refused_in_every_format() {
    let claim = |format: ImageFormat, patch: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = encode(RgbImage::new(32, 32), format);
        patch(&mut bytes);
        bytes
    };
    let side = 30_000_u16;
    let jpeg = claim(ImageFormat::Jpeg, &|b| {
        let frame = b.windows(2).position(|m| m == [0xFF, 0xC0]).unwrap();
        b[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
        b[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    });
    let bmp = claim(ImageFormat::Bmp, &|b| {
        b[18..22].copy_from_slice(&u32::from(side).to_le_bytes());
        b[22..26].copy_from_slice(&u32::from(side).to_le_bytes());
    });
    let gif = claim(ImageFormat::Gif, &|b| {
        b[6..8].copy_from_slice(&side.to_le_bytes());
        b[8..10].copy_from_slice(&side.to_le_bytes());
    });
    for (bytes, name) in [(jpeg, "jpeg"), (bmp, "bmp"), (gif, "gif")] {
        let reject = refused(&bytes);
        assert_eq!(reject.reason, Reason::TooLarge, "{name}: {reject}");
        assert!(reject.message.contains("30000"), "{name}: {reject}");
    }
}

#[test]
fn files_that_are_no_images_are_told_from_images_we_cannot_read() {
    for bytes in [&b""[..], b"hello", b"image,label\na.png,1\n", &[0; 1000], b"PK\x03\x04zip"] {
        let reject = refused(bytes);
        assert_eq!(reject.reason, Reason::NotAnImage, "{reject}");
    }
    for (bytes, name) in [
        (&b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"[..], "HEIC"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "AVIF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"<svg xmlns=", "SVG"),
        (b"qoif\x00\x00\x00\x20", "qoi"),
    ] {
        let reject = refused(bytes);
        assert_eq!(reject.reason, Reason::UnsupportedFormat, "{name}");
        assert!(reject.message.contains(name), "{reject}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_and_named_truncated() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let noise = RgbImage::from_fn(48, 48, |_, _| Rgb(rng.random()));
    let mut files: Vec<(String, Vec<u8>)> =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff]
            .map(|format| (format!("{format:?}"), encode(noise.clone(), format)))
            .into();
    for name in ["progressive.jpg", "cmyk.jpg", "lossy.webp", "exif-6.jpg", "sixteen.png"] {
        files.push((name.to_owned(), fixture(name).to_vec()));
    }
    for (name, bytes) in files {
        ok(&bytes, 32);
        for tenth in 1..10 {
            let cut = &bytes[..bytes.len() * tenth / 10];
            let reject = run(cut, 32).expect_err(&format!("{name} cut at {tenth}0 %"));
            assert_eq!(reject.reason, Reason::Truncated, "{name} cut at {tenth}0 %: {reject}");
        }
    }
}

/// Whatever the bytes: an answer, never a panic out of `prepare`, never a raster of the wrong size.
#[test]
fn damaged_files_never_break_the_stage() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let tight = Limits { max_pixels: 1 << 20, max_decode_bytes: 16 << 20, ..Limits::default() };
    for (name, bytes) in FIXTURES {
        for _ in 0..150 {
            let mut bytes = bytes.to_vec();
            for _ in 0..rng.random_range(1..12) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            if rng.random_bool(0.2) {
                bytes.truncate(rng.random_range(0..bytes.len()));
            }
            match prepare(&bytes, &tight, 32) {
                Ok(prepared) => assert_eq!(prepared.raster.len(), 32 * 32 * 3, "{name}"),
                Err(reject) => assert_eq!(reject.reason.class(), domain::FailureClass::Data, "{name}: {reject}"),
            }
        }
    }
}
