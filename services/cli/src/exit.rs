//! Exit codes: part of the interface, scripts depend on them.

use crate::client::ClientError;

/// Everything worked.
pub const OK: u8 = 0;
/// Something failed.
pub const FAILURE: u8 = 1;
/// The command line is wrong (clap's own code).
pub const USAGE: u8 = 2;
/// The job ended with failed items.
pub const FAILED_ITEMS: u8 = 3;
/// A file does not match its record.
pub const VERIFICATION_FAILED: u8 = 4;
/// The coordinator does not answer.
pub const UNREACHABLE: u8 = 5;
/// Control-C.
pub const INTERRUPTED: u8 = 130;
/// Nobody reads stdout any more (`cfx ... | head`): what a shell reports of a process that SIGPIPE ended.
pub const READER_GONE: u8 = 141;

/// The code for an error that ends a command.
pub fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => UNREACHABLE,
        _ if error.is::<crate::args::UsageError>() => USAGE,
        _ => FAILURE,
    }
}
