//! What happens to a text before BPE: cleaning, and cutting into words.

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

/// OpenAI's pattern: the special tokens, English contractions, runs of letters, single digits, runs of anything else.
const WORDS: &str = r"(?i)<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Cuts a cleaned text into words.
#[derive(Debug)]
pub(super) struct Splitter(Regex);

impl Splitter {
    pub(super) fn new() -> Self {
        // Safe because the pattern is a constant that every test compiles.
        Splitter(Regex::new(WORDS).expect("the word pattern is a valid regular expression"))
    }

    pub(super) fn words<'t>(&self, cleaned: &'t str) -> impl Iterator<Item = &'t str> {
        self.0.find_iter(cleaned).map(|found| found.as_str())
    }
}

/// Entities resolved twice, characters made plain, NFC, single spaces, lower case.
pub(super) fn clean(text: &str) -> String {
    let text = htmlize::unescape(htmlize::unescape(text));
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().filter(|&c| !is_control(c)) {
        match c {
            '\u{fb05}' => plain.push_str("\u{17f}t"), // its compatibility form would lose the long s
            c if is_variant_form(c) => plain.extend(std::iter::once(c).nfkc().map(straight_quote)),
            c => plain.push(straight_quote(c)),
        }
    }
    let composed: String = plain.nfc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Ligatures and digraphs of Latin letters, the ideographic space, half-width and full-width forms.
fn is_variant_form(c: char) -> bool {
    matches!(c,
        '\u{132}' | '\u{133}' | '\u{149}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}' | '\u{fb00}'..='\u{fb06}'
        | '\u{3000}' | '\u{ff01}'..='\u{ffef}')
}

fn straight_quote(c: char) -> char {
    match c {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        c => c,
    }
}

/// Characters that `ftfy.fix_text` removes: controls other than white space, deprecated format characters, byte order
/// marks and interlinear annotation.
fn is_control(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}'
        | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}
