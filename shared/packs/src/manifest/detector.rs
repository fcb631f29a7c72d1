//! `[detector]`: finds the face in a photograph whose landmarks nobody gave, for jobs that frame their sources as FFHQ does.

use super::Dtype;
use domain::Digest;
use serde::{Deserialize, Serialize};

/// `[detector]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detector {
    /// Which networks the tensors form.
    pub architecture: DetectorArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type.
    pub dtype: Dtype,
}

/// Detectors this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetectorArchitecture {
    /// MTCNN as facenet-pytorch has it: `pnet.…`, `rnet.…` and `onet.…` in one file.
    Mtcnn,
}
