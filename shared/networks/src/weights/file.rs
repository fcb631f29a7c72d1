//! A safetensors file, read tensor by tensor: of a file of gigabytes, one tensor at a time is in memory beside what was loaded.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::error::LoadError;

/// The format's own limit on its header.
const HEADER_LIMIT: u64 = 100_000_000;

/// Bytes of the length before the header.
const PREFIX: u64 = 8;

/// A tensor's name, what it is, and its bytes.
pub(super) type Tensor<'a> = (String, TensorInfo, &'a [u8]);

/// An open file, before its first tensor.
pub(super) struct TensorFile<'a> {
    path: &'a Path,
    file: File,
    /// What is still to be read, in the order of the file, the next one last.
    left: Vec<(String, TensorInfo)>,
    bytes: Vec<u8>,
}

impl<'a> TensorFile<'a> {
    /// Opens a file and checks that its header describes exactly the bytes that follow.
    pub(super) fn open(path: &'a Path) -> Result<Self, LoadError> {
        let unreadable = |source| LoadError::Unreadable { file: path.to_owned(), source };
        let malformed = |source| LoadError::Malformed { file: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        if length < PREFIX {
            return Err(malformed(SafeTensorError::HeaderTooSmall));
        }
        let mut prefix = [0; PREFIX as usize];
        file.read_exact(&mut prefix).map_err(unreadable)?;
        let header = u64::from_le_bytes(prefix);
        if header > HEADER_LIMIT {
            return Err(malformed(SafeTensorError::HeaderTooLarge));
        }
        if header > length - PREFIX {
            return Err(malformed(SafeTensorError::InvalidHeaderLength));
        }
        let mut json = Vec::new();
        (&mut file).take(header).read_to_end(&mut json).map_err(unreadable)?;
        let metadata: Metadata = serde_json::from_slice(&json)
            .map_err(|error| malformed(SafeTensorError::InvalidHeaderDeserialization(error)))?;
        // The deserialiser has checked offsets against shapes and each other.
        if PREFIX + header + metadata.data_len() as u64 != length {
            return Err(malformed(SafeTensorError::MetadataIncompleteBuffer));
        }
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone()));
        let mut left: Vec<(String, TensorInfo)> = tensors.collect();
        left.sort_by_key(|(_, info)| std::cmp::Reverse(info.data_offsets));
        Ok(Self { path, file, left, bytes: Vec::new() })
    }

    /// The next tensor: its name, what it is, and its bytes (little-endian, row-major), which are good until the next call.
    pub(super) fn next(&mut self) -> Result<Option<Tensor<'_>>, LoadError> {
        let Some((name, info)) = self.left.pop() else { return Ok(None) };
        let (begin, end) = info.data_offsets;
        self.bytes.resize(end - begin, 0);
        // The header was checked: tensors follow each other without gaps.
        let read = self.file.read_exact(&mut self.bytes);
        read.map_err(|source| LoadError::Unreadable { file: self.path.to_owned(), source })?;
        Ok(Some((name, info, &self.bytes)))
    }
}
