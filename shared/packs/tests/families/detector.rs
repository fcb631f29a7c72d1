//! The face detector, from the files of facenet-pytorch's package and from the state of its `MTCNN`. `data/mtcnn/` is by
//! `make_detector.py`.

use crate::numbers::assert_numbers;
use crate::{Imported, data, request};
use packs::Role;
use packs::import::import;
use packs::manifest::DetectorArchitecture;
use std::path::PathBuf;

fn files(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| data(&format!("mtcnn/{name}.pt"))).collect()
}

#[test]
fn mtcnn_is_imported_from_three_files_in_any_order_or_from_one() {
    let cases: [(&str, &[&str], usize); 2] = [("onet.pt", &["onet", "pnet", "rnet"], 2), ("mtcnn.pt", &["mtcnn"], 0)];
    let mut digests = Vec::new();
    for (first, names, others) in cases {
        let mut request = request("rosinality-half.pt");
        request.detector = files(names);
        let imported = Imported::of(&request);
        assert_eq!(imported.pack.manifest().detector.as_ref().unwrap().architecture, DetectorArchitecture::Mtcnn);
        let source = imported.source(Role::Detector, &format!("mtcnn/{first}"));
        assert_eq!((source.family.as_str(), source.notes.len()), ("facenet-pytorch", others));
        digests.push(source.tensors);
        let tensors = imported.tensors(Role::Detector);
        assert_eq!(tensors.len(), 50);
        for (name, tensor) in &tensors {
            let (network, own) = name.split_once('.').unwrap();
            // the state of the whole has the same numbers under longer names
            assert!(["pnet", "rnet", "onet"].contains(&network), "{name}");
            assert_numbers(tensor, own, tensor.shape());
        }
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn an_incomplete_doubled_or_other_detector_is_refused() {
    let refused = |names: &[PathBuf]| {
        let mut request = request("rosinality-half.pt");
        request.detector = names.to_vec();
        let folder = tempfile::tempdir().unwrap();
        import(&request, &folder.path().join("pack")).unwrap_err().to_string()
    };
    assert!(refused(&files(&["pnet", "onet"])).contains("has no rnet"));
    let twice = refused(&files(&["pnet", "pnet", "rnet"]));
    assert!(twice.contains("pnet.pt") && twice.contains("once more"), "{twice}");
    let other = refused(&[data("alex.pth")]);
    assert!(other.contains("alex.pth") && other.contains("facenet-pytorch"), "{other}");
}
