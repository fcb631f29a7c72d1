//! Users' checkpoints, read back as the programs that wrote them said they are. `data/` is by `make_fixtures.py`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod contents;
mod mutations;
mod refusals;

use packs::CheckpointError;
use packs::checkpoint::Checkpoint;
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints/data").join(name)
}

fn open(name: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(&data(name))
}
