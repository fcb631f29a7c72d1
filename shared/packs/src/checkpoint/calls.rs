//! The calls that plain weights need, built by hand. Whatever else a pickle wants to call is refused by name.

use super::arena::{Id, Node, TensorNode};
use super::machine::{Dialect, Machine};
use super::names::{self, Call};
use super::tensor::Dtype;
use super::{Fault, legacy, limits, numpy};
use std::sync::Arc;

/// What `callable(*args)` would make.
pub(super) fn call(machine: &mut Machine<'_>, callable: Id, args: Id) -> Result<Id, Fault> {
    let Some(name) = machine.arena.name(callable).map(Arc::clone) else {
        return Err(Fault::malformed(format!("{} is called", machine.arena.kind(callable))));
    };
    let args = machine.arena.items(args).filter(|args| args.len() <= limits::ARGUMENTS).map(<[Id]>::to_vec);
    let args = args.ok_or_else(|| Fault::malformed(format!("{name} is called without a short list of arguments")))?;
    let script = || if machine.dialect == Dialect::Script { names::script_call(&name) } else { None };
    match names::call(&name).or_else(script) {
        Some(call) => Calling { machine, name }.make(call, &args),
        None => Err(Fault::Refused { remedy: names::remedy(&name), global: name.to_string() }),
    }
}

struct Calling<'m, 'a> {
    machine: &'m mut Machine<'a>,
    name: Arc<str>,
}

impl Calling<'_, '_> {
    fn make(&mut self, call: Call, args: &[Id]) -> Result<Id, Fault> {
        match call {
            Call::Dict => self.dict(args),
            Call::DefaultDict => self.dict(args.get(1..).unwrap_or_default()),
            Call::List => self.list(args, Node::List),
            Call::Tuple => self.list(args, Node::Tuple),
            Call::Device => self.device(args),
            Call::Path => self.path(args),
            Call::Bytes if args.is_empty() => self.bytes(Vec::new()),
            Call::Encode | Call::Bytes => self.encoded(args),
            Call::Tensor => self.tensor(args, false),
            Call::TypedTensor => self.tensor(args, true),
            Call::First | Call::ScriptList => args.first().copied().ok_or_else(|| self.wrong("without arguments")),
            Call::FromType => self.of_type(args),
            Call::StorageBytes => self.storage_bytes(args),
            Call::Array => self.machine.arena.add(Node::EmptyArray),
            Call::ArrayOfBuffer => numpy::array_of_buffer(self.machine, args),
            Call::Scalar => numpy::scalar(self.machine, args),
            Call::ScalarType => numpy::scalar_type(self.machine, args),
            Call::Reconstruct => self.reconstruct(args),
            Call::Persistent => self.persistent(args),
            Call::Object => self.machine.object(Arc::clone(&self.name), None, None),
        }
    }

    fn wrong(&self, how: &str) -> Fault {
        Fault::malformed(format!("{} is called {how}", self.name))
    }

    fn dict(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let arena = &mut self.machine.arena;
        let entries = match args.first().map(|&of| arena.node(of)) {
            None | Some(Node::None) => Vec::new(),
            Some(Node::Dict(entries)) => entries.clone(),
            Some(Node::List(items) | Node::Tuple(items)) => {
                let pair = |item: &Id| arena.items(*item).and_then(|pair| <[Id; 2]>::try_from(pair).ok());
                let pairs =
                    items.iter().map(|item| pair(item).map(|[key, value]| (key, value))).collect::<Option<Vec<_>>>();
                pairs.ok_or_else(|| Fault::malformed("a dictionary of something else than pairs"))?
            }
            Some(_) => return Err(self.wrong("with something else than entries")),
        };
        arena.charge_items(entries.len())?;
        arena.add(Node::Dict(entries))
    }

    fn list(&mut self, args: &[Id], node: fn(Vec<Id>) -> Node) -> Result<Id, Fault> {
        let items = match args.first() {
            None => Vec::new(),
            Some(&of) => self.machine.arena.items(of).map(<[Id]>::to_vec).ok_or_else(|| self.wrong("with no list"))?,
        };
        self.machine.arena.charge_items(items.len())?;
        self.machine.arena.add(node(items))
    }

    fn device(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let arena = &self.machine.arena;
        let kind = args.first().and_then(|&kind| arena.text(kind)).ok_or_else(|| self.wrong("without a device"))?;
        let text = match args.get(1).and_then(|&index| arena.int(index)) {
            Some(index) => format!("{kind}:{index}"),
            None => kind.to_string(),
        };
        self.machine.arena.add_text(&text)
    }

    fn path(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let parts = args.iter().map(|&part| self.machine.arena.text(part).map(|text| &**text));
        let parts = parts.collect::<Option<Vec<_>>>().ok_or_else(|| self.wrong("with something else than texts"))?;
        let length: usize = parts.iter().map(|part| part.len() + 1).sum();
        if length > limits::NAME * 64 {
            return Err(Fault::Limit(format!("a path of {length} bytes")));
        }
        let joined = parts.join("/").replacen("//", "/", 1);
        self.machine.arena.add_text(&joined)
    }

    /// Each character one byte: `("...", "latin1")`.
    fn encoded(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let text = args.first().and_then(|&text| self.machine.arena.text(text)).map(Arc::clone);
        let latin = args.get(1).and_then(|&encoding| self.machine.arena.text(encoding));
        if latin.is_none_or(|encoding| !["latin1", "latin-1"].contains(&&**encoding)) {
            return Err(self.wrong("for another encoding than latin1"));
        }
        let text = text.ok_or_else(|| self.wrong("without a text"))?;
        self.machine.arena.charge_text(text.len() as u64)?;
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<_>>>();
        let bytes = bytes.ok_or_else(|| self.wrong("with a character beyond latin1"))?;
        self.bytes(bytes)
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Result<Id, Fault> {
        let blob = self.machine.cursor.blob().beside(bytes);
        self.machine.arena.add(Node::Bytes(blob))
    }

    /// `(storage, offset, shape, stride, requires_grad, hooks[, dtype])`
    fn tensor(&mut self, args: &[Id], typed: bool) -> Result<Id, Fault> {
        let arena = &mut self.machine.arena;
        let &[storage, offset, shape, stride, ref rest @ ..] = args else {
            return Err(self.wrong("with too few arguments"));
        };
        let Node::Storage(storage) = arena.node(storage) else {
            return Err(self.wrong("without a storage"));
        };
        let storage = storage.clone();
        let dtype = match (typed, rest.get(2)) {
            (false, _) => storage.element.dtype.clone(),
            (true, Some(&dtype)) => {
                let name = arena.name(dtype).ok_or_else(|| Fault::malformed("a tensor without a type"))?;
                Dtype::of_torch(name).ok_or_else(|| Arc::clone(name))
            }
            (true, None) => return Err(self.wrong("without a type")),
        };
        let numbers = arena.natural(offset).zip(arena.dimensions(shape)).zip(arena.dimensions(stride));
        let ((offset, shape), stride) =
            numbers.ok_or_else(|| Fault::malformed("a tensor whose offset, shape or stride are no natural numbers"))?;
        arena.charge_items(shape.len() + stride.len())?;
        arena.add(Node::Tensor(Box::new(TensorNode { storage, dtype, shape, stride, offset })))
    }

    /// `(function, type, args, state)`: calls the function.
    fn of_type(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let &[function, _, args, ..] = args else {
            return Err(self.wrong("with too few arguments"));
        };
        // Once is enough for real files, and keeps this from calling itself without end.
        let name = self.machine.arena.name(function);
        if name.is_none_or(|name| names::call(name) == Some(Call::FromType)) {
            return Err(self.wrong("for itself"));
        }
        call(self.machine, function, args)
    }

    fn storage_bytes(&mut self, args: &[Id]) -> Result<Id, Fault> {
        if self.machine.dialect != Dialect::Plain {
            return Err(Fault::Refused {
                global: self.name.to_string(),
                remedy: "files inside files are read once, not again",
            });
        }
        let Some(Node::Bytes(blob)) = args.first().map(|&bytes| self.machine.arena.node(bytes)) else {
            return Err(self.wrong("without bytes"));
        };
        let blob = blob.clone();
        let place = blob.place();
        let view = match place.and_then(|place| self.machine.storages.placed(place)) {
            Some(view) => view,
            None => {
                let (element, backing) = legacy::read_storage(&blob)?;
                let view = self.machine.storages.place("inside the pickle", element, backing);
                if let Some(place) = place {
                    self.machine.storages.remember(place, &view);
                }
                view
            }
        };
        self.machine.arena.add(Node::Storage(view))
    }

    /// `(class, base, state of the base)`
    fn reconstruct(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let class = args.first().and_then(|&class| self.machine.arena.name(class)).map(Arc::clone);
        let class = class.ok_or_else(|| self.wrong("without a class"))?;
        match names::call(&class) {
            Some(Call::Object) => self.machine.object(class, None, None),
            Some(call @ (Call::Dict | Call::List | Call::Tuple)) => {
                let of = args.get(2).copied().filter(|&of| !matches!(self.machine.arena.node(of), Node::None));
                self.make(call, of.as_slice())
            }
            _ => Err(Fault::Refused { remedy: names::remedy(&class), global: class.to_string() }),
        }
    }

    /// NVIDIA's objects come with the source of their class. It is kept as text, for people.
    fn persistent(&mut self, args: &[Id]) -> Result<Id, Fault> {
        let arena = &self.machine.arena;
        let short =
            |meta: &Id| matches!(arena.node(*meta), Node::Dict(entries) if entries.len() <= limits::REPEATED_ENTRIES);
        let meta = args.first().copied().filter(short).ok_or_else(|| self.wrong("without a description"))?;
        let text = |key| arena.entry(meta, key).and_then(|value| arena.text(value)).map(Arc::clone);
        let class = text("class_name").ok_or_else(|| self.wrong("without a class name"))?;
        let state = arena.entry(meta, "state");
        let source = text("module_src");
        self.machine.object(class, state, source)
    }
}
