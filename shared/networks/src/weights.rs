//! Strict reading of safetensors files.
//!
//! A network takes each tensor it needs by name and exact shape, then calls [`Weights::finish`], which refuses a file
//! with anything left over. tch's own `VarStore::load` ignores surplus tensors, broadcasts shapes and adopts the
//! file's dtype, so it can succeed while wrong; it is not used here.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde::Serialize;
use tch::{Device, Kind, TchError, Tensor};

use self::file::TensorFile;
use crate::error::{LoadError, all_finite};

/// PyTorch's batch norm counts its training steps in a 64-bit integer of this name. No computation reads it, yet every
/// state dict with a batch norm holds it, so it is passed over, and counted nowhere.
const TRAINING_STEPS: &str = ".num_batches_tracked";

/// Named tensors of one file, on one device and in one kind, that a network takes one by one.
///
/// The tensors own their (aligned) memory, are finite, and never require a gradient; those of
/// [`Weights::with_gradients`], which are for training, do none of the three.
#[derive(Debug)]
pub struct Weights {
    file: PathBuf,
    device: Device,
    kind: Kind,
    tensors: BTreeMap<String, Tensor>,
    report: LoadReport,
    /// Whether gradients flow through what networks prepare from the tensors.
    differentiable: bool,
}

/// What was loaded, for logs and for provenance records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// The file, or the name its maker gave a set of tensors that never was one.
    pub file: PathBuf,
    /// Number of tensors, buffers included.
    pub tensors: usize,
    /// Number of elements in them.
    pub parameters: u64,
    /// Their size in the file, in bytes, without the header.
    pub bytes: u64,
    /// Dtypes in the file and how many tensors have each: `{"F16": 60}`.
    pub source_dtypes: BTreeMap<String, usize>,
    /// The kind the network computes in: `Half`, `BFloat16`, `Float` or `Double`.
    pub loaded_as: String,
    /// How many tensors were converted to that kind.
    pub converted: usize,
}

impl Weights {
    /// Reads a safetensors file and puts every tensor on `device`, in `kind`.
    ///
    /// F16, BF16 and F32 files are accepted and converted. Errors: an unreadable or incomplete file, a tensor of any
    /// other dtype or without elements, NaN or infinity (also when a value does not fit `kind`), no memory on the device.
    pub fn open(path: impl AsRef<Path>, device: Device, kind: Kind) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let mut file = TensorFile::open(path)?;
        let mut weights = Weights::empty(path.to_owned(), device, kind);
        while let Some((name, info, bytes)) = file.next()? {
            if name.ends_with(TRAINING_STEPS) {
                continue;
            }
            let source_kind = match info.dtype {
                Dtype::F16 => Kind::Half,
                Dtype::BF16 => Kind::BFloat16,
                Dtype::F32 => Kind::Float,
                other => {
                    return Err(LoadError::Dtype { file: path.to_owned(), tensor: name, found: format!("{other:?}") });
                }
            };
            let size: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
            // The reader has checked that the bytes are exactly shape × dtype; libtorch copies them into memory of its own.
            let tensor = Tensor::f_from_data_size(bytes, &size, source_kind);
            weights.insert(&name, tensor, &format!("{:?}", info.dtype))?;
        }
        Ok(weights)
    }

    /// The same checks for tensors that are already in memory; `origin` stands for the file in errors and in the report.
    ///
    /// Each tensor is copied, so later changes to the caller's tensors do not reach the network. When a name comes
    /// twice, that is an error.
    pub fn from_tensors(
        origin: impl Into<PathBuf>,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
        device: Device,
        kind: Kind,
    ) -> Result<Self, LoadError> {
        let mut weights = Weights::empty(origin.into(), device, kind);
        for (name, tensor) in tensors.into_iter().filter(|(name, _)| !name.ends_with(TRAINING_STEPS)) {
            let dtype = match tensor.f_kind() {
                Ok(Kind::Half) => "F16",
                Ok(Kind::BFloat16) => "BF16",
                Ok(Kind::Float) => "F32",
                // Only in memory, and only exact when asked for: a double-precision network for reference runs.
                Ok(Kind::Double) if kind == Kind::Double => "F64",
                other => {
                    let found = other.map_or_else(|_| "undefined".to_owned(), |kind| format!("{kind:?}"));
                    return Err(LoadError::Dtype { file: weights.file, tensor: name, found });
                }
            };
            if weights.tensors.contains_key(&name) {
                return Err(weights.value_error(&name, "given twice"));
            }
            let copy = tch::no_grad(|| {
                let mut copy = tensor.f_empty_like()?;
                copy.f_copy_(&tensor)?;
                Ok(copy)
            });
            weights.insert(&name, copy, dtype)?;
        }
        Ok(weights)
    }

    /// Tensors of a network in training, used as they are: gradients of what the network computes reach them, through
    /// the conversion to `kind` and everything a network prepares at load. Build the network anew after every change of
    /// a tensor, in every step. Values are not looked at; the loss tells.
    ///
    /// Batch normalisation is folded at load with its running statistics, without gradients: the inversion encoder and
    /// the judge cannot be trained this way.
    pub fn with_gradients(
        origin: impl Into<PathBuf>,
        tensors: impl IntoIterator<Item = (String, Tensor)>,
        device: Device,
        kind: Kind,
    ) -> Result<Self, LoadError> {
        let mut weights = Weights { differentiable: true, ..Weights::empty(origin.into(), device, kind) };
        for (name, tensor) in tensors {
            let placed = tensor.f_to_device(device).and_then(|tensor| tensor.f_to_kind(kind));
            let placed = placed.map_err(|source| weights.torch_error(&name, source))?;
            weights.report.tensors += 1;
            weights.report.parameters += placed.numel() as u64;
            weights.tensors.insert(name, placed);
        }
        Ok(weights)
    }

    fn empty(file: PathBuf, device: Device, kind: Kind) -> Self {
        let report = LoadReport {
            file: file.clone(),
            tensors: 0,
            parameters: 0,
            bytes: 0,
            source_dtypes: BTreeMap::new(),
            loaded_as: format!("{kind:?}"),
            converted: 0,
        };
        Weights { file, device, kind, tensors: BTreeMap::new(), report, differentiable: false }
    }

    fn insert(&mut self, name: &str, tensor: Result<Tensor, TchError>, dtype: &str) -> Result<(), LoadError> {
        let placed = tensor.and_then(|tensor| {
            let source_kind = tensor.f_kind()?;
            let placed = tensor.f_to_device(self.device)?.f_to_kind(self.kind)?.f_contiguous()?;
            Ok((source_kind, all_finite(&placed)?, placed))
        });
        let (source_kind, finite, tensor) = placed.map_err(|source| self.torch_error(name, source))?;
        if !finite {
            return Err(self.value_error(name, "holds NaN or infinity, or a value too large for the kind asked for"));
        }
        if tensor.numel() == 0 {
            return Err(self.shape_error(name, "no dimension of size zero", tensor.size()));
        }
        let elements = tensor.numel() as u64;
        self.report.tensors += 1;
        self.report.parameters += elements;
        self.report.bytes += elements * source_kind.elt_size_in_bytes() as u64;
        *self.report.source_dtypes.entry(dtype.to_owned()).or_default() += 1;
        self.report.converted += usize::from(source_kind != self.kind);
        self.tensors.insert(name.to_owned(), tensor);
        Ok(())
    }

    /// The file the tensors came from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The device the tensors are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The kind the tensors were converted to.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The kind for sums that must not lose precision, and for latents and images at the network's edge: `Double` in a
    /// double-precision network, `Float` otherwise.
    pub fn wide_kind(&self) -> Kind {
        if self.kind == Kind::Double { Kind::Double } else { Kind::Float }
    }

    /// Names not taken yet, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// True when a tensor of that name is there and not taken yet.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, from which a network learns its own sizes.
    pub fn shape(&self, name: &str) -> Result<Vec<i64>, LoadError> {
        self.tensors.get(name).map(Tensor::size).ok_or_else(|| self.missing(name))
    }

    /// The shape of a tensor that must have `N` dimensions.
    pub fn dims<const N: usize>(&self, name: &str) -> Result<[i64; N], LoadError> {
        let found = self.shape(name)?;
        match <[i64; N]>::try_from(found.as_slice()) {
            Ok(dims) => Ok(dims),
            Err(_) => Err(self.shape_error(name, &format!("{N} dimensions"), found)),
        }
    }

    /// Takes the tensor of exactly this name and shape out of the set.
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, LoadError> {
        let found = self.shape(name)?;
        if found != shape {
            return Err(self.shape_error(name, &format!("{shape:?}"), found));
        }
        self.tensors.remove(name).ok_or_else(|| self.missing(name))
    }

    /// Like [`Weights::take`], but a tensor that is absent is `None`; one of the wrong shape is still an error.
    pub fn take_optional(&mut self, name: &str, shape: &[i64]) -> Result<Option<Tensor>, LoadError> {
        if self.contains(name) { self.take(name, shape).map(Some) } else { Ok(None) }
    }

    /// A view in which every name is preceded by `prefix` and a dot.
    pub fn scope(&mut self, prefix: &str) -> Scope<'_> {
        Scope { weights: self, prefix: prefix.to_owned() }
    }

    /// How many consecutive names `{before}{i}{after}` exist, counting up from `first`.
    pub fn count(&self, before: &str, first: usize, after: &str) -> usize {
        (first..).take_while(|i| self.contains(&format!("{before}{i}{after}"))).count()
    }

    /// One more than the highest `i` in a name `{before}{i}.…`, so that a gap in the numbering is a tensor missing by name.
    pub(crate) fn numbered(&self, before: &str) -> usize {
        let of_this = self.tensors.range(before.to_owned()..).map_while(|(name, _)| name.strip_prefix(before));
        let numbers = of_this.filter_map(|rest| rest.split_once('.')?.0.parse::<usize>().ok());
        numbers.max().map_or(0, |highest| highest.saturating_add(1))
    }

    /// Ends loading. Tensors that were not taken are an error that names them all.
    pub fn finish(self) -> Result<LoadReport, LoadError> {
        if self.tensors.is_empty() {
            return Ok(self.report);
        }
        Err(LoadError::Surplus { tensors: self.tensors.into_keys().collect(), file: self.file })
    }

    /// An error about a tensor's shape, for networks that derive one size from another.
    pub fn shape_error(&self, name: &str, expected: &str, found: Vec<i64>) -> LoadError {
        LoadError::Shape { file: self.file.clone(), tensor: name.to_owned(), expected: expected.to_owned(), found }
    }

    /// An error about a tensor's values.
    pub fn value_error(&self, name: &str, reason: impl Into<String>) -> LoadError {
        LoadError::Value { file: self.file.clone(), tensor: name.to_owned(), reason: reason.into() }
    }

    /// An error about what a caller says of the file; `reason` follows the setting's name.
    pub fn setting_error(&self, setting: &'static str, reason: impl Into<String>) -> LoadError {
        LoadError::Setting { file: self.file.clone(), setting, reason: reason.into() }
    }

    /// An error of libtorch while a tensor was prepared.
    pub fn torch_error(&self, name: &str, source: TchError) -> LoadError {
        LoadError::Torch { file: self.file.clone(), tensor: name.to_owned(), source }
    }

    pub(crate) fn missing(&self, name: &str) -> LoadError {
        LoadError::Missing { file: self.file.clone(), tensor: name.to_owned() }
    }
}

/// A part of [`Weights`] under one prefix, so that a layer names its tensors as the checkpoint does.
#[derive(Debug)]
pub struct Scope<'a> {
    weights: &'a mut Weights,
    prefix: String,
}

impl Scope<'_> {
    /// The full name of a tensor in this scope.
    pub fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// The whole set, for its device, kinds and error constructors.
    pub fn weights(&self) -> &Weights {
        self.weights
    }

    /// A scope below this one.
    pub fn scope(&mut self, prefix: &str) -> Scope<'_> {
        let prefix = self.name(prefix);
        Scope { weights: self.weights, prefix }
    }

    /// See [`Weights::contains`].
    pub fn contains(&self, name: &str) -> bool {
        self.weights.contains(&self.name(name))
    }

    /// See [`Weights::shape`].
    pub fn shape(&self, name: &str) -> Result<Vec<i64>, LoadError> {
        self.weights.shape(&self.name(name))
    }

    /// See [`Weights::dims`].
    pub fn dims<const N: usize>(&self, name: &str) -> Result<[i64; N], LoadError> {
        self.weights.dims(&self.name(name))
    }

    /// See [`Weights::take`].
    pub fn take(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, LoadError> {
        let name = self.name(name);
        self.weights.take(&name, shape)
    }

    /// See [`Weights::take_optional`].
    pub fn take_optional(&mut self, name: &str, shape: &[i64]) -> Result<Option<Tensor>, LoadError> {
        let name = self.name(name);
        self.weights.take_optional(&name, shape)
    }

    /// Runs a libtorch computation on tensors just taken; a failure names the tensor `name`.
    pub fn prepare<T>(&self, name: &str, compute: impl FnOnce() -> Result<T, TchError>) -> Result<T, LoadError> {
        let prepared = if self.weights.differentiable { compute() } else { tch::no_grad(compute) };
        prepared.map_err(|source| self.weights.torch_error(&self.name(name), source))
    }
}
