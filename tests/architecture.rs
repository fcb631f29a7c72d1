//! The arrows between crates, and the room that each heavy dependency is kept in. An arrow that is not in the table below is
//! a decision to be taken in review, not a compile fix.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeMap, BTreeSet};

/// Every crate of the workspace with the crates of ours it may depend on.
const ARROWS: [(&str, &[&str]); 19] = [
    ("cli", &["wire", "packs", "credentials", "exports", "domain"]),
    (
        "coordinator",
        &["wire", "store", "broker", "artifacts", "packs", "credentials", "exports", "telemetry", "domain"],
    ),
    ("worker", &["wire", "broker", "artifacts", "packs", "editing", "networks", "credentials", "telemetry", "domain"]),
    ("broker", &["wire", "domain"]),
    ("wire", &["domain"]),
    ("store", &["domain"]),
    ("artifacts", &["domain"]),
    ("credentials", &["domain"]),
    ("exports", &["domain"]),
    ("packs", &["domain"]),
    ("editing", &["networks", "domain"]),
    ("networks", &[]),
    ("domain", &[]),
    ("training", &["networks", "packs", "domain"]),
    ("telemetry", &[]),
    ("testkit", &[]),
    ("demo-report", &["wire", "editing", "credentials", "domain"]),
    ("protocol-model", &["domain"]),
    ("quality", &["training", "editing", "networks", "packs", "domain"]),
];

/// A heavy dependency with the crates that may name it.
const ROOMS: [(&str, &[&str]); 7] = [
    ("sqlx", &["store", "testkit", "stories", "faults", "scale", "hosts"]),
    ("lapin", &["broker", "testkit"]),
    // cfx writes exports to a bucket of its user's, with its user's keys; the system's own bucket is the artifacts crate's
    ("aws-sdk-s3", &["artifacts", "cli"]),
    ("tch", &["networks", "editing", "worker", "training", "quality"]),
    ("axum", &["coordinator"]),
    ("parquet", &["exports"]),
    ("tar", &["exports"]),
];

/// What a crate must not reach, not even through others.
const UNREACHABLE: [(&str, &[&str]); 7] = [
    ("domain", &["tokio", "sqlx", "lapin", "aws-sdk-s3", "tch"]),
    ("networks", &["tokio", "sqlx", "lapin", "aws-sdk-s3"]),
    ("editing", &["tokio", "sqlx", "lapin", "aws-sdk-s3"]),
    ("coordinator", &["tch", "torch-sys"]),
    ("exports", &["tokio", "reqwest", "sqlx", "lapin", "aws-sdk-s3", "tch", "arrow"]),
    ("cli", &["tch", "torch-sys", "sqlx", "lapin"]),
    ("worker", &["sqlx", "axum"]),
];

/// Tests of the whole, which may look at anything that is not a service.
const TESTS: [&str; 4] = ["stories", "faults", "scale", "hosts"];

/// One TLS stack for the whole tree: rustls on ring.
const NOWHERE: [&str; 4] = ["openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(["--filter-platform=x86_64-unknown-linux-gnu".to_owned()])
        .exec()
        .expect("cargo metadata runs on this workspace")
}

/// Names of the direct normal and build dependencies of every workspace crate.
fn direct(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let named = metadata.workspace_packages().into_iter().map(|package| {
        let shipped = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        (package.name.to_string(), shipped.map(|d| d.name.clone()).collect())
    });
    named.collect()
}

/// Names of everything that `root` reaches when it is built to be shipped (no dev-dependencies).
fn reached(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let graph = metadata.resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> = graph.nodes.iter().map(|node| (&node.id, node)).collect();
    let start = metadata.workspace_packages().into_iter().find(|p| p.name == root).expect("a workspace crate");
    let mut open = vec![&start.id];
    let mut seen = BTreeSet::from([&start.id]);
    while let Some(id) = open.pop() {
        for dependency in &nodes[id].deps {
            let shipped = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if shipped && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

#[test]
fn crates_of_ours_depend_on_each_other_only_along_the_arrows() {
    let metadata = metadata();
    let direct = direct(&metadata);
    let ours: BTreeSet<_> = direct.keys().cloned().collect();
    let arrows = BTreeMap::from(ARROWS);
    for (name, dependencies) in &direct {
        if TESTS.contains(&name.as_str()) {
            continue; // the tests may look at anything that is not a service
        }
        let allowed = arrows.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the table of arrows"));
        for dependency in dependencies.intersection(&ours) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
    for name in arrows.keys() {
        assert!(ours.contains(*name), "{name} is in the table of arrows but not in the workspace");
    }
}

#[test]
fn no_crate_ships_with_the_test_kit_or_depends_on_a_service() {
    for (name, dependencies) in direct(&metadata()) {
        for forbidden in ["coordinator", "worker", "cli"] {
            assert!(!dependencies.contains(forbidden), "{name} must not depend on the service {forbidden}");
        }
        assert!(TESTS.contains(&name.as_str()) || !dependencies.contains("testkit"), "{name} ships with the test kit");
    }
}

#[test]
fn heavy_dependencies_stay_in_their_rooms() {
    let direct = direct(&metadata());
    for (dependency, rooms) in ROOMS {
        for (name, dependencies) in &direct {
            let inside = rooms.contains(&name.as_str());
            assert!(
                inside || !dependencies.contains(dependency),
                "{dependency} may be named in {rooms:?}, not in {name}"
            );
        }
    }
}

#[test]
fn what_must_not_be_reached_is_not_reached() {
    let metadata = metadata();
    for (name, forbidden) in UNREACHABLE {
        let reached = reached(&metadata, name);
        for dependency in forbidden {
            assert!(!reached.contains(*dependency), "{name} reaches {dependency}");
        }
    }
}

#[test]
fn there_is_one_tls_stack() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let reached = reached(&metadata, &package.name);
        for dependency in NOWHERE {
            assert!(!reached.contains(dependency), "{} reaches {dependency}; TLS is rustls on ring", package.name);
        }
    }
}
