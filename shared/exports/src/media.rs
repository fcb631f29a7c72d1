//! What kind of image bytes are, by their first few: sources keep their format, whatever they were called.

/// The usual extension of an image that starts so; `bin` for anything else.
pub fn extension(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xff, 0xd8, 0xff, ..] => "jpg",
        [b'G', b'I', b'F', b'8', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "tiff",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "webp",
        _ => "bin",
    }
}

/// The media type of a file by its name.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "tiff" => "image/tiff",
        "webp" => "image/webp",
        "jsonl" => "application/jsonlines",
        "json" => "application/json",
        "jsonld" => "application/ld+json",
        // the name that Croissant and its readers know it by, not the registered application/vnd.apache.parquet
        "parquet" => "application/x-parquet",
        "tar" => "application/x-tar",
        "md" => "text/markdown",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_extension_and_that_the_type() {
        assert_eq!(media_type(extension(b"\x89PNG\r\n\x1a\n")), "image/png");
        assert_eq!(media_type("records.parquet"), "application/x-parquet");
        assert_eq!(media_type(extension(b"RIFF\x10\0\0\0WEBPVP8 ")), "image/webp");
        assert_eq!(media_type(extension(b"\xff\xd8\xff\xe0")), "image/jpeg");
        assert_eq!(media_type(extension(b"source 17")), "application/octet-stream");
        assert_eq!(extension(b""), "bin");
    }
}
