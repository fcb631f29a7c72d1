//! What an edit's texts become: CLIP features, computed once per edit and shared by every image.

use crate::engine::Engine;
use crate::error::EditError;
use crate::templates::Sentences;
use domain::Digest;
use domain::edit::{MapperText, Numerics};
use domain::record::TextFacts;
use tch::{TchError, Tensor};

/// Below this length the mean difference of two texts' unit features has no direction. Texts that are equal to CLIP differ by
/// rounding alone (1e-7).
const LEAST_DIRECTION: f64 = 1e-3;

/// The constants of one edit. `D` is the width of CLIP's embedding, `T` the number of sentence pairs.
#[derive(Debug)]
pub struct EditText {
    /// Mean of the unit features of the target sentences, `[D]`; not of unit length, as published.
    pub target: Tensor,
    /// Unit direction from the neutral to the target sentences: the mean of their differences, `[D]`. Zero if the texts
    /// do not differ to CLIP.
    pub direction: Tensor,
    /// Unit features of the neutral sentences, `[T, D]`.
    pub neutral: Tensor,
    /// What the mapper is told, `[D]`: the mean target sentence's direction at length `sqrt(D) / 4`, so that its entries are
    /// of the size of a latent's; or, as published, CLIP's feature of the bare text as it comes: [`MapperText`].
    pub mapper_input: Tensor,
    /// For the record.
    pub facts: TextFacts,
}

impl EditText {
    /// Expands and encodes the two texts, as the numeric mode says.
    ///
    /// # Errors
    /// When an expanded text has more tokens than the text encoder takes, when CLIP sees no difference between the texts, or
    /// when a network fails.
    pub fn encode(engine: &Engine, target: &str, neutral: &str, numerics: &Numerics) -> Result<Self, EditError> {
        let sentences = engine.sentences_of(numerics.templates, target, neutral);
        if sentences.is_empty() {
            return Err(EditError::Pack { what: "has no text templates".to_owned() });
        }
        let [with, without] = [engine.text_features(&sentences.target)?, engine.text_features(&sentences.neutral)?];
        let length = tch::no_grad(|| {
            let difference = with.f_sub(&without)?.f_mean_dim([0_i64].as_slice(), false, None)?;
            difference.f_norm()?.f_double_value(&[])
        })?;
        if length < LEAST_DIRECTION {
            return Err(EditError::NoDirection { target: target.to_owned(), neutral: neutral.to_owned(), length });
        }
        let tokens = Some(engine.token_digest(&[&sentences.target[..], &sentences.neutral[..]].concat())?);
        let facts = TextFacts { tokens, ..facts(&sentences, target, neutral) };
        let text = Self::from_features(&with, &without, facts)?;
        Ok(match numerics.mapper_text {
            MapperText::UnitMean => text,
            MapperText::RawPrompt => Self { mapper_input: engine.raw_text_feature(target.trim())?, ..text },
        })
    }

    /// From the unit features `[T, D]` of aligned target and neutral sentences.
    ///
    /// # Errors
    /// When shapes differ or libtorch fails.
    pub fn from_features(with: &Tensor, without: &Tensor, facts: TextFacts) -> Result<Self, TchError> {
        tch::no_grad(|| {
            let mean = |features: &Tensor| features.f_mean_dim([0_i64].as_slice(), false, None);
            let target = mean(with)?;
            let direction = unit(&mean(&with.f_sub(without)?)?)?;
            let width = target.size()[0] as f64;
            let mapper_input = unit(&target)?.f_multiply_scalar(width.sqrt() / 4.0)?;
            Ok(Self { target, direction, neutral: without.shallow_clone(), mapper_input, facts })
        })
    }
}

fn facts(sentences: &Sentences, target: &str, neutral: &str) -> TextFacts {
    let expanded: Digest = sentences.digest();
    // Safe to narrow: templates times subjects, both read from a small file.
    let templates = sentences.len() as u32;
    TextFacts { target: target.to_owned(), neutral: neutral.to_owned(), templates, expanded, tokens: None }
}

/// `x / max(|x|, 1e-12)` along the last dimension, as `torch.nn.functional.normalize`.
pub(crate) fn unit(features: &Tensor) -> Result<Tensor, TchError> {
    features.f_div(&length(features)?.f_clamp_min(1e-12)?)
}

/// `|x|` along the last dimension, kept. Its gradient at zero is zero.
pub(crate) fn length(features: &Tensor) -> Result<Tensor, TchError> {
    features.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true)
}
