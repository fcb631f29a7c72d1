//! Methods that optimise every image's latent on its own: no training, seconds per image.

use super::{DirectionalLoss, GlobalLoss, Guards, NceLoss, Numerics, SpecError, Views, within};
use crate::schema::merged;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{PartialSchema as _, ToSchema};

/// The course of a per-image optimisation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Descent<'a> {
    /// Adam steps on the latent.
    pub steps: u32,
    /// Peak learning rate: 5 steps of warm-up, cosine decay over the last 40 %.
    pub learning_rate: f64,
    /// Stop an item whose loss no longer falls.
    pub early_stop: Option<&'a EarlyStop>,
}

/// When an item of a micro-batch stops before its last step.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Steps without improvement before the item stops.
    #[schema(minimum = 1, maximum = 5000)]
    pub patience: u32,
    /// The least fall of the loss that counts as improvement.
    #[schema(minimum = 0, maximum = 100)]
    pub min_delta: f64,
}

/// The three per-image methods differ in their loss and in the defaults that suit it.
macro_rules! per_image {
    ($(#[$doc:meta])* $name:ident, $loss:ty, steps $steps:literal, rate $rate:literal, latent_l2 $l2:literal, sparsity $sparsity:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// Adam steps on the latent.
            #[schema(minimum = 1, maximum = 5000)]
            pub steps: u32,
            /// Peak learning rate: 5 steps of warm-up, cosine decay over the last 40 %.
            #[schema(minimum = 0.000001, maximum = 1)]
            pub learning_rate: f64,
            /// Stop an item whose loss no longer falls; never when absent.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub early_stop: Option<EarlyStop>,
            /// Weight of the mean squared change of the latent, `mean((w' - w)^2)`.
            #[schema(minimum = 0, maximum = 10_000)]
            pub latent_l2: f64,
            /// Weight of the group-sparse image change: the mean over pixels of `sqrt(mean over colours of (x' - x)^2)`, images
            /// in [-1, 1]. Unlike a squared distance it lets a few pixels change much and pulls the others to no change at all.
            #[schema(minimum = 0, maximum = 1000)]
            pub sparsity: f64,
            /// The numeric mode.
            pub numerics: Numerics,
            /// The loss.
            #[serde(flatten)]
            #[schema(ignore)]
            pub loss: $loss,
            /// What it looks at.
            #[serde(flatten)]
            #[schema(ignore)]
            pub views: Views,
            /// What holds the edit back.
            #[serde(flatten)]
            #[schema(ignore)]
            pub guards: Guards,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    steps: $steps,
                    learning_rate: $rate,
                    early_stop: None,
                    latent_l2: $l2,
                    sparsity: $sparsity,
                    numerics: Numerics::default(),
                    loss: <$loss>::default(),
                    views: Views::default(),
                    guards: Guards::default(),
                }
            }
        }

        impl $name {
            /// Its fields and those of its flattened parts, as one closed object.
            pub(super) fn fields() -> Object {
                merged([Self::schema(), <$loss>::schema(), Views::schema(), Guards::schema()])
            }

            pub(super) fn descent(&self) -> Descent<'_> {
                Descent {
                    steps: self.steps,
                    learning_rate: self.learning_rate,
                    early_stop: self.early_stop.as_ref(),
                }
            }

            pub(super) fn validate_course(&self, field: &str) -> Result<(), SpecError> {
                let at = |name: &str| format!("{field}.{name}");
                within(&at("steps"), f64::from(self.steps), 1.0, 5000.0)?;
                within(&at("learning_rate"), self.learning_rate, 1e-6, 1.0)?;
                within(&at("latent_l2"), self.latent_l2, 0.0, 1e4)?;
                within(&at("sparsity"), self.sparsity, 0.0, 1e3)?;
                if let Some(stop) = &self.early_stop {
                    within(&at("early_stop.patience"), f64::from(stop.patience), 1.0, 5000.0)?;
                    within(&at("early_stop.min_delta"), stop.min_delta, 0.0, 100.0)?;
                }
                self.views.validate(field)?;
                self.guards.validate(field)
            }
        }
    };
}

per_image! {
    /// `clip-nce`: CF-CLIP's contrastive loss on each image's latent.
    ClipNce, NceLoss, steps 40, rate 0.08, latent_l2 0.6, sparsity 0.0
}
per_image! {
    /// `styleclip`: StyleCLIP's latent optimisation (optimization/run_optimization.py) with the global CLIP loss, the latent's
    /// squared change and identity. Published: 300 steps, rate 0.1, `latent_l2` 0.008 on the sum over the latent.
    Styleclip, GlobalLoss, steps 40, rate 0.08, latent_l2 0.4, sparsity 0.0
}
per_image! {
    /// `directional`: StyleGAN-NADA's directional loss, on each image's latent.
    Directional, DirectionalLoss, steps 40, rate 0.08, latent_l2 0.1, sparsity 0.0
}
