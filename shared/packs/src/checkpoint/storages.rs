//! Storages: the stretches of raw numbers that tensors are views of. A pickle names them; where they lie, the container knows.

use super::tensor::{Dtype, StorageId};
use super::{Blob, CheckpointError, Fault};
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

/// The element of a storage class.
#[derive(Clone, Debug)]
pub(super) struct Element {
    /// Or the name of a type that is not read.
    pub(super) dtype: Result<Dtype, Arc<str>>,
    pub(super) size: u64,
}

impl Element {
    /// Of a class as PyTorch names it: `torch.FloatStorage`, `torch.cuda.HalfStorage`, `torch.storage.UntypedStorage`.
    pub(super) fn of_class(class: &str) -> Option<Self> {
        let name = class.strip_prefix("torch.")?;
        let name = name.strip_prefix("cuda.").or_else(|| name.strip_prefix("storage.")).unwrap_or(name);
        let known = |dtype: Dtype| Self { dtype: Ok(dtype), size: dtype.size() as u64 };
        let unread = |size| Self { dtype: Err(name.into()), size };
        Some(match name {
            "DoubleStorage" => known(Dtype::F64),
            "FloatStorage" => known(Dtype::F32),
            "HalfStorage" => known(Dtype::F16),
            "BFloat16Storage" => known(Dtype::BF16),
            "LongStorage" => known(Dtype::I64),
            "IntStorage" => known(Dtype::I32),
            "ShortStorage" => known(Dtype::I16),
            "CharStorage" => known(Dtype::I8),
            "ByteStorage" | "UntypedStorage" => known(Dtype::U8),
            "BoolStorage" => known(Dtype::Bool),
            "ComplexDoubleStorage" => unread(16),
            "ComplexFloatStorage" => unread(8),
            "QInt32Storage" => unread(4),
            "QInt8Storage" | "QUInt8Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => unread(1),
            _ => return None,
        })
    }
}

/// A storage as a pickle refers to it.
#[derive(Clone, Debug)]
pub(super) struct StorageView {
    pub(super) index: usize,
    pub(super) element: Element,
    /// In elements, like `offset`: very old files name a part of a storage.
    pub(super) len: u64,
    pub(super) offset: u64,
}

/// Where a storage's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Backing {
    Raw(Blob),
    /// Deflated in an archive: the bytes, the size of what comes out, and the entry's name.
    Deflated(Blob, u64, Arc<str>),
}

impl Backing {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Raw(blob) => blob.len(),
            Self::Deflated(_, size, _) => *size,
        }
    }

    pub(super) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, CheckpointError> {
        match self {
            Self::Raw(blob) => blob.read_range(offset, len).map_err(|fault| blob.blame(fault)),
            Self::Deflated(blob, size, name) => {
                let all = inflate(blob, *size, name).map_err(|fault| blob.blame(fault))?;
                let begin = usize::try_from(offset).ok();
                let end = offset.checked_add(len).and_then(|end| usize::try_from(end).ok());
                let range = begin.zip(end).and_then(|(begin, end)| all.get(begin..end));
                range
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| blob.blame(Fault::malformed("a tensor reaches beyond its storage")))
            }
        }
    }
}

/// Inflates an entry, which must come to exactly `size` bytes. The caller has bounded `size`.
pub(super) fn inflate(blob: &Blob, size: u64, name: &str) -> Result<Vec<u8>, Fault> {
    let deflated = blob.read_range(0, blob.len())?;
    let mut bytes = Vec::new();
    flate2::read::DeflateDecoder::new(deflated.as_slice())
        .take(size + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::malformed(format!("entry {name:?} does not inflate ({error})")))?;
    if bytes.len() as u64 != size {
        return Err(Fault::malformed(format!("entry {name:?} does not inflate to the {size} bytes it declares")));
    }
    Ok(bytes)
}

/// A storage that tensors share.
#[derive(Debug)]
pub(super) struct Storage {
    pub(super) id: StorageId,
    pub(super) backing: Backing,
}

/// A storage on its way: named by a pickle, found by its container.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its key in the file.
    pub(super) key: String,
    pub(super) element_size: u64,
    /// The most bytes that any reference says it has.
    pub(super) bytes: u64,
    pub(super) backing: Option<Backing>,
}

/// All storages of one file.
#[derive(Default, Debug)]
pub(super) struct Storages {
    pub(super) wanted: Vec<Wanted>,
    by_key: HashMap<String, usize>,
    by_place: HashMap<(u64, u64), (usize, Element, u64)>,
}

impl Storages {
    /// A reference to the storage `key` of `len` elements.
    pub(super) fn refer(&mut self, key: &str, element: Element, len: u64) -> Result<StorageView, Fault> {
        let too_long = || Fault::malformed(format!("storage {key:?} of {len} elements"));
        let bytes = len.checked_mul(element.size).ok_or_else(too_long)?;
        let index = if let Some(&index) = self.by_key.get(key) {
            index
        } else {
            self.by_key.insert(key.to_owned(), self.wanted.len());
            self.push(Wanted { key: key.to_owned(), element_size: element.size, bytes, backing: None })
        };
        let wanted = &mut self.wanted[index];
        wanted.bytes = wanted.bytes.max(bytes);
        if wanted.element_size != element.size {
            // Legacy files count a storage's elements, so its size would depend on which reference is believed.
            return Err(Fault::malformed(format!("storage {key:?} is used with two element types")));
        }
        Ok(StorageView { index, element, len, offset: 0 })
    }

    /// What was referred to by `key`.
    pub(super) fn wanted_mut(&mut self, key: &str) -> Option<&mut Wanted> {
        self.wanted.get_mut(*self.by_key.get(key)?)
    }

    /// A storage whose bytes are known at once.
    pub(super) fn place(&mut self, key: &str, element: Element, backing: Backing) -> StorageView {
        let (bytes, size) = (backing.len(), element.size);
        let len = bytes / size.max(1);
        let wanted = Wanted { key: key.to_owned(), element_size: size, bytes, backing: Some(backing) };
        StorageView { index: self.push(wanted), element, len, offset: 0 }
    }

    /// The storage that was made of a stretch of the file before: pickles refer to one `bytes` object several times.
    pub(super) fn placed(&self, place: (u64, u64)) -> Option<StorageView> {
        let (index, element, len) = self.by_place.get(&place)?.clone();
        Some(StorageView { index, element, len, offset: 0 })
    }

    pub(super) fn remember(&mut self, place: (u64, u64), view: &StorageView) {
        self.by_place.insert(place, (view.index, view.element.clone(), view.len));
    }

    fn push(&mut self, wanted: Wanted) -> usize {
        self.wanted.push(wanted);
        self.wanted.len() - 1
    }

    /// All of them, each found and long enough.
    pub(super) fn finish(self) -> Result<Vec<Arc<Storage>>, Fault> {
        let found = self.wanted.into_iter().enumerate().map(|(index, wanted)| {
            let Wanted { key, bytes, backing, .. } = wanted;
            let Some(backing) = backing else {
                return Err(Fault::Truncated { missing: format!("storage {key:?} ({bytes} bytes) is missing") });
            };
            if backing.len() < bytes {
                let missing = format!("storage {key:?} has {} of {bytes} bytes", backing.len());
                return Err(Fault::Truncated { missing });
            }
            Ok(Arc::new(Storage { id: StorageId(index), backing }))
        });
        found.collect()
    }
}
