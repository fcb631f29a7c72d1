//! CLIP's text tokenizer: lower-cased byte-level BPE, ids as OpenAI's `simple_tokenizer.py` gives them.
//!
//! The crate `instant-clip-tokenizer` is close but not equal: it spells the special tokens `<start_of_text>` and
//! `<end_of_text>`, where OpenAI has `<|startoftext|>` and `<|endoftext|>`, and would turn a prompt that contains the
//! former into markers; it resolves neither HTML entities nor typographic characters; it must be told the vocabulary
//! size in advance; and its errors do not say which line of a merges file is wrong.

mod clean;
mod merges;

use tch::Tensor;

use self::merges::Vocabulary;
use crate::error::NetworkError;

/// Longest text that is looked at, bytes. No context holds so many tokens of ordinary text, and BPE takes quadratic time.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Why a merges file or a text was refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// The merges file is not in OpenAI's format.
    #[error("BPE merges, line {line}: {reason}")]
    Merges {
        /// Counted from 1, header included.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The context cannot hold the start and end tokens and one more.
    #[error("a context of {context} tokens is too short, at least 3 are needed")]
    Context {
        /// The context asked for.
        context: usize,
    },
    /// The text has no tokens: it is empty or white space.
    #[error("text {text:?} is empty")]
    Empty {
        /// The text.
        text: String,
    },
    /// The text does not fit the network's context.
    #[error("text {text:?} has {tokens} tokens, the network takes {limit}; shorten it")]
    TooLong {
        /// The text.
        text: String,
        /// Its tokens, start and end not counted.
        tokens: usize,
        /// The most that fit.
        limit: usize,
    },
    /// The text is far longer than any prompt; it was not tokenized.
    #[error("the text that begins {start:?} has {bytes} bytes, at most {MAX_TEXT_BYTES} are allowed; shorten it")]
    Oversized {
        /// The first characters.
        start: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// libtorch could not make the tensor of ids.
    #[error("cannot make the tensor of token ids")]
    Tensor(#[source] NetworkError),
}

/// What happens to a text with more tokens than the context holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlong {
    /// It is an error that names the text.
    #[default]
    Reject,
    /// The first tokens are kept, and the last position becomes the end token.
    Truncate,
}

/// A vocabulary and the context length of the network it belongs to.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    splitter: clean::Splitter,
    context: usize,
    overlong: Overlong,
}

impl Tokenizer {
    /// Reads merges in OpenAI's format: a header line with `#version`, then one merge a line, two symbols and a space.
    ///
    /// Of OpenAI's full list of 262,143 merges only the first 48,894 are used, as CLIP does; smaller files are used
    /// whole. Ids are 256 bytes, 256 bytes that end a word, the merges in order, start, end. `context` counts start and
    /// end (77 in OpenAI's models). Errors name the line that is wrong.
    pub fn from_merges(merges: &str, context: usize) -> Result<Self, TokenizeError> {
        if context < 3 {
            return Err(TokenizeError::Context { context });
        }
        let vocabulary = Vocabulary::parse(merges)?;
        Ok(Tokenizer { vocabulary, splitter: clean::Splitter::new(), context, overlong: Overlong::default() })
    }

    /// Sets what happens to texts that are too long.
    #[must_use]
    pub fn with_overlong(self, overlong: Overlong) -> Self {
        Tokenizer { overlong, ..self }
    }

    /// Token ids of a text: start, the text's tokens, end, zeros up to `context`.
    ///
    /// Before that, HTML entities are resolved twice; typographic quotes, ligatures and full-width forms become plain
    /// ones; control characters go; the text is brought to NFC, its white space collapsed, its letters lower-cased.
    /// These are the steps of `ftfy.fix_text` and `basic_clean` in OpenAI's code, with two exceptions: wrongly decoded
    /// text ("mojibake") is not guessed at, and a quote written as an entity becomes plain beside a `<` too.
    /// Errors: an empty or too long text.
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, TokenizeError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizeError::Oversized { start: text.chars().take(40).collect(), bytes: text.len() });
        }
        let cleaned = clean::clean(text);
        let mut ids = vec![self.vocabulary.start()];
        for word in self.splitter.words(&cleaned) {
            self.vocabulary.encode_word(word, &mut ids);
        }
        let (tokens, limit) = (ids.len() - 1, self.context - 2);
        if tokens == 0 {
            return Err(TokenizeError::Empty { text: text.to_owned() });
        }
        if tokens > limit {
            match self.overlong {
                Overlong::Reject => return Err(TokenizeError::TooLong { text: text.to_owned(), tokens, limit }),
                Overlong::Truncate => ids.truncate(limit + 1),
            }
        }
        ids.push(self.vocabulary.end());
        ids.resize(self.context, 0);
        Ok(ids)
    }

    /// Ids of several texts as `[B, context]`, int64, on the CPU. The first text that fails is the error.
    pub fn encode_batch<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor, TokenizeError> {
        let mut ids = Vec::with_capacity(texts.len() * self.context);
        for text in texts {
            ids.extend(self.encode(text.as_ref())?);
        }
        let shape = [texts.len() as i64, self.context as i64];
        Tensor::f_from_slice(&ids).and_then(|ids| ids.f_view(shape)).map_err(|e| TokenizeError::Tensor(e.into()))
    }

    /// Number of ids, which is the number of rows in the network's token embedding.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.size()
    }

    /// Length of every row of ids.
    pub fn context(&self) -> usize {
        self.context
    }
}
