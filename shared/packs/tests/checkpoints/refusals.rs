//! What is no checkpoint, is damaged, or would do harm: each told by file, fault and remedy, at once and in little memory.

use crate::{data, open};
use std::time::{Duration, Instant};

/// Files and what the message must say.
const REFUSED: [(&str, &[&str]); 37] = [
    ("hostile-system.pkl", &["wants to call", "system", "do not load this file anywhere"]),
    ("hostile-eval.pkl", &["wants to call builtins.eval"]),
    ("hostile-getattr.pkl", &["wants to call builtins.getattr"]),
    ("hostile-import.pkl", &["wants to call builtins.__import__"]),
    ("hostile-torch.pt", &["wants to call", "system"]),
    ("hostile-inst.pkl", &["wants to call os.system"]),
    ("hostile-protocol0.pkl", &["wants to call os.system", "do not load this file anywhere"]),
    ("cycle.pkl", &["contains itself"]),
    ("deep.pkl", &["nested deeper than"]),
    ("huge-bytes.pkl", &["cut short", "needs 1152921504606846976 bytes"]),
    ("huge-text.pkl", &["texts of more than"]),
    ("huge-integer.pkl", &["an integer of"]),
    ("dup.pkl", &["never begun"]),
    ("unknown-opcode.pkl", &["0xee", "at byte 3"]),
    ("persistent.pkl", &["keeps parts elsewhere"]),
    ("empty.pt", &["an empty file", "download"]),
    ("page.pt", &["a web page", "download it again"]),
    ("pointer.pt", &["Git LFS", "git lfs pull"]),
    ("zeros.pt", &["zeros"]),
    ("truncated.pt", &["cut short", "directory"]),
    ("truncated-legacy.pt", &["cut short", "a storage"]),
    ("arrays.npz.pt", &["numpy archive", "safetensors"]),
    ("inside.zip.pt", &["folder/model.pt", "unpack it"]),
    ("traversal.pt", &["../data.pkl", "leads out"]),
    ("twice.pt", &["archive/data.pkl", "twice"]),
    ("bomb.pt", &["archive/data.pkl", "4294967280 bytes"]),
    ("bomb-silent.pt", &["entry \"archive/data.pkl\"", "does not inflate to the 10 bytes", "copy the file again"]),
    ("missing-storage.pt", &["storage \"0\"", "missing"]),
    ("short-storage.pt", &["storage \"0\" has 92 of 96 bytes"]),
    ("big-endian.pt", &["big-endian"]),
    ("outside.pt", &["stride [9]", "outside of its storage"]),
    ("expected.json", &["JSON"]),
    ("..", &["folder"]),
    ("no-such-file.pt", &["No such file"]),
    ("../main.rs", &["unknown here", "safetensors"]),
    ("../make_fixtures.py", &["unknown here"]),
    ("../data/hostile-eval.pkl", &["builtins.eval"]),
];

#[test]
fn each_names_the_file_the_fault_and_the_remedy() {
    for (file, says) in REFUSED {
        let begin = Instant::now();
        let error = match open(file) {
            Ok(checkpoint) => panic!("{file} was read: {:?}", checkpoint.root),
            Err(error) => error.to_string(),
        };
        assert!(error.starts_with(&data(file).display().to_string()), "{error}");
        for part in says {
            assert!(error.contains(part), "{file}: {error:?} does not say {part:?}");
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{file} took {:?}", begin.elapsed());
    }
}

#[test]
fn values_that_share_their_parts_are_small_until_they_are_listed() {
    let wide = open("wide.pkl").unwrap();
    let error = wide.tensors(&wide.root).unwrap_err().to_string();
    assert!(error.contains("shares its parts"), "{error}");
}

#[test]
fn a_flipped_bit_is_found_by_the_checksums() {
    let mut bytes = std::fs::read(data("views.pt")).unwrap();
    // 23.0, the last number of the storage.
    let number = 23f32.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == number).unwrap();
    bytes[at + 1] ^= 1;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let checkpoint = packs::Checkpoint::open(file.path()).unwrap();
    let error = checkpoint.verify_checksums().unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}
