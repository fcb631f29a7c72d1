//! Token ids against open_clip's tokenizer on CLIP's real vocabulary, and against the demo pack's own code.

use std::path::PathBuf;
use std::sync::LazyLock;

use networks::{TokenizeError, Tokenizer, tokenizer::Overlong};

use crate::{data, pack};

/// CLIP's full merges file (`bpe_simple_vocab_16e6.txt`), as it lies in the package of `instant-clip-tokenizer`.
static CLIP_MERGES: LazyLock<String> = LazyLock::new(|| {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .other_options(vec![format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH)])
        .exec()
        .unwrap();
    let package = metadata.packages.iter().find(|package| *package.name == "instant-clip-tokenizer").unwrap();
    let text = std::fs::read_to_string(package.manifest_path.with_file_name("bpe_simple_vocab_16e6.txt")).unwrap();
    assert_eq!(text.len(), 3_194_984); // OpenAI's file, not an extract
    text
});

static CLIP: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_merges(&CLIP_MERGES, 77).unwrap());

fn read_ids(name: &str) -> Vec<(String, Vec<i64>)> {
    serde_json::from_slice(&std::fs::read(data(name)).unwrap()).unwrap()
}

/// Texts and the rows of ids that the demo pack's own tokenizer gives.
pub fn pack_texts() -> Vec<(String, Vec<i64>)> {
    read_ids("pack_ids.json")
}

/// The tokens of a row, without start, end and padding.
fn tokens(row: &[i64], start: i64) -> Vec<i64> {
    assert_eq!(row[0], start);
    let padding = row.iter().rev().take_while(|&&id| id == 0).count();
    let (end, tokens) = row[1..row.len() - padding].split_last().unwrap();
    assert_eq!(*end, start + 1);
    tokens.to_vec()
}

#[test]
fn ids_match_open_clip() {
    let golden = read_ids("openai_ids.json");
    assert!(golden.len() >= 60);
    let wrong: Vec<String> = golden
        .into_iter()
        .filter_map(|(text, expected)| {
            let ours = tokens(&CLIP.encode(&text).unwrap(), 49_406);
            (ours != expected).then(|| format!("{text:?}: {ours:?}, expected {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(CLIP.vocab_size(), 49_408);
}

/// A third implementation, where its rules are the same: plain ASCII words. Pseudo-random, to meet rare merges.
#[test]
fn ids_match_instant_clip_tokenizer_on_plain_words() {
    let other = instant_clip_tokenizer::Tokenizer::with_vocabulary(CLIP_MERGES.as_bytes(), 49_408).unwrap();
    let mut state = 7u64;
    for _ in 0..500 {
        let text: String = (0..60)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b"etaoinshrdlucmfwypvbgk  0'.-ETAO"[(state >> 59) as usize])
            })
            .collect();
        let mut expected = Vec::new();
        other.encode(&text, &mut expected);
        let expected: Vec<i64> = expected.into_iter().map(|token| i64::from(token.to_u16())).collect();
        assert_eq!(tokens(&CLIP.encode(&text).unwrap(), 49_406), expected, "{text:?}");
    }
}

#[test]
fn ids_match_the_demo_packs_own_code() {
    let merges = std::fs::read_to_string(pack("bpe_merges.txt")).unwrap();
    let tokenizer = Tokenizer::from_merges(&merges, 32).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.context()), (796, 32));
    let texts = pack_texts();
    for (text, expected) in &texts {
        assert_eq!(&tokenizer.encode(text).unwrap(), expected, "{text:?}");
    }
    let batch = tokenizer.encode_batch(&texts.iter().map(|(text, _)| text).collect::<Vec<_>>()).unwrap();
    assert_eq!(batch.size(), [texts.len() as i64, 32]);
    let flat = Vec::<i64>::try_from(batch.view(-1)).unwrap();
    assert_eq!(flat, texts.into_iter().flat_map(|(_, row)| row).collect::<Vec<_>>());
}

#[test]
fn texts_that_do_not_fit_are_errors_unless_truncated() {
    let fits = vec!["face"; 75].join(" ");
    let row = CLIP.encode(&fits).unwrap();
    assert_eq!((row.len(), row[76]), (77, 49_407));
    let long = format!("{fits} dog");
    match CLIP.encode(&long) {
        Err(TokenizeError::TooLong { text, tokens: 76, limit: 75 }) => assert_eq!(text, long),
        other => panic!("{other:?}"),
    }
    let truncating = Tokenizer::from_merges(&CLIP_MERGES, 77).unwrap().with_overlong(Overlong::Truncate);
    assert_eq!(truncating.encode(&long).unwrap(), row);
    assert!(matches!(CLIP.encode_batch(&["face", &long]), Err(TokenizeError::TooLong { .. })));
}

#[test]
fn texts_without_tokens_are_errors() {
    for text in ["", "   ", "\n\t", "&nbsp;", "\u{feff}", "\u{7}"] {
        assert!(matches!(CLIP.encode(text), Err(TokenizeError::Empty { .. })), "{text:?}");
    }
    assert!(matches!(CLIP.encode(&"x".repeat(20_000)), Err(TokenizeError::Oversized { bytes: 20_000, .. })));
    assert!(matches!(Tokenizer::from_merges(&CLIP_MERGES, 2), Err(TokenizeError::Context { context: 2 })));
}
