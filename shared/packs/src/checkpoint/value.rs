//! What a checkpoint holds, and how to find one's way in it.

use super::{Blob, Fault, Tensor, limits};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A value of a checkpoint. Cheap to clone; what a file refers to twice is there once.
#[derive(Clone)]
pub enum Value {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer; seeds reach 2^64.
    Int(i128),
    /// A number.
    Float(f64),
    /// A text; also paths and devices (`cuda:0`).
    Text(Arc<str>),
    /// Bytes, still in the file.
    Bytes(Blob),
    /// A list; also a set.
    List(Arc<[Value]>),
    /// A tuple; also a shape.
    Tuple(Arc<[Value]>),
    /// A dictionary in its order, each key once.
    Dict(Arc<[(Value, Value)]>),
    /// A tensor; also a storage (one dimension) and a numpy array.
    Tensor(Tensor),
    /// An object: a module, a namespace.
    Object(Arc<Object>),
    /// The name of a class, function or type, `torch.float32`. Nothing is ever called by it.
    Name(Arc<str>),
}

/// An object whose class is known by name only.
#[derive(Debug)]
pub struct Object {
    /// Its class: `argparse.Namespace`, `__torch__.model.Generator`; of NVIDIA's objects the bare name, `SynthesisNetwork`.
    pub class: String,
    /// Its attributes, as a rule a dictionary.
    pub state: Value,
    /// The Python source that NVIDIA's pickles carry for it. It is never run.
    pub source: Option<Arc<str>>,
}

impl Value {
    /// The value under a dotted path: keys of dictionaries, positions in lists, attributes of objects, submodules, parameters and
    /// buffers of modules. A key may itself contain dots: the longest that exists is taken.
    pub fn get(&self, path: &str) -> Option<&Self> {
        if let Some(found) = self.child(path) {
            return Some(found);
        }
        path.rmatch_indices('.').find_map(|(dot, _)| self.child(&path[..dot])?.get(&path[dot + 1..]))
    }

    /// The value under one key, position or attribute.
    pub fn child(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().find(|(k, _)| k.is_key(key)).map(|(_, value)| value),
            Self::List(items) | Self::Tuple(items) => items.get(key.parse::<usize>().ok()?),
            Self::Object(object) => {
                let state = &object.state;
                let part = |part: &str| state.child(part).and_then(|part| part.child(key));
                state.child(key).or_else(|| PARTS.into_iter().find_map(part))
            }
            _ => None,
        }
    }

    /// The entries of a dictionary or the attributes of an object, in order; none for anything else.
    pub fn entries(&self) -> &[(Self, Self)] {
        match self {
            Self::Dict(entries) => entries,
            Self::Object(object) => object.state.entries(),
            _ => &[],
        }
    }

    /// The entries of a list or tuple; none for anything else.
    pub fn items(&self) -> &[Self] {
        if let Self::List(items) | Self::Tuple(items) = self { items } else { &[] }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i128> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// The number, if it is one; integers count.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(float) => Some(*float),
            Self::Int(int) => Some(*int as f64),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(bool) = self { Some(*bool) } else { None }
    }

    /// The tensor, if it is one.
    pub fn as_tensor(&self) -> Option<&Tensor> {
        if let Self::Tensor(tensor) = self { Some(tensor) } else { None }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    fn is_key(&self, key: &str) -> bool {
        match self {
            Self::Text(text) => &**text == key,
            Self::Int(int) => key.parse() == Ok(*int),
            _ => false,
        }
    }

    /// The name this key gives to what is under it.
    fn key_name(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_string()),
            Self::Int(int) => Some(int.to_string()),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    /// One level only: shared lists can print a small file for hours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Int(int) => write!(f, "{int}"),
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "{bytes:?}"),
            Self::List(items) => write!(f, "List({} entries)", items.len()),
            Self::Tuple(items) => write!(f, "Tuple({} entries)", items.len()),
            Self::Dict(entries) => write!(f, "Dict({} entries)", entries.len()),
            Self::Tensor(tensor) => write!(f, "Tensor({}, {:?})", tensor.dtype(), tensor.shape()),
            Self::Object(object) => write!(f, "Object({})", object.class),
            Self::Name(name) => write!(f, "Name({name})"),
        }
    }
}

/// Where a `torch.nn.Module` keeps what its `state_dict` names.
const PARTS: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Every tensor under a value by its dotted name.
pub(super) fn flatten(value: &Value) -> Result<BTreeMap<String, Tensor>, Fault> {
    let mut flat = Flat::default();
    flat.visit(value, "")?;
    Ok(flat.tensors)
}

#[derive(Default)]
struct Flat {
    tensors: BTreeMap<String, Tensor>,
    visits: usize,
    names: usize,
}

impl Flat {
    // Recursion ends because values are finite trees of at most `limits::DEPTH`, by `finish`.
    fn visit(&mut self, value: &Value, name: &str) -> Result<(), Fault> {
        self.visits += 1;
        self.names += name.len();
        if self.visits > limits::FLAT_VISITS || self.names > limits::FLAT_NAMES {
            return Err(Fault::Limit(format!(
                "a list of tensors that shares its parts, longer than {} names",
                self.visits
            )));
        }
        match value {
            Value::Tensor(tensor) => {
                if self.tensors.insert(name.to_owned(), tensor.clone()).is_some() {
                    return Err(Fault::malformed(format!("two tensors are named {name:?}")));
                }
                Ok(())
            }
            Value::Dict(entries) => self.visit_entries(entries, name),
            Value::List(items) | Value::Tuple(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.visit(item, &joined(name, &index.to_string()))),
            Value::Object(object) if PARTS.iter().any(|part| object.state.child(part).is_some()) => {
                let parts = PARTS.iter().filter_map(|part| object.state.child(part));
                parts.into_iter().try_for_each(|part| self.visit_entries(part.entries(), name))
            }
            Value::Object(object) => self.visit_entries(object.state.entries(), name),
            _ => Ok(()),
        }
    }

    fn visit_entries(&mut self, entries: &[(Value, Value)], name: &str) -> Result<(), Fault> {
        entries.iter().try_for_each(|(key, value)| match key.key_name() {
            Some(key) => self.visit(value, &joined(name, &key)),
            None => Ok(()),
        })
    }
}

fn joined(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}
