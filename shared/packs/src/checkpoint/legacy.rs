//! What `torch.save` wrote before PyTorch 1.6, and still writes into plain pickles: five pickles back to back (magic number,
//! protocol, machine, object, storage keys), then for each key the number of elements and the elements.

use super::arena::{Arena, Id, Node};
use super::machine::{Dialect, Machine};
use super::source::Cursor;
use super::storages::{Backing, Element, StorageView, Storages, Wanted};
use super::{Blob, Fault, Value, finish, limits};

/// `torch.serialization.MAGIC_NUMBER`
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// `torch.serialization.PROTOCOL_VERSION`
const PROTOCOL: i128 = 1001;

pub(super) fn read(file: &Blob) -> Result<Value, Fault> {
    let parts = parts(file)?;
    finish::value(&parts.arena, parts.root, &parts.storages.finish()?)
}

/// The one storage that such a file holds where a plain pickle has it as `bytes`: element type, length in elements, place.
pub(super) fn read_storage(file: &Blob) -> Result<(Element, Backing), Fault> {
    let Parts { arena, root, mut storages } = parts(file)?;
    let Node::Storage(view) = arena.node(root) else {
        return Err(Fault::malformed(format!("{} where a storage's bytes should be", arena.kind(root))));
    };
    let StorageView { index, element, len, offset } = view.clone();
    let whole = storages.wanted.get_mut(index).and_then(|wanted| wanted.backing.take());
    let bytes = len.checked_mul(element.size).zip(offset.checked_mul(element.size));
    let place = whole.zip(bytes).and_then(|(backing, (len, offset))| match backing {
        Backing::Raw(blob) => blob.part(offset, len).map(Backing::Raw),
        Backing::Deflated(..) => None,
    });
    place
        .map(|place| (element, place))
        .ok_or_else(|| Fault::Truncated { missing: "a storage's bytes are missing".to_owned() })
}

struct Parts {
    arena: Arena,
    root: Id,
    storages: Storages,
}

fn parts(file: &Blob) -> Result<Parts, Fault> {
    let mut cursor = Cursor::new(file.clone());
    let mut storages = Storages::default();
    expect_int(&mut cursor, MAGIC, "magic number")?;
    expect_int(&mut cursor, PROTOCOL, "protocol version")?;
    expect_little_endian(&mut cursor)?;
    let (arena, root) = Machine::new(&mut cursor, &mut storages, Dialect::Torch).run()?;
    let (keys_arena, keys) = Machine::new(&mut cursor, &mut Storages::default(), Dialect::Torch).run()?;
    let keys = keys_arena.items(keys).ok_or_else(|| Fault::malformed("no list of storage keys where it should be"))?;
    for &key in keys {
        let key = keys_arena.text(key).ok_or_else(|| Fault::malformed("a storage key that is no text"))?;
        let elements = u64::from_le_bytes(cursor.array("a storage's length")?);
        let Some(wanted) = storages.wanted_mut(key) else {
            // Its element type is in the tensor that uses it, so without one its bytes cannot be told from the next storage's.
            return Err(Fault::malformed(format!("storage {key:?} that no tensor uses")));
        };
        let Wanted { element_size, backing, .. } = wanted;
        let bytes = elements.checked_mul(*element_size);
        let bytes = bytes.ok_or_else(|| Fault::malformed(format!("storage {key:?} of {elements} elements")))?;
        *backing = Some(Backing::Raw(cursor.pass(bytes, "a storage")?));
    }
    cursor.expect_end()?;
    Ok(Parts { arena, root, storages })
}

fn expect_int(cursor: &mut Cursor, expected: i128, what: &str) -> Result<(), Fault> {
    let (arena, root) = small(cursor)?;
    match arena.int(root) {
        Some(found) if found == expected => Ok(()),
        _ => Err(Fault::malformed(format!("another {what} than PyTorch's"))),
    }
}

/// The third pickle says what machine wrote the file; numbers are swapped on a big-endian one.
fn expect_little_endian(cursor: &mut Cursor) -> Result<(), Fault> {
    let (arena, root) = small(cursor)?;
    match arena.entry(root, "little_endian").map(|value| arena.node(value)) {
        Some(Node::Bool(true)) => Ok(()),
        _ => Err(Fault::Unsupported {
            what: "a checkpoint of a big-endian machine".to_owned(),
            remedy: "load and save it on an ordinary one",
        }),
    }
}

fn small(cursor: &mut Cursor) -> Result<(Arena, Id), Fault> {
    let begin = cursor.at();
    let result = Machine::new(cursor, &mut Storages::default(), Dialect::Torch).run()?;
    if cursor.at() - begin > limits::NAME as u64 {
        return Err(Fault::malformed("a preamble that is far longer than PyTorch's"));
    }
    Ok(result)
}
