//! `worker edit` as a process: one edit with no services at all.

use credentials::Anchors;
use domain::record::Record;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn demo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo").join(path)
}

/// Runs `worker edit` on the demo pack; later arguments win over nothing, so each is given once.
fn edit(image: &Path, text: &str, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CFX_")) {
        command.env_remove(name);
    }
    command.arg("edit").arg("--pack").arg(demo("pack")).arg("--image").arg(image).args(["--text", text]);
    command.env("CFX_KEYS_DIR", out.with_file_name("keys"));
    command.arg("--out").arg(out).args(more).output().expect("the worker starts")
}

/// What the process said, for messages of failed assertions.
fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn checked(file: &Path) -> Record {
    let bytes = std::fs::read(file).expect("an output");
    let (mut findings, told) = credentials::check_file(&bytes);
    findings.extend(credentials::check_credential(&bytes, told.as_ref(), &Anchors::default()).0);
    assert!(findings.iter().all(|finding| !finding.failed()), "{findings:?}");
    credentials::extract_record(&bytes).expect("a record").0
}

#[test]
fn one_image_is_edited_and_says_how() {
    let folder = TempDir::new().expect("a folder");
    let (first, second) = (folder.path().join("first.png"), folder.path().join("second.png"));
    let image = demo("faces/source/000.png");
    let more = ["--method", "clip-nce", "--steps", "3", "--seed", "11"];
    for out in [&first, &second] {
        let output = edit(&image, "a face with green hair", out, &more);
        assert!(output.status.success(), "{}", said(&output));
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(&*out.to_string_lossy()) && told.contains("verdict"), "{told}");
    }
    let record = checked(&first);
    assert_eq!((record.outcome.loss.len(), record.recipe.seed, record.recipe.method()), (3, 11, "clip-nce"));
    assert_eq!((record.links.project.as_str(), record.links.task.to_string()), ("local", "0-0".to_owned()));
    let source = std::fs::read(&image).expect("the source");
    assert_eq!(record.recipe.source.sha256, domain::Digest::of(source));
    let again = checked(&second);
    assert_eq!(
        (again.recipe_digest, again.outcome.raster_sha256),
        (record.recipe_digest, record.outcome.raster_sha256)
    );
}

#[test]
fn one_edit_at_several_strengths_inside_a_mask_says_each_verdict() {
    let folder = TempDir::new().expect("a folder");
    let (out, mask) = (folder.path().join("out.png"), folder.path().join("upper.png"));
    let white = image::GrayImage::from_fn(64, 64, |_, y| image::Luma([if y < 32 { 255 } else { 0 }]));
    white.save(&mask).expect("a mask");
    let mask_text = mask.to_string_lossy();
    let more = [
        "--method",
        "directional",
        "--steps",
        "4",
        "--mask",
        &mask_text,
        "--strengths",
        "0.5,2",
        "--set",
        "layers=[0,7]",
        "--accept",
        "max_outside_change=5",
        "--accept",
        "max_change=0.0001",
    ];
    let output = edit(&demo("faces/source/000.png"), "a face with green hair", &out, &more);
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("changed-too-much") && !told.contains("outside-changed"), "{told}");
    assert!(!out.exists(), "each strength has a file of its own");
    for strength in [0.5, 2.0] {
        let record = checked(&folder.path().join(format!("out-x{strength}.png")));
        assert_eq!((record.recipe.strength, record.recipe.method()), (strength, "directional"));
        assert_eq!(record.recipe.mask, Some(domain::Digest::of(std::fs::read(&mask).expect("the mask"))));
        assert!(record.outcome.metrics["outside_change"] < 5.0, "{:?}", record.outcome.metrics);
        assert_eq!(record.outcome.verdict, Some(domain::record::Verdict::Reject));
    }
}

#[test]
fn a_strength_search_stands_in_the_record() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.png");
    let more = ["--method", "styleclip", "--steps", "3", "--strength-search", "--strength", "3"];
    let output = edit(&demo("faces/source/000.png"), "a face with green hair", &out, &more);
    assert!(output.status.success(), "{}", said(&output));
    let record = checked(&out);
    let found = record.outcome.metrics["strength"];
    assert!(found > 0.0 && found <= 3.0, "{found}");
    assert_eq!(record.recipe.edit.strength_search.map(|search| search.probability), Some(0.9));
    // the judge cannot tell this text
    let refused = edit(&demo("faces/source/000.png"), "a face with elf ears", &out, &more);
    assert!(!refused.status.success() && said(&refused).contains("elf ears"), "{}", said(&refused));
}

#[test]
fn a_mapper_is_trained_kept_and_used_again() {
    let folder = TempDir::new().expect("a folder");
    let train = folder.path().join("train");
    std::fs::create_dir(&train).expect("a folder");
    for number in 0..16 {
        let name = format!("{number:03}.png");
        std::fs::copy(demo("train").join(&name), train.join(&name)).expect("a training face");
    }
    std::fs::write(train.join("notes.txt"), "not an image").expect("a file");
    let (trained, read) = (folder.path().join("trained.png"), folder.path().join("read.png"));
    let mapper = folder.path().join("green.safetensors");
    let image = demo("faces/source/001.png");
    let (train, mapper) = (train.to_string_lossy(), mapper.to_string_lossy());
    let output = edit(
        &image,
        "a face with green hair",
        &trained,
        &["--train-on", &train, "--save-mapper", &mapper, "--steps", "5"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let output = edit(&image, "a face with green hair", &read, &["--mapper", &mapper]);
    assert!(output.status.success(), "{}", said(&output));
    let (trained, read) = (checked(&trained), checked(&read));
    assert!(trained.recipe.mapper.is_some());
    assert_eq!(
        (trained.recipe.mapper, trained.outcome.raster_sha256),
        (read.recipe.mapper, read.outcome.raster_sha256)
    );
}

#[test]
fn what_cannot_be_edited_is_named_and_nothing_is_written() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out.png");
    let whole = std::fs::read(demo("faces/source/000.png")).expect("a face");
    let cut = folder.path().join("cut.png");
    std::fs::write(&cut, &whole[..whole.len() / 2]).expect("a file");
    let (face, absent) = (demo("faces/source/000.png"), folder.path().join("absent.png"));
    let (green, long) = ("a face with green hair", "hair ".repeat(50));
    let long = long.trim();
    let clip_nce = ["--method", "clip-nce", "--steps", "1"];
    let cases: [(&Path, &str, &[&str], &str); 11] = [
        (&cut, green, &clip_nce, "cut.png"),
        (&absent, green, &clip_nce, "absent.png"),
        (&face, "  ", &clip_nce, "text is empty"),
        (&face, long, &clip_nce, "tokens"),
        (&face, green, &["--method", "cf-mapper"], "--train-on"),
        (&face, green, &["--mapper", "absent.safetensors"], "absent.safetensors"),
        (&face, green, &["--method", "styleclip", "--set", "stepz=3"], "stepz"),
        (&face, green, &["--method", "styleclip", "--steps", "1", "--mask", "absent.png"], "absent.png"),
        (&face, green, &["--method", "styleclip", "--steps", "1", "--set", "identity=0.1"], "identity"),
        (&face, green, &["--accept", "min_luck=1"], "min_luck"),
        (&face, green, &["--method", "clip-nce", "--set", "region={\"mask\":\"hair\"}"], "--mask"),
    ];
    for (image, text, more, wanted) in cases {
        let output = edit(image, text, &out, more);
        assert!(!output.status.success(), "{text:?} {more:?} passed");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(wanted), "expected {wanted:?} in: {told}");
        assert!(!told.contains("panicked"), "{told}");
        assert!(!out.exists(), "{text:?} {more:?} left a file");
    }
}

#[test]
fn a_damaged_pack_is_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    let pack = folder.path().join("pack");
    std::fs::create_dir(&pack).expect("a folder");
    for entry in std::fs::read_dir(demo("pack")).expect("the demo pack").flatten() {
        std::fs::copy(entry.path(), pack.join(entry.file_name())).expect("a file of the pack");
    }
    let judge = pack.join("judge.safetensors");
    let mut bytes = std::fs::read(&judge).expect("the judge");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&judge, bytes).expect("the judge");
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.arg("edit").arg("--pack").arg(&pack).arg("--image").arg(demo("faces/source/000.png"));
    command.args(["--text", "a face with green hair", "--out"]).arg(folder.path().join("out.png"));
    let output = command.output().expect("the worker starts");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("judge.safetensors") && told.contains("SHA-256"), "{told}");
}

#[test]
fn every_format_is_signed_by_a_key_that_is_made_once_and_trusted_by_its_anchor() {
    let folder = TempDir::new().expect("a folder");
    let image = demo("faces/source/001.png");
    let mut signers = Vec::new();
    for (name, detail) in [("a.png", "full"), ("b.jpg", "full"), ("c.webp", "full"), ("d.png", "standard")] {
        let out = folder.path().join(name);
        let more = ["--method", "clip-nce", "--steps", "1", "--detail", detail];
        let output = edit(&image, "a face with green hair", &out, &more);
        assert!(output.status.success(), "{}", said(&output));
        let bytes = std::fs::read(&out).expect("an output");
        let anchor = std::fs::read_to_string(folder.path().join("keys/anchor.pem")).expect("an anchor");
        let anchors = Anchors::read(&anchor).expect("an anchor");
        let (mut findings, told) = credentials::check_file(&bytes);
        let (signed, credential) = credentials::check_credential(&bytes, told.as_ref(), &anchors);
        findings.extend(signed);
        assert!(findings.iter().all(|finding| finding.result == credentials::Check::Pass), "{name}: {findings:?}");
        signers.push(credential.expect("a credential").signed_by);
    }
    assert!(signers.windows(2).all(|pair| pair[0] == pair[1]), "{signers:?}");
    let record = checked(&folder.path().join("b.jpg"));
    assert!(record.outcome.rendered_sha256.is_some_and(|rendered| rendered != record.outcome.raster_sha256));
    let unnamed = edit(&image, "a face with green hair", &folder.path().join("e.gif"), &[]);
    assert!(!unnamed.status.success() && said(&unnamed).contains(".webp"), "{}", said(&unnamed));
}

#[test]
fn a_record_is_as_its_published_schema_says() {
    let folder = TempDir::new().expect("a folder");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/schemas/record-2.schema.json");
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(schema).expect("a schema")).expect("JSON");
    let schema = jsonschema::draft202012::new(&schema).expect("a schema");
    for (name, more) in [
        ("plain.png", vec!["--method", "clip-nce", "--steps", "2"]),
        ("refined.png", vec!["--method", "styleclip", "--steps", "1", "--refine", "2", "--strength-search"]),
    ] {
        let out = folder.path().join(name);
        let output = edit(&demo("faces/source/002.png"), "a face with green hair", &out, &more);
        assert!(output.status.success(), "{}", said(&output));
        let (_, text) = credentials::extract_record(&std::fs::read(&out).expect("an output")).expect("a record");
        let mut record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let errors: Vec<_> = schema.iter_errors(&record).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        record["recipe"]["numerics"] = "new".into();
        assert!(!schema.is_valid(&record));
    }
}

/// Levels of 0 to 255 between two pictures, root mean square.
fn apart(a: &Path, b: &Path) -> f64 {
    let [a, b] = [a, b].map(|path| image::open(path).expect("a picture").to_rgb8().into_raw());
    let squares: u64 = a.iter().zip(&b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    (squares as f64 / a.len() as f64).sqrt()
}

#[test]
fn a_precision_stands_in_the_record_and_is_replayed() {
    let folder = TempDir::new().expect("a folder");
    let (image, text) = (demo("faces/source/000.png"), "a face with green hair");
    let mut outputs = Vec::new();
    for precision in ["fp32", "bf16"] {
        let out = folder.path().join(format!("{precision}.png"));
        let more = ["--method", "clip-nce", "--steps", "5", "--precision", precision];
        let output = edit(&image, text, &out, &more);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(checked(&out).recipe.precision, precision);
        outputs.push(out);
    }
    let levels = apart(&outputs[0], &outputs[1]);
    // 30 dB, and not the same picture.
    assert!(levels > 0.0 && levels < 8.0, "{levels}");
    let mut replay = Command::new(env!("CARGO_BIN_EXE_worker"));
    replay.arg("replay").args(&outputs).arg("--pack").arg(demo("pack")).arg("--source").arg(&image).arg("--json");
    let output = replay.output().expect("the worker starts");
    let told = said(&output);
    assert!(output.status.success() && told.matches(r#""exact":true"#).count() == 2, "{told}");

    let refused = edit(&image, text, &folder.path().join("no.png"), &["--precision", "tf32"]);
    assert!(!refused.status.success() && said(&refused).contains("precision tf32"), "{}", said(&refused));
}
