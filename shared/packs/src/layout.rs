//! The whole list of tensors that each network has, found from a few of them: a tensor too few, too many or of another shape means
//! another network than the one that would be computed, and is found when a pack is made or verified, not by a worker.

mod detector;
mod encoder;
mod faces;
mod stylegan2;
mod stylegan3;

use crate::manifest::Role;
use std::collections::{BTreeMap, BTreeSet};

/// Shapes by name.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// The first thing that is wrong with a list of tensors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// One is not there.
    Missing(String),
    /// One has another shape than the others ask for.
    Shape { tensor: String, found: Vec<usize>, expected: Vec<usize> },
    /// These belong to no network of the kind.
    Surplus(Vec<String>),
}

/// Checks a network of this role by all of its tensors, in the pack's names. CLIPs have a list of their own
/// ([`clip_shape`](crate::import::clip_shape)); of the project's own small networks only the loader has one.
pub(crate) fn check(role: Role, shapes: &Shapes) -> Result<(), Fault> {
    let has = |name: &str| shapes.contains_key(name);
    match role {
        Role::Generator if has("synthesis.input.freqs") => stylegan3::stylegan3(shapes),
        Role::Generator => stylegan2::stylegan2(shapes),
        Role::Encoder if has("latent_avg") && !has("delta.weight") => encoder::style_encoder(shapes),
        Role::Identity if has("output_layer.3.weight") => faces::ir_se50(shapes),
        Role::Perceptual if has("lin0.model.1.weight") => faces::lpips(shapes),
        Role::Detector => detector::mtcnn(shapes),
        _ => Ok(()),
    }
}

/// A walk through a network's tensors.
struct Walk<'a> {
    shapes: &'a Shapes,
    seen: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn of(shapes: &'a Shapes) -> Self {
        Self { shapes, seen: BTreeSet::new() }
    }

    fn contains(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// The shape of a tensor that sizes are read from; it is still to be met.
    fn look<const N: usize>(&self, name: &str) -> Result<[usize; N], Fault> {
        let found = self.shapes.get(name).ok_or_else(|| Fault::Missing(name.to_owned()))?;
        found.as_slice().try_into().map_err(|_| Fault::Shape {
            tensor: name.to_owned(),
            found: found.clone(),
            expected: vec![0; N],
        })
    }

    /// Meets a tensor that must be there with this shape.
    fn meet(&mut self, name: impl Into<String>, shape: &[usize]) -> Result<(), Fault> {
        let name = name.into();
        let found = self.shapes.get(&name).ok_or_else(|| Fault::Missing(name.clone()))?;
        if found != shape {
            return Err(Fault::Shape { tensor: name, found: found.clone(), expected: shape.to_vec() });
        }
        self.seen.insert(name);
        Ok(())
    }

    /// Meets a tensor that some programs leave out.
    fn may_meet(&mut self, name: &str, shape: &[usize]) -> Result<(), Fault> {
        if self.contains(name) { self.meet(name, shape) } else { Ok(()) }
    }

    /// Meets `.weight` of a shape and `.bias` of its rows.
    fn affine(&mut self, name: &str, shape: &[usize]) -> Result<(), Fault> {
        self.meet(format!("{name}.weight"), shape)?;
        self.meet(format!("{name}.bias"), &shape[..1])
    }

    /// Meets a batch normalisation.
    fn norm(&mut self, name: &str, channels: usize) -> Result<(), Fault> {
        ["weight", "bias", "running_mean", "running_var"]
            .into_iter()
            .try_for_each(|part| self.meet(format!("{name}.{part}"), &[channels]))
    }

    /// Nothing may be left.
    fn finish(self) -> Result<(), Fault> {
        let left: Vec<_> = self.shapes.keys().filter(|name| !self.seen.contains(*name)).cloned().collect();
        if left.is_empty() { Ok(()) } else { Err(Fault::Surplus(left)) }
    }
}
