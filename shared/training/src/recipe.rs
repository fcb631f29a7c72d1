//! The recipe file: every number a training depends on.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::adversarial::AdversarialSettings;
use crate::clip::ClipSettings;
use crate::encoder::EncoderSettings;
use crate::error::TrainingError;
use crate::generator::GeneratorSettings;
use crate::judge::JudgeSettings;
use crate::mapping::MappingSettings;
use crate::reconstruction::ReconstructionSettings;

/// A whole training. Every key has a default; unknown keys are errors.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// The pack's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Seed of everything random. Part `n` uses `seed + n`.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Faces to draw.
    pub faces: FaceCounts,
    /// The judge.
    pub judge: JudgeSettings,
    /// The CLIP.
    pub clip: ClipSettings,
    /// Sizes of the generator.
    pub generator: GeneratorSettings,
    /// Sizes of the encoder.
    pub encoder: EncoderSettings,
    /// Generator and encoder together; 0 steps to train the generator adversarially from random values.
    pub reconstruction: ReconstructionSettings,
    /// The mapping fitted to the encoder's latents; 0 steps where the adversarial training learns it.
    pub mapping: MappingSettings,
    /// Adversarial training, from what came before; 0 steps to leave it out.
    pub adversarial: AdversarialSettings,
    /// The encoder on the final generator; 0 steps to leave it as it is.
    pub refinement: ReconstructionSettings,
}

/// How many faces are drawn.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaceCounts {
    /// Natural ones: generator, encoder, mapping.
    pub natural: usize,
    /// Of all colours, half of them close to prototypes and half in between: judge and CLIP.
    pub open: usize,
    /// Held out, of each of the two kinds: the report.
    pub held_out: usize,
}

impl Default for FaceCounts {
    fn default() -> Self {
        FaceCounts { natural: 40_000, open: 40_000, held_out: 1000 }
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            name: "faces-64".to_owned(),
            version: "1.0.0".to_owned(),
            seed: 0,
            checkpoint_every: 500,
            faces: FaceCounts::default(),
            judge: JudgeSettings::default(),
            clip: ClipSettings::default(),
            generator: GeneratorSettings::default(),
            encoder: EncoderSettings::default(),
            reconstruction: ReconstructionSettings::default(),
            mapping: MappingSettings::default(),
            adversarial: AdversarialSettings::default(),
            refinement: ReconstructionSettings { steps: 0, ..ReconstructionSettings::default() },
        }
    }
}

impl Recipe {
    /// Reads and checks a recipe.
    pub fn open(path: &Path) -> Result<Self, TrainingError> {
        let text = std::fs::read_to_string(path).map_err(TrainingError::io(path))?;
        let recipe: Self = toml::from_str(&text)
            .map_err(|source| TrainingError::RecipeFile { path: path.to_owned(), source: Box::new(source) })?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Whether the sizes fit each other.
    pub fn check(&self) -> Result<(), TrainingError> {
        let wrong = |key, value: String, expected| Err(TrainingError::Recipe { key, value, expected });
        let levels = self.generator.channels.len();
        if !(2..=9).contains(&levels) {
            return wrong("generator.channels", format!("{levels} levels"), "it must name 2 (8 px) to 9 (1024 px)");
        }
        if self.adversarial.steps > 0 && self.adversarial.channels.len() != levels {
            let value = format!("{} levels", self.adversarial.channels.len());
            return wrong("adversarial.channels", value, "it must have the generator's number of levels");
        }
        let side = self.generator.side();
        if self.clip.width % 64 != 0 || side % self.clip.patch != 0 {
            let value = format!("width {}, patch {}", self.clip.width, self.clip.patch);
            return wrong("clip", value, "the width must be a multiple of 64 and the patch must divide the picture");
        }
        for (key, channels) in [("judge.channels", &self.judge.channels), ("encoder.channels", &self.encoder.channels)]
        {
            if channels.is_empty() || side >> channels.len() == 0 {
                return wrong(
                    key,
                    format!("{} levels", channels.len()),
                    "each level halves the picture: too many or none",
                );
            }
        }
        Ok(())
    }
}
