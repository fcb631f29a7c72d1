//! The tokenizer's merges in OpenAI's format, from any of the files that they come in.

use super::error::ImportError;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What lies beside weights, by the programs that put it there: OpenAI and open_clip, Hugging Face.
const BESIDE: [&str; 4] = ["bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt", "merges.txt", "tokenizer.json"];

/// OpenAI's is 3.2 MB.
const LIMIT: u64 = 64 << 20;

/// Symbols that are no merges: 256 bytes, the same at the end of a word, start and end of a text.
const SYMBOLS: usize = 514;

/// Merges as the pack will have them.
pub(super) struct Merges {
    /// A line that names a version, then two symbols a line.
    pub(super) text: String,
    /// Number of such lines.
    pub(super) rules: usize,
}

/// Reads `given`, or what lies beside `weights`; cut to what a vocabulary of `vocabulary` tokens needs.
pub(super) fn read(weights: &Path, given: Option<&Path>, vocabulary: usize) -> Result<Merges, ImportError> {
    let beside = || {
        let found = BESIDE.iter().map(|name| weights.with_file_name(name)).find(|path| path.is_file());
        found.ok_or_else(|| {
            ImportError::Request(format!(
                "{}: its tokenizer is not beside it; give one with --clip-merges: {}",
                weights.display(),
                "bpe_simple_vocab_16e6.txt.gz of OpenAI's or open_clip's package, or merges.txt or tokenizer.json of Hugging Face"
            ))
        })
    };
    let path = given.map(PathBuf::from).map_or_else(beside, Ok)?;
    let wrong = |what: String| ImportError::Request(format!("{}: {what}", path.display()));
    let file = std::fs::File::open(&path).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        let unpacked = flate2::read::GzDecoder::new(bytes.as_slice()).take(LIMIT).read_to_end(&mut text);
        unpacked.map_err(|error| wrong(format!("cannot be unpacked ({error}); copy it again")))?;
        bytes = text;
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no text".to_owned()))?;
    let lines: Vec<String> =
        if text.trim_start().starts_with('{') { of_tokenizer(&text).map_err(wrong)? } else { of_lines(&text) };
    let needed = vocabulary.saturating_sub(SYMBOLS);
    if lines.len() < needed {
        return Err(wrong(format!(
            "has {} merges, but the CLIP's vocabulary needs {needed}: it belongs to another; give the CLIP its own with --clip-merges",
            lines.len()
        )));
    }
    let lines = &lines[..needed];
    if let Some(bad) = lines.iter().position(|line| line.split(' ').filter(|symbol| !symbol.is_empty()).count() != 2) {
        return Err(wrong(format!(
            "merge {} ({:?}) is not two symbols with a space between; copy it again, or take another with --clip-merges",
            bad + 1,
            lines[bad]
        )));
    }
    let text = format!("#version: 0.2\n{}\n", lines.join("\n"));
    Ok(Merges { text, rules: lines.len() })
}

/// OpenAI's and Hugging Face's text files begin with a line that is no merge.
fn of_lines(text: &str) -> Vec<String> {
    let skip = usize::from(
        text.lines().next().is_some_and(|line| line.contains("#version") || line.contains("\"bpe_simple_vocab")),
    );
    text.lines().skip(skip).filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// `tokenizer.json`: merges as texts, or as pairs in newer files.
fn of_tokenizer(text: &str) -> Result<Vec<String>, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let merges = json.pointer("/model/merges").and_then(serde_json::Value::as_array).ok_or("has no merges")?;
    let line = |merge: &serde_json::Value| match merge {
        serde_json::Value::String(line) => Some(line.clone()),
        serde_json::Value::Array(pair) => Some(format!("{} {}", pair.first()?.as_str()?, pair.get(1)?.as_str()?)),
        _ => None,
    };
    merges.iter().map(line).collect::<Option<_>>().ok_or_else(|| "has a merge that is no pair".to_owned())
}
