//! How an image says how it was made, and proves it.
//!
//! **Owns** what travels inside an output ([`embed`]: the record or an excerpt of it; [`xmp`]: the unsigned statement that it was
//! generated; [`credential`]: the signed Content Credential; [`companion`]: that of its reconstruction and latents), keys and the certificates that vouch for them ([`keys`], [`chain`],
//! [`authority`]), the seal of a finished job ([`dsse`]), and the checks that hold a file against all that ([`verify`]).
//!
//! **Never** talks to a service or opens a file by itself: bytes in, findings out, so that everything here works offline. (A key may
//! be kept by another program, which is run to sign.) Never calls something verified that was not looked at.
//!
//! **After a crash** nothing needs repair: nothing here has a state.

pub mod authority;
pub mod chain;
pub mod companion;
mod container;
pub mod credential;
pub mod dsse;
pub mod embed;
mod jumbf;
pub mod keys;
pub mod raster;
pub mod verify;
pub mod xmp;

pub use authority::{Authority, Issued};
pub use chain::{Anchors, Certificates, ChainError, Distrust};
pub use companion::{Accompanied, Companion, check_companion, check_named};
pub use container::{Container, EmbedError, RECORD_KEYWORD};
pub use credential::{Credential, CredentialError, Ingredient, Issuer, RecordClaim, Role, State, read_credential};
pub use embed::{Told, embed_record, extract_record, read_told, strip_record};
pub use keys::{Algorithm, CommandKey, KeyError, KeyId, LocalKey, Sign, Signer};
pub use raster::{RasterError, raster_digest};
pub use verify::{Check, Finding, Level, check_credential, check_digest, check_file, check_object};
pub use xmp::{put_xmp, xmp_of};
