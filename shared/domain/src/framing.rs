//! Which part of a source image a generator's square shows.

use crate::landmarks::Landmarks;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// How a job wants its sources framed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// The largest centred square: images that are framed already, and all but faces.
    #[default]
    CentreSquare,
    /// Each face turned, cut and padded as FFHQ's are (Karras et al. 2019, appendix A): photographs, for generators of faces.
    Ffhq,
}

impl Frame {
    /// All frames, by their names in job files.
    pub const NAMES: [&str; 2] = ["centre-square", "ffhq"];

    /// Whether it is the default, which is left out where it is written down: keys and digests of jobs without it stay as they are.
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::CentreSquare)
    }

    /// How a source with these landmarks is framed.
    pub fn of(self, landmarks: Option<Landmarks>) -> Framing {
        match self {
            Self::CentreSquare => Framing::CentreSquare,
            Self::Ffhq => Framing::Ffhq { landmarks },
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CentreSquare => "centre-square",
            Self::Ffhq => "ffhq",
        })
    }
}

/// How one source is framed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "kebab-case")]
pub enum Framing {
    /// The largest centred square.
    #[default]
    CentreSquare,
    /// The face, as in FFHQ.
    Ffhq {
        /// Where the face is; none: the pack's detector looks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        landmarks: Option<Landmarks>,
    },
}

impl Framing {
    /// Whether it is the default, as for [`Frame::is_default`].
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::CentreSquare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_job_files() {
        for (frame, name) in [Frame::CentreSquare, Frame::Ffhq].into_iter().zip(Frame::NAMES) {
            assert_eq!((frame.to_string().as_str(), serde_json::to_value(frame).unwrap().as_str()), (name, Some(name)));
        }
        assert_eq!(serde_json::to_string(&Frame::Ffhq.of(None)).unwrap(), r#"{"frame":"ffhq"}"#);
        assert!(Frame::default().is_default() && Frame::default().of(None).is_default());
    }
}
