//! Tensors to safetensors bytes and back. Equal tensors give equal bytes, since artifacts are named by their digest.

use crate::error::EditError;
use networks::weights::Weights;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::{BTreeMap, HashMap};
use tch::{Device, Kind, Tensor};

/// The key of the one note a file may carry. One, because the order of several would not be fixed.
const NOTE: &str = domain::edit::ReleasedMapper::NOTE;

/// Writes named tensors, f16 as they are and all others as f32, with an optional note. The order of `tensors` does not matter: the format sorts them.
///
/// # Errors
/// When libtorch cannot bring a tensor to the CPU.
pub fn to_bytes(what: &'static str, tensors: &[(String, &Tensor)], note: Option<String>) -> Result<Vec<u8>, EditError> {
    let mut flat = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let (dtype, kind) =
            if tensor.f_kind()? == Kind::Half { (Dtype::F16, Kind::Half) } else { (Dtype::F32, Kind::Float) };
        let tensor = tch::no_grad(|| {
            tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?.f_reshape([-1])
        })?;
        let mut bytes = vec![0_u8; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        // What libtorch holds in memory is little-endian, as the format wants it, on every machine this is built for.
        flat.push((name, dtype, bytes));
    }
    let malformed = |source| EditError::Malformed { what, source };
    let mut views = Vec::with_capacity(flat.len());
    for ((name, dtype, bytes), (_, tensor)) in flat.iter().zip(tensors) {
        let shape = tensor.size().iter().map(|&n| n as usize).collect();
        views.push((name.as_str(), TensorView::new(*dtype, shape, bytes).map_err(malformed)?));
    }
    let note = note.map(|note| HashMap::from([(NOTE.to_owned(), note)]));
    safetensors::serialize(views, note).map_err(malformed)
}

/// The note of a file, without its tensors.
///
/// # Errors
/// When the bytes do not begin as a safetensors file does.
pub fn note(what: &'static str, bytes: &[u8]) -> Result<Option<String>, EditError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|source| EditError::Malformed { what, source })?;
    Ok(header.metadata().as_ref().and_then(|notes| notes.get(NOTE).cloned()))
}

/// The shapes of a file's tensors.
///
/// # Errors
/// When the bytes do not begin as a safetensors file does.
pub fn shapes(what: &'static str, bytes: &[u8]) -> Result<BTreeMap<String, Vec<i64>>, EditError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|source| EditError::Malformed { what, source })?;
    // Safe to narrow: sizes of tensors in memory.
    let shape = |shape: &[usize]| shape.iter().map(|&n| n as i64).collect();
    Ok(header.tensors().into_iter().map(|(name, info)| (name, shape(&info.shape))).collect())
}

/// Reads named tensors onto `device` as f32, and the note. The tensors are taken one by one, and leftovers refused, with
/// the methods of [`Weights`].
///
/// # Errors
/// When the bytes are no complete safetensors file, or a tensor is of another dtype or not finite.
pub fn from_bytes(what: &'static str, bytes: &[u8], device: Device) -> Result<(Weights, Option<String>), EditError> {
    let malformed = |source| EditError::Malformed { what, source };
    let note = note(what, bytes)?;
    let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let kind = match view.dtype() {
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F32 => Kind::Float,
            other => {
                let (file, tensor, found) = (what.into(), name.to_owned(), format!("{other:?}"));
                return Err(networks::LoadError::Dtype { file, tensor, found }.into());
            }
        };
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.push((name.to_owned(), Tensor::f_from_data_size(view.data(), &shape, kind)?));
    }
    Ok((Weights::from_tensors(what, tensors, device, Kind::Float)?, note))
}
