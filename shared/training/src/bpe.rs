//! Byte-pair merges learnt from captions, in the file format of OpenAI's CLIP (Sennrich et al., 2016,
//! <https://arxiv.org/abs/1508.07909>). The tokenizer itself is that of the `networks` crate.

use std::collections::BTreeMap;

/// The text of a merges file with at most `limit` merges, learnt from words and how often each occurs.
///
/// Words are taken apart into letters, the last of which carries `</w>`; the pair that occurs most often is merged, the
/// first in order among equals, until no word has two parts. Captions are plain ASCII letters, which stand for themselves
/// in CLIP's byte alphabet; words with anything else are left out and fall back to bytes.
pub fn learn<'a>(texts: impl IntoIterator<Item = &'a str>, limit: usize) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in texts.into_iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphabetic())) {
        if !word.is_empty() {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut words: Vec<(Vec<String>, usize)> = counts.into_iter().map(|(word, n)| (letters(word), n)).collect();
    let mut file = "#version: 0.2 - learnt from captions of faces\n".to_owned();
    for _ in 0..limit {
        let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (parts, n) in &words {
            for pair in parts.windows(2) {
                *pairs.entry((&pair[0], &pair[1])).or_default() += n;
            }
        }
        // The first of the most frequent: max_by_key would give the last.
        let Some(most) = pairs.values().max().copied() else { break };
        let Some((&(a, b), _)) = pairs.iter().find(|(_, n)| **n == most) else { break };
        let (a, b) = (a.to_owned(), b.to_owned());
        file.push_str(&format!("{a} {b}\n"));
        for (parts, _) in &mut words {
            join(parts, &a, &b);
        }
    }
    file
}

fn letters(word: &str) -> Vec<String> {
    let mut parts: Vec<String> = word.to_ascii_lowercase().chars().map(String::from).collect();
    if let Some(last) = parts.last_mut() {
        last.push_str("</w>");
    }
    parts
}

fn join(parts: &mut Vec<String>, a: &str, b: &str) {
    let mut i = 0;
    while i + 1 < parts.len() {
        if parts[i] == a && parts[i + 1] == b {
            let second = parts.remove(i + 1);
            parts[i].push_str(&second);
        }
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use networks::Tokenizer;

    #[test]
    fn every_word_that_was_seen_becomes_one_token() {
        let texts = ["a face with green hair", "a face with grey hair", "green green"];
        let merges = learn(texts, 400);
        let tokenizer = Tokenizer::from_merges(&merges, 16).unwrap();
        for text in &texts[..2] {
            let ids = tokenizer.encode(text).unwrap();
            let used = ids.iter().position(|id| *id == tokenizer.vocab_size() as i64 - 1).unwrap() + 1;
            assert_eq!(used, 5 + 2, "five words, start and end: {ids:?}");
        }
        assert!(tokenizer.encode("a face with teal hair").is_ok(), "unseen words fall back to bytes");
    }

    #[test]
    fn the_most_frequent_pair_comes_first() {
        // "ab" three times, "bc" once.
        let merges = learn(["abx aby abz bc"], 1);
        assert_eq!(merges.lines().nth(1), Some("a b"));
    }
}
