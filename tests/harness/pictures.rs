//! Pictures for stories: faces of the demo set, and files with every sort of trouble.

use anyhow::{Context as _, Result};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::io::Cursor;

/// A file to register.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its name in the folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Picture {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), bytes }
    }
}

/// The first `n` held-out faces of the demo set.
pub fn faces(n: usize) -> Result<Vec<Picture>> {
    let folder = testkit::workspace_root().join("deploy/demo/faces/source");
    let mut paths = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Picture::new(&name, std::fs::read(path)?))
    };
    paths.iter().take(n).map(read).collect()
}

/// One file of each trouble that the world holds, with the reason code that must come of it, or none where the picture is
/// unusual but good.
pub fn pictures_of_every_trouble() -> Result<Vec<(Picture, Option<&'static str>)>> {
    let [face] = <[Picture; 1]>::try_from(faces(1)?).map_err(|_| anyhow::anyhow!("the demo set has no face"))?;
    let plain = image::load_from_memory(&face.bytes)?;
    let half = face.bytes.len() / 2;
    let deep = DynamicImage::ImageRgb16(plain.to_rgb16());
    let mut see_through: RgbaImage = plain.to_rgba8();
    for pixel in see_through.pixels_mut().take(500) {
        *pixel = Rgba([0, 0, 0, 0]);
    }
    let mut frames = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut frames);
        let frame = |x| image::Frame::new(RgbaImage::from_pixel(64, 64, Rgba([x, x, x, 255])));
        encoder.encode_frames([frame(0), frame(255)])?;
    }
    Ok(vec![
        (Picture::new("truncated.png", face.bytes[..half].to_vec()), Some("truncated")),
        (Picture::new("text.png", b"I am no picture, whatever my name says. ".repeat(20)), Some("not_an_image")),
        (Picture::new("one-pixel.png", png(&RgbImage::from_pixel(1, 1, Rgb([1, 2, 3])).into())?), Some("too_small")),
        (Picture::new("bomb.png", bomb(30_000)), Some("too_large")),
        (Picture::new("animated.gif", frames), Some("animated")),
        (Picture::new("sixteen-bit.png", png(&deep)?), None),
        (Picture::new("alpha.png", png(&DynamicImage::ImageRgba8(see_through))?), None),
        (Picture::new("grey.png", png(&DynamicImage::ImageLuma8(plain.to_luma8()))?), None),
    ])
}

fn png(image: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// A PNG whose header claims `side` x `side` pixels: a few hundred bytes that would decode to gigabytes.
fn bomb(side: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [kind.as_slice(), data].concat();
        let length = u32::try_from(data.len()).unwrap_or(0);
        [&length.to_be_bytes(), body.as_slice(), &crc32fast::hash(&body).to_be_bytes()].concat()
    };
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    // an empty zlib stream: the decoder never gets that far
    let data = [0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01];
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header), &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
}
