//! Writes a network's tensors as a safetensors file: one tensor in memory at a time, each number looked at, hashed on the way.

use super::error::{Cause, ImportError};
use super::taking::{Change, Origin, Piece};
use crate::checkpoint::Dtype;
use crate::manifest;
use domain::Digest;
use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A file that was written.
pub(super) struct Stored {
    pub(super) sha256: Digest,
    pub(super) dtype: manifest::Dtype,
}

/// Writes `pieces` to `target`; `source` is named where a number that the import made is not finite.
pub(super) fn write(pieces: Vec<Piece>, source: &Path, target: &Path) -> Result<Stored, ImportError> {
    write_noted(pieces, None, source, target)
}

/// As [`write`], with a note under a key.
pub(super) fn write_noted(
    mut pieces: Vec<Piece>,
    note: Option<(&str, String)>,
    source: &Path,
    target: &Path,
) -> Result<Stored, ImportError> {
    // As the safetensors library orders them, so that each is aligned: wide types first, then by name.
    pieces.sort_by(|a, b| b.dtype().size().cmp(&a.dtype().size()).then_with(|| a.name.cmp(&b.name)));
    let failed = |source| ImportError::Write { path: target.to_owned(), source };
    let mut at = 0;
    let infos = pieces.iter().map(|piece| {
        let begin = at;
        at += piece.shape.iter().product::<usize>() * piece.dtype().size();
        let info = TensorInfo { dtype: stored(piece.dtype()), shape: piece.shape.clone(), data_offsets: (begin, at) };
        (piece.name.clone(), info)
    });
    let header = Metadata::new(note.map(|(key, text)| HashMap::from([(key.to_owned(), text)])), infos.collect());
    let header = header.map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    // Safe because names are texts and shapes are integers.
    let mut json = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let file = File::create_new(target).map_err(failed)?;
    let mut out = Hashing { file: BufWriter::with_capacity(1 << 20, file), hash: Sha256::new() };
    out.write(&(json.len() as u64).to_le_bytes()).map_err(failed)?;
    out.write(&json).map_err(failed)?;
    for piece in &pieces {
        let bytes = bytes(piece)?;
        let odd = not_finite(piece.dtype(), &bytes);
        if odd > 0 {
            let cause = Cause::NotFinite { key: piece.from.clone(), count: odd };
            let path = piece.file().unwrap_or(source).to_owned();
            return Err(ImportError::Checkpoint { path, cause });
        }
        out.write(&bytes).map_err(failed)?;
    }
    out.file.flush().map_err(failed)?;
    out.file.get_ref().sync_all().map_err(failed)?;
    let sha256 = Digest::from_bytes(out.hash.finalize().into());
    Ok(Stored { sha256, dtype: common(&pieces) })
}

struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

fn stored(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::BF16 => safetensors::Dtype::BF16,
        _ => safetensors::Dtype::F32,
    }
}

fn common(pieces: &[Piece]) -> manifest::Dtype {
    let mut dtypes = pieces.iter().map(Piece::dtype);
    let Some(first) = dtypes.next().filter(|first| dtypes.all(|other| other == *first)) else {
        return manifest::Dtype::Mixed;
    };
    match first {
        Dtype::F16 => manifest::Dtype::F16,
        Dtype::BF16 => manifest::Dtype::Bf16,
        _ => manifest::Dtype::F32,
    }
}

/// A piece's numbers as they are stored.
pub(super) fn bytes(piece: &Piece) -> Result<Vec<u8>, ImportError> {
    let single = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let (tensors, change) = match &piece.origin {
        Origin::Made(numbers) => return Ok(single(numbers)),
        Origin::Taken(tensors, change) => (tensors, change),
    };
    let half = piece.dtype() != Dtype::F32;
    let mut out = Vec::new();
    for tensor in tensors {
        match (change, half) {
            (Change::Copy, true) => out.extend(tensor.read()?),
            (Change::Copy, false) if tensor.dtype() == Dtype::F32 => out.extend(tensor.read()?),
            (Change::Copy, false) => out.extend::<Vec<u8>>(single(&tensor.read_f32()?)),
            (Change::Scale(factor), _) => {
                let scaled: Vec<f32> = tensor.read_f32()?.into_iter().map(|number| number * factor).collect();
                out.extend::<Vec<u8>>(single(&scaled));
            }
            (Change::PlusOne, _) => {
                let more: Vec<f32> = tensor.read_f32()?.into_iter().map(|number| number + 1.0).collect();
                out.extend::<Vec<u8>>(single(&more));
            }
            (Change::Filters { turned }, _) => {
                out.extend::<Vec<u8>>(single(&filters(&tensor.read_f32()?, tensor.shape(), *turned)));
            }
            (Change::Transpose, true) => out.extend(transposed::<2>(&tensor.read()?, tensor.shape())),
            (Change::Transpose, false) => out.extend(transposed::<4>(&single(&tensor.read_f32()?), tensor.shape())),
        }
    }
    Ok(out)
}

/// TensorFlow's filters in PyTorch's order.
fn filters(numbers: &[f32], shape: &[usize], turned: bool) -> Vec<f32> {
    let &[height, width, inputs, outputs] = shape else { return numbers.to_vec() };
    let places = height * width;
    let at = |output, input, place| {
        let place = if turned { places - 1 - place } else { place };
        numbers.get((place * inputs + input) * outputs + output).copied().unwrap_or(f32::NAN)
    };
    let pairs = (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input)));
    pairs.flat_map(|(output, input)| (0..places).map(move |place| at(output, input, place))).collect()
}

fn transposed<const N: usize>(bytes: &[u8], shape: &[usize]) -> Vec<u8> {
    let (numbers, _) = bytes.as_chunks::<N>();
    let columns = shape.last().copied().unwrap_or(1).max(1);
    (0..columns).flat_map(|column| numbers.iter().skip(column).step_by(columns).flatten().copied()).collect()
}

fn not_finite(dtype: Dtype, bytes: &[u8]) -> usize {
    match dtype {
        Dtype::F16 => bytes.as_chunks::<2>().0.iter().filter(|n| !f16::from_le_bytes(**n).is_finite()).count(),
        Dtype::BF16 => bytes.as_chunks::<2>().0.iter().filter(|n| !bf16::from_le_bytes(**n).is_finite()).count(),
        _ => bytes.as_chunks::<4>().0.iter().filter(|n| !f32::from_le_bytes(**n).is_finite()).count(),
    }
}
