//! Takes a checkpoint's tensors one by one under new names, and knows which are left: a surplus is as wrong as a gap.

use super::error::{Cause, ImportError};
use crate::checkpoint::{Checkpoint, Dtype, Tensor, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Beginnings of all names of a network that was saved inside another.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// What is done to a tensor's numbers on the way.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Change {
    /// Nothing.
    Copy,
    /// Each times a factor.
    Scale(f32),
    /// Rows become columns.
    Transpose,
    /// `[height, width, in, out]` becomes `[out, in, height, width]`, turned by 180 degrees or not.
    Filters { turned: bool },
    /// Each plus one.
    PlusOne,
}

/// Where a tensor of the pack comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// The checkpoint's, one behind the other along the first dimension.
    Taken(Vec<Tensor>, Change),
    /// Made by the import: single precision.
    Made(Vec<f32>),
}

/// One tensor of the pack.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Its name in the pack.
    pub(super) name: String,
    /// Its name in the checkpoint, for messages.
    pub(super) from: String,
    pub(super) shape: Vec<usize>,
    pub(super) origin: Origin,
}

impl Piece {
    /// The file it was taken from: parts of one network may come from several. None for what the import made.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Taken(tensors, _) => tensors.first().map(Tensor::path),
            Origin::Made(_) => None,
        }
    }

    /// The type it is stored as: what it was, where that is a type of weights.
    pub(super) fn dtype(&self) -> Dtype {
        match &self.origin {
            Origin::Taken(tensors, Change::Copy | Change::Transpose) => match tensors.first().map(Tensor::dtype) {
                Some(dtype @ (Dtype::F16 | Dtype::BF16)) if tensors.iter().all(|t| t.dtype() == dtype) => dtype,
                _ => Dtype::F32,
            },
            _ => Dtype::F32,
        }
    }
}

/// The tensors of one network in a checkpoint.
pub(super) struct Taking {
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    pieces: Vec<Piece>,
}

impl Taking {
    /// All tensors under `value`, by the names they have there. What wrappers put before each goes: `module.` of data-parallel
    /// training, `_orig_mod.` of `torch.compile`.
    pub(super) fn of(checkpoint: &Checkpoint, value: &Value) -> Result<Self, ImportError> {
        let mut tensors = checkpoint.tensors(value)?;
        while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| tensors.keys().all(|name| name.starts_with(**wrapper)))
        {
            if tensors.is_empty() {
                break;
            }
            tensors = tensors.into_iter().map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor)).collect();
        }
        Ok(Self { path: checkpoint.path().to_owned(), tensors, pieces: Vec::new() })
    }

    /// Tensors under names that the caller has made.
    pub(super) fn named(checkpoint: &Checkpoint, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { path: checkpoint.path().to_owned(), tensors, pieces: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Only the tensors below a name, without it.
    pub(super) fn below(self, prefix: &str) -> Self {
        let tensors = self.tensors.into_iter();
        let tensors =
            tensors.filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor))).collect();
        Self { tensors, ..self }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn shape(&self, name: &str) -> Result<&[usize], ImportError> {
        self.tensors.get(name).map(Tensor::shape).ok_or_else(|| self.missing(name))
    }

    /// The shape of a tensor already taken, by its new name.
    pub(super) fn taken_shape(&self, name: &str) -> Option<&[usize]> {
        self.pieces.iter().find(|piece| piece.name == name).map(|piece| piece.shape.as_slice())
    }

    pub(super) fn look(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    pub(super) fn missing(&self, name: &str) -> ImportError {
        self.wrong(Cause::Missing { key: name.to_owned() })
    }

    pub(super) fn wrong(&self, cause: Cause) -> ImportError {
        ImportError::Checkpoint { path: self.path.clone(), cause }
    }

    pub(super) fn odd(&self, key: &str, what: impl Into<String>) -> ImportError {
        self.wrong(Cause::Odd { key: key.to_owned(), what: what.into() })
    }

    /// A tensor that no network of the kind can have.
    pub(super) fn damaged(&self, key: &str, what: impl Into<String>) -> ImportError {
        let what = what.into();
        self.odd(key, format!("{what}; the file is damaged, or of a changed program: copy it again, or take another"))
    }

    /// Takes a tensor as it is.
    pub(super) fn copy(&mut self, from: &str, to: &str) -> Result<(), ImportError> {
        self.take(from, to, Change::Copy, |shape| Some(shape.to_vec()))
    }

    /// Takes a tensor with another shape of as many elements.
    pub(super) fn take(
        &mut self,
        from: &str,
        to: &str,
        change: Change,
        shape: impl Fn(&[usize]) -> Option<Vec<usize>>,
    ) -> Result<(), ImportError> {
        let tensor = self.tensors.remove(from).ok_or_else(|| self.missing(from))?;
        let fits = |shape: &Vec<usize>| shape.iter().product::<usize>() == tensor.elements();
        let Some(shape) = shape(tensor.shape()).filter(fits) else {
            return Err(self.damaged(from, format!("has shape {:?}, which this network's cannot have", tensor.shape())));
        };
        self.push(Piece {
            name: to.to_owned(),
            from: from.to_owned(),
            shape,
            origin: Origin::Taken(vec![tensor], change),
        })
    }

    /// Joins tensors along their first dimension.
    pub(super) fn join(&mut self, from: &[String], to: &str) -> Result<(), ImportError> {
        let tensors: Vec<_> = from
            .iter()
            .map(|name| self.tensors.remove(name).ok_or_else(|| self.missing(name)))
            .collect::<Result<_, _>>()?;
        let [first, others @ ..] = tensors.as_slice() else { return Ok(()) };
        let tails_agree = others.iter().all(|other| other.shape().get(1..) == first.shape().get(1..));
        let rows: Option<usize> = tensors.iter().map(|tensor| tensor.shape().first().copied()).sum();
        let Some(rows) = rows.filter(|_| tails_agree) else {
            return Err(self.damaged(&from.join(", "), "have shapes that do not go together"));
        };
        let shape = [&[rows], first.shape().get(1..).unwrap_or_default()].concat();
        self.push(Piece {
            name: to.to_owned(),
            from: from.join(" + "),
            shape,
            origin: Origin::Taken(tensors, Change::Copy),
        })
    }

    /// Adds a tensor that the checkpoint lacks.
    pub(super) fn make(&mut self, to: &str, shape: &[usize], numbers: Vec<f32>) -> Result<(), ImportError> {
        let from = "made by the import".to_owned();
        self.push(Piece { name: to.to_owned(), from, shape: shape.to_vec(), origin: Origin::Made(numbers) })
    }

    fn push(&mut self, piece: Piece) -> Result<(), ImportError> {
        if self.pieces.iter().any(|other| other.name == piece.name) {
            return Err(self.damaged(&piece.from, format!("and another both become {:?}", piece.name)));
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Takes every tensor that is left as it is.
    pub(super) fn copy_rest(&mut self) -> Result<(), ImportError> {
        let names: Vec<String> = self.tensors.keys().cloned().collect();
        names.iter().try_for_each(|name| self.copy(name, name))
    }

    /// Leaves out what the network has no use for.
    pub(super) fn leave(&mut self, useless: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| !useless(name));
    }

    /// The pack's tensors, when none of the checkpoint's is left.
    pub(super) fn finish(self) -> Result<Vec<Piece>, ImportError> {
        if self.tensors.is_empty() {
            return Ok(self.pieces);
        }
        let keys: Vec<_> = self.tensors.keys().cloned().collect();
        Err(self.wrong(Cause::Surplus { keys }))
    }
}
