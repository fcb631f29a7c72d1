//! What a record says of the program's build: the compiler, and the very versions of every dependency.

use sha2::{Digest as _, Sha256};
use std::process::Command;

fn main() {
    let lockfile = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
    println!("cargo:rerun-if-changed={lockfile}");
    println!("cargo:rerun-if-env-changed=CFX_COMMIT");
    if let Ok(text) = std::fs::read(lockfile) {
        let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        println!("cargo:rustc-env=CFX_LOCKFILE_SHA256={digest}");
    }
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    if let Ok(said) = Command::new(compiler).arg("--version").output() {
        println!("cargo:rustc-env=CFX_RUSTC={}", String::from_utf8_lossy(&said.stdout).trim());
    }
}
