//! From the machine's numbered values to [`Value`]s: shared parts once, keys once, cycles and bottomless nests refused.

use super::arena::{Arena, Id, Node, TensorNode};
use super::storages::{Storage, StorageView};
use super::{Fault, Object, Tensor, Value, limits};
use std::collections::HashMap;
use std::sync::Arc;

/// The value that `root` became.
pub(super) fn value(arena: &Arena, root: Id, storages: &[Arc<Storage>]) -> Result<Value, Fault> {
    Finisher { arena, storages, done: vec![State::New; arena.len()] }.value(root, 0)
}

#[derive(Clone)]
enum State {
    New,
    /// Its parts are being made; who meets it again is one of its own parts.
    Open,
    Done(Value),
}

struct Finisher<'a> {
    arena: &'a Arena,
    storages: &'a [Arc<Storage>],
    done: Vec<State>,
}

impl Finisher<'_> {
    fn value(&mut self, id: Id, depth: usize) -> Result<Value, Fault> {
        match &self.done[id as usize] {
            State::Done(value) => return Ok(value.clone()),
            State::Open => return Err(Fault::malformed(format!("{} contains itself", self.arena.kind(id)))),
            State::New => {}
        }
        if depth > limits::DEPTH {
            return Err(Fault::Limit(format!("values nested deeper than {}", limits::DEPTH)));
        }
        self.done[id as usize] = State::Open;
        let value = self.make(id, depth + 1)?;
        self.done[id as usize] = State::Done(value.clone());
        Ok(value)
    }

    fn make(&mut self, id: Id, depth: usize) -> Result<Value, Fault> {
        let arena = self.arena;
        Ok(match arena.node(id) {
            Node::None => Value::None,
            Node::Bool(bool) => Value::Bool(*bool),
            Node::Int(int) => Value::Int(*int),
            Node::Float(float) => Value::Float(*float),
            Node::Text(text) => Value::Text(Arc::clone(text)),
            Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Node::Name(name) => Value::Name(Arc::clone(name)),
            Node::List(items) => Value::List(self.values(items, depth)?),
            Node::Tuple(items) => Value::Tuple(self.values(items, depth)?),
            Node::Dict(entries) => self.dict(entries, depth)?,
            Node::Storage(view) => self.storage(view)?,
            Node::Tensor(tensor) => self.tensor(tensor)?,
            Node::ScalarType(scalar) => Value::Name(format!("numpy.dtype.{}", scalar.code).into()),
            Node::EmptyArray => opaque("numpy.ndarray", "without content"),
            Node::Object(object) => {
                let state = object.state.map_or(Ok(Value::Dict([].into())), |state| self.value(state, depth))?;
                let source = object.source.clone();
                Value::Object(Arc::new(Object { class: object.class.to_string(), state, source }))
            }
        })
    }

    fn values(&mut self, items: &[Id], depth: usize) -> Result<Arc<[Value]>, Fault> {
        items.iter().map(|&item| self.value(item, depth)).collect()
    }

    /// As Python's: a key that comes again replaces the value and keeps the place.
    fn dict(&mut self, entries: &[(Id, Id)], depth: usize) -> Result<Value, Fault> {
        let mut places: HashMap<Key, usize> = HashMap::new();
        let mut out: Vec<(Value, Value)> = Vec::new();
        for &(key, value) in entries {
            let (key, value) = (self.value(key, depth)?, self.value(value, depth)?);
            let place = match &key {
                Value::Text(text) => places.entry(Key::Text(Arc::clone(text))),
                Value::Int(int) => places.entry(Key::Int(*int)),
                Value::Bool(bool) => places.entry(Key::Int(i128::from(*bool))),
                Value::List(_) | Value::Dict(_) => {
                    return Err(Fault::malformed(format!("a dictionary with {key:?} as a key")));
                }
                // Tuples, names and the like: kept as they come, nobody looks them up.
                _ => {
                    out.push((key, value));
                    continue;
                }
            };
            let place = *place.or_insert(out.len());
            match out.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => out.push((key, value)),
            }
        }
        Ok(Value::Dict(out.into()))
    }

    fn storage(&self, view: &StorageView) -> Result<Value, Fault> {
        let tensor = TensorNode {
            storage: view.clone(),
            dtype: view.element.dtype.clone(),
            shape: vec![view.len],
            stride: vec![1],
            offset: 0,
        };
        self.tensor(&tensor)
    }

    fn tensor(&self, tensor: &TensorNode) -> Result<Value, Fault> {
        let TensorNode { storage: view, dtype, shape, stride, offset } = tensor;
        let dtype = match dtype {
            Ok(dtype) => *dtype,
            Err(name) => return Ok(opaque("torch.Tensor", name)),
        };
        // In elements of the tensor's type, which need not be the storage's.
        let size = dtype.size() as u64;
        let available = (view.offset + view.len).saturating_mul(view.element.size) / size;
        let offset = offset.checked_add(view.offset).ok_or_else(|| Fault::malformed("a tensor's offset overflows"))?;
        // Safe because a view's number comes from the same storages.
        let storage = Arc::clone(&self.storages[view.index]);
        Tensor::view(dtype, (shape, stride), offset, storage, available).map(Value::Tensor)
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Text(Arc<str>),
    Int(i128),
}

/// A stand-in for numbers of a type that is not read: a random generator's state must not make a file of weights unreadable.
pub(super) fn opaque(class: &str, dtype: &str) -> Value {
    let entry = (Value::Text("dtype".into()), Value::Text(dtype.into()));
    Value::Object(Arc::new(Object { class: class.to_owned(), state: Value::Dict([entry].into()), source: None }))
}
