//! What is no part of a pack, by file, fault and remedy; nothing is left of a pack that was begun.

use crate::numbers::numbers;
use crate::{clip, data, request};
use packs::Checkpoint;
use packs::import::{Request, import};
use packs::manifest::{Activation, IdentityInput};
use safetensors::Dtype::F32;
use safetensors::tensor::TensorView;
use std::fs;
use std::path::{Path, PathBuf};

/// A request made in a folder for files, which may be filled.
type Ask = fn(&Path) -> Request;

/// What is asked, and what the answer must say.
const REFUSED: [(&str, Ask, &[&str]); 37] = [
    ("cut off", |at| encoder(cut(at, "e4e.pt")), &["e4e.pt", "cut short"]),
    ("cut off, a pickle", |at| generator(cut(at, "nvidia-stylegan2.pkl")), &["nvidia-stylegan2.pkl", "cut short"]),
    (
        "no options",
        |at| encoder(spoilt(at, b"\x04\0\0\0opts", b"\x04\0\0\0junk")),
        &["e4e.pt", "opts.encoder_type", "take the checkpoint as its program saved it"],
    ),
    (
        "another type",
        |at| encoder(spoilt(at, b"Encoder4Editing", b"Encoder5Editing")),
        &["e4e.pt", "Encoder5Editing", "known are"],
    ),
    (
        "a tensor too few",
        |at| encoder(spoilt(at, b"encoder.body.13.res_layer.5.fc1.weight", b"encoder.body.13.res_layer.5.fc7.weight")),
        &["e4e.pt", "tensor body.13.res_layer.5.fc1.weight is missing", "the file is cut, or holds another network"],
    ),
    (
        "a tensor too many",
        |at| encoder(spoilt(at, b"decoder.style.1.weight", b"encoder.adapter.weight")),
        &["e4e.pt", "adapter.weight", "belong to no network of this kind", "changed program"],
    ),
    (
        "no mean latent",
        |at| encoder(spoilt(at, b"latent_avg", b"latent_sum")),
        &["e4e.pt", "tensor latent_avg is missing"],
    ),
    (
        "a number that is none",
        |at| {
            let number = numbers("body.0.res_layer.0.bias", &[1])[0];
            encoder(spoilt(at, &number.to_le_bytes(), &f32::NAN.to_le_bytes()))
        },
        &["e4e.pt", "tensor body.0.res_layer.0.bias holds 1 numbers that are not finite", "take another checkpoint"],
    ),
    (
        "a generator as encoder",
        |_| encoder(data("rosinality.pt")),
        &["rosinality.pt", "without encoder.*", "known are the .pt of e4e, pSp and ReStyle"],
    ),
    (
        "an encoder for 16 px and a generator of 32",
        |_| Request { encoder: Some(data("e4e.pt")), ..request("rosinality.pt") },
        &["e4e.pt makes 6 latents", "rosinality.pt takes 8", "take two that belong together"],
    ),
    (
        "no generator",
        |_| Request { generator: None, ..request("rosinality.pt") },
        &["a pack needs a generator", "give its checkpoint"],
    ),
    (
        "a CLIP as generator",
        |_| request("openai/ViT.pt"),
        &["ViT.pt", "a StyleGAN2 or StyleGAN3 generator is needed", "known are"],
    ),
    (
        "classes",
        |_| request("nvidia-conditional.pkl"),
        &["nvidia-conditional.pkl", "class labels (7 of them)", "take an unconditional one"],
    ),
    (
        "colours at the last resolution alone",
        |_| request("nvidia-orig.pkl"),
        &["nvidia-orig.pkl", "architecture \"orig\"", "take one trained with \"skip\""],
    ),
    (
        "another multiplier in StyleGAN3",
        |_| request("nvidia-multiplier.pkl"),
        &["nvidia-multiplier.pkl", "mapping.fc0.bias_gain is 0.1", "take a network trained with the default"],
    ),
    ("wavelets", |_| request("swagan.pt"), &["swagan.pt", "a SWAGAN", "--arch stylegan2"]),
    (
        "TensorFlow's with another architecture",
        |_| request("tensorflow-other.pkl"),
        &["tensorflow-other.pkl", "architecture = \"resnet\"", "trained with the default"],
    ),
    (
        "TensorFlow's of 2018",
        |_| request("tensorflow-old.pkl"),
        &["tensorflow-old.pkl", "version 3", "take a StyleGAN2 or StyleGAN3"],
    ),
    (
        "a CLIP that averages patches",
        |at| set_up(at, "vision_cfg", "pool_type", "avg"),
        &["epoch_3.pt", "model_cfg.vision_cfg.pool_type to \"avg\"", "where \"tok\" is computed"],
    ),
    (
        "a CLIP that reads the last token",
        |at| set_up(at, "text_cfg", "pool_type", "last"),
        &["epoch_3.pt", "model_cfg.text_cfg.pool_type to \"last\"", "take one with the usual setting"],
    ),
    (
        "a CLIP whose activation is approximate",
        |at| set_up(at, "text_cfg", "act_kwargs", serde_json::json!({ "approximate": "tanh" })),
        &["epoch_3.pt", "model_cfg.text_cfg.act_kwargs", "approximate"],
    ),
    (
        "a CLIP with another normalisation",
        |at| set_up(at, "preprocess_cfg", "mean", serde_json::json!([0.5, 0.5, 0.5])),
        &["epoch_3.pt", "preprocess_cfg.mean to [0.5,0.5,0.5]"],
    ),
    (
        "a CLIP of two activations",
        |at| {
            let beside = r#"{"text_config": {"hidden_act": "gelu"}, "vision_config": {"hidden_act": "quick_gelu"}}"#;
            hugging_face(at, beside)
        },
        &["model.safetensors", "text_config.hidden_act to \"gelu\"", "for both towers alike"],
    ),
    (
        "a CLIP with another epsilon",
        |at| hugging_face(at, r#"{"text_config": {"layer_norm_eps": 0.001}, "vision_config": {}}"#),
        &["model.safetensors", "text_config.layer_norm_eps to 0.001", "1e-5 is computed here"],
    ),
    (
        "a generator as CLIP",
        |_| of_clip(data("rosinality.pt"), None),
        &["rosinality.pt", "a CLIP is needed here", "known are OpenAI's .pt"],
    ),
    (
        "another filter",
        |at| {
            let row = |taps: [f32; 4]| taps.map(f32::to_le_bytes).concat();
            generator(spoilt(at, &row([0.0625, 0.1875, 0.1875, 0.0625]), &row([0.125; 4])))
        },
        &["e4e.pt", "convs.0.conv.blur.kernel", "another low-pass filter", "take a network trained with the default"],
    ),
    (
        "no merges",
        |at| of_clip(copy(at, "openai/ViT.pt"), Some(Activation::QuickGelu)),
        &["ViT.pt", "tokenizer is not beside it", "--clip-merges"],
    ),
    (
        "merges of a smaller vocabulary",
        |at| {
            fs::write(at.join("merges.txt"), "#version: 0.2\n").unwrap();
            of_clip(copy(at, "openai/ViT.pt"), None)
        },
        &["merges.txt", "has 0 merges, but the CLIP's vocabulary needs 1", "its own with --clip-merges"],
    ),
    (
        "merges that are none",
        |at| {
            fs::write(at.join("merges.txt"), "#version: 0.2\nab\n").unwrap();
            of_clip(copy(at, "openai/ViT.pt"), None)
        },
        &["merges.txt", "merge 1 (\"ab\")", "is not two symbols", "copy it again"],
    ),
    (
        "no activation",
        |at| of_clip(copy(at, "open_clip/epoch_3.pt"), None),
        &["epoch_3.pt", "open_clip_config.json", "--clip-activation"],
    ),
    (
        "no heads",
        |at| of_clip(copy(at, "open_clip/epoch_3.pt"), Some(Activation::Gelu)),
        &["epoch_3.pt", "16 wide, which 0 heads do not divide", "open_clip_config.json"],
    ),
    (
        "an encoder as identity",
        |_| Request { identity: Some((data("e4e.pt"), IdentityInput::FfhqCrop)), ..request("rosinality-half.pt") },
        &["e4e.pt", "tensor input_layer.0.weight is missing"],
    ),
    (
        "heads without a trunk",
        |_| Request { perceptual: Some((data("alex.pth"), None)), ..request("rosinality.pt") },
        &["alex.pth", "--perceptual-trunk", "alexnet-owt-7be5be79.pth"],
    ),
    (
        "a trunk for what has one",
        |_| Request {
            perceptual: Some((data("lpips-vgg.pth"), Some(data("alexnet.pth")))),
            ..request("rosinality.pt")
        },
        &["lpips-vgg.pth", "alexnet.pth would not be used", "leave --perceptual-trunk out"],
    ),
    (
        "a number that is none in the trunk, which is a file of its own",
        |at| Request { perceptual: Some((data("alex.pth"), Some(spoilt_trunk(at)))), ..request("rosinality.pt") },
        &["alexnet.safetensors: tensor features.3.bias holds 1", "not finite", "take another checkpoint"],
    ),
    (
        "images that are too small for LPIPS",
        |_| Request {
            perceptual: Some((data("alex.pth"), Some(data("alexnet.pth")))),
            ..request("rosinality-half.pt")
        },
        &["perceptual.architecture", "images of 31 px and more, but image.size is 16"],
    ),
    (
        "a name that is none, when all is written",
        |_| Request { name: "A face".to_owned(), ..request("rosinality-half.pt") },
        &["name", "lower-case letters"],
    ),
];

#[test]
fn each_is_told_with_file_fault_and_remedy_and_leaves_nothing() {
    for (what, ask, said) in REFUSED {
        let (files, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = match import(&ask(files.path()), &out.path().join("pack")) {
            Ok(pack) => panic!("{what}: imported as {}", pack.digest()),
            Err(error) => error.to_string(),
        };
        for part in said {
            assert!(error.contains(part), "{what}: {error:?} does not say {part:?}");
        }
        let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
    }
}

#[test]
fn a_folder_that_is_there_is_left_as_it_was() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("pack");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("mine.txt"), "kept").unwrap();
    let error = import(&request("rosinality-half.pt"), &folder).unwrap_err().to_string();
    assert!(error.contains(folder.to_str().unwrap()) && error.contains("import into a new folder"), "{error}");
    assert_eq!(fs::read_to_string(folder.join("mine.txt")).unwrap(), "kept");
    assert_eq!((fs::read_dir(&folder).unwrap().count(), fs::read_dir(out.path()).unwrap().count()), (1, 1));
}

#[test]
fn a_refused_import_leaves_no_folders_that_it_made_and_a_killed_one_hinders_none() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("packs/faces/pack");
    import(&request("openai/ViT.pt"), &folder).unwrap_err();
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);

    let left = folder.with_file_name(format!(".pack.importing-{}", std::process::id()));
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("generator.safetensors"), "half of one").unwrap();
    let pack = import(&request("rosinality-half.pt"), &folder).unwrap();
    assert!(pack.verify().is_sound() && !left.exists());
    import(&request("openai/ViT.pt"), &folder.with_file_name("other")).unwrap_err();
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1, "the pack, and nothing of the other");
}

fn generator(path: PathBuf) -> Request {
    Request { generator: Some(path), ..request("rosinality-half.pt") }
}

/// An encoder with a generator that it would fit.
fn encoder(path: PathBuf) -> Request {
    Request { encoder: Some(path), ..request("rosinality-half.pt") }
}

fn of_clip(weights: PathBuf, activation: Option<Activation>) -> Request {
    let mut request = request("rosinality-half.pt");
    request.clip = packs::import::ClipRequest { weights, activation, ..clip("") };
    request
}

/// open_clip's CLIP, whose configuration has one setting changed.
fn set_up(at: &Path, part: &str, key: &str, value: impl Into<serde_json::Value>) -> Request {
    let weights = copy(at, "open_clip/epoch_3.pt");
    let config = fs::read(data("open_clip/open_clip_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let part = if part == "preprocess_cfg" { &mut config[part] } else { &mut config["model_cfg"][part] };
    part[key] = value.into();
    fs::write(at.join("open_clip_config.json"), config.to_string()).unwrap();
    of_clip(weights, None)
}

/// Hugging Face's CLIP beside this configuration.
fn hugging_face(at: &Path, config: &str) -> Request {
    fs::write(at.join("config.json"), config).unwrap();
    of_clip(copy(at, "hugging-face/model.safetensors"), None)
}

fn copy(at: &Path, file: &str) -> PathBuf {
    let to = at.join(Path::new(file).file_name().unwrap());
    fs::copy(data(file), &to).unwrap();
    to
}

fn cut(at: &Path, file: &str) -> PathBuf {
    let path = copy(at, file);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    path
}

/// AlexNet's features with a number that is none.
fn spoilt_trunk(at: &Path) -> PathBuf {
    let sound = Checkpoint::open(&data("alexnet.pth")).unwrap();
    let tensors = sound.tensors(&sound.root).unwrap();
    let numbers = tensors.iter().filter(|(name, _)| name.starts_with("features.")).map(|(name, tensor)| {
        let mut numbers = tensor.read_f32().unwrap();
        if name == "features.3.bias" {
            numbers[0] = f32::NAN;
        }
        (name, tensor.shape().to_vec(), numbers.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
    });
    let numbers: Vec<_> = numbers.collect();
    let views = numbers.iter().map(|(name, shape, bytes)| (name, TensorView::new(F32, shape.clone(), bytes).unwrap()));
    let path = at.join("alexnet.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();
    path
}

/// e4e's checkpoint, whose entries are not packed, with some bytes replaced wherever they are.
fn spoilt(at: &Path, find: &[u8], put: &[u8]) -> PathBuf {
    assert_eq!(find.len(), put.len());
    let path = copy(at, "e4e.pt");
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<_> = (0..bytes.len() - find.len()).filter(|i| bytes[*i..].starts_with(find)).collect();
    assert!(!places.is_empty(), "{find:?}");
    for place in places {
        bytes[place..place + put.len()].copy_from_slice(put);
    }
    fs::write(&path, bytes).unwrap();
    path
}
