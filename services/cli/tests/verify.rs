//! `cfx verify` and `cfx inspect` on files that were forged, swapped or written by nobody: what differs is named at its level, and nothing
//! is called proven that is not.
#![expect(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

#[path = "../../../shared/credentials/tests/it/fixture.rs"]
#[expect(dead_code, reason = "the fixtures of the credentials' own tests, of which not all are needed here")]
mod fixture;

use credentials::dsse::{self, STATEMENT_TYPE, Statement, Subject};
use credentials::{Authority, Ingredient, Issued, LocalKey};
use domain::Digest;
use domain::record::{Detail, WrittenRecord};
use fixture::{dressed, full, issuer, keys, picture, written};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Three signed outputs of one sealed job, their source, and the anchor.
struct Desk {
    folder: TempDir,
    authority: Authority,
    issued: Issued,
    files: Vec<PathBuf>,
    lines: Vec<String>,
}

const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };
const SOURCE_BYTES: &[u8] = b"the source";

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/pack")
}

/// A record of `plain` whose weights are the demo pack's, and whose source is [`SOURCE_BYTES`].
fn record(plain: &[u8]) -> WrittenRecord {
    let mut record = full(plain);
    let pack = packs::Pack::open(demo()).unwrap();
    record.recipe.models = pack.manifest().files().into_iter().map(|f| (f.role.key().to_owned(), f.sha256)).collect();
    record.recipe.pack = pack.manifest().digest();
    record.recipe.source.sha256 = Digest::of(SOURCE_BYTES);
    record.links.source_uri = Some("s3://away/source.png".to_owned());
    (record.recipe.mask, record.recipe.mapper) = (None, None);
    finished(record)
}

fn finished(mut record: domain::record::Record) -> WrittenRecord {
    record.recipe_digest = domain::digest_of(&record.recipe).unwrap();
    written(&record)
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (authority, issued) = keys();
        std::fs::write(folder.path().join("anchor.pem"), &authority.anchor).unwrap();
        std::fs::write(folder.path().join("source.png"), SOURCE_BYTES).unwrap();
        let mut desk = Self { folder, authority, issued, files: Vec::new(), lines: Vec::new() };
        for red in 1..=3 {
            let plain = picture(red);
            desk.put(&format!("{red}.png"), &plain, &record(&plain));
        }
        desk.seal(&desk.lines.join(""));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs an output and gives it a line of the manifest.
    fn put(&mut self, name: &str, plain: &[u8], record: &WrittenRecord) {
        let file =
            issuer(&self.issued).issue(&dressed(plain, record, Detail::Full), record, Detail::Full, SOURCE).unwrap();
        self.lines.push(format!("{}\n", json!({ "record_digest": record.digest(), "sha256": Digest::of(&file) })));
        self.files.push(self.path(name));
        std::fs::write(self.path(name), file).unwrap();
    }

    /// Seals this manifest.
    fn seal(&self, manifest: &str) {
        let statement = Statement {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject::new("manifest.jsonl", Digest::of(manifest))],
            predicate_type: "urn:counterfactory:seal:1".to_owned(),
            predicate: json!({}),
        };
        let key = LocalKey::new(&self.issued.private_key, &self.issued.chain).unwrap();
        let envelope = serde_json::to_vec(&dsse::seal(&statement, &key).unwrap()).unwrap();
        std::fs::create_dir_all(self.path("seal")).unwrap();
        std::fs::write(self.path("seal/attestation.dsse.json"), envelope).unwrap();
        std::fs::write(self.path("seal/manifest.jsonl"), manifest).unwrap();
    }

    fn cfx(&self, arguments: &[&str], file: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfx"));
        command.env_remove("CFX_SERVER").args(arguments).arg(file).arg("--anchors").arg(self.path("anchor.pem"));
        command.arg("--source").arg(self.path("source.png")).arg("--pack").arg(demo()).output().unwrap()
    }

    fn verify(&self, file: &Path) -> Verdict {
        Verdict::of(&self.cfx(&["--json", "verify", "--offline"], file))
    }
}

/// What was said of one file.
#[derive(Debug)]
struct Verdict {
    code: Option<i32>,
    report: Value,
}

impl Verdict {
    fn of(output: &Output) -> Self {
        let reports: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        Self { code: output.status.code(), report: reports[0].clone() }
    }

    /// `level check` of everything that ended as `result`.
    fn that(&self, result: &str) -> Vec<String> {
        let findings = self.report["findings"].as_array().unwrap().iter().filter(|f| f["result"] == result);
        findings.map(|f| format!("{} {}", f["level"], f["check"].as_str().unwrap())).collect()
    }

    fn detail(&self, check: &str) -> &str {
        let found = self.report["findings"].as_array().unwrap().iter().find(|f| f["check"] == check);
        found.and_then(|f| f["detail"].as_str()).unwrap_or_default()
    }
}

#[test]
fn what_is_sound_is_proven_to_its_level_and_every_forged_seal_is_seen() {
    let desk = Desk::new();
    for file in &desk.files {
        let verdict = desk.verify(file);
        assert_eq!((verdict.code, &verdict.report["proven"]), (Some(0), &json!(4)), "{verdict:#?}");
    }
    let file = &desk.files[0];
    let fails = |expected: &[&str], about: &str| {
        let verdict = desk.verify(file);
        assert_eq!((verdict.that("fail"), verdict.code), (expected.iter().map(|f| (*f).to_owned()).collect(), Some(4)));
        assert!(verdict.detail("seal").contains(about), "{about}: {verdict:#?}");
    };
    let whole = desk.lines.concat();
    // each line of the manifest, and each byte of the first, is under the seal
    let manifest = desk.path("seal/manifest.jsonl");
    for line in &desk.lines {
        std::fs::write(&manifest, whole.replace(line.as_str(), "")).unwrap();
        fails(&["3 seal"], "the seal says");
        let other = line.replace("\"sha256\":\"", "\"sha256\":\"0").replacen("0\"}", "\"}", 1);
        std::fs::write(&manifest, whole.replace(line.as_str(), &other)).unwrap();
        fails(&["3 seal"], "the seal says");
    }
    std::fs::write(&manifest, format!("{whole}{}", desk.lines[0])).unwrap();
    fails(&["3 seal"], "the seal says");
    std::fs::remove_file(&manifest).unwrap();
    fails(&["3 seal"], "cannot be read");
    // sealed anew by the job's own key: a record that is missing, and a picture that stands for another's record
    desk.seal(&desk.lines[1..].concat());
    fails(&["3 seal"], "does not name the record");
    let record = |line: &str| serde_json::from_str::<Value>(line).unwrap()["record_digest"].clone();
    let image = |line: &str| serde_json::from_str::<Value>(line).unwrap()["sha256"].clone();
    let [a, b] = [&desk.lines[0], &desk.lines[1]];
    let swapped =
        [(a, b), (b, a)].map(|(r, i)| format!("{}\n", json!({ "record_digest": record(r), "sha256": image(i) })));
    desk.seal(&swapped.concat());
    fails(&["3 seal"], "another file for this record");
    // by a stranger's key, and broken in itself
    let stranger = Desk { issued: keys().1, ..Desk::new() };
    stranger.seal(&whole);
    let theirs = std::fs::read(stranger.path("seal/attestation.dsse.json")).unwrap();
    std::fs::write(&manifest, &whole).unwrap();
    std::fs::write(desk.path("seal/attestation.dsse.json"), theirs).unwrap();
    fails(&["3 seal"], "none of the given anchors");
    std::fs::write(desk.path("seal/attestation.dsse.json"), "{}").unwrap();
    fails(&["3 seal"], "cannot be read");
}

#[test]
fn a_picture_that_carries_the_record_of_another_is_seen() {
    let desk = Desk::new();
    let [one, two] = [0, 1].map(|i| std::fs::read(&desk.files[i]).unwrap());
    let (record, _) = credentials::extract_record(&two).unwrap();
    let forged = credentials::embed_record(&one, &written(&record), Detail::Full).unwrap();
    std::fs::write(desk.path("forged.png"), &forged).unwrap();
    let verdict = desk.verify(&desk.path("forged.png"));
    let failed = verdict.that("fail");
    assert_eq!(failed, ["0 raster", "0 file", "1 credential", "2 digest", "3 seal"], "{verdict:#?}");
    assert_eq!((verdict.code, &verdict.report["proven"]), (Some(4), &Value::Null));
    // and signed by the forger himself
    let stranger = Desk { issued: keys().1, ..Desk::new() };
    let plain = picture(9);
    let record = self::record(&plain);
    let his =
        issuer(&stranger.issued).issue(&dressed(&plain, &record, Detail::Full), &record, Detail::Full, SOURCE).unwrap();
    std::fs::write(desk.path("his.png"), his).unwrap();
    let verdict = desk.verify(&desk.path("his.png"));
    assert_eq!(verdict.that("fail"), ["1 trust", "3 seal"], "{verdict:#?}");
    assert_eq!(verdict.report["proven"], 0);
}

#[test]
fn sources_and_weights_that_are_others_are_named() {
    let mut desk = Desk::new();
    std::fs::write(desk.path("source.png"), "another").unwrap();
    let verdict = desk.verify(&desk.files[0]);
    assert_eq!((verdict.that("fail"), verdict.code), (vec!["4 source".to_owned()], Some(4)), "{verdict:#?}");
    std::fs::remove_file(desk.path("source.png")).unwrap();
    let verdict = desk.verify(&desk.files[0]);
    assert!(
        verdict.that("fail") == ["4 source"] && verdict.detail("source").contains("cannot be read"),
        "{verdict:#?}"
    );
    std::fs::write(desk.path("source.png"), SOURCE_BYTES).unwrap();
    // one role after the other
    let plain = picture(4);
    let sound = self::record(&plain);
    for role in sound.recipe.models.keys() {
        let mut other = (*sound).clone();
        other.recipe.models.insert(role.clone(), Digest::of("other weights"));
        desk.put("other.png", &plain, &finished(other));
        desk.seal(&desk.lines.concat());
        let verdict = desk.verify(&desk.path("other.png"));
        assert_eq!((verdict.that("fail"), verdict.code), (vec![format!("4 model:{role}")], Some(4)), "{verdict:#?}");
    }
    let mut unknown = (*sound).clone();
    unknown.recipe.models.insert("landmarks-of-mars".to_owned(), Digest::of("x"));
    desk.put("other.png", &plain, &finished(unknown));
    desk.seal(&desk.lines.concat());
    let verdict = desk.verify(&desk.path("other.png"));
    assert!(verdict.detail("model:landmarks-of-mars").contains("no file for the role"), "{verdict:#?}");
    // what is nowhere at hand is skipped, and level 4 is not called proven
    let mut away = (*sound).clone();
    (away.recipe.mask, away.recipe.mapper) = (Some(Digest::of("mask")), Some(Digest::of("mapper")));
    desk.put("away.png", &plain, &finished(away));
    desk.seal(&desk.lines.concat());
    let verdict = desk.verify(&desk.path("away.png"));
    assert_eq!((verdict.that("skipped"), verdict.code), (vec!["4 mask".to_owned(), "4 mapper".to_owned()], Some(0)));
    assert_eq!(verdict.report["proven"], 3);
    // a server that gives something else under these names is not believed
    let server = answering(b"something else");
    let verdict = Verdict::of(&desk.cfx(&["--json", "--server", &server, "verify"], &desk.path("away.png")));
    assert_eq!((verdict.that("fail"), verdict.code), (vec!["4 mask".to_owned(), "4 mapper".to_owned()], Some(4)));
    // a replay without them says what is missing, and is no proof
    let verdict = Verdict::of(&desk.cfx(&["--json", "verify", "--offline", "--replay"], &desk.path("away.png")));
    assert_eq!(verdict.that("skipped"), ["4 mask", "4 mapper", "5 replay"], "{verdict:#?}");
    assert!(verdict.detail("replay").contains("the mapper"), "{verdict:#?}");
}

#[test]
fn a_replay_without_what_it_needs_says_so_and_proves_nothing() {
    let desk = Desk::new();
    let replay = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfx"));
        command.env_remove("CFX_SERVER").args(["--json", "verify", "--offline", "--replay", "--worker", "/bin/true"]);
        let output =
            command.args(more).arg("--anchors").arg(desk.path("anchor.pem")).arg(&desk.files[0]).output().unwrap();
        Verdict::of(&output)
    };
    let source = desk.path("source.png").to_string_lossy().into_owned();
    let nothing = replay(&[]);
    assert!(nothing.detail("replay").contains("the source"), "{nothing:#?}");
    let without_pack = replay(&["--source", &source]);
    assert!(without_pack.detail("replay").contains("the pack"), "{without_pack:#?}");
    // a worker that says nothing has rendered nothing
    let silent = replay(&["--source", &source, "--pack", &demo().to_string_lossy()]);
    assert!(silent.detail("replay").contains("said nothing"), "{silent:#?}");
    for (verdict, proven) in [(nothing, 3), (without_pack, 3), (silent, 4)] {
        assert!(
            verdict.that("fail").is_empty() && verdict.that("skipped").contains(&"5 replay".to_owned()),
            "{verdict:#?}"
        );
        assert_eq!((verdict.code, &verdict.report["proven"]), (Some(0), &json!(proven)));
    }
}

/// A server that answers every request with these bytes.
fn answering(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut asked = Vec::new();
            let mut byte = [0];
            while !asked.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read == 1) {
                asked.push(byte[0]);
            }
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = client.write_all(&[head.as_bytes(), body].concat());
        }
    });
    format!("http://{address}")
}

#[test]
fn texts_steer_no_terminal_and_what_is_no_output_gets_a_verdict() {
    let mut desk = Desk::new();
    let plain = picture(5);
    let nasty = "\u{1b}[2J\u{9b}31m\u{7f}\r\u{8}\u{202e}gnp\u{2066}\u{2028}\"👩‍🚀";
    let mut odd = (*self::record(&plain)).clone();
    odd.recipe.text.target = nasty.to_owned();
    odd.recipe.models.insert(nasty.to_owned(), Digest::of("x"));
    odd.links.source_uri = Some(format!("file:///away/{nasty}.png"));
    odd.outcome.warnings = vec![nasty.to_owned()];
    desk.put("odd.png", &plain, &finished(odd));
    let steers = |text: &str| {
        let odd =
            |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        text.chars().find(odd)
    };
    for arguments in [&["verify", "--offline"][..], &["--json", "verify", "--offline"]] {
        let output = desk.cfx(arguments, &desk.path("odd.png"));
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("31m") && steers(&said).is_none(), "{said:?}");
        assert_eq!(steers(&String::from_utf8(output.stderr).unwrap()), None);
    }
    let inspected = Command::new(env!("CARGO_BIN_EXE_cfx")).arg("inspect").arg(desk.path("odd.png")).output().unwrap();
    let said = String::from_utf8(inspected.stdout).unwrap();
    assert_eq!(steers(&said), None, "{said:?}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["recipe"]["text"]["target"], nasty, "escaped, not lost");

    // files that are no outputs, or half of one
    let sound = std::fs::read(&desk.files[0]).unwrap();
    for (name, bytes) in [("empty.png", &b""[..]), ("text.png", b"text"), ("half.png", &sound[..sound.len() / 2])] {
        std::fs::write(desk.path(name), bytes).unwrap();
        let verdict = desk.verify(&desk.path(name));
        assert_eq!(
            (verdict.code, verdict.that("fail")),
            (Some(4), vec!["0 record".to_owned()]),
            "{name}: {verdict:#?}"
        );
        assert!(verdict.report["proven"].is_null());
        let inspected = Command::new(env!("CARGO_BIN_EXE_cfx")).arg("inspect").arg(desk.path(name)).output().unwrap();
        assert_eq!(inspected.status.code(), Some(1), "{inspected:?}");
    }
    // a record of ours is gone and the credential still there: it says whose the file was
    let told = credentials::read_told(&sound).unwrap();
    let credentials::Told::Record { text, .. } = told else { panic!("{told:?}") };
    let at = sound.windows(text.len()).position(|part| part == text.as_slice()).unwrap();
    let start = at - "counterfactory.record".len() - 5 - 8;
    let without = [&sound[..start], &sound[at + text.len() + 4..]].concat();
    std::fs::write(desk.path("without.png"), without).unwrap();
    let verdict = desk.verify(&desk.path("without.png"));
    assert_eq!(verdict.that("fail"), ["0 record", "1 credential"], "{verdict:#?}");
    assert_eq!(desk.authority.anchor.matches("BEGIN").count(), 1);
}
