//! `worker score` as a process: TorchScript files traced here, the demo pack's judge, and what is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::{CModule, Device, Kind, Tensor};
use tempfile::TempDir;

/// Height and width of the pictures, px.
const SIDE: u32 = 16;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/pack")
}

/// A network as a TorchScript file. It is traced on two pictures and must serve any number.
fn traced(folder: &TempDir, name: &str, network: impl Fn(&Tensor) -> Tensor) -> PathBuf {
    let example = Tensor::zeros([2, 3, i64::from(SIDE), i64::from(SIDE)], (Kind::Float, Device::Cpu));
    let mut forward = |inputs: &[Tensor]| vec![network(&inputs[0])];
    let module = CModule::create_by_tracing(name, "forward", &[example], &mut forward).expect("a trace");
    let path = folder.path().join(format!("{name}.pt"));
    module.save(&path).expect("the script is written");
    path
}

/// The mean of each channel, `[B, 3]`.
fn channels(images: &Tensor) -> Tensor {
    images.mean_dim([2_i64, 3].as_slice(), false, Kind::Float)
}

/// Pictures of one colour each, named by it.
fn pictures(folder: &TempDir) -> PathBuf {
    let images = folder.path().join("images");
    std::fs::create_dir_all(&images).expect("a folder");
    for (name, colour) in [("green", [0, 255, 0]), ("red", [255, 0, 0]), ("grey", [51, 102, 51])] {
        let picture = image::RgbImage::from_pixel(SIDE, SIDE, image::Rgb(colour));
        picture.save(images.join(format!("{name}.png"))).expect("a picture");
    }
    images
}

struct Ran {
    success: bool,
    said: String,
    /// Columns of each line by the picture's name.
    rows: BTreeMap<String, Vec<String>>,
    header: String,
}

fn score(folder: &TempDir, images: &Path, flags: &[&str]) -> Ran {
    let out = folder.path().join("scores.csv");
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CFX_")) {
        command.env_remove(name);
    }
    let output = command.arg("score").arg("--images").arg(images).arg("--out").arg(&out).args(flags).output();
    let output = output.expect("the worker starts");
    let text = std::fs::read_to_string(&out).unwrap_or_default();
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> = std::fs::read_dir(images)
        .expect("the pictures")
        .map(|entry| {
            let path = entry.expect("a picture").path();
            let digest = domain::Digest::of(std::fs::read(&path).expect("a picture")).to_string();
            (digest, path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        })
        .collect();
    let row = |line: &str| {
        let cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        (names[&cells[0]].clone(), cells[1..].to_vec())
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ran { success: output.status.success(), said, rows: lines.map(row).collect(), header }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_torchscript_file_is_asked_in_batches_and_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let images = pictures(&folder);
    // logits: ten times red, ten times green
    let script = traced(&folder, "two", |x| channels(x).narrow(1, 0, 2) * 10.0);
    let size = SIDE.to_string();
    let flags = ["--classifier", text(&script), "--image-size", &size, "--classes", "red,green", "--batch", "2"];
    let ran = score(&folder, &images, &flags);
    assert!(ran.success, "{}", ran.said);
    assert_eq!(ran.header, "sha256,label,score_red,score_green");
    let of = |ran: &Ran, name: &str, column: usize| ran.rows[name][column].parse::<f64>().unwrap();
    let expected = 1.0 / (1.0 + (-2.0_f64).exp());
    assert_eq!((ran.rows["green"][0].as_str(), ran.rows["red"][0].as_str()), ("green", "red"));
    assert!((of(&ran, "grey", 2) - expected).abs() < 1e-6, "51 and 102 of 255 are 2 and 4: {:?}", ran.rows);
    assert!((of(&ran, "grey", 1) + of(&ran, "grey", 2) - 1.0).abs() < 1e-6);

    // one picture more: the others are not scored again
    image::RgbImage::from_pixel(20, 40, image::Rgb([0, 0, 255])).save(images.join("tall.png")).unwrap();
    let ran = score(&folder, &images, &flags);
    assert!(ran.success && ran.said.contains("1 images scored, 3 there before"), "{}", ran.said);
    assert_eq!((ran.rows.len(), ran.rows["tall"][1].as_str()), (4, "0.5"));
    let ran = score(&folder, &images, &["--classifier", text(&script), "--image-size", &size, "--classes", "a,b"]);
    assert!(ran.success, "nothing is left to be scored: {}", ran.said);
}

#[test]
fn normalisation_and_single_outputs_are_as_they_are_told() {
    let size = SIDE.to_string();
    let run = |network: fn(&Tensor) -> Tensor, flags: &[&str]| {
        let folder = TempDir::new().unwrap();
        let images = pictures(&folder);
        let script = traced(&folder, "one", network);
        score(&folder, &images, &[&["--classifier", text(&script), "--image-size", &size], flags].concat())
    };
    let green = |x: &Tensor| channels(x).select(1, 1);
    let plain = run(green, &["--probabilities"]);
    assert!(plain.success, "{}", plain.said);
    assert_eq!(plain.header, "sha256,label,score_0,score_1");
    let given: f64 = plain.rows["grey"][2].parse().unwrap();
    assert!((given - 0.4).abs() < 1e-6, "{given}");
    // (0.4 - 0.5) / 0.25 as a logit
    let flags = ["--mean", "0,0.5,0", "--std", "0.25"];
    let normalised: f64 = run(green, &flags).rows["grey"][2].parse().unwrap();
    assert!((normalised - 1.0 / (1.0 + 0.4_f64.exp())).abs() < 1e-6, "{normalised}");
}

#[test]
fn what_cannot_be_scored_is_named() {
    let size = SIDE.to_string();
    let three = |x: &Tensor| channels(x) * 3.0;
    let fixed = |x: &Tensor| x.flatten(1, -1).matmul(&Tensor::ones([3 * 16 * 16, 2], (Kind::Float, Device::Cpu)));
    let cube = |x: &Tensor| x.narrow(1, 0, 2).narrow(2, 0, 2).narrow(3, 0, 2) * 1.0;
    let undefined = |x: &Tensor| (channels(x) - 2.0).log();
    type Network = fn(&Tensor) -> Tensor;
    let cases: [(Network, &[&str], &str); 8] = [
        (three, &["--image-size", &size, "--classes", "a,b"], "decides between 3 classes, and --classes names 2"),
        (three, &["--image-size", &size, "--probabilities"], "which are no probabilities"),
        (three, &[], "give --image-size"),
        (three, &["--image-size", &size, "--mean", "1,2"], "--mean takes one number or three, and there are 2"),
        (three, &["--image-size", &size, "--std", "0"], "--std must be finite and above 0"),
        (fixed, &["--image-size", "8"], "cannot compute images [3, 3, 8, 8]"),
        (cube, &["--image-size", &size], "gave [3, 2, 2, 2] for 3 images"),
        (undefined, &["--image-size", &size], "is not finite"),
    ];
    for (network, flags, said) in cases {
        let folder = TempDir::new().unwrap();
        let images = pictures(&folder);
        let script = traced(&folder, "bad", network);
        let ran = score(&folder, &images, &[&["--classifier", text(&script)], flags].concat());
        assert!(!ran.success && ran.said.contains(said), "{said}\n{}", ran.said);
        assert!(ran.rows.is_empty(), "nothing is written of it");
    }
    let folder = TempDir::new().unwrap();
    let images = pictures(&folder);
    let demo = demo();
    let judge = demo.join("judge.safetensors");
    let zip = folder.path().join("zip.pt");
    std::fs::write(&zip, b"PK nothing").unwrap();
    for (flags, said) in [
        (vec!["--classifier", "nowhere.pt", "--image-size", "8"], "cannot read the classifier nowhere.pt"),
        (vec!["--classifier", text(&judge), "--image-size", "8"], "a judge's safetensors need --pack DIR"),
        (vec!["--classifier", text(&zip), "--image-size", "8"], "no TorchScript file can be read from it"),
        (vec!["--pack", text(&demo)], "name one with --head: gender, hair_style"),
        (vec!["--pack", text(&demo), "--head", "age"], "no head 'age'"),
        (vec!["--pack", text(&demo), "--head", "gender", "--image-size", "8"], "a judge brings its own size"),
        (vec![], "--classifier"),
    ] {
        let ran = score(&folder, &images, &flags);
        assert!(!ran.success && ran.said.contains(said), "{said}\n{}", ran.said);
    }
    std::fs::write(images.join("broken.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    let ran = score(&folder, &images, &["--pack", text(&demo), "--head", "gender"]);
    assert!(!ran.success && ran.said.contains("broken.png"), "{}", ran.said);
}

#[test]
fn the_judge_of_a_pack_reads_its_heads() {
    let folder = TempDir::new().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir_all(&images).unwrap();
    let faces = demo().join("../faces/source");
    for name in ["000.png", "001.png"] {
        std::fs::copy(faces.join(name), images.join(name)).unwrap();
    }
    let demo = demo();
    let ran = score(&folder, &images, &["--pack", text(&demo), "--head", "gender", "--resolution", "64"]);
    assert!(ran.success, "{}", ran.said);
    assert_eq!(ran.header, "sha256,label,score_man,score_woman");
    // as deploy/demo/faces/faces.jsonl has it
    assert_eq!((ran.rows["000"][0].as_str(), ran.rows["001"][0].as_str()), ("man", "woman"));
    // the judge's own weights, named
    let judge = demo.join("judge.safetensors");
    let flags = ["--pack", text(&demo), "--head", "gender", "--classifier", text(&judge), "--resolution", "64"];
    std::fs::copy(faces.join("002.png"), images.join("002.png")).unwrap();
    let ran = score(&folder, &images, &flags);
    assert!(ran.success && ran.said.contains("1 images scored, 2 there before"), "{}", ran.said);
}
