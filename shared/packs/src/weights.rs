//! Reading safetensors files for what can be known without arithmetic: header, digests. One pass, constant memory.

use domain::Digest;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// The format's own limit on its header (safetensors: `MAX_HEADER_SIZE`).
const HEADER_LIMIT: u64 = 100_000_000;

/// One tensor of a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TensorFacts {
    /// Element type as the format names it: `F16`, `F32`.
    pub dtype: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// SHA-256 of its bytes, little-endian and row-major as in the file.
    pub sha256: Digest,
}

/// What one pass over a weights file gives.
#[derive(Clone, Debug)]
pub struct WeightsFacts {
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Length of the file, bytes.
    pub bytes: u64,
    /// The tensors, or why the file is no sound safetensors file.
    pub tensors: Result<BTreeMap<String, TensorFacts>, HeaderError>,
}

/// A file that is no sound safetensors file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than its header says.
    #[error("truncated: {found} bytes, its header describes {expected}")]
    Truncated {
        /// Bytes that are there.
        found: u64,
        /// Bytes that should be.
        expected: u64,
    },
    /// Longer than its header says.
    #[error("has {0} bytes after its last tensor")]
    Trailing(u64),
    /// No safetensors header.
    #[error("is no safetensors file ({0}); convert the checkpoint to safetensors first")]
    NotSafetensors(String),
}

/// The SHA-256 of a file's bytes.
///
/// # Errors
/// When it cannot be read.
pub fn file_digest(path: &Path) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    feed(&mut file, u64::MAX, &mut [&mut hash])?;
    Ok(finish(hash))
}

/// Reads a weights file once: its digest, and each tensor's.
///
/// # Errors
/// Only when the file cannot be read; what is wrong inside is in [`WeightsFacts::tensors`].
pub fn inspect(path: &Path) -> io::Result<WeightsFacts> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut whole = Sha256::new();
    let header = read_header(&mut file, bytes, &mut whole)?;
    let tensors = match header {
        Ok(metadata) => Ok(hash_tensors(&mut file, &metadata, &mut whole)?),
        Err(error) => Err(error),
    };
    feed(&mut file, u64::MAX, &mut [&mut whole])?;
    Ok(WeightsFacts { sha256: finish(whole), bytes, tensors })
}

/// The digest of a set of tensors: names, types, shapes and bytes, whatever their order in the file and its free-form metadata.
pub fn tensor_digest(tensors: &BTreeMap<String, TensorFacts>) -> Digest {
    // Safe because names are texts and shapes are integers: nothing here lacks canonical JSON.
    domain::digest_of(tensors).expect("tensor facts have canonical JSON")
}

fn read_header(file: &mut File, bytes: u64, whole: &mut Sha256) -> io::Result<Result<Metadata, HeaderError>> {
    let not = |why: String| Ok(Err(HeaderError::NotSafetensors(why)));
    if bytes < 8 {
        return not(format!("{bytes} bytes"));
    }
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix)?;
    whole.update(prefix);
    let length = u64::from_le_bytes(prefix);
    if length > HEADER_LIMIT {
        return not("no header length where it should be".to_owned());
    }
    if bytes < 8 + length {
        return Ok(Err(HeaderError::Truncated { found: bytes, expected: 8 + length }));
    }
    let mut json = Vec::new();
    file.take(length).read_to_end(&mut json)?;
    whole.update(&json);
    let metadata: Metadata = match serde_json::from_slice(&json) {
        Ok(metadata) => metadata,
        Err(error) => return not(format!("header: {error}")),
    };
    // The header's own offsets were checked against shapes and each other by the deserialiser.
    let expected = 8 + length + metadata.data_len() as u64;
    Ok(match bytes.cmp(&expected) {
        std::cmp::Ordering::Less => Err(HeaderError::Truncated { found: bytes, expected }),
        std::cmp::Ordering::Greater => Err(HeaderError::Trailing(bytes - expected)),
        std::cmp::Ordering::Equal => Ok(metadata),
    })
}

fn hash_tensors(file: &mut File, metadata: &Metadata, whole: &mut Sha256) -> io::Result<BTreeMap<String, TensorFacts>> {
    let mut in_file_order: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
    in_file_order.sort_by_key(|(_, info)| info.data_offsets);
    let mut tensors = BTreeMap::new();
    for (name, info) in in_file_order {
        let mut own = Sha256::new();
        let (begin, end) = info.data_offsets;
        feed(file, (end - begin) as u64, &mut [whole, &mut own])?;
        let facts = TensorFacts { dtype: dtype_name(info.dtype), shape: info.shape.clone(), sha256: finish(own) };
        tensors.insert(name, facts);
    }
    Ok(tensors)
}

/// Reads up to `limit` bytes into all of the hashes.
fn feed(file: &mut File, limit: u64, hashes: &mut [&mut Sha256]) -> io::Result<()> {
    let mut reader = file.take(limit);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match reader.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            return Ok(());
        }
        for hash in &mut *hashes {
            hash.update(&chunk[..read]);
        }
    }
}

fn finish(hash: Sha256) -> Digest {
    Digest::from_bytes(hash.finalize().into())
}

fn dtype_name(dtype: Dtype) -> String {
    format!("{dtype:?}")
}
