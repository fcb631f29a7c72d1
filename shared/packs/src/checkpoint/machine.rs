//! The pickle machine: Python's opcodes over numbered values. It builds data, and hands the few calls it knows to [`calls`].
//!
//! Opcodes and their meaning: Python's `Lib/pickletools.py`, protocols 0 to 5.

use super::arena::{Arena, Id, Node, ObjectNode};
use super::source::Cursor;
use super::storages::{Element, StorageView, Storages};
use super::{Fault, calls, limits, names, numpy, protocol0};
use std::collections::HashMap;
use std::sync::Arc;

/// Whose pickle it is: what its persistent ids mean, and which calls it may make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// `pickle.dump`: no persistent ids; storages lie inside as bytes.
    Plain,
    /// `torch.save`: persistent ids are storages.
    Torch,
    /// `torch.jit.save`: as above, and objects of the script's own classes.
    Script,
}

/// One pickle's run.
pub(super) struct Machine<'a> {
    pub(super) cursor: &'a mut Cursor,
    pub(super) storages: &'a mut Storages,
    pub(super) dialect: Dialect,
    pub(super) arena: Arena,
    stack: Vec<Id>,
    /// Heights of the stack where a list, tuple or dictionary was begun.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(cursor: &'a mut Cursor, storages: &'a mut Storages, dialect: Dialect) -> Self {
        let (arena, memo) = (Arena::default(), HashMap::new());
        Self { cursor, storages, dialect, arena, stack: Vec::new(), marks: Vec::new(), memo }
    }

    /// Runs to the pickle's end, which is where the cursor then stands.
    pub(super) fn run(mut self) -> Result<(Arena, Id), Fault> {
        loop {
            let at = self.cursor.at();
            let opcode = self.cursor.byte("the pickle's next instruction")?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok((self.arena, root));
            }
            self.step(opcode, at)?;
            if self.stack.len() > limits::ITEMS || self.marks.len() > limits::ITEMS || self.memo.len() > limits::VALUES
            {
                return Err(Fault::Limit(format!("a pickle with {} values open at once", self.stack.len())));
            }
        }
    }

    fn step(&mut self, opcode: u8, at: u64) -> Result<(), Fault> {
        match opcode {
            // PROTO and FRAME say how to read on, which is the same for all protocols and frames.
            0x80 => self.cursor.byte("a protocol number").map(drop),
            0x95 => self.cursor.array::<8>("a frame's length").map(drop),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b | b'I' | b'L' | b'F' => {
                let node = self.number(opcode)?;
                self.push(node)
            }
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'S' | b'V' => self.text(opcode),
            b'B' | b'C' | 0x8e | 0x96 => {
                let len = self.length(opcode)?;
                let bytes = self.cursor.pass(len, "bytes")?;
                self.push(Node::Bytes(bytes))
            }
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.discard(),
            b'1' => self.since_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'g' | b'h' | b'j' => self.recall(opcode),
            b'p' | b'q' | b'r' | 0x94 => self.remember(opcode),
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => self.container(opcode),
            b'a' | b'e' | 0x90 | b's' | b'u' => self.fill(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' | 0x81 | 0x92 | b'i' | b'o' => self.called(opcode),
            b'b' => self.build(),
            b'Q' => self.persistent(),
            b'P' | 0x82..=0x84 | 0x97 | 0x98 => Err(Fault::Unsupported {
                what: format!("a pickle that keeps parts elsewhere (instruction {opcode:#04x} at byte {at})"),
                remedy: "load it where it comes from and save the weights as safetensors",
            }),
            _ => Err(Fault::malformed(format!("no pickle instruction is {opcode:#04x}, at byte {at}"))),
        }
    }

    pub(super) fn push(&mut self, node: Node) -> Result<(), Fault> {
        let id = self.arena.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Fault::malformed("an instruction takes a value that no other gave"));
        }
        // Safe because the stack is higher than the floor.
        self.stack.pop().ok_or_else(|| Fault::malformed("an empty stack"))
    }

    fn top(&self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(<[Id]>::last).copied();
        top.ok_or_else(|| Fault::malformed("an instruction looks at a value that no other gave"))
    }

    /// `POP` also takes a mark off, when one is on top.
    fn discard(&mut self) -> Result<(), Fault> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// Everything since the last mark, which goes too.
    fn since_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| Fault::malformed("the end of a list that was never begun"))?;
        // Safe because values below a mark cannot be popped while it is there.
        Ok(self.stack.split_off(mark))
    }

    fn number(&mut self, opcode: u8) -> Result<Node, Fault> {
        let what = "a number";
        Ok(match opcode {
            b'J' => Node::Int(i128::from(i32::from_le_bytes(self.cursor.array(what)?))),
            b'K' => Node::Int(i128::from(self.cursor.byte(what)?)),
            b'M' => Node::Int(i128::from(u16::from_le_bytes(self.cursor.array(what)?))),
            b'G' => Node::Float(f64::from_be_bytes(self.cursor.array(what)?)),
            0x8a | 0x8b => {
                let len = match opcode {
                    0x8a => u64::from(self.cursor.byte(what)?),
                    _ => u64::from(u32::from_le_bytes(self.cursor.array(what)?)),
                };
                if len > 16 {
                    return Err(Fault::Limit(format!("an integer of {len} bytes")));
                }
                let bytes = self.cursor.take(len, what)?;
                let fill = if bytes.last().is_some_and(|top| top & 0x80 != 0) { 0xff } else { 0 };
                let mut all = [fill; 16];
                all[..bytes.len()].copy_from_slice(&bytes);
                Node::Int(i128::from_le_bytes(all))
            }
            _ => protocol0::number(opcode, &self.cursor.line(limits::NAME, what)?)?,
        })
    }

    /// The length that goes before texts and bytes.
    fn length(&mut self, opcode: u8) -> Result<u64, Fault> {
        let what = "a length";
        Ok(match opcode {
            b'C' | b'U' | 0x8c => u64::from(self.cursor.byte(what)?),
            b'B' | b'X' | b'T' => u64::from(u32::from_le_bytes(self.cursor.array(what)?)),
            _ => u64::from_le_bytes(self.cursor.array(what)?),
        })
    }

    fn text(&mut self, opcode: u8) -> Result<(), Fault> {
        let bytes = match opcode {
            b'S' | b'V' => protocol0::text(opcode, &self.cursor.line(limits::NAME * 64, "a text")?)?,
            _ => {
                let len = self.length(opcode)?;
                self.arena.charge_text(len)?;
                self.cursor.take(len, "a text")?
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => {
                let id = self.arena.add(Node::Text(text.into()))?;
                self.stack.push(id);
                Ok(())
            }
            // Python 2 had no bytes: its strings hold an array's numbers, too.
            Err(error) if matches!(opcode, b'T' | b'U' | b'S') => {
                let bytes = self.cursor.blob().beside(error.into_bytes());
                self.push(Node::Bytes(bytes))
            }
            Err(_) => Err(Fault::malformed("a text that is no UTF-8")),
        }
    }

    fn slot(&mut self, opcode: u8) -> Result<u32, Fault> {
        let what = "the number of a remembered value";
        Ok(match opcode {
            b'h' | b'q' => u32::from(self.cursor.byte(what)?),
            b'j' | b'r' => u32::from_le_bytes(self.cursor.array(what)?),
            // MEMOIZE counts by itself.
            0x94 => self.memo.len() as u32,
            _ => protocol0::slot(&self.cursor.line(limits::NAME, what)?)?,
        })
    }

    fn recall(&mut self, opcode: u8) -> Result<(), Fault> {
        let slot = self.slot(opcode)?;
        let value =
            self.memo.get(&slot).ok_or_else(|| Fault::malformed(format!("no value was remembered as {slot}")))?;
        self.stack.push(*value);
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Fault> {
        let (slot, top) = (self.slot(opcode)?, self.top()?);
        self.memo.insert(slot, top);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), Fault> {
        let items = match opcode {
            b'l' | b't' | b'd' | 0x91 => self.since_mark()?,
            0x85..=0x87 => {
                let mut items = (0x85..=opcode).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                items
            }
            _ => Vec::new(),
        };
        self.arena.charge_items(items.len())?;
        self.push(match opcode {
            b'}' | b'd' => Node::Dict(pairs(&items)?),
            b']' | b'l' | 0x8f | 0x91 => Node::List(items),
            _ => Node::Tuple(items),
        })
    }

    /// Adds to the list, set or dictionary below.
    fn fill(&mut self, opcode: u8) -> Result<(), Fault> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.since_mark()?,
        };
        self.arena.charge_items(items.len())?;
        let target = self.top()?;
        match (opcode, self.arena.node_mut(target)) {
            (b'a' | b'e' | 0x90, Node::List(list)) => list.extend(items),
            (b's' | b'u', Node::Dict(entries)) => entries.extend(pairs(&items)?),
            _ => return Err(Fault::malformed(format!("entries are added to {}", self.arena.kind(target)))),
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), Fault> {
        let (module, name) = if opcode == b'c' {
            (self.name_line()?, self.name_line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |id| self.arena.text(id).filter(|text| text.len() <= limits::NAME).map(|text| text.to_string());
            text(module).zip(text(name)).ok_or_else(|| Fault::malformed("a name that is no text"))?
        };
        self.name(&module, &name)
    }

    fn name_line(&mut self) -> Result<String, Fault> {
        let line = self.cursor.line(limits::NAME, "a name")?;
        String::from_utf8(line).map_err(|_| Fault::malformed("a name that is no UTF-8"))
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), Fault> {
        let name = names::normalised(module, name);
        self.arena.charge_text(name.len() as u64)?;
        self.push(Node::Name(name.into()))
    }

    /// The instructions that call: what is called must be a name, and one that is known.
    fn called(&mut self, opcode: u8) -> Result<(), Fault> {
        let (callable, args) = match opcode {
            b'R' | 0x81 => {
                let args = self.pop()?;
                (self.pop()?, args)
            }
            0x92 => {
                let (named, args) = (self.pop()?, self.pop()?);
                if !matches!(self.arena.node(named), Node::Dict(entries) if entries.is_empty()) {
                    return Err(Fault::malformed("an object is made with named arguments"));
                }
                (self.pop()?, args)
            }
            b'i' => {
                let (module, name) = (self.name_line()?, self.name_line()?);
                let items = self.since_mark()?;
                self.name(&module, &name)?;
                (self.pop()?, self.arena.add_tuple(items)?)
            }
            _ => {
                let mut items = self.since_mark()?;
                if items.is_empty() {
                    return Err(Fault::malformed("an object without a class"));
                }
                let class = items.remove(0);
                (class, self.arena.add_tuple(items)?)
            }
        };
        let made = calls::call(self, callable, args)?;
        self.stack.push(made);
        Ok(())
    }

    /// `BUILD`: gives an object its attributes.
    fn build(&mut self) -> Result<(), Fault> {
        let (state, target) = (self.pop()?, self.top()?);
        match self.arena.node(target) {
            // A dictionary's own attributes: `_metadata` of a state dict, of no use here.
            Node::Dict(_) => Ok(()),
            Node::EmptyArray => numpy::fill_array(self, target, state),
            Node::ScalarType(_) => numpy::set_order(self, target, state),
            Node::Object(_) => self.set_state(target, state),
            _ => Err(Fault::malformed(format!("attributes are given to {}", self.arena.kind(target)))),
        }
    }

    /// Attributes given twice are joined, as Python's `__dict__.update` does.
    fn set_state(&mut self, target: Id, state: Id) -> Result<(), Fault> {
        let Node::Object(object) = self.arena.node(target) else { return Ok(()) };
        let before = object.state.map(|before| self.arena.node(before));
        let joined = match (before, self.arena.node(state)) {
            (Some(Node::Dict(before)), Node::Dict(added)) => {
                let count = before.len() + added.len();
                if count > limits::REPEATED_ENTRIES {
                    return Err(Fault::Limit(format!("{count} attributes given to one object in parts")));
                }
                let joined: Vec<_> = before.iter().chain(added).copied().collect();
                self.arena.charge_items(count)?;
                self.arena.add(Node::Dict(joined))?
            }
            _ => state,
        };
        if let Node::Object(object) = self.arena.node_mut(target) {
            object.state = Some(joined);
        }
        Ok(())
    }

    /// `BINPERSID`: PyTorch's name for a storage.
    fn persistent(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let items = self.arena.items(id).unwrap_or_default();
        let items = items[..items.len().min(limits::ARGUMENTS)].to_vec();
        let kind = items.first().and_then(|&kind| self.arena.text(kind)).map(|kind| kind.to_string());
        match (self.dialect, kind.as_deref(), items.as_slice()) {
            (Dialect::Torch | Dialect::Script, Some("storage"), &[_, class, key, _, len, ref rest @ ..]) => {
                let view = self.storage(class, key, len, rest.first().copied())?;
                self.push(Node::Storage(view))
            }
            // Old files name a module's class together with its source; the class's name is enough.
            (Dialect::Torch, Some("module"), &[_, class, ..]) => {
                self.stack.push(class);
                Ok(())
            }
            _ => Err(Fault::Unsupported {
                what: "a pickle that keeps parts elsewhere (a persistent id that is no storage)".to_owned(),
                remedy: "load it where it comes from and save the weights as safetensors",
            }),
        }
    }

    fn storage(&mut self, class: Id, key: Id, len: Id, part: Option<Id>) -> Result<StorageView, Fault> {
        let class = self.arena.name(class).ok_or_else(|| Fault::malformed("a storage without a type"))?;
        let element = Element::of_class(class).ok_or_else(|| Fault::Unsupported {
            what: format!("a storage of type {class}"),
            remedy: "load it in Python and save its weights as safetensors",
        })?;
        let key: Arc<str> = match self.arena.node(key) {
            Node::Text(key) if key.len() <= limits::NAME => Arc::clone(key),
            Node::Int(key) => key.to_string().into(),
            _ => return Err(Fault::malformed("a storage without a name")),
        };
        let len =
            self.arena.natural(len).ok_or_else(|| Fault::malformed(format!("storage {key:?} without a length")))?;
        let whole = self.storages.refer(&key, element, len)?;
        // (key, offset, length) of a part, in PyTorch before 0.4.
        let Some(part) = part.and_then(|part| self.arena.items(part)) else { return Ok(whole) };
        let &[_, offset, len] = part else { return Ok(whole) };
        let numbers = self.arena.natural(offset).zip(self.arena.natural(len));
        let fits = numbers.filter(|(offset, len)| offset.checked_add(*len).is_some_and(|end| end <= whole.len));
        let (offset, len) =
            fits.ok_or_else(|| Fault::malformed(format!("a part of storage {key:?} reaches beyond it")))?;
        Ok(StorageView { offset, len, ..whole })
    }

    /// An object of a class that is known by name only.
    pub(super) fn object(&mut self, class: Arc<str>, state: Option<Id>, source: Option<Arc<str>>) -> Result<Id, Fault> {
        self.arena.add(Node::Object(Box::new(ObjectNode { class, state, source })))
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Fault> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Fault::malformed("a dictionary's last key has no value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
