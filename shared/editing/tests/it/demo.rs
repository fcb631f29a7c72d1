//! The demo pack and its faces, as the tests and the measuring program use them.

use editing::engine::{ClipConfig, EngineConfig, JudgeConfig};
use editing::{Engine, raster};
use networks::clip::{Activation, Normalise, Preprocess, Resize};
use networks::judge::Head;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

const TEMPLATES: [&str; 7] = [
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a portrait of {}",
    "a cartoon of {}",
    "a drawing of {}",
    "an image of {}",
];
const SUBJECTS: [&str; 4] = ["a face", "a person", "someone", "a head"];
const COLOURS: &str = "black brown blond auburn grey white green blue purple pink red orange";

/// The folder of the demo: `pack`, `faces`, `train`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo")
}

pub fn config() -> EngineConfig {
    let pack = folder().join("pack");
    let clip = |weights: &str| ClipConfig {
        weights: pack.join(weights),
        merges: pack.join("bpe_merges.txt"),
        network: networks::ClipConfig::new(Activation::QuickGelu),
        preprocess: Preprocess { resize: Resize::None, normalise: Normalise::SignedUnit },
    };
    let head = |name: &str, classes: &str| Head {
        name: name.to_owned(),
        classes: classes.split_whitespace().map(str::to_owned).collect(),
    };
    let with_none = format!("none {COLOURS}");
    let heads = vec![
        head("gender", "man woman"),
        head("hair_style", "bald short afro curly spiky flat bob long"),
        head("hair_color", &with_none),
        head("skin", "pale peach tan brown dark blue green purple red grey"),
        head("glasses", "none glasses"),
        head("beard", "none mustache goatee beard"),
        head("beard_color", &with_none),
        head("mouth", "smile neutral angry open"),
        head("clothing", "red green blue purple pink yellow orange black white grey"),
        head("background", "red green blue purple pink yellow orange white grey"),
    ];
    EngineConfig {
        generator: pack.join("generator.safetensors").into(),
        encoder: Some(pack.join("inversion_encoder.safetensors").into()),
        clip: clip("clip.safetensors"),
        second_clip: Some(clip("clip_second.safetensors")),
        judge: Some(JudgeConfig { weights: pack.join("judge.safetensors"), heads }),
        identity: None,
        perceptual: None,
        detector: None,
        templates: TEMPLATES.map(str::to_owned).to_vec(),
        subjects: SUBJECTS.map(str::to_owned).to_vec(),
    }
}

/// The demo pack on the CPU, one thread.
pub fn engine() -> Engine {
    tch::set_num_threads(1);
    Engine::open(&config(), Device::Cpu).expect("the demo pack loads")
}

/// The RGB8 raster of a picture.
pub fn raster_of(path: &Path) -> Vec<u8> {
    let picture = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    picture.to_rgb8().into_raw()
}

/// Pictures of a folder of the demo by their numbers, as `[N, 3, R, R]`.
pub fn pictures(engine: &Engine, part: &str, numbers: impl IntoIterator<Item = usize>) -> Tensor {
    let rasters: Vec<_> =
        numbers.into_iter().map(|n| raster_of(&folder().join(part).join(format!("{n:03}.png")))).collect();
    raster::from_rgb8(&rasters, engine.resolution(), engine.device()).expect("pictures of the generator's size")
}
