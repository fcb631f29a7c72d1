//! The faces of the demo, as often as they are needed.

use anyhow::{Context as _, Result, bail};
use testkit::workspace_root;

/// The files of the demo's faces, in the order of their names.
///
/// # Errors
/// When they cannot be read.
pub fn faces() -> Result<Vec<Vec<u8>>> {
    let folder = workspace_root().join("deploy/demo/faces/source");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let read =
        |path: &std::path::PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    paths.iter().map(read).collect()
}

/// `count` files that no other run has: the pixels of `faces` in turn, with a note before the end that names run and place.
///
/// # Errors
/// When a face is no PNG.
pub fn fresh(faces: &[Vec<u8>], run: &str, count: usize) -> Result<Vec<Vec<u8>>> {
    faces.iter().cycle().take(count).enumerate().map(|(no, face)| noted(face, &format!("{run} {no}"))).collect()
}

/// A PNG with a text in a chunk of its own.
fn noted(png: &[u8], text: &str) -> Result<Vec<u8>> {
    /// Length, name and check sum of the chunk that ends every PNG.
    const END: &[u8] = b"\x00\x00\x00\x00IEND\xae\x42\x60\x82";
    let Some(rest) = png.strip_suffix(END) else { bail!("a demo face does not end as a PNG does") };
    let body = [b"tEXtComment\0", text.as_bytes()].concat();
    // the length is of what follows the name
    let length = u32::try_from(body.len() - 4)?.to_be_bytes();
    Ok([rest, &length, &body, &crc32fast::hash(&body).to_be_bytes(), END].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_faces_are_other_files_with_a_sound_note() {
        let faces = faces().unwrap();
        let [first, second] = ["a", "b"].map(|run| fresh(&faces[..1], run, 2).unwrap());
        assert_ne!(first[0], first[1]);
        assert_ne!(first[0], second[0]);
        assert!(first[0].starts_with(&faces[0][..faces[0].len() - 12]));
        let note = &first[0][faces[0].len() - 12..];
        let (body, sum) = (&note[4..note.len() - 16], &note[note.len() - 16..note.len() - 12]);
        assert_eq!(body, b"tEXtComment\0a 0");
        assert_eq!(u32::from_be_bytes(note[..4].try_into().unwrap()) as usize, body.len() - 4);
        assert_eq!(sum, crc32fast::hash(body).to_be_bytes());
    }
}
