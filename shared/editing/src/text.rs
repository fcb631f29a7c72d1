//! What an edit's texts become: CLIP features, computed once per edit and shared by every image.

use crate::engine::Engine;
use crate::error::EditError;
use crate::templates::Sentences;
use domain::Digest;
use domain::record::TextFacts;
use tch::{TchError, Tensor};

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
    /// What the mapper is told, `[D]`: the target's direction at length `sqrt(D) / 4`, so that its entries are of the
    /// size of a latent's.
    pub mapper_input: Tensor,
    /// For the record.
    pub facts: TextFacts,
}

impl EditText {
    /// Expands and encodes the two texts.
    ///
    /// # Errors
    /// When an expanded text has more tokens than the text encoder takes, or a network fails.
    pub fn encode(engine: &Engine, target: &str, neutral: &str) -> Result<Self, EditError> {
        let sentences = engine.sentences(target, neutral);
        if sentences.is_empty() {
            return Err(EditError::Pack { what: "has no text templates".to_owned() });
        }
        let features = [engine.text_features(&sentences.target)?, engine.text_features(&sentences.neutral)?];
        let facts = facts(&sentences, target, neutral);
        Ok(Self::from_features(&features[0], &features[1], facts)?)
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
    TextFacts { target: target.to_owned(), neutral: neutral.to_owned(), templates, expanded }
}

/// `x / max(|x|, 1e-12)` along the last dimension, as `torch.nn.functional.normalize`.
pub(crate) fn unit(features: &Tensor) -> Result<Tensor, TchError> {
    features.f_div(&length(features)?.f_clamp_min(1e-12)?)
}

/// `|x|` along the last dimension, kept. Its gradient at zero is zero.
pub(crate) fn length(features: &Tensor) -> Result<Tensor, TchError> {
    features.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true)
}
