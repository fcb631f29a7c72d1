//! The demo pack through the code that any pack goes through, sound and broken in every way a user has managed to break one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly too")]

use packs::{Manifest, Pack, PackError, Problem, Role, seal};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/demo/pack")
        .canonicalize()
        .expect("the demo pack is in the repository")
}

/// A pack folder to break: `pack.toml` copied, everything else linked to the real files.
fn copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(demo()).unwrap() {
        let entry = entry.unwrap();
        let to = dir.path().join(entry.file_name());
        if entry.file_name() == "pack.toml" {
            fs::copy(entry.path(), to).unwrap();
        } else {
            std::os::unix::fs::symlink(entry.path(), to).unwrap();
        }
    }
    dir
}

/// The demo pack with one text of its manifest replaced.
fn with(from: &str, to: &str) -> TempDir {
    let dir = copy();
    let path = dir.path().join("pack.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "the manifest no longer has {from:?}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    dir
}

/// Replaces a linked file by other bytes.
fn put(dir: &TempDir, file: &str, bytes: &[u8]) {
    let path = dir.path().join(file);
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

fn bytes(file: &str) -> Vec<u8> {
    fs::read(demo().join(file)).unwrap()
}

fn open_error(dir: &TempDir) -> String {
    Pack::open(dir.path()).expect_err("the pack should not open").to_string()
}

fn problems(dir: &TempDir) -> Vec<Problem> {
    Pack::open(dir.path()).unwrap().verify().problems
}

/// A safetensors file from names, shapes and a byte, in any element type.
fn safetensors(dtype: &str, tensors: &BTreeMap<String, Vec<usize>>) -> Vec<u8> {
    let width = if dtype == "F32" { 4 } else { 2 };
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += shape.iter().product::<usize>() * width;
        header.insert(name.clone(), serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + end, 0);
    file
}

/// Shapes in a real file.
fn shapes(file: &str) -> BTreeMap<String, Vec<usize>> {
    let facts = packs::weights::inspect(&demo().join(file)).unwrap();
    facts.tensors.unwrap().into_iter().map(|(name, facts)| (name, facts.shape)).collect()
}

#[test]
fn the_demo_pack_opens_and_verifies() {
    let pack = Pack::open(demo()).unwrap();
    let report = pack.verify();
    assert!(report.is_sound(), "{:#?}", report.problems);
    let seen: Vec<_> = report.files.iter().map(|f| (f.role, f.weights.as_ref().map_or(0, |w| w.parameters))).collect();
    assert_eq!(
        seen,
        [
            (Role::Generator, 944_896),
            (Role::Encoder, 2_402_336),
            (Role::Clip, 1_560_449),
            (Role::ClipMerges, 0),
            (Role::ClipSecond, 1_560_449),
            (Role::ClipSecondMerges, 0),
            (Role::Judge, 572_443),
        ]
    );
    let clips: Vec<_> = report.files.iter().filter(|f| matches!(f.role, Role::Clip | Role::ClipSecond)).collect();
    let tensors = |i: usize| clips[i].weights.as_ref().unwrap().tensor_digest;
    assert_ne!(tensors(0), tensors(1), "the second CLIP must be another network");
}

#[test]
fn the_demo_packs_template_set_is_seven_templates_by_four_subjects() {
    let pack = Pack::open(demo()).unwrap();
    let text = &pack.manifest().text;
    assert_eq!((text.templates.len(), text.subjects.len()), (7, 4));
    assert!(text.subjects.contains(&text.neutral));
    for target in &pack.manifest().judge.as_ref().unwrap().targets {
        assert!(target.text.starts_with(&text.neutral), "{} departs from the neutral text", target.text);
    }
}

#[test]
fn the_identity_depends_on_content_alone() {
    let original = Pack::open(demo()).unwrap();
    let digest = original.digest();
    assert_eq!(Pack::open(copy().path()).unwrap().digest(), digest, "the folder must not matter");
    let commented = with("format = 1", "# another comment\nformat   =   1");
    assert_eq!(Pack::open(commented.path()).unwrap().digest(), digest, "comments must not matter");
    let json = serde_json::to_string(original.manifest()).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap().digest(), digest, "JSON and back must not matter");
    let renamed = with("version = \"1.0.0\"", "version = \"1.0.1\"");
    assert_ne!(Pack::open(renamed.path()).unwrap().digest(), digest);
    let weights = with("ac0da93c", "ac0da93d");
    assert_ne!(Pack::open(weights.path()).unwrap().digest(), digest, "a file's digest is part of the identity");
}

#[test]
fn a_manifest_that_cannot_be_is_refused_with_the_key_named() {
    for (from, to, said) in [
        ("version = ", "verison = ", "unknown field `verison`"),
        ("range = [-1.0, 1.0]\n", "", "missing field `range`"),
        ("format = 1", "format = 2", "format is 2"),
        ("format = 1\n", "", "format is missing"),
        ("architecture = \"stylegan2\"", "architecture = \"stylegan9\"", "unknown variant `stylegan9`"),
        ("[encoder]", "conv_clamp = -1.0\n[encoder]", "generator.conv_clamp: must be a positive number"),
        (
            "[encoder]",
            "[generator.stylegan3]\nnum_critical = 2\nfirst_cutoff = 2.0\nfirst_stopband = 4.3\nlast_stopband_rel = 1.2\nmargin_size = 10\noutput_scale = 0.25\n[encoder]",
            "generator.stylegan3: belongs to the architecture stylegan3",
        ),
        ("sha256 = \"ac0da93c", "sha256 = \"XX0da93c", "is not a SHA-256 digest"),
        ("size = 64", "size = 60", "image.size: 60 is no power of two"),
        ("range = [-1.0, 1.0]", "range = [0.0, 1.0]", "image.range"),
        ("range = [-1.0, 1.0]", "range = [nan, 1.0]", "image.range"),
        ("name = \"facesjs-64\"", "name = \"../pack\"", "name: must be"),
        ("neutral = \"a face\"", "neutral = \"a cat\"", "text.neutral: 'a cat'"),
        ("\"a photo of {}\"", "\"a photo\"", "text.templates[1]: 'a photo'"),
        ("head = \"skin\"", "head = \"skins\"", "judge.targets[2].head: the judge has no head 'skins'"),
        ("class = \"blue\"", "class = \"turquoise\"", "head 'skin' has no class 'turquoise'"),
        (
            "classes = [\"man\", \"woman\"]",
            "classes = [\"man\", \"man\"]",
            "judge.heads.gender.classes: lists 'man' twice",
        ),
        ("context = 32", "context = 2", "clip.context"),
        ("format = 1", "format = ", "pack.toml"),
    ] {
        let error = open_error(&with(from, to));
        assert!(error.contains(said), "{from:?} -> {to:?} gives: {error}");
    }
}

#[test]
fn a_file_name_cannot_lead_out_of_the_folder() {
    for name in [
        "../generator.safetensors",
        "/etc/passwd",
        "a/../../b",
        "./generator.safetensors",
        "a\\\\..\\\\b",
        "a/./b",
        "",
        "x/",
    ] {
        let dir = with("file = \"generator.safetensors\"", &format!("file = \"{name}\""));
        let error = Pack::open(dir.path()).expect_err(name);
        assert!(error.to_string().contains("generator.file"), "{name}: {error}");
    }
    let dir = with("\"MODEL_CARD.md\"", "\"../MODEL_CARD.md\"");
    assert!(matches!(Pack::open(dir.path()), Err(PackError::Escapes { key, .. }) if key == "documents[0]"));
}

#[test]
fn missing_files_are_named() {
    let empty = tempfile::tempdir().unwrap();
    assert!(open_error(&empty).contains("no pack.toml here"));
    for (file, said) in
        [("generator.safetensors", "generator"), ("bpe_merges.txt", "clip.merges"), ("MODEL_CARD.md", "documents")]
    {
        let dir = copy();
        fs::remove_file(dir.path().join(file)).unwrap();
        let error = open_error(&dir);
        assert!(error.contains(file) && error.contains(said), "{error}");
    }
}

#[test]
fn a_changed_byte_is_a_digest_problem() {
    let dir = copy();
    let mut changed = bytes("judge.safetensors");
    *changed.last_mut().unwrap() ^= 1;
    put(&dir, "judge.safetensors", &changed);
    let found = problems(&dir);
    assert!(matches!(&found[..], [Problem::Digest { role: Role::Judge, .. }]), "{found:?}");
    assert!(found[0].to_string().contains("cfx pack verify --write"));
}

#[test]
fn truncated_weights_are_named_wherever_they_end() {
    let whole = bytes("generator.safetensors");
    for length in [0, 7, 8, 100, 6_759, 100_000, whole.len() - 1] {
        let dir = copy();
        put(&dir, "generator.safetensors", &whole[..length]);
        let found = problems(&dir);
        assert!(
            found.iter().any(|p| matches!(p, Problem::Header { role: Role::Generator, .. })),
            "{length}: {found:?}"
        );
        assert!(
            found.iter().any(|p| matches!(p, Problem::Digest { role: Role::Generator, .. })),
            "{length}: {found:?}"
        );
        assert_eq!(found.len(), 2, "only the truncated file is at fault: {found:?}");
    }
    let dir = copy();
    put(&dir, "generator.safetensors", &[whole, vec![0; 3]].concat());
    assert!(problems(&dir)[0].to_string().contains("3 bytes after its last tensor"));
}

#[test]
fn a_pickle_is_refused_with_the_way_out() {
    let dir = copy();
    put(&dir, "clip.safetensors", b"PK\x03\x04 a torch.save archive, renamed in hope");
    assert!(problems(&dir)[0].to_string().contains("convert the checkpoint to safetensors"));
}

/// Puts a made-up weights file in place and seals, so that only what the headers tell is left to find.
fn sealed_with(file: &str, dtype: &str, change: impl FnOnce(&mut BTreeMap<String, Vec<usize>>)) -> Vec<Problem> {
    let dir = copy();
    let mut tensors = shapes(file);
    change(&mut tensors);
    put(&dir, file, &safetensors(dtype, &tensors));
    seal(dir.path()).unwrap().verify().problems
}

#[test]
fn a_wrong_dtype_names_the_tensor() {
    assert!(sealed_with("judge.safetensors", "F16", |_| ()).is_empty(), "the made-up file itself is sound");
    let found = sealed_with("judge.safetensors", "F32", |_| ());
    let [problem] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        problem.to_string(),
        "judge.safetensors (judge): tensor body.0.bias is F32, pack.toml says F16; convert the file or correct the dtype"
    );
}

#[test]
fn a_missing_tensor_is_named() {
    for (file, tensor) in [
        ("generator.safetensors", "input.input"),
        ("inversion_encoder.safetensors", "delta.weight"),
        ("clip.safetensors", "token_embedding.weight"),
        ("judge.safetensors", "heads.skin.weight"),
    ] {
        let found = sealed_with(file, "F16", |t| drop(t.remove(tensor)));
        let [Problem::MissingTensor { tensor: named, .. }] = &found[..] else { panic!("{file}: {found:?}") };
        assert_eq!(named, tensor);
    }
}

#[test]
fn networks_that_do_not_fit_each_other_are_told_apart() {
    let cases: [(&str, &str, Vec<usize>, &str); 6] = [
        ("generator.safetensors", "to_rgbs.4.bias", vec![1, 3, 1, 1], "the resolution is 128, but image.size says 64"),
        ("inversion_encoder.safetensors", "delta.weight", vec![1792, 512], "the generator's W+ needs 1280"),
        ("clip.safetensors", "positional_embedding", vec![77, 128], "the context is 77, but the manifest says 32"),
        ("clip.safetensors", "visual.positional_embedding", vec![50, 128], "the input size is 56"),
        ("clip.safetensors", "token_embedding.weight", vec![800, 128], "514 tokens and 282 merges make 796"),
        ("judge.safetensors", "heads.hat.weight", vec![2, 192], "the manifest lists no head 'hat'"),
    ];
    for (file, tensor, shape, said) in cases {
        let found = sealed_with(file, "F16", |t| drop(t.insert(tensor.to_owned(), shape)));
        assert!(found.iter().any(|p| p.to_string().contains(said)), "{file}: {found:?}");
    }
}

#[test]
fn sealing_fills_digests_and_keeps_comments() {
    let dir = with("sha256 = \"ac0da93c9a466d3add76641e25081c279a29358305e259fc20dc499832e17bb1\"\n", "");
    assert!(open_error(&dir).contains("missing field `sha256`"));
    put(&dir, "bpe_merges.txt", b"#version: 0.2\nt h\n");
    let path = dir.path().join("pack.toml");
    let before = fs::read_to_string(&path).unwrap();
    let pack = seal(dir.path()).unwrap();
    let after = fs::read_to_string(&path).unwrap();
    assert_eq!(before.matches('#').count(), after.matches('#').count());
    let original = Pack::open(demo()).unwrap();
    assert_eq!(pack.manifest().generator.sha256, original.manifest().generator.sha256);
    assert_eq!(pack.manifest().clip.merges.sha256, domain::Digest::of(b"#version: 0.2\nt h\n"));
    assert_eq!(seal(dir.path()).unwrap().digest(), pack.digest(), "sealing twice changes nothing");
    assert_eq!(fs::read_to_string(&path).unwrap(), after);
}
