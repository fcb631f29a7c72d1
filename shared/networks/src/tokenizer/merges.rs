//! The BPE vocabulary and the merging of one word.

use std::collections::HashMap;

use super::TokenizeError;

/// OpenAI's file holds far more merges than CLIP's vocabulary of 49,408 = 512 + 48,894 + 2 has room for.
const CLIP_MERGES: usize = 48_894;
/// Marks a symbol that ends a word.
const END_OF_WORD: &str = "</w>";
/// Symbols before the first merge: every byte, and every byte that ends a word.
const BYTE_SYMBOLS: usize = 512;
/// The special tokens as they are written in a text, in the order of their ids.
const SPECIAL: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The id of each byte; with 256 more it is the id of that byte at the end of a word.
    bytes: [u32; 256],
    /// Two neighbours -> their rank (lower goes first) and the symbol they become.
    merges: HashMap<(u32, u32), (usize, u32)>,
    size: usize,
}

impl Vocabulary {
    pub(super) fn parse(text: &str) -> Result<Self, TokenizeError> {
        let wrong = |line: usize, reason: String| TokenizeError::Merges { line, reason };
        let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
        match lines.next() {
            Some((_, header)) if header.contains("#version") => {}
            _ => return Err(wrong(1, "expected a header with `#version`, as OpenAI's files have".to_owned())),
        }
        let (bytes, mut ids) = byte_symbols();
        let mut parsed = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()).take(CLIP_MERGES) {
            let mut symbols = line.split_whitespace();
            let (Some(left), Some(right), None) = (symbols.next(), symbols.next(), symbols.next()) else {
                return Err(wrong(number, format!("{line:?} is not two symbols with a space between them")));
            };
            for symbol in [left, right] {
                if !ids.contains_key(symbol) {
                    return Err(wrong(number, format!("{symbol:?} is neither a byte nor made by an earlier line")));
                }
            }
            // Two merges can make one symbol. As in OpenAI's dictionary the later id then stands for it everywhere,
            // hence the second pass below.
            ids.insert(format!("{left}{right}"), (BYTE_SYMBOLS + parsed.len()) as u32);
            parsed.push((left, right));
        }
        let mut merges = HashMap::with_capacity(parsed.len());
        for (rank, (left, right)) in parsed.iter().enumerate() {
            let made = ids[&format!("{left}{right}")];
            merges.insert((ids[*left], ids[*right]), (rank, made));
        }
        Ok(Vocabulary { bytes, merges, size: BYTE_SYMBOLS + parsed.len() + SPECIAL.len() })
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Id of the start-of-text token.
    pub(super) fn start(&self) -> i64 {
        self.size as i64 - 2
    }

    /// Id of the end-of-text token, the highest.
    pub(super) fn end(&self) -> i64 {
        self.size as i64 - 1
    }

    /// Appends the ids of one word, as the splitter cut it.
    ///
    /// Special tokens written out in a text become their ids, as in OpenAI's code.
    pub(super) fn encode_word(&self, word: &str, ids: &mut Vec<i64>) {
        if let Some(i) = SPECIAL.iter().position(|special| *special == word) {
            ids.push(self.start() + i as i64);
            return;
        }
        let mut symbols: Vec<u32> = word.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        if let Some(last) = symbols.last_mut() {
            *last += 256;
        }
        while let Some((pair, made)) = self.next_merge(&symbols) {
            let mut merged = Vec::with_capacity(symbols.len());
            let mut rest = symbols.as_slice();
            while let Some((&first, after)) = rest.split_first() {
                if after.first().is_some_and(|&second| (first, second) == pair) {
                    merged.push(made);
                    rest = &after[1..];
                } else {
                    merged.push(first);
                    rest = after;
                }
            }
            symbols = merged;
        }
        ids.extend(symbols.into_iter().map(i64::from));
    }

    /// The neighbours that were learnt first, and what they become.
    fn next_merge(&self, symbols: &[u32]) -> Option<((u32, u32), u32)> {
        let pairs = symbols.windows(2).map(|pair| (pair[0], pair[1]));
        let known = pairs.filter_map(|pair| self.merges.get(&pair).map(|&(rank, made)| (rank, pair, made)));
        known.min().map(|(_, pair, made)| (pair, made))
    }
}

/// The id of each byte, and the ids of the 512 symbols as merges files write them.
///
/// A printable Latin-1 byte is written as itself; the other bytes, in order, as the characters from U+0100 on.
/// Ids follow that order: first the printable bytes, then the others, then all of them at the end of a word.
fn byte_symbols() -> ([u32; 256], HashMap<String, u32>) {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let shown = (0..=255u8).filter(printable).map(|byte| (byte, char::from(byte)));
    let hidden = (0..=255u8).filter(|byte| !printable(byte)).zip('\u{100}'..);
    let mut bytes = [0; 256];
    let mut ids = HashMap::with_capacity(BYTE_SYMBOLS);
    for (id, (byte, written)) in (0..).zip(shown.chain(hidden)) {
        bytes[usize::from(byte)] = id;
        ids.insert(written.to_string(), id);
        ids.insert(format!("{written}{END_OF_WORD}"), id + 256);
    }
    (bytes, ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(merges: &str, word: &str) -> Vec<i64> {
        let vocabulary = Vocabulary::parse(&format!("#version: 0.2\n{merges}")).unwrap();
        let mut ids = Vec::new();
        vocabulary.encode_word(word, &mut ids);
        ids
    }

    fn refusal(text: &str) -> (usize, String) {
        match Vocabulary::parse(text) {
            Err(TokenizeError::Merges { line, reason }) => (line, reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn merges_go_by_rank_and_all_occurrences_at_once() {
        // "b c" comes first, so "abc" is a + bc, not ab + c; in "ababab" every pair but the last-with-end merges.
        assert_eq!(words("b c</w>\na b\n", "abc"), [64, 512]);
        assert_eq!(words("b c</w>\na b\n", "abab"), [513, 64, 65 + 256]);
    }

    #[test]
    fn a_symbol_made_twice_has_the_later_id() {
        // Merges 514 and 515 both make "abc": whichever of them does it, its id is 515.
        assert_eq!(words("b c\na b\na bc\nab c\n", "abcx"), [515, 87 + 256]);
        assert_eq!(words("b c\na b\nab c\na bc\n", "abcx"), [515, 87 + 256]);
    }

    #[test]
    fn wrong_lines_are_named() {
        assert_eq!(refusal("t h</w>\n").0, 1);
        assert_eq!(refusal("").0, 1);
        assert_eq!(refusal("#version: 0.2\na b\na b c\n").0, 3);
        assert_eq!(refusal("#version: 0.2\na\n").0, 2);
        let (line, reason) = refusal("#version: 0.2\na b\nab cd\n");
        assert_eq!((line, reason.contains("\"cd\"")), (3, true), "{reason}");
    }
}
