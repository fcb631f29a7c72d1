//! Safetensors: a header of names, types, shapes and offsets, then the tensors.

use super::storages::{Backing, Storage};
use super::tensor::{Dtype, StorageId};
use super::{Blob, Fault, Tensor, Value, limits};
use safetensors::tensor::Metadata;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The tensors as a flat dictionary, and the header's free-form texts.
pub(super) fn read(file: &Blob) -> Result<(Value, BTreeMap<String, String>), Fault> {
    let prefix = file.read_range(0, 8)?;
    let length = prefix.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if length > limits::SAFETENSORS_HEADER {
        return Err(Fault::Limit(format!("a safetensors header of {length} bytes")));
    }
    let json = file.read_range(8, length)?;
    let header: Metadata =
        serde_json::from_slice(&json).map_err(|error| Fault::malformed(format!("its header: {error}")))?;
    let begin = 8 + length;
    // Offsets and shapes were held against each other as the header was read.
    let (expected, found) = (header.data_len() as u64, file.len() - begin);
    if found < expected {
        return Err(Fault::Truncated {
            missing: format!("{} of {expected} bytes of tensors are missing", expected - found),
        });
    }
    if found > expected {
        return Err(Fault::malformed(format!("{} bytes follow after its last tensor", found - expected)));
    }
    let infos: BTreeMap<String, _> = header.tensors().into_iter().collect();
    let tensors = infos.into_iter().enumerate().map(|(index, (name, info))| {
        let (from, to) = info.data_offsets;
        let blob = file.part(begin + from as u64, (to - from) as u64);
        let blob = blob.ok_or_else(|| Fault::Truncated { missing: format!("the bytes of tensor {name:?}") })?;
        let value = match dtype(info.dtype) {
            None => super::finish::opaque("safetensors.Tensor", &format!("{:?}", info.dtype)),
            Some(dtype) => {
                let storage = Arc::new(Storage { id: StorageId(index), backing: Backing::Raw(blob.clone()) });
                let shape: Vec<u64> = info.shape.iter().map(|&length| length as u64).collect();
                let mut stride = vec![1u64; shape.len()];
                for axis in (1..shape.len()).rev() {
                    stride[axis - 1] = stride[axis].saturating_mul(shape[axis]);
                }
                Value::Tensor(Tensor::view(dtype, (&shape, &stride), 0, storage, blob.len() / dtype.size() as u64)?)
            }
        };
        Ok((Value::Text(name.into()), value))
    });
    let root = Value::Dict(tensors.collect::<Result<_, Fault>>()?);
    Ok((root, header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()))
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    use safetensors::Dtype as Their;
    Some(match dtype {
        Their::F16 => Dtype::F16,
        Their::BF16 => Dtype::BF16,
        Their::F32 => Dtype::F32,
        Their::F64 => Dtype::F64,
        Their::I64 => Dtype::I64,
        Their::I32 => Dtype::I32,
        Their::I16 => Dtype::I16,
        Their::I8 => Dtype::I8,
        Their::U8 => Dtype::U8,
        Their::BOOL => Dtype::Bool,
        _ => return None,
    })
}
