//! An engine from networks that are in memory already: measurements need the sizes of real networks, and no files of them.

use super::{Engine, Guide, check_latents};
use crate::error::EditError;
use crate::perspective::Perspective;
use domain::{Digest, Precision};
use networks::clip::{Clip, Preprocess, Preprocessor};
use networks::tokenizer::Tokenizer;
use networks::weights::LoadReport;
use networks::{Encoder, Generator, Identity};

/// Networks on one device, each with the report of its loading.
#[derive(Debug)]
pub struct Parts {
    /// The generator.
    pub generator: (Generator, LoadReport),
    /// What stands for the digest of the generator's file.
    pub generator_digest: Digest,
    /// What generator and guiding CLIP were loaded in.
    pub precision: Precision,
    /// The inversion encoder, if there is one.
    pub encoder: Option<(Encoder, LoadReport)>,
    /// The face recogniser, if there is one.
    pub identity: Option<(Identity, LoadReport)>,
    /// The CLIP that guides edits.
    pub clip: (Clip, LoadReport),
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How images reach it.
    pub preprocess: Preprocess,
    /// Sentences with one `{}` each.
    pub templates: Vec<String>,
}

impl Engine {
    /// The engine of these networks, without any other.
    ///
    /// # Errors
    /// When generator and encoder do not fit together, or memory runs out.
    pub fn assemble(parts: Parts) -> Result<Self, EditError> {
        let Parts { generator, generator_digest, precision, encoder, identity, clip, tokenizer, preprocess, templates } =
            parts;
        let (generator, of_generator) = generator;
        let (encoder, of_encoder) = encoder.unzip();
        let (identity, of_identity) = identity.unzip();
        let (clip, report) = clip;
        check_latents(&generator, encoder.as_ref())?;
        let reports =
            [Some(of_generator), of_encoder, Some(report.clone()), of_identity].into_iter().flatten().collect();
        let device = generator.device();
        let preprocessor = Preprocessor::new(preprocess, clip.shape().image_size);
        Ok(Self {
            perspective: Perspective::new(generator.resolution(), device)?,
            generator,
            encoder,
            guide: Guide { clip, tokenizer, preprocess, preprocessor, report },
            second: None,
            judge: None,
            identity,
            perceptual: None,
            detector: None,
            templates,
            subjects: Vec::new(),
            device,
            reports,
            generator_digest,
            precision,
        })
    }
}
