//! Methods that train a mapper once per text and then edit any image in one forward pass.

use super::{GlobalLoss, Guards, NceLoss, Numerics, SpecError, Views, text_fits, within};
use crate::digest::Digest;
use crate::schema::merged;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{PartialSchema as _, ToSchema};

/// The course of a mapper's training.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Training<'a> {
    /// Name of the dataset whose inverted latents the mapper is trained on.
    pub train_on: &'a str,
    /// At most this many of its images, in dataset order.
    pub train_limit: u32,
    /// Optimiser steps.
    pub steps: u32,
    /// Latents per step.
    pub batch: u32,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// Its peak learning rate.
    pub learning_rate: f64,
    /// How the rate moves.
    pub schedule: Schedule,
    /// Seed of the initial weights, the data order and the views.
    pub seed: u64,
    /// The mapper's network.
    pub network: MapperNetwork,
    /// Hidden layers of each of the coarse, medium and fine mappers.
    pub depth: u32,
    /// Which groups of layers have a mapper.
    pub groups: Layers,
}

/// The optimiser of a training.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Adam with the gradient's length limited to 1.
    #[default]
    Adam,
    /// Ranger as published (mapper/training/ranger.py): rectified Adam, gradient centralisation, lookahead.
    Ranger,
}

impl Optimiser {
    /// The rate that suits it: the published one for Ranger, the measured one for Adam.
    pub const fn usual_rate(self) -> f64 {
        match self {
            Self::Adam => 2e-3,
            Self::Ranger => 0.5,
        }
    }
}

/// How a learning rate moves over a training.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// 20 steps of warm-up, cosine decay over the last 40 %.
    #[default]
    WarmUpCosine,
    /// Always the peak, as published.
    Constant,
}

/// The network of a text mapper.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MapperNetwork {
    /// One text network for all layers and plain weights: smaller, and trains faster at small sizes.
    #[default]
    Compact,
    /// As published (mapper/latent_mappers.py): a text mapper (TEM) per layer of W+, one fusing layer, equalised learning rates.
    Published,
}

/// The switches of the coarse (0 to 3), medium (4 to 7) and fine mappers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Layers {
    /// Layers 0 to 3: pose, shape, hair style.
    pub coarse: bool,
    /// Layers 4 to 7 (4 and 5 where there are fewer than 14): features of the face.
    pub medium: bool,
    /// The rest: colours, texture.
    pub fine: bool,
}

impl Default for Layers {
    fn default() -> Self {
        Self { coarse: true, medium: true, fine: true }
    }
}

/// The amortised methods differ in their loss and in the defaults that suit it.
macro_rules! amortised {
    ($(#[$doc:meta])* $name:ident, $loss:ty, latent_l2 $l2:literal, sparsity $sparsity:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// Name of the dataset whose inverted latents the mapper is trained on. Keep it apart from the images edited.
            #[schema(min_length = 1, max_length = 300, pattern = r"\S")]
            pub train_on: String,
            /// At most this many of its images, in dataset order.
            #[schema(minimum = 1, maximum = 1_000_000)]
            pub train_limit: u32,
            /// Optimiser steps.
            #[schema(minimum = 1, maximum = 1_000_000)]
            pub steps: u32,
            /// Latents per step.
            #[schema(minimum = 1, maximum = 256)]
            pub batch: u32,
            /// The optimiser.
            pub optimiser: Optimiser,
            /// Its peak learning rate; the optimiser's usual one when absent (Adam 0.002, Ranger 0.5).
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(minimum = 0.000001, maximum = 1)]
            pub learning_rate: Option<f64>,
            /// How the rate moves.
            pub schedule: Schedule,
            /// Seed of the initial weights, the data order and the views.
            pub seed: u64,
            /// The mapper's network.
            pub network: MapperNetwork,
            /// Hidden layers of each of the coarse, medium and fine mappers (published: 3, with one more layer out).
            #[schema(minimum = 1, maximum = 16)]
            pub depth: u32,
            /// Which groups of layers have a mapper.
            pub groups: Layers,
            /// SHA-256 of a mapper's file, trained elsewhere (`cfx mapper import`) or kept: it is used, and nothing is trained.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub mapper: Option<Digest>,
            /// Weight of the loss itself.
            #[schema(minimum = 0.001, maximum = 1000)]
            pub guide_weight: f64,
            /// Weight of the mean squared change of the latent, `mean((w' - w)^2)`.
            #[schema(minimum = 0, maximum = 10_000)]
            pub latent_l2: f64,
            /// Weight of the group-sparse image change: the mean over pixels of `sqrt(mean over colours of (x' - x)^2)`, images
            /// in [-1, 1]. Unlike a squared distance it lets a few pixels change much and pulls the others to no change at all.
            #[schema(minimum = 0, maximum = 1000)]
            pub sparsity: f64,
            /// The numeric mode.
            pub numerics: Numerics,
            /// The loss it is trained under.
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
                    train_on: "train".to_owned(),
                    train_limit: 512,
                    steps: 300,
                    batch: 8,
                    optimiser: Optimiser::default(),
                    learning_rate: None,
                    schedule: Schedule::default(),
                    seed: 0,
                    network: MapperNetwork::default(),
                    depth: 4,
                    groups: Layers::default(),
                    mapper: None,
                    guide_weight: 1.0,
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

            pub(super) fn training(&self) -> Training<'_> {
                Training {
                    train_on: &self.train_on,
                    train_limit: self.train_limit,
                    steps: self.steps,
                    batch: self.batch,
                    optimiser: self.optimiser,
                    learning_rate: self.learning_rate.unwrap_or(self.optimiser.usual_rate()),
                    schedule: self.schedule,
                    seed: self.seed,
                    network: self.network,
                    depth: self.depth,
                    groups: self.groups,
                }
            }

            pub(super) fn validate_course(&self, field: &str) -> Result<(), SpecError> {
                let at = |name: &str| format!("{field}.{name}");
                text_fits(&at("train_on"), &self.train_on)?;
                within(&at("train_limit"), f64::from(self.train_limit), 1.0, 1e6)?;
                within(&at("steps"), f64::from(self.steps), 1.0, 1e6)?;
                within(&at("batch"), f64::from(self.batch), 1.0, 256.0)?;
                within(&at("learning_rate"), self.training().learning_rate, 1e-6, 1.0)?;
                within(&at("guide_weight"), self.guide_weight, 1e-3, 1e3)?;
                within(&at("latent_l2"), self.latent_l2, 0.0, 1e4)?;
                within(&at("sparsity"), self.sparsity, 0.0, 1e3)?;
                within(&at("depth"), f64::from(self.depth), 1.0, 16.0)?;
                let Layers { coarse, medium, fine } = self.groups;
                if !(coarse || medium || fine) {
                    let reason = "every group is switched off, so nothing could change; leave one on".to_owned();
                    return Err(SpecError::Unusable { field: at("groups"), reason });
                }
                self.views.validate(field)?;
                self.guards.validate(field)
            }
        }
    };
}

amortised! {
    /// `cf-mapper`: CF-CLIP's text mapper under the contrastive loss.
    CfMapper, NceLoss, latent_l2 0.15, sparsity 1.0
}
amortised! {
    /// `styleclip-mapper`: StyleCLIP's mapper, which is told no text, under the global CLIP loss. Published: `latent_l2` 0.8,
    /// `identity` 0.1.
    StyleclipMapper, GlobalLoss, latent_l2 0.1, sparsity 0.0
}
