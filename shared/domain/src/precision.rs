//! The numbers that a job's images are computed in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// What the generator, and the CLIP that guides, compute in. Latents, images at the networks' edge, losses, optimisers and every network
/// that only reads or scores stay in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision everywhere.
    #[default]
    Fp32,
    /// Single precision, whose products a GPU may round to three decimal digits on their way in. A CPU does not round them.
    Tf32,
    /// Half as many bytes: the range of single precision, and two to three decimal digits.
    Bf16,
}

impl Precision {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Tf32, Self::Bf16];

    /// Their names, in the same order.
    pub const NAMES: [&str; 3] = [Self::Fp32.name(), Self::Tf32.name(), Self::Bf16.name()];

    /// As job files, records and stage keys have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// Whether a GPU may round what it multiplies to TF32.
    pub const fn allows_tf32(self) -> bool {
        matches!(self, Self::Tf32)
    }

    /// Bytes of one such number in memory.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Fp32 | Self::Tf32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Whether it is the default, which is left out where it is written down: digests of jobs without it stay as they are.
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::Fp32)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A precision that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown precision {0:?}; write fp32, tf32 or bf16")]
pub struct UnknownPrecision(pub String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| UnknownPrecision(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_read_as_it_is_written() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
            assert_eq!(serde_json::to_value(precision).unwrap(), precision.name());
        }
        assert!("float32".parse::<Precision>().is_err());
        assert!(Precision::default().is_default() && !Precision::Bf16.is_default());
    }
}
