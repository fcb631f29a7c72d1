//! Users' checkpoints, read without executing anything in them.
//!
//! A checkpoint is mostly a pickle, and a pickle is a program: `torch.load` of a stranger's file can delete a home folder, and
//! NVIDIA's pickles carry Python source that is run on load. Here a pickle is data. Its opcodes build values; the few calls that
//! plain weights need (an ordered dictionary, a tensor over a storage, a numpy scalar, ...) are known by name and built by this
//! crate; every other call is refused with its name and the file's. Tensors stay in the file until they are read.
//!
//! ```text
//! file ── what is it? ──┬─ zip ────────── archive ─┬─ data.pkl ─┐
//!                       ├─ legacy torch.save ──────┴────────────┼─ pickle machine ── Value ── tensors by dotted name
//!                       ├─ plain pickle (NVIDIA) ───────────────┘
//!                       ├─ safetensors ── header ───────────────────────────────────┘
//!                       └─ anything else: refused, with what it looks like and the remedy
//! ```
//!
//! **The pickle machine is ours** because none serves: candle's brings 130 crates, knows neither boolean nor 32-bit integer
//! storages, and reads neither NVIDIA's pickles nor TorchScript; `serde-pickle` has no persistent ids (how PyTorch names storages)
//! and no calls. **Archives** are read through `rawzip`, which shows each entry of the directory as it stands; the `zip` crate
//! merges entries of one name before a caller could refuse them.
//!
//! **Bounds.** Whatever a file declares is checked against the bytes that are there before memory is taken for it; depth, number
//! and text of the values are limited ([`limits`]). Nothing here panics on a file's content: the tests mutate and truncate files
//! of every format by the thousand.

mod archive;
mod arena;
mod calls;
mod error;
mod finish;
mod legacy;
pub mod limits;
mod machine;
mod names;
mod numpy;
mod protocol0;
mod safetensors_file;
mod sniff;
mod source;
mod storages;
mod tensor;
mod torch_zip;
mod value;

pub use error::{CheckpointError, Fault};
pub use source::Blob;
pub use tensor::{Dtype, StorageId, Tensor};
pub use value::{Object, Value};

use archive::Archive;
use machine::{Dialect, Machine};
use sniff::Container;
use source::{Cursor, Source};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storages::Storages;

/// What kind of file a checkpoint was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The zip archive that `torch.save` writes since PyTorch 1.6.
    TorchZip,
    /// The zip archive that `torch.jit.save` writes: OpenAI's CLIP, NVIDIA's VGG16.
    TorchScript,
    /// What `torch.save` wrote before 1.6: pickles back to back, then raw storages.
    TorchLegacy,
    /// `pickle.dump`, which is how NVIDIA's StyleGAN2 and StyleGAN3 are published.
    Pickle,
    /// A safetensors file.
    Safetensors,
}

/// An open checkpoint: its values in memory, its tensors still in the file.
#[derive(Debug)]
pub struct Checkpoint {
    /// What kind of file it is.
    pub format: Format,
    /// What was saved: mostly a dictionary, in TorchScript the module.
    pub root: Value,
    /// TorchScript's constants: tensors that its code refers to by number. Empty elsewhere.
    pub constants: Vec<Value>,
    /// The free-form texts of a safetensors header. Empty elsewhere.
    pub metadata: BTreeMap<String, String>,
    path: PathBuf,
    archive: Option<Archive>,
}

impl Checkpoint {
    /// Opens a checkpoint of any known format, told by its content and not by its name.
    ///
    /// # Errors
    /// When the file cannot be read, is no checkpoint, is cut short or damaged, or asks for something that this reader does not
    /// do; the message names the file, what is wrong, and the remedy where there is one.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::read(path).map_err(|fault| CheckpointError { path: path.to_owned(), fault })
    }

    /// Every tensor under `value` by its dotted name: nested dictionaries and lists by key and index, modules as their
    /// `state_dict` names them (parameters and all buffers, also those that a `state_dict` leaves out), TorchScript objects by
    /// attribute. What is no tensor is passed over.
    ///
    /// # Errors
    /// When two tensors get the same name, or shared values make the list longer than [`limits::FLAT_VISITS`].
    pub fn tensors(&self, value: &Value) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
        value::flatten(value).map_err(|fault| CheckpointError { path: self.path.clone(), fault })
    }

    /// Compares every entry of a zip archive with its checksum, reading the whole file once; other formats carry none.
    ///
    /// # Errors
    /// When an entry differs. PyTorch can be told to write no true checksums, so this is advice on a damaged download, not proof.
    pub fn verify_checksums(&self) -> Result<(), CheckpointError> {
        let result = self.archive.as_ref().map_or(Ok(()), Archive::verify_checksums);
        result.map_err(|fault| CheckpointError { path: self.path.clone(), fault })
    }

    /// The file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(path: &Path) -> Result<Self, Fault> {
        let source = Arc::new(Source::open(path)?);
        let whole = Blob::whole(source);
        let checkpoint = |format, root| Self {
            format,
            root,
            constants: Vec::new(),
            metadata: BTreeMap::new(),
            path: path.to_owned(),
            archive: None,
        };
        Ok(match sniff::container(&whole)? {
            Container::Zip => {
                let archive = Archive::open(&whole)?;
                let opened = torch_zip::read(&archive)?;
                let constants = opened.constants;
                Self { constants, archive: Some(archive), ..checkpoint(opened.format, opened.root) }
            }
            Container::Legacy => checkpoint(Format::TorchLegacy, legacy::read(&whole)?),
            Container::Pickle => {
                let mut storages = Storages::default();
                let mut cursor = Cursor::new(whole);
                let (arena, root) = Machine::new(&mut cursor, &mut storages, Dialect::Plain).run()?;
                cursor.expect_end()?;
                checkpoint(Format::Pickle, finish::value(&arena, root, &storages.finish()?)?)
            }
            Container::Safetensors => {
                let (root, metadata) = safetensors_file::read(&whole)?;
                Self { metadata, ..checkpoint(Format::Safetensors, root) }
            }
        })
    }
}
