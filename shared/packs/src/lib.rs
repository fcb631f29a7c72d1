//! A pack is a set of networks that fit together: a folder with one `pack.toml` and the files it names, each held by its SHA-256.
//!
//! **Owns** the `pack.toml` schema, the identity of a pack, the verification of its files without loading a network, and the
//! template set that texts are expanded with.
//!
//! **Never** links libtorch, executes anything found in a file, speaks to a network, or reads a path outside the pack's folder.
//! Whether the tensors form the network named in the manifest is settled for good by the `networks` crate at load; the checks here
//! catch what can be seen in the headers, early and on any machine.
//!
//! **After a crash** nothing needs repair: packs are read, and the one file written (`pack.toml`, by [`seal`]) is replaced whole.

pub mod checkpoint;
pub mod error;
pub mod fit;
pub mod import;
mod layout;
pub mod manifest;
pub mod pack;
pub mod seal;
pub mod text;
pub mod verify;
pub mod weights;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use error::PackError;
pub use manifest::{Manifest, PackFile, Role};
pub use pack::Pack;
pub use seal::seal;
pub use text::Text;
pub use verify::{Problem, VerifyReport};
