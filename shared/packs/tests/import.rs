//! Imports of small networks whose numbers a formula makes: what becomes of every tensor, and that a wrong one leaves nothing behind.
//! (Reading the formats themselves: `checkpoints.rs`.)

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly too")]

use packs::import::{ClipRequest, MapperRequest, Request, import, import_mapper};
use packs::manifest::{Activation, GeneratorArchitecture, Resize};
use packs::{Checkpoint, Pack, Role};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Numbers of a tensor's own by name, so that a swap shows.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// What is done to a sound network.
type Spoil = fn(&mut Tensors);

fn add(to: &mut Tensors, name: impl Into<String>, shape: &[usize]) {
    let name = name.into();
    let seed = name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let number = |i: u32| f32::from((seed.wrapping_add(i.wrapping_mul(2_654_435_761)) >> 16) as u16) / 65_536.0 - 0.5;
    let count = shape.iter().product::<usize>() as u32;
    to.insert(name, (shape.to_vec(), (0..count).map(number).collect()));
}

fn affine(to: &mut Tensors, name: &str, shape: &[usize]) {
    add(to, format!("{name}.weight"), shape);
    add(to, format!("{name}.bias"), &shape[..1]);
}

/// StyleGAN2 of 16 px under rosinality's names, latents of 8 numbers.
fn generator() -> Tensors {
    let (mut t, channels, w_dim) = (Tensors::new(), 6, 8);
    (1..=2).for_each(|i| affine(&mut t, &format!("style.{i}"), &[w_dim, w_dim]));
    add(&mut t, "input.input", &[1, channels, 4, 4]);
    let styled = ["conv1", "convs.0", "convs.1", "convs.2", "convs.3"];
    for name in styled {
        add(&mut t, format!("{name}.conv.weight"), &[1, channels, channels, 3, 3]);
        affine(&mut t, &format!("{name}.conv.modulation"), &[channels, w_dim]);
        add(&mut t, format!("{name}.noise.weight"), &[1]);
        add(&mut t, format!("{name}.activate.bias"), &[channels]);
    }
    for name in ["to_rgb1", "to_rgbs.0", "to_rgbs.1"] {
        add(&mut t, format!("{name}.conv.weight"), &[1, 3, channels, 1, 1]);
        affine(&mut t, &format!("{name}.conv.modulation"), &[channels, w_dim]);
        add(&mut t, format!("{name}.bias"), &[1, 3, 1, 1]);
    }
    add(&mut t, "latent_avg", &[w_dim]);
    t
}

/// A vision transformer's CLIP of 16 px, one layer a tower, under OpenAI's names; as many tokens as one merge makes.
fn clip() -> Tensors {
    let (mut t, width) = (Tensors::new(), 64);
    let block = |t: &mut Tensors, name: &str| {
        for norm in ["ln_1", "ln_2"] {
            affine(t, &format!("{name}.{norm}"), &[width]);
        }
        add(t, format!("{name}.attn.in_proj_weight"), &[3 * width, width]);
        add(t, format!("{name}.attn.in_proj_bias"), &[3 * width]);
        affine(t, &format!("{name}.attn.out_proj"), &[width, width]);
        affine(t, &format!("{name}.mlp.c_fc"), &[4 * width, width]);
        affine(t, &format!("{name}.mlp.c_proj"), &[width, 4 * width]);
    };
    add(&mut t, "visual.conv1.weight", &[width, 3, 8, 8]);
    add(&mut t, "visual.class_embedding", &[width]);
    add(&mut t, "visual.positional_embedding", &[5, width]);
    add(&mut t, "visual.proj", &[width, 8]);
    affine(&mut t, "visual.ln_pre", &[width]);
    affine(&mut t, "visual.ln_post", &[width]);
    block(&mut t, "visual.transformer.resblocks.0");
    block(&mut t, "transformer.resblocks.0");
    add(&mut t, "token_embedding.weight", &[515, width]);
    add(&mut t, "positional_embedding", &[12, width]);
    affine(&mut t, "ln_final", &[width]);
    add(&mut t, "text_projection", &[width, 8]);
    add(&mut t, "logit_scale", &[]);
    t
}

/// CF-CLIP's mapper for `latents` layers, with a generator beside it.
fn mapper(latents: usize, decoder: &Tensors) -> Tensors {
    let mut t = Tensors::new();
    affine(&mut t, "mapper.fc", &[8, 16]);
    let mut network = |name: &str| (1..=4).for_each(|i| affine(&mut t, &format!("{name}.mapping.{i}"), &[8, 8]));
    ["course", "medium", "fine"].iter().for_each(|group| network(&format!("mapper.{group}_mapping")));
    (0..latents).for_each(|i| network(&format!("text_mapper.mapper_{i}")));
    t.extend(decoder.iter().map(|(name, tensor)| (format!("decoder.{name}"), tensor.clone())));
    t
}

fn write(tensors: &Tensors, path: &Path) -> PathBuf {
    let bytes: BTreeMap<_, Vec<u8>> =
        tensors.iter().map(|(name, (_, n))| (name, n.iter().flat_map(|n| n.to_le_bytes()).collect())).collect();
    let view = |(name, (shape, _)): (&String, &(Vec<usize>, Vec<f32>))| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap())
    };
    safetensors::serialize_to_file(tensors.iter().map(view), None, path).unwrap();
    path.to_owned()
}

/// A folder with a generator, a CLIP and its merges.
struct Files {
    folder: TempDir,
    request: Request,
}

impl Files {
    fn new(generator: &Tensors, clip: &Tensors) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("merges.txt"), "#version: 0.2\na b\n").unwrap();
        let request = Request {
            name: "small".to_owned(),
            version: "1.0.0".to_owned(),
            description: String::new(),
            license: String::new(),
            license_notes: String::new(),
            generator: Some(write(generator, &at("generator.safetensors"))),
            encoder: None,
            clip: ClipRequest {
                weights: write(clip, &at("clip.safetensors")),
                merges: Some(at("merges.txt")),
                activation: Some(Activation::QuickGelu),
                resize: Resize::BicubicAa,
            },
            clip_second: None,
            identity: None,
            perceptual: None,
            detector: Vec::new(),
            neutral: "a face".to_owned(),
            templates: Vec::new(),
        };
        Self { folder, request }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What the import says; nothing may be there that was not.
    fn refusal(&self) -> String {
        let before = self.names();
        let error = import(&self.request, &self.folder.path().join("pack")).unwrap_err().to_string();
        assert_eq!(self.names(), before, "{error}");
        error
    }
}

#[test]
fn a_pack_has_every_number_of_its_checkpoints_and_says_where_they_are_from() {
    let files = Files::new(&generator(), &clip());
    let pack = import(&files.request, &files.folder.path().join("pack")).unwrap();
    assert!(pack.verify().is_sound(), "{:?}", pack.verify().problems);
    let manifest = pack.manifest();
    assert_eq!((manifest.image.size, manifest.generator.architecture), (16, GeneratorArchitecture::StyleGan2));
    assert_eq!(manifest.clip.activation, Activation::QuickGelu);
    for (role, given) in [(Role::Generator, generator()), (Role::Clip, clip())] {
        let source = manifest.sources.iter().find(|source| source.role == role).unwrap();
        assert_eq!(source.file, format!("{}.safetensors", role.key()));
        let stored = Checkpoint::open(&pack.path_of(role).unwrap()).unwrap();
        let stored = stored.tensors(&stored.root).unwrap();
        for (name, (shape, numbers)) in &given {
            let tensor = &stored[name];
            assert_eq!((tensor.shape(), &tensor.read_f32().unwrap()), (shape.as_slice(), numbers), "{name}");
        }
    }
    // no noise came with it: drawn once, the same in every import
    let again = import(&files.request, &files.folder.path().join("again")).unwrap();
    assert_eq!(again.digest(), pack.digest());
    assert!(manifest.sources.iter().any(|source| source.notes.iter().any(|note| note.contains("noise"))));
}

#[test]
fn a_network_with_a_wrong_tensor_is_refused_by_its_name_and_leaves_nothing() {
    let cases: [(&str, Spoil, &[&str]); 6] = [
        ("missing", |t| drop(t.remove("convs.2.conv.weight")), &["convs.2.conv.weight is missing"]),
        ("missing at the end", |t| drop(t.remove("to_rgbs.1.bias")), &["belong to no network", "convs.2"]),
        ("surplus", |t| add(t, "convs.9.conv.weight", &[2]), &["belong to no network", "convs.9.conv.weight"]),
        ("misshapen", |t| add(t, "conv1.conv.weight", &[1, 5, 6, 3, 3]), &["has shape [6]", "[5]", "copy it again"]),
        ("NaN", |t| t.get_mut("conv1.activate.bias").unwrap().1[2] = f32::NAN, &["conv1.activate.bias", "1 numbers"]),
        ("no generator", |t| *t = clip(), &["StyleGAN2", "known are"]),
    ];
    for (what, spoil, said) in cases {
        let mut spoilt = generator();
        spoil(&mut spoilt);
        let error = Files::new(&spoilt, &clip()).refusal();
        assert!(error.contains("generator.safetensors"), "{what}: {error}");
        assert!(said.iter().all(|said| error.contains(said)), "{what}: {error}");
    }
    let mut spoilt = clip();
    spoilt.remove("visual.proj");
    assert!(Files::new(&generator(), &spoilt).refusal().contains("visual.proj"));
}

#[test]
fn a_request_that_makes_no_pack_is_refused_and_leaves_nothing() {
    let sound = || Files::new(&generator(), &clip());
    let mut files = sound();
    files.request.clip.activation = None;
    assert!(files.refusal().contains("--clip-activation"));
    let mut files = sound();
    files.request.generator = None;
    assert!(files.refusal().contains("generator"));
    let files = sound();
    fs::write(files.folder.path().join("merges.txt"), "").unwrap();
    assert!(files.refusal().contains("merges"));
    let files = sound();
    let path = files.folder.path().join("generator.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    assert!(files.refusal().contains("generator.safetensors"));
    let files = sound();
    fs::create_dir(files.folder.path().join("pack")).unwrap();
    assert!(files.refusal().contains("exists"));
}

#[test]
fn a_mapper_belongs_to_the_generator_in_its_file() {
    let files = Files::new(&generator(), &clip());
    let at = |name: &str| files.folder.path().join(name);
    let pack = import(&files.request, &at("pack")).unwrap();
    let import = |tensors: &Tensors, pack: &Pack, any_generator| {
        let checkpoint = write(tensors, &at("best_model.safetensors"));
        let made = import_mapper(&MapperRequest { checkpoint, any_generator }, pack, &at("mapper.safetensors"));
        if made.is_err() {
            assert!(!files.names().iter().any(|name| name.starts_with("mapper.safetensors")));
        }
        made.map_err(|error| error.to_string())
    };
    // 16 px have 6 latents: the fine network has none, and is left out
    let sound = mapper(6, &generator());
    let made = import(&sound, &pack, false).unwrap();
    assert_eq!((made.method, made.note.n_latent, made.note.text_dim), ("cf-mapper", 6, Some(8)));
    assert_eq!(made.note.generator, pack.manifest().files().first().map(|file| file.sha256));
    assert!((made.note.groups.coarse, made.note.groups.fine) == (true, false));
    let stored = Checkpoint::open(&at("mapper.safetensors")).unwrap();
    let names: Vec<_> = stored.tensors(&stored.root).unwrap().into_keys().collect();
    assert!(names.iter().all(|name| !name.contains("fine") && !name.starts_with("decoder")), "{names:?}");
    fs::remove_file(at("mapper.safetensors")).unwrap();

    let refusal = |tensors: &Tensors| import(tensors, &pack, false).unwrap_err();
    let larger = refusal(&mapper(18, &generator()));
    assert!(larger.contains("1024 px") && larger.contains("16 px") && larger.contains("best_model"), "{larger}");
    let mut retrained = generator();
    retrained.get_mut("convs.1.conv.weight").unwrap().1[0] += 0.1;
    let elsewhere = mapper(6, &retrained);
    assert!(refusal(&elsewhere).contains("convs.1.conv.weight"));
    assert_eq!(import(&elsewhere, &pack, true).unwrap().note.generator, None);
    fs::remove_file(at("mapper.safetensors")).unwrap();
    let mut cut = sound.clone();
    cut.remove("text_mapper.mapper_2.mapping.3.bias");
    assert!(refusal(&cut).contains("text_mapper.mapper_2.mapping.3.bias"));
    assert!(refusal(&generator()).contains("mapper"));
}
