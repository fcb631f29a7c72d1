//! What an export asks a coordinator for, answered from arithmetic: any number of pairs, none of them kept.

use domain::Digest;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The job's id.
pub const JOB: &str = "job_0190f1c2d3e47a5b8c6d7e8f90a1b2c3";
/// Edits of one source.
const EDITS: i64 = 4;

/// A double of a coordinator with one ended job.
#[derive(Debug)]
pub struct Coordinator {
    /// Its address.
    pub address: String,
    /// Images that it still gives before it falls silent.
    pub patience: Arc<AtomicI64>,
    /// Images that it was asked for.
    pub asked: Arc<AtomicI64>,
}

/// The bytes of an image: the format's first ones, then what it is.
fn image(what: &str, no: i64, padding: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(format!("{what} {no}").into_bytes());
    bytes.resize(bytes.len() + padding, 7);
    bytes
}

/// A job of `pairs` outputs, whose images are `padding` bytes long and a little.
pub fn start(pairs: i64, padding: usize) -> std::io::Result<Coordinator> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let (patience, asked) = (Arc::new(AtomicI64::new(i64::MAX)), Arc::new(AtomicI64::new(0)));
    let (known, patience_, asked_) = (Arc::default(), Arc::clone(&patience), Arc::clone(&asked));
    let served = Served { pairs, padding, patience: patience_, asked: asked_, known };
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let served = served.clone();
            // a client that goes away ends its thread
            std::thread::spawn(move || served.talk(&client));
        }
    });
    Ok(Coordinator { address, patience, asked })
}

#[derive(Clone)]
struct Served {
    pairs: i64,
    padding: usize,
    patience: Arc<AtomicI64>,
    asked: Arc<AtomicI64>,
    /// Images by digest, made when the first is asked for.
    known: Arc<OnceLock<HashMap<String, (&'static str, i64)>>>,
}

impl Served {
    fn talk(&self, client: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut writer = client;
        loop {
            let mut request = String::new();
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
            let mut header = String::from("x");
            while !header.trim_end().is_empty() {
                header.clear();
                reader.by_ref().read_line(&mut header)?;
            }
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (kind, body) = match path.strip_prefix("/v1/blobs/") {
                Some(digest) => ("application/octet-stream", self.blob(digest)),
                None => ("application/json", self.document(path).to_string().into_bytes()),
            };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
            writer.write_all(&[head.into_bytes(), body].concat())?;
        }
    }

    fn blob(&self, digest: &str) -> Vec<u8> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.patience.fetch_sub(1, Ordering::SeqCst) <= 0 {
            std::thread::sleep(Duration::from_secs(3600));
        }
        let known = self.known.get_or_init(|| {
            let all = (0..self.pairs).flat_map(|no| [("edited", no), ("source", no / EDITS), ("signed", no / EDITS)]);
            all.map(|(what, no)| (Digest::of(image(what, no, self.padding)).to_string(), (what, no))).collect()
        });
        known.get(digest).map(|(what, no)| image(what, *no, self.padding)).unwrap_or_default()
    }

    fn document(&self, path: &str) -> Value {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let number = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.parse::<i64>().ok());
        let when = "2026-11-27T10:00:00Z";
        if path.ends_with("/pairs") {
            let from = number("after=").map_or(0, |after| after + 1);
            let to = (from + number("limit=").unwrap_or(100)).min(self.pairs);
            let items: Vec<Value> = (from..to).map(|no| self.pair(no)).collect();
            let mut page = json!({ "items": items });
            if to < self.pairs {
                page["next"] = (to - 1).to_string().into();
            }
            return page;
        }
        if path.ends_with("/tasks") {
            return json!({ "items": [] });
        }
        if path.ends_with("/seals") {
            let digest = Digest::of(image("edited", 0, self.padding));
            let seal = json!({
                "finished_at": when, "sealed_at": when, "key_id": digest, "attestation": digest, "files": [], "results": 1, "failures": 0,
            });
            return json!({ "seals": [seal] });
        }
        if path.starts_with("/v1/packs/") {
            return json!({ "name": "pack", "digest": Digest::of("pack"), "manifest": Digest::of("m"), "resolution": 64 });
        }
        if path.starts_with("/v1/datasets/") {
            let id = "dst_0190f1c2d3e47a5b8c6d7e8f90a1b2c3";
            return json!({ "id": id, "name": "faces", "sources": 1, "importing": false, "created_at": when });
        }
        let edits = json!([{ "name": "green", "text": "a face with green hair" }]);
        let spec = json!({ "name": "large", "dataset": "faces", "pack": "pack", "edits": edits });
        json!({
            "id": JOB, "seq": 7, "spec": spec, "state": "succeeded", "counts": [], "reasons": [], "gpu_ms": 1.0, "memoised": 0,
            "created_at": when, "finished_at": when,
        })
    }

    fn pair(&self, no: i64) -> Value {
        let source = no / EDITS;
        let digest = |what: &str, no: i64| Digest::of(image(what, no, self.padding));
        json!({
            "task": format!("7-{no}"), "edit": "green", "method": "clip-nce", "strength": 1.0, "seed": no % EDITS, "ordinal": source,
            "source_uri": format!("faces/{source}.png"), "source": digest("source", source), "image": digest("edited", no),
            "reconstruction": digest("recon", source), "signed_reconstruction": digest("signed", source), "record": Digest::of(format!("record {no}")),
            "metrics": { "identity": 0.5, "preservation": 1.0 }, "verdict": "reject", "rejected_for": ["target-missed"],
            "gpu_ms": 1.0, "created_at": "2026-11-27T10:00:00Z", "labels": { "hair": "bald" }, "steps": 3,
        })
    }
}
