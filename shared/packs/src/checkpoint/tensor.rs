//! Tensors: views of storages, read when asked for.

use super::storages::Storage;
use super::{CheckpointError, Fault, limits};
use half::{bf16, f16};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The type of a tensor's elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// The upper half of a single-precision number.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// As PyTorch names it: `float32`, also with `torch.` before it.
    pub(super) fn of_torch(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("torch.").unwrap_or(name) {
            "float16" | "half" => Self::F16,
            "bfloat16" => Self::BF16,
            "float32" | "float" => Self::F32,
            "float64" | "double" => Self::F64,
            "int64" | "long" => Self::I64,
            "int32" | "int" => Self::I32,
            "int16" | "short" => Self::I16,
            "int8" => Self::I8,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            _ => return None,
        })
    }
}

impl fmt::Display for Dtype {
    /// As safetensors names it: `BOOL`, `F32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::Bool { f.write_str("BOOL") } else { fmt::Debug::fmt(self, f) }
    }
}

/// Which storage a tensor is a view of. Equal within one checkpoint where weights are tied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StorageId(pub(super) usize);

/// A view of a storage in the file. Cheap to clone; nothing is read before [`Tensor::read`].
#[derive(Clone, Debug)]
pub struct Tensor(Arc<View>);

#[derive(Debug)]
struct View {
    dtype: Dtype,
    shape: Vec<usize>,
    stride: Vec<usize>,
    offset: usize,
    /// Elements, and how many the storage must have from its beginning for the view to lie inside.
    elements: usize,
    end: usize,
    storage: Arc<Storage>,
}

impl Tensor {
    /// A view of the storage's first `available` elements.
    ///
    /// # Errors
    /// When it reaches outside of them, or its size is no number of this machine.
    pub(super) fn view(
        dtype: Dtype,
        (shape, stride): (&[u64], &[u64]),
        offset: u64,
        storage: Arc<Storage>,
        available: u64,
    ) -> Result<Self, Fault> {
        let outside = || {
            let what = format!("a tensor of shape {shape:?}, stride {stride:?} and offset {offset}");
            Fault::malformed(format!("{what} reaches outside of its storage of {available} elements"))
        };
        if shape.len() != stride.len() {
            return Err(Fault::malformed(format!("a tensor of shape {shape:?} with stride {stride:?}")));
        }
        let empty = shape.contains(&0);
        let mut elements: u64 = if empty { 0 } else { 1 };
        let mut last = offset;
        if !empty {
            for (&length, &step) in shape.iter().zip(stride) {
                elements = elements.checked_mul(length).ok_or_else(outside)?;
                let reach = (length - 1).checked_mul(step).ok_or_else(outside)?;
                last = last.checked_add(reach).ok_or_else(outside)?;
            }
        }
        let end = if empty { offset } else { last.checked_add(1).ok_or_else(outside)? };
        // An empty tensor may keep any offset: nothing is read through it.
        if !empty && end > available {
            return Err(outside());
        }
        let number = |number: u64| usize::try_from(number).map_err(|_| outside());
        let numbers = |numbers: &[u64]| numbers.iter().map(|&n| number(n)).collect::<Result<Vec<_>, _>>();
        let (shape, stride) = (numbers(shape)?, numbers(stride)?);
        let (offset, elements, end) = (number(offset)?, number(elements)?, number(end)?);
        Ok(Self(Arc::new(View { dtype, shape, stride, offset, elements, end, storage })))
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.0.dtype
    }

    /// Its dimensions; none for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Steps in elements of the storage, one a dimension.
    pub fn stride(&self) -> &[usize] {
        &self.0.stride
    }

    /// Where it begins in its storage, in elements.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// How many elements it has.
    pub fn elements(&self) -> usize {
        self.0.elements
    }

    /// Which storage it is a view of: tied weights have the same.
    pub fn storage_id(&self) -> StorageId {
        self.0.storage.id
    }

    /// The file that it lies in.
    pub fn path(&self) -> &Path {
        match &self.0.storage.backing {
            super::storages::Backing::Raw(blob) | super::storages::Backing::Deflated(blob, ..) => blob.path(),
        }
    }

    /// Whether it lies in its storage as it is read, row by row without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.0.elements == 0
            || self.0.shape.iter().zip(&self.0.stride).rev().all(|(&length, &step)| {
                let fits = length == 1 || step == expected;
                expected *= length;
                fits
            })
    }

    /// Its elements, little-endian and row by row, whatever its strides.
    ///
    /// # Errors
    /// When the file can no longer be read, or the view repeats a small storage up to more than [`limits::REPEATED`].
    pub fn read(&self) -> Result<Vec<u8>, CheckpointError> {
        let view = &*self.0;
        let size = view.dtype.size();
        if view.elements == 0 {
            return Ok(Vec::new());
        }
        // The view lies inside its storage, whose bytes were counted: no product here overflows, but for repeated elements.
        let (begin, span) = ((view.offset * size) as u64, ((view.end - view.offset) * size) as u64);
        let repeats = view.elements > view.end - view.offset;
        if repeats && view.elements as u64 > limits::REPEATED / size as u64 {
            let what = format!("a tensor of shape {:?} over {} elements", view.shape, view.end - view.offset);
            return Err(self.blame(Fault::Limit(what)));
        }
        let bytes = view.storage.backing.read(begin, span)?;
        if self.is_contiguous() {
            return Ok(bytes);
        }
        let mut out = Vec::with_capacity(view.elements * size);
        self.for_each_row(|start, length, step| {
            if step == 1 {
                out.extend_from_slice(&bytes[start * size..(start + length) * size]);
            } else {
                for index in 0..length {
                    let at = (start + index * step) * size;
                    out.extend_from_slice(&bytes[at..at + size]);
                }
            }
        });
        Ok(out)
    }

    /// Its elements as single-precision numbers, row by row; other types are converted as PyTorch's `.float()` does.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_f32(&self) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.read()?;
        Ok(match self.0.dtype {
            Dtype::F16 => numbers(&bytes, |n| f16::from_le_bytes(n).to_f32()),
            Dtype::BF16 => numbers(&bytes, |n| bf16::from_le_bytes(n).to_f32()),
            Dtype::F32 => numbers(&bytes, f32::from_le_bytes),
            Dtype::F64 => numbers(&bytes, |n| f64::from_le_bytes(n) as f32),
            Dtype::I64 => numbers(&bytes, |n| i64::from_le_bytes(n) as f32),
            Dtype::I32 => numbers(&bytes, |n| i32::from_le_bytes(n) as f32),
            Dtype::I16 => numbers(&bytes, |n| f32::from(i16::from_le_bytes(n))),
            Dtype::I8 => numbers(&bytes, |n| f32::from(i8::from_le_bytes(n))),
            Dtype::U8 => numbers(&bytes, |n: [u8; 1]| f32::from(n[0])),
            Dtype::Bool => numbers(&bytes, |n: [u8; 1]| f32::from(u8::from(n[0] != 0))),
        })
    }

    fn blame(&self, fault: Fault) -> CheckpointError {
        match &self.0.storage.backing {
            super::storages::Backing::Raw(blob) | super::storages::Backing::Deflated(blob, ..) => blob.blame(fault),
        }
    }

    /// Calls `row(start, length, step)` for each row of the last dimension in order; `start` counts from the view's beginning.
    fn for_each_row(&self, mut row: impl FnMut(usize, usize, usize)) {
        let (shape, stride) = (&self.0.shape, &self.0.stride);
        let Some((&length, outer)) = shape.split_last() else { return row(0, 1, 1) };
        let step = stride[outer.len()];
        let mut index = vec![0; outer.len()];
        let mut start = 0;
        loop {
            row(start, length, step);
            let mut dimension = outer.len();
            loop {
                let Some(next) = dimension.checked_sub(1) else { return };
                dimension = next;
                index[dimension] += 1;
                start += stride[dimension];
                if index[dimension] < outer[dimension] {
                    break;
                }
                start -= stride[dimension] * outer[dimension];
                index[dimension] = 0;
            }
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().map(|&bytes| number(bytes)).collect()
}
