//! Imports of every family from the formats that its program writes: each pack verified, and its numbers compared with those that were
//! put into the checkpoint. `data/` is by `make_fixtures.py`. (Networks spoilt in every way: `import.rs`; the formats: `checkpoints`.)
#![expect(clippy::unwrap_used, reason = "tests")]

mod clips;
mod detector;
mod encoders;
mod faces;
mod generators;
mod numbers;
mod refusals;

use packs::checkpoint::Tensor;
use packs::import::{ClipRequest, Request, import};
use packs::manifest::{Resize, Source};
use packs::{Checkpoint, Pack, Role};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families/data").join(name)
}

fn clip(weights: &str) -> ClipRequest {
    ClipRequest { weights: data(weights), merges: None, activation: None, resize: Resize::BicubicAa }
}

/// A request for a pack of the generator in `generator` and OpenAI's CLIP.
fn request(generator: &str) -> Request {
    Request {
        name: "family".to_owned(),
        version: "1.0.0".to_owned(),
        description: String::new(),
        license: String::new(),
        license_notes: String::new(),
        generator: Some(data(generator)),
        encoder: None,
        clip: clip("openai/ViT.pt"),
        clip_second: None,
        identity: None,
        perceptual: None,
        detector: Vec::new(),
        neutral: "a face".to_owned(),
        templates: Vec::new(),
    }
}

/// A pack in a folder that goes with it.
struct Imported {
    pack: Pack,
    _folder: TempDir,
}

impl Imported {
    /// Imports and verifies.
    fn of(request: &Request) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pack = import(request, &folder.path().join("pack")).unwrap();
        let report = pack.verify();
        assert!(report.is_sound(), "{:?}", report.problems);
        Self { pack, _folder: folder }
    }

    fn tensors(&self, role: Role) -> BTreeMap<String, Tensor> {
        let stored = Checkpoint::open(&self.pack.path_of(role).unwrap()).unwrap();
        stored.tensors(&stored.root).unwrap()
    }

    /// What the manifest says of a part's origin; the digest is compared with the file's.
    fn source(&self, role: Role, from: &str) -> &Source {
        let source = self.pack.manifest().sources.iter().find(|source| source.role == role).unwrap();
        let path = data(from);
        assert_eq!(source.file, path.file_name().unwrap().to_str().unwrap());
        assert_eq!(source.sha256, domain::Digest::of(std::fs::read(path).unwrap()));
        source
    }
}
