//! What a file is, by its first bytes: names lie, and half of all "broken checkpoints" are error pages.

use super::{Blob, Fault, limits};

/// The magic number of legacy `torch.save`, as a pickle writes it.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// How far to look: a tar archive says so after 257 bytes.
const HEAD: u64 = 512;

/// A container that can hold a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Container {
    Zip,
    Legacy,
    Pickle,
    Safetensors,
}

/// Other files by their first bytes: what they are and what to do instead.
const OTHERS: [(&[u8], &str, &str); 19] = [
    (b"PK\x05\x06", "an empty zip archive", AGAIN),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer, a stand-in for the file", "run `git lfs pull` in its repository"),
    (b"\x89HDF", "an HDF5 file (Keras)", PYTHON),
    (b"\x93NUMPY", "a numpy array", PYTHON),
    (b"GGUF", "a GGUF file", PYTHON),
    (b"\x89PNG", "a PNG image", RIGHT_FILE),
    (b"\xff\xd8\xff", "a JPEG image", RIGHT_FILE),
    (b"%PDF", "a PDF document", RIGHT_FILE),
    (b"\x7fELF", "a program", RIGHT_FILE),
    (b"#!", "a script", RIGHT_FILE),
    (b"{", "a JSON text", "take the file of weights beside it; if it is an error message, download again"),
    (b"<", "a web page or XML message, most likely an error in place of the download", AGAIN),
    (b"Access", "an error message in place of the download", AGAIN),
];
const AGAIN: &str = "download it again, logged in where the site asks for it";
const UNPACK: &str = "unpack it and take the checkpoint inside";
const PYTHON: &str = "load it in Python and save its weights as safetensors";
const RIGHT_FILE: &str = "take the file of weights";

pub(super) fn container(file: &Blob) -> Result<Container, Fault> {
    let head = file.read_range(0, file.len().min(HEAD))?;
    let not = |looks_like: &str, remedy: &str| {
        Err(Fault::NotACheckpoint { looks_like: looks_like.to_owned(), remedy: remedy.to_owned() })
    };
    if head.is_empty() {
        return not("an empty file", AGAIN);
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Container::Zip);
    }
    if is_safetensors(&head) {
        return Ok(Container::Safetensors);
    }
    if head.starts_with(&[0x80]) {
        let opening = &head[..head.len().min(48)];
        let legacy = opening.windows(LEGACY_MAGIC.len()).any(|window| window == LEGACY_MAGIC);
        return Ok(if legacy { Container::Legacy } else { Container::Pickle });
    }
    if head.get(257..262) == Some(b"ustar") {
        return not(
            "a tar archive (PyTorch before 0.2, or a folder packed up)",
            "unpack it, or load and save it with a newer PyTorch",
        );
    }
    let text = head.trim_ascii_start();
    for (start, looks_like, remedy) in OTHERS {
        let start_of = if start.is_ascii() { text } else { &head };
        if start_of.starts_with(start) || (start.is_ascii() && starts_in_any_case(text, start)) {
            return not(looks_like, remedy);
        }
    }
    // Protocol 0 and 1 have no mark of their own; these are how they open a dictionary, list, tuple or object.
    if [&b"(d"[..], b"(S'", b"(l", b"(i", b"}", b"]", b"ccollections\n", b"ccopy_reg\n"]
        .iter()
        .any(|start| head.starts_with(start))
        || names_a_class(&head)
    {
        return Ok(Container::Pickle);
    }
    if head.iter().all(|&byte| byte == 0) {
        return not("a file that begins with zeros, as a broken download leaves", AGAIN);
    }
    let start = head.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    not(
        &format!("of a kind unknown here (it begins with {start})"),
        "read are torch.save, torch.jit.save, pickle and safetensors",
    )
}

/// A name of two lines, by which protocols 0 and 1 open a call of anything: read, so that the refusal says what would be called.
fn names_a_class(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(b"(").unwrap_or(head).strip_prefix(b"c") else { return false };
    let mut lines = rest.split(|&byte| byte == b'\n');
    let is_name = |line: &[u8]| {
        !line.is_empty() && line.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
    };
    lines.next().is_some_and(is_name) && lines.next().is_some_and(is_name) && lines.next().is_some()
}

fn starts_in_any_case(text: &[u8], start: &[u8]) -> bool {
    start.len() > 3 && text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// A header length that can be, then the header's brace.
fn is_safetensors(head: &[u8]) -> bool {
    let Some((length, rest)) = head.split_first_chunk::<8>() else { return false };
    (2..=limits::SAFETENSORS_HEADER).contains(&u64::from_le_bytes(*length)) && rest.first() == Some(&b'{')
}
