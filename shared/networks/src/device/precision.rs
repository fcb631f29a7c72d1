//! The numbers that edits are computed in.

use super::DeviceError;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use tch::Kind;

/// What the generator, and the CLIP that guides, compute in. Latents, images at the networks' edge, losses, optimisers and every network
/// that only reads or scores stay in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision everywhere.
    #[default]
    Fp32,
    /// Single precision, whose products a GPU may round to three decimal digits on their way in. For all networks of the process.
    Tf32,
    /// Half as many bytes: the range of single precision, and two to three decimal digits.
    Bf16,
}

impl Precision {
    /// As records and stage keys have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        }
    }

    /// The kind that generator and guiding CLIP are loaded in.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Fp32 | Self::Tf32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }

    /// Bytes of one such number in memory.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Fp32 | Self::Tf32 => 4,
            Self::Bf16 => 2,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let known = [Self::Fp32, Self::Tf32, Self::Bf16].into_iter().find(|precision| precision.name() == text);
        known.ok_or_else(|| DeviceError::UnknownPrecision { text: text.to_owned() })
    }
}
