//! The optional networks of a pack, identity and perceptual, added to the demo pack: parsed, verified, refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly too")]

use packs::manifest::{IdentityArchitecture, IdentityInput, PerceptualArchitecture};
use packs::{Manifest, Pack, Problem, Role, seal};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const IDENTITY: &str = "\n[identity]\narchitecture = \"embedding-cnn\"\nfile = \"identity.safetensors\"\ndtype = \"f32\"\ninput = \"whole-image\"\n";
const PERCEPTUAL: &str =
    "\n[perceptual]\narchitecture = \"lpips-alex\"\nfile = \"perceptual.safetensors\"\ndtype = \"f16\"\n";

const EMBEDDING_CNN: [(&str, &str, &[usize]); 5] = [
    ("body.0.conv.weight", "F32", &[8, 3, 3, 3]),
    ("body.0.norm.running_var", "F32", &[8]),
    ("body.0.norm.num_batches_tracked", "I64", &[]),
    ("fc.bias", "F32", &[4]),
    ("fc.weight", "F32", &[4, 8192]),
];
const IR_SE: [(&str, &str, &[usize]); 4] = [
    ("input_layer.0.weight", "F32", &[4, 3, 3, 3]),
    ("body.0.res_layer.1.weight", "F32", &[4, 4, 3, 3]),
    ("output_layer.3.weight", "F32", &[6, 16]),
    ("output_layer.4.running_var", "F32", &[6]),
];
const ALEX: [(&str, &str, &[usize]); 7] = [
    ("features.0.weight", "F16", &[4, 3, 11, 11]),
    ("features.10.weight", "F16", &[5, 4, 3, 3]),
    ("lin0.model.1.weight", "F16", &[1, 4, 1, 1]),
    ("lin1.model.1.weight", "F16", &[1, 4, 1, 1]),
    ("lin2.model.1.weight", "F16", &[1, 4, 1, 1]),
    ("lin3.model.1.weight", "F16", &[1, 4, 1, 1]),
    ("lin4.model.1.weight", "F16", &[1, 5, 1, 1]),
];
const VGG19: [(&str, &str, &[usize]); 2] =
    [("conv1_1.weight", "F16", &[4, 3, 3, 3]), ("conv5_2.weight", "F16", &[5, 5, 3, 3])];

type Tensors<'a> = Vec<(&'a str, &'a str, Vec<usize>)>;

fn tensors<'a>(list: &[(&'a str, &'a str, &[usize])]) -> Tensors<'a> {
    list.iter().map(|(name, dtype, shape)| (*name, *dtype, shape.to_vec())).collect()
}

/// A safetensors file of zeros.
fn safetensors(tensors: &Tensors<'_>) -> Vec<u8> {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, dtype, shape) in tensors {
        let begin = end;
        let width = match *dtype {
            "I64" => 8,
            "F32" => 4,
            _ => 2,
        };
        end += shape.iter().product::<usize>() * width;
        let facts = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]});
        header.insert((*name).to_owned(), facts);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + end, 0);
    file
}

/// The demo pack with the two sections and files, not yet sealed.
fn draft(sections: &str, identity: &Tensors<'_>, perceptual: &Tensors<'_>) -> TempDir {
    let demo: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/pack").canonicalize().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(demo).unwrap() {
        let entry = entry.unwrap();
        let to = dir.path().join(entry.file_name());
        if entry.file_name() == "pack.toml" {
            fs::write(to, fs::read_to_string(entry.path()).unwrap() + sections).unwrap();
        } else {
            std::os::unix::fs::symlink(entry.path(), to).unwrap();
        }
    }
    fs::write(dir.path().join("identity.safetensors"), safetensors(identity)).unwrap();
    fs::write(dir.path().join("perceptual.safetensors"), safetensors(perceptual)).unwrap();
    dir
}

fn both() -> String {
    format!("{IDENTITY}{PERCEPTUAL}")
}

/// What verification says of a sealed pack with these files, so that only what the headers tell is left to find.
fn problems(sections: &str, identity: &Tensors<'_>, perceptual: &Tensors<'_>) -> Vec<Problem> {
    seal(draft(sections, identity, perceptual).path()).unwrap().verify().problems
}

#[test]
fn both_parts_are_read_sealed_and_verified() {
    let dir = draft(&both(), &tensors(&EMBEDDING_CNN), &tensors(&ALEX));
    assert!(Pack::open(dir.path()).unwrap_err().to_string().contains("missing field `sha256`"));
    let pack = seal(dir.path()).unwrap();
    let report = pack.verify();
    assert!(report.is_sound(), "a counter is no weight of a wrong type: {:#?}", report.problems);
    let last: Vec<_> = report.files.iter().rev().take(2).map(|file| (file.role, file.file.as_str())).collect();
    assert_eq!(last, [(Role::Perceptual, "perceptual.safetensors"), (Role::Identity, "identity.safetensors")]);

    let manifest = pack.manifest();
    let identity = manifest.identity.as_ref().unwrap();
    assert_eq!(identity.architecture, IdentityArchitecture::EmbeddingCnn);
    assert_eq!(identity.input, IdentityInput::WholeImage);
    assert_eq!(manifest.perceptual.as_ref().unwrap().architecture, PerceptualArchitecture::LpipsAlex);
    let again: Manifest = serde_json::from_str(&serde_json::to_string(manifest).unwrap()).unwrap();
    assert_eq!((&again, again.digest()), (manifest, pack.digest()));

    let mut without = manifest.clone();
    (without.identity, without.perceptual) = (None, None);
    assert_ne!(without.digest(), pack.digest(), "both are part of the identity of a pack");
    let json = serde_json::to_string(&without).unwrap();
    assert!(!json.contains("perceptual"), "and a pack without them has the identity it always had");
}

#[test]
fn every_name_of_an_architecture_is_read() {
    for (from, to, identity) in
        [("embedding-cnn", "ir-se50", tensors(&IR_SE)), ("whole-image", "ffhq-crop", tensors(&EMBEDDING_CNN))]
    {
        let found = problems(&both().replace(from, to), &identity, &tensors(&ALEX));
        assert!(found.is_empty(), "{to}: {found:?}");
    }
    let mut vgg16 = tensors(&ALEX);
    vgg16[0].2 = vec![4, 3, 3, 3];
    vgg16[1].0 = "features.28.weight";
    for (name, perceptual) in [("lpips-vgg", vgg16), ("vgg19-relu5-2", tensors(&VGG19))] {
        let found = problems(&both().replace("lpips-alex", name), &tensors(&EMBEDDING_CNN), &perceptual);
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn files_that_hold_another_network_are_told() {
    let sound = (tensors(&EMBEDDING_CNN), tensors(&ALEX));
    let cases = [
        ("embedding-cnn", "ir-se50", "identity.safetensors (identity): tensor input_layer.0.weight is missing"),
        ("lpips-alex", "lpips-vgg", "(perceptual): tensor features.0.weight: the side of the filter is 11"),
        ("lpips-alex", "vgg19-relu5-2", "(perceptual): tensor conv1_1.weight is missing"),
        ("\"f32\"", "\"f16\"", "(identity): tensor body.0.conv.weight is F32, pack.toml says F16"),
    ];
    for (from, to, said) in cases {
        let found = problems(&both().replacen(from, to, 1), &sound.0, &sound.1);
        let [problem] = &found[..] else { panic!("{to}: {found:?}") };
        assert!(problem.to_string().contains(said), "{problem}");
    }
    for gone in ["lin0.model.1.weight", "lin4.model.1.weight", "features.10.weight"] {
        let rest: Tensors<'_> = sound.1.iter().filter(|(name, ..)| *name != gone).cloned().collect();
        let found = problems(&both(), &sound.0, &rest);
        assert!(matches!(&found[..], [Problem::MissingTensor { tensor, .. }] if tensor == gone), "{gone}: {found:?}");
    }
    let mut narrow = sound.1.clone();
    narrow[6].2 = vec![1, 4, 1, 1];
    let found = problems(&both(), &sound.0, &narrow);
    assert!(found[0].to_string().contains("the number of channels is 4, but the last layer of the trunk has 5"));
    let mut other = tensors(&IR_SE);
    other[3].2 = vec![7];
    let found = problems(&both().replace("embedding-cnn", "ir-se50"), &other, &sound.1);
    assert!(found[0].to_string().contains("the length is 7, but the layer before it makes 6"), "{found:?}");
}

#[test]
fn a_changed_or_missing_file_is_named() {
    let dir = draft(&both(), &tensors(&EMBEDDING_CNN), &tensors(&ALEX));
    let pack = seal(dir.path()).unwrap();
    for (file, role) in [("identity.safetensors", Role::Identity), ("perceptual.safetensors", Role::Perceptual)] {
        let path = dir.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        let found = pack.verify().problems;
        assert!(matches!(&found[..], [Problem::Digest { role: named, .. }] if *named == role), "{found:?}");
        fs::remove_file(&path).unwrap();
        let error = Pack::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("the pack's {role} is missing")), "{error}");
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
    }
}

#[test]
fn sections_that_cannot_be_are_refused_with_the_key_named() {
    let refused = |text: &str| {
        let dir = draft(text, &tensors(&EMBEDDING_CNN), &tensors(&ALEX));
        seal(dir.path()).expect_err("not a sound manifest").to_string()
    };
    for (from, to, said) in [
        ("\"embedding-cnn\"", "\"ir-se100\"", "unknown variant `ir-se100`"),
        ("\"whole-image\"", "\"ffhq\"", "unknown variant `ffhq`"),
        ("input = \"whole-image\"\n", "", "missing field `input`"),
        ("\"lpips-alex\"", "\"lpips\"", "unknown variant `lpips`"),
        ("dtype = \"f16\"", "dtype = \"f16\"\nversion = \"0.0\"", "unknown field `version`"),
        ("\"identity.safetensors\"", "\"../identity.safetensors\"", "identity.file"),
        ("\"perceptual.safetensors\"", "\"/perceptual.safetensors\"", "perceptual.file"),
    ] {
        let error = refused(&both().replacen(from, to, 1));
        assert!(error.contains(said), "{to}: {error}");
    }
    let small = |architecture: &str, size: u32| {
        let dir = draft(&both().replace("lpips-alex", architecture), &tensors(&EMBEDDING_CNN), &tensors(&ALEX));
        let text = seal(dir.path()).unwrap().manifest_text().replace("\nsize = 64\n", &format!("\nsize = {size}\n"));
        Manifest::from_toml(&text).map(|manifest| manifest.image.size).map_err(|error| error.to_string())
    };
    assert_eq!((small("lpips-alex", 32), small("lpips-vgg", 16)), (Ok(32), Ok(16)));
    assert!(small("lpips-alex", 16).unwrap_err().contains("perceptual.architecture: reads images of 31 px"));
    assert!(small("vgg19-relu5-2", 8).unwrap_err().contains("images of 16 px and more, but image.size is 8"));
}
