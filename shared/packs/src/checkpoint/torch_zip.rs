//! The archives of `torch.save` and `torch.jit.save`: one pickle, and each storage an entry beside it.

use super::archive::Archive;
use super::machine::{Dialect, Machine};
use super::source::Cursor;
use super::storages::{Storage, Storages};
use super::{Fault, Format, Value, finish, limits};
use std::sync::Arc;

/// What an archive holds.
pub(super) struct Opened {
    pub(super) format: Format,
    pub(super) root: Value,
    pub(super) constants: Vec<Value>,
}

pub(super) fn read(archive: &Archive) -> Result<Opened, Fault> {
    let folder = folder(archive)?;
    let at = |name: &str| format!("{folder}{name}");
    if archive.find(&at("byteorder")).is_some() {
        let order = archive.open_entry(&at("byteorder"), 16)?;
        let order = order.read_range(0, order.len())?;
        if order.trim_ascii() != b"little" {
            return Err(Fault::Unsupported {
                what: "a checkpoint of a big-endian machine".to_owned(),
                remedy: "load and save it on an ordinary one",
            });
        }
    }
    let script = archive.find(&at("constants.pkl")).is_some();
    let root = pickle(archive, &folder, "data", script)?;
    let constants = if script { pickle(archive, &folder, "constants", true)? } else { Value::None };
    let format = if script { Format::TorchScript } else { Format::TorchZip };
    Ok(Opened { format, root, constants: constants.items().to_vec() })
}

/// The folder that everything lies in: named after the file when it was saved, with a slash behind.
fn folder(archive: &Archive) -> Result<String, Fault> {
    let pickles = archive.names().filter_map(|name| name.strip_suffix("data.pkl"));
    let mut folders =
        pickles.filter(|folder| folder.is_empty() || folder.matches('/').count() == 1 && folder.ends_with('/'));
    match (folders.next(), folders.next()) {
        (Some(folder), None) => Ok(folder.to_owned()),
        (Some(first), Some(second)) => Err(Fault::NotACheckpoint {
            looks_like: format!("an archive of two, {first:?} and {second:?}"),
            remedy: "unpack it and take one".to_owned(),
        }),
        (None, _) => Err(no_pickle(archive)),
    }
}

fn no_pickle(archive: &Archive) -> Fault {
    let mut names = archive.names();
    let not = |looks_like: String, remedy: &str| Fault::NotACheckpoint { looks_like, remedy: remedy.to_owned() };
    let example = names.next().unwrap_or("nothing").to_owned();
    if archive.names().all(|name| name.ends_with(".npy")) {
        return not("a numpy archive (.npz)".to_owned(), "save its arrays as safetensors");
    }
    let inside =
        archive.names().find(|name| [".pt", ".pth", ".pkl", ".safetensors"].iter().any(|end| name.ends_with(end)));
    match inside {
        Some(inside) => not(format!("a zip archive with {inside:?} in it"), "unpack it and take that file"),
        None => not(format!("a zip archive without data.pkl (it begins with {example:?})"), "take the file of weights"),
    }
}

fn pickle(archive: &Archive, folder: &str, name: &str, script: bool) -> Result<Value, Fault> {
    let blob = archive.open_entry(&format!("{folder}{name}.pkl"), limits::ARCHIVED_PICKLE)?;
    let mut storages = Storages::default();
    let mut cursor = Cursor::new(blob);
    let dialect = if script { Dialect::Script } else { Dialect::Torch };
    let (arena, root) = Machine::new(&mut cursor, &mut storages, dialect).run()?;
    // TorchScript pads its pickles to the alignment of its storages with nothing; whatever follows is not part of either.
    cursor.expect_end()?;
    // Arrays of numpy lie in the pickle itself and have been found.
    for wanted in storages.wanted.iter_mut().filter(|wanted| wanted.backing.is_none()) {
        let entry = format!("{folder}{name}/{}", wanted.key);
        wanted.backing = archive.find(&entry).cloned();
    }
    let storages: Vec<Arc<Storage>> = storages.finish()?;
    finish::value(&arena, root, &storages)
}
