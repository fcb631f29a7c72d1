//! How a source image becomes a W+ latent.

use crate::edit::{SpecError, within};
use crate::schema;
use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An inversion method with its parameters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Inversion {
    /// One pass of the pack's encoder (e4e): W+ = w0 + deltas.
    Encoder {},
    /// The encoder, then gradient steps on the W+ latent against the image; the generator's noise is kept.
    Hybrid(Refinement),
    /// NVIDIA's projector: from the mean latent, optimising the latent and the generator's noise.
    Optimise(Projection),
    /// Pivotal tuning (PTI): the hybrid's latent, then small changes of the generator's weights, kept per image.
    Pivotal(PivotalTuning),
}

impl PartialSchema for Inversion {
    fn schema() -> RefOr<Schema> {
        schema::one_of("How a source image becomes a W+ latent.", "kind", &VARIANTS)
    }
}

impl ToSchema for Inversion {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let fields = [Encoder::schema(), Refinement::schema(), Projection::schema(), PivotalTuning::schema()];
        for ((kind, name), fields) in VARIANTS.into_iter().zip(fields) {
            schemas.push((name.to_owned(), schema::tagged("kind", kind, schema::merged([fields])).into()));
        }
        schemas.push((LatentSpace::name().into_owned(), LatentSpace::schema()));
        schemas.push((Refinement::name().into_owned(), Refinement::schema()));
    }
}

/// The kinds in the order of [`Inversion`], and the names of their schemas.
const VARIANTS: [(&str, &str); 4] = [
    ("encoder", "EncoderInversion"),
    ("hybrid", "HybridInversion"),
    ("optimise", "OptimisingInversion"),
    ("pivotal", "PivotalInversion"),
];

/// One pass of the pack's encoder (e4e): W+ = w0 + deltas.
#[derive(ToSchema)]
struct Encoder {}

impl Default for Inversion {
    fn default() -> Self {
        Self::Encoder {}
    }
}

/// W+ refinement: Adam on `L1 + L2 + 0.5 * (L1 at 1/2 and 1/4 size) + pull * |w - w_encoder|^2`, all means per item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Refinement {
    /// Gradient steps, 1 to 2000.
    #[schema(minimum = 1, maximum = 2000)]
    pub steps: u32,
    /// Peak learning rate of Adam; cosine decay to 5 % of it.
    #[schema(minimum = 0.000001, maximum = 1)]
    pub learning_rate: f64,
    /// Weight of the squared distance to the encoder's latent.
    #[schema(minimum = 0, maximum = 100)]
    pub pull: f64,
}

impl Default for Refinement {
    fn default() -> Self {
        Self { steps: 100, learning_rate: 0.02, pull: 0.02 }
    }
}

/// NVIDIA's projector (stylegan2-ada-pytorch, projector.py) with its published schedule: the rate rises over the first 5 % of the
/// steps and falls by a cosine over the last 25 %; noise of `w_std * latent_noise * max(0, 1 - t / 0.75)^2` is added to the latent.
/// Images are compared by the pack's perceptual network, and by their pixels where it has none or `pixel_weight` says so. Noise is
/// optimised and regularised per item, so that an item does not depend on its batch-mates.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Projection {
    /// Where the latent may go.
    pub space: LatentSpace,
    /// Steps, 1 to 5000.
    #[schema(minimum = 1, maximum = 5000)]
    pub steps: u32,
    /// Peak learning rate of Adam.
    #[schema(minimum = 0.000001, maximum = 1)]
    pub learning_rate: f64,
    /// Factor on the noise added to the latent early on.
    #[schema(minimum = 0, maximum = 1)]
    pub latent_noise: f64,
    /// Whether the generator's noise inputs are optimised too.
    pub optimise_noise: bool,
    /// Weight of the noise's autocorrelation.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub noise_weight: f64,
    /// Weight of the perceptual distance, where the pack has such a network.
    #[schema(minimum = 0, maximum = 1000)]
    pub perceptual_weight: f64,
    /// Weight of `L1 + L2` on the pixels. Where the pack has no perceptual network it must not be 0.
    #[schema(minimum = 0, maximum = 1000)]
    pub pixel_weight: f64,
    /// Seed of the noise.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub seed: u64,
}

impl Default for Projection {
    fn default() -> Self {
        Self {
            space: LatentSpace::WPlus,
            steps: 1000,
            learning_rate: 0.1,
            latent_noise: 0.05,
            optimise_noise: true,
            noise_weight: 1e5,
            perceptual_weight: 1.0,
            pixel_weight: 1.0,
            seed: 0,
        }
    }
}

/// A space of latents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LatentSpace {
    /// One vector for all layers.
    W,
    /// A vector per layer.
    #[default]
    WPlus,
}

/// Pivotal tuning (Roich et al. 2021): after the pivot is found, the generator's convolutions are changed by low-rank matrices so
/// that it draws this image; the change is the per-image artifact, in place of a copy of the generator.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PivotalTuning {
    /// How the pivot is refined after the encoder.
    pub pivot: Refinement,
    /// Most steps on the weights (published: 350).
    #[schema(minimum = 1, maximum = 5000)]
    pub steps: u32,
    /// Rate of Adam on the weights (published: 3e-4, on full matrices; low-rank factors take more).
    #[schema(minimum = 0.000001, maximum = 1)]
    pub learning_rate: f64,
    /// Rank of each convolution's change.
    #[schema(minimum = 1, maximum = 64)]
    pub rank: u32,
    /// Stop once the perceptual distance is below this (published: 0.06), where the pack has such a network.
    #[schema(minimum = 0, maximum = 10)]
    pub stop_below: f64,
}

impl Default for PivotalTuning {
    fn default() -> Self {
        Self { pivot: Refinement::default(), steps: 350, learning_rate: 3e-3, rank: 4, stop_below: 0.06 }
    }
}

impl Refinement {
    fn validate(&self, field: &str) -> Result<(), SpecError> {
        within(&format!("{field}.steps"), f64::from(self.steps), 1.0, 2000.0)?;
        within(&format!("{field}.learning_rate"), self.learning_rate, 1e-6, 1.0)?;
        within(&format!("{field}.pull"), self.pull, 0.0, 100.0)
    }
}

impl Inversion {
    /// Checks every number.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::Encoder {} => Ok(()),
            Self::Hybrid(r) => r.validate("inversion"),
            Self::Optimise(p) => {
                within("inversion.steps", f64::from(p.steps), 1.0, 5000.0)?;
                within("inversion.learning_rate", p.learning_rate, 1e-6, 1.0)?;
                within("inversion.latent_noise", p.latent_noise, 0.0, 1.0)?;
                within("inversion.noise_weight", p.noise_weight, 0.0, 1e9)?;
                within("inversion.perceptual_weight", p.perceptual_weight, 0.0, 1e3)?;
                within("inversion.pixel_weight", p.pixel_weight, 0.0, 1e3)?;
                if p.perceptual_weight == 0.0 && p.pixel_weight == 0.0 {
                    return Err(SpecError::Unusable {
                        field: "inversion".to_owned(),
                        reason: "both perceptual_weight and pixel_weight are 0, so nothing is fitted; raise one"
                            .to_owned(),
                    });
                }
                within("inversion.seed", p.seed as f64, 0.0, crate::job::MAX_SEED as f64)
            }
            Self::Pivotal(p) => {
                p.pivot.validate("inversion.pivot")?;
                within("inversion.steps", f64::from(p.steps), 1.0, 5000.0)?;
                within("inversion.learning_rate", p.learning_rate, 1e-6, 1.0)?;
                within("inversion.rank", f64::from(p.rank), 1.0, 64.0)?;
                within("inversion.stop_below", p.stop_below, 0.0, 10.0)
            }
        }
    }

    /// The name shown to people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Encoder {} => "encoder",
            Self::Hybrid(_) => "hybrid",
            Self::Optimise(_) => "optimise",
            Self::Pivotal(_) => "pivotal",
        }
    }
}
