//! What the pickle machine builds on: values by number, so that a list may be filled after it was remembered and a structure that
//! contains itself does no harm.

use super::storages::StorageView;
use super::tensor::Dtype;
use super::{Blob, Fault, limits};
use std::sync::Arc;

/// A value's number.
pub(super) type Id = u32;

/// A value in the making.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    Bytes(Blob),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Arc<str>),
    Storage(StorageView),
    Tensor(Box<TensorNode>),
    /// numpy's element type.
    ScalarType(Box<ScalarType>),
    /// A numpy array whose state has not come yet.
    EmptyArray,
    Object(Box<ObjectNode>),
}

/// A tensor as the file describes it, not yet held against its storage.
#[derive(Debug)]
pub(super) struct TensorNode {
    pub(super) storage: StorageView,
    /// `None`: of a type that is not read, named in the text.
    pub(super) dtype: Result<Dtype, Arc<str>>,
    pub(super) shape: Vec<u64>,
    /// In elements, like `offset`.
    pub(super) stride: Vec<u64>,
    pub(super) offset: u64,
}

/// numpy's element type: its code, `f4`, and its byte order, `<`.
#[derive(Clone, Debug)]
pub(super) struct ScalarType {
    pub(super) code: Arc<str>,
    pub(super) order: u8,
}

#[derive(Debug)]
pub(super) struct ObjectNode {
    pub(super) class: Arc<str>,
    pub(super) state: Option<Id>,
    pub(super) source: Option<Arc<str>>,
}

/// All values of one pickle, and what it has used up.
#[derive(Default, Debug)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    items: usize,
    text: u64,
}

impl Arena {
    pub(super) fn add(&mut self, node: Node) -> Result<Id, Fault> {
        if self.nodes.len() >= limits::VALUES {
            return Err(Fault::Limit(format!("more than {} values", limits::VALUES)));
        }
        self.nodes.push(node);
        // Safe because `limits::VALUES` is far below the type's.
        Ok((self.nodes.len() - 1) as Id)
    }

    pub(super) fn add_text(&mut self, text: &str) -> Result<Id, Fault> {
        self.charge_text(text.len() as u64)?;
        self.add(Node::Text(text.into()))
    }

    pub(super) fn add_tuple(&mut self, items: Vec<Id>) -> Result<Id, Fault> {
        self.charge_items(items.len())?;
        self.add(Node::Tuple(items))
    }

    /// Counts entries of containers, before they are stored.
    pub(super) fn charge_items(&mut self, items: usize) -> Result<(), Fault> {
        self.items = self.items.saturating_add(items);
        if self.items > limits::ITEMS {
            return Err(Fault::Limit(format!("lists and dictionaries of more than {} entries", limits::ITEMS)));
        }
        Ok(())
    }

    /// Counts text that is held in memory, before it is read.
    pub(super) fn charge_text(&mut self, bytes: u64) -> Result<(), Fault> {
        self.text = self.text.saturating_add(bytes);
        if self.text > limits::TEXT {
            return Err(Fault::Limit(format!(
                "texts of more than {} MiB (a pickle of protocol 2 or older writes numbers as text: save it anew with protocol 4)",
                limits::TEXT >> 20
            )));
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    // Numbers are made by `add` alone and never leave their arena, so both indexings hold.
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&Arc<str>> {
        if let Node::Text(text) = self.node(id) { Some(text) } else { None }
    }

    pub(super) fn name(&self, id: Id) -> Option<&Arc<str>> {
        if let Node::Name(name) = self.node(id) { Some(name) } else { None }
    }

    pub(super) fn int(&self, id: Id) -> Option<i128> {
        if let Node::Int(int) = self.node(id) { Some(*int) } else { None }
    }

    pub(super) fn natural(&self, id: Id) -> Option<u64> {
        self.int(id).and_then(|int| u64::try_from(int).ok())
    }

    /// The entries of a tuple or list.
    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        if let Node::Tuple(items) | Node::List(items) = self.node(id) { Some(items) } else { None }
    }

    /// A shape or stride: a short tuple of numbers that are not negative.
    pub(super) fn dimensions(&self, id: Id) -> Option<Vec<u64>> {
        let items = self.items(id)?;
        if items.len() > limits::DIMENSIONS {
            return None;
        }
        items.iter().map(|&item| self.natural(item)).collect()
    }

    /// The last entry of a dictionary under a text.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Node::Dict(entries) = self.node(dict) else { return None };
        entries.iter().rev().find(|(k, _)| self.text(*k).is_some_and(|text| &**text == key)).map(|&(_, value)| value)
    }

    /// What a value is, for messages.
    pub(super) fn kind(&self, id: Id) -> &'static str {
        match self.node(id) {
            Node::None => "None",
            Node::Bool(_) => "a boolean",
            Node::Int(_) => "an integer",
            Node::Float(_) => "a number",
            Node::Text(_) => "a text",
            Node::Bytes(_) => "bytes",
            Node::List(_) => "a list",
            Node::Tuple(_) => "a tuple",
            Node::Dict(_) => "a dictionary",
            Node::Name(_) => "a name",
            Node::Storage(_) => "a storage",
            Node::Tensor(_) => "a tensor",
            Node::ScalarType(_) => "a numpy type",
            Node::EmptyArray => "a numpy array",
            Node::Object(_) => "an object",
        }
    }
}
