//! Verification: every file is read and hashed, every weights file's header checked. Nothing stops at the first fault.

use crate::fit;
use crate::manifest::{Dtype, PackFile, Role};
use crate::pack::Pack;
use crate::weights::{self, HeaderError};
use domain::Digest;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What was seen in a pack's files.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// The identity that the manifest claims.
    pub pack: Digest,
    /// One entry per role, in the manifest's order.
    pub files: Vec<FileReport>,
    /// Everything that is wrong; empty for a sound pack.
    pub problems: Vec<Problem>,
}

/// One file as found.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// What it is for.
    pub role: Role,
    /// Its name in the pack's folder.
    pub file: String,
    /// Its length, bytes.
    pub bytes: u64,
    /// Its SHA-256 as found.
    pub sha256: Digest,
    /// What is inside, if it is a sound weights file.
    pub weights: Option<WeightsReport>,
}

/// The inside of a weights file.
#[derive(Debug, Serialize)]
pub struct WeightsReport {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of elements in them.
    pub parameters: u64,
    /// Digest over the tensors alone; equal for files that differ in order or metadata only.
    pub tensor_digest: Digest,
}

/// One thing that is wrong with a pack's files. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{file} ({role}): cannot be read: {message}")]
    Unreadable {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// What the system said.
        message: String,
    },
    /// The bytes are not those the manifest was made for.
    #[error(
        "{file} ({role}): SHA-256 is {found}, pack.toml says {expected}; fetch the file again, or if the change is yours, write the \
         new digest with `cfx pack verify --write`"
    )]
    Digest {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// The manifest's digest.
        expected: Digest,
        /// The file's digest.
        found: Digest,
    },
    /// Not a sound safetensors file.
    #[error("{file} ({role}): {error}")]
    Header {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// What is wrong.
        error: HeaderError,
    },
    /// A tensor of another element type.
    #[error(
        "{file} ({role}): tensor {tensor} is {found}, pack.toml says {expected}; convert the file or correct the dtype"
    )]
    Dtype {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// The first such tensor, by name.
        tensor: String,
        /// Its element type.
        found: String,
        /// What the manifest allows.
        expected: &'static str,
    },
    /// A tensor that the architecture cannot do without.
    #[error(
        "{file} ({role}): tensor {tensor} is missing; the file does not hold the architecture that pack.toml names"
    )]
    MissingTensor {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor whose shape does not fit the manifest or another network.
    #[error("{file} ({role}): tensor {tensor}: {message}")]
    Misfit {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// The tensor.
        tensor: String,
        /// What does not fit.
        message: String,
    },
    /// A merges file that is not in OpenAI's format.
    #[error("{file} ({role}): line {line} is not two tokens with a space between; expected OpenAI's merges format")]
    Merges {
        /// What the file is for.
        role: Role,
        /// Its name.
        file: String,
        /// Counted from 1.
        line: usize,
    },
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl VerifyReport {
    /// True if nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Pack {
    /// Reads every file once: digests, headers, element types, and whether the networks fit each other.
    pub fn verify(&self) -> VerifyReport {
        let mut report = VerifyReport { pack: self.digest(), files: Vec::new(), problems: Vec::new() };
        let (mut headers, mut merges) = (BTreeMap::new(), BTreeMap::new());
        for file in self.manifest().files() {
            let role = file.role;
            let seen = match file.dtype {
                Some(dtype) => self.look_at_weights(&file, dtype, &mut report.problems).map(|(seen, tensors)| {
                    headers.extend(tensors.map(|tensors| (role, tensors)));
                    seen
                }),
                None => self.look_at_merges(&file, &mut report.problems).map(|(seen, rules)| {
                    merges.extend(rules.map(|rules| (role, rules)));
                    seen
                }),
            };
            match seen {
                Ok(seen) => {
                    if seen.sha256 != file.sha256 {
                        let name = file.file.to_owned();
                        report.problems.push(Problem::Digest {
                            role,
                            file: name,
                            expected: file.sha256,
                            found: seen.sha256,
                        });
                    }
                    report.files.push(seen);
                }
                Err(error) => {
                    report.problems.push(Problem::Unreadable {
                        role,
                        file: file.file.to_owned(),
                        message: error.to_string(),
                    });
                }
            }
        }
        report.problems.extend(fit::check(self.manifest(), &headers, &merges));
        report
    }

    fn look_at_weights(
        &self,
        file: &PackFile<'_>,
        dtype: Dtype,
        problems: &mut Vec<Problem>,
    ) -> std::io::Result<(FileReport, Option<fit::Tensors>)> {
        let facts = weights::inspect(&self.path(file))?;
        let (role, name) = (file.role, file.file.to_owned());
        let tensors = match facts.tensors {
            Ok(tensors) => Some(tensors),
            Err(error) => {
                problems.push(Problem::Header { role, file: name.clone(), error });
                None
            }
        };
        let allowed: &[&str] = match dtype {
            Dtype::F16 => &["F16"],
            Dtype::Bf16 => &["BF16"],
            Dtype::F32 => &["F32"],
            Dtype::Mixed => &["F16", "BF16", "F32"],
        };
        // PyTorch's batch norm counts its training steps in an integer, which no network reads.
        let is_weight = |name: &str| !name.ends_with(".num_batches_tracked");
        let mut weights = tensors.iter().flatten().filter(|(name, _)| is_weight(name));
        let odd = weights.find(|(_, facts)| !allowed.contains(&facts.dtype.as_str()));
        if let Some((tensor, facts)) = odd {
            let expected = if let [one] = allowed { one } else { "F16, BF16 or F32" };
            problems.push(Problem::Dtype {
                role,
                file: name.clone(),
                tensor: tensor.clone(),
                found: facts.dtype.clone(),
                expected,
            });
        }
        let weights = tensors.as_ref().map(|tensors| WeightsReport {
            tensors: tensors.len(),
            parameters: tensors.values().map(|facts| facts.shape.iter().map(|d| *d as u64).product::<u64>()).sum(),
            tensor_digest: weights::tensor_digest(tensors),
        });
        Ok((FileReport { role, file: name, bytes: facts.bytes, sha256: facts.sha256, weights }, tensors))
    }

    /// The merges file is small (3 MB in OpenAI's case), so it is read whole. Gives the number of rules if all lines are sound.
    fn look_at_merges(
        &self,
        file: &PackFile<'_>,
        problems: &mut Vec<Problem>,
    ) -> std::io::Result<(FileReport, Option<usize>)> {
        let bytes = std::fs::read(self.path(file))?;
        let (role, name) = (file.role, file.file.to_owned());
        let text = String::from_utf8_lossy(&bytes);
        // The first line is a header, and a file may end in empty lines.
        let rules: Vec<&str> = text.trim_end().lines().skip(1).collect();
        let odd = rules.iter().position(|rule| rule.split_whitespace().count() != 2);
        if let Some(index) = odd {
            problems.push(Problem::Merges { role, file: name.clone(), line: index + 2 });
        }
        let seen =
            FileReport { role, file: name, bytes: bytes.len() as u64, sha256: Digest::of(&bytes), weights: None };
        Ok((seen, odd.is_none().then_some(rules.len())))
    }
}
