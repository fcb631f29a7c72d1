//! The face detector: MTCNN's three networks, in one file or in three.

use super::error::{Cause, ImportError};
use super::taking::{Piece, Taking};
use crate::checkpoint::Checkpoint;

/// The networks, and the tensor that each is known by: no other has one of this name and shape.
const NETWORKS: [(&str, &str, [usize; 2]); 2] =
    [("rnet", "dense4.weight", [128, 576]), ("onet", "dense5.weight", [256, 1152])];

/// What facenet-pytorch's package holds: `pnet.pt`, `rnet.pt` and `onet.pt`, in any order; or the state of its `MTCNN` in one file.
///
/// # Errors
/// When a network is missing, given twice, or another.
pub(super) fn detector(checkpoints: &[Checkpoint]) -> Result<Vec<Piece>, ImportError> {
    let mut pieces: Vec<Piece> = Vec::new();
    for checkpoint in checkpoints {
        let value = checkpoint.root.child("state_dict").unwrap_or(&checkpoint.root);
        let mut taking = Taking::of(checkpoint, value)?;
        if taking.names().any(|name| name.starts_with("pnet.")) {
            taking.copy_rest()?;
        } else {
            let network = network(&taking)?;
            let names: Vec<String> = taking.names().map(str::to_owned).collect();
            names.iter().try_for_each(|name| taking.copy(name, &format!("{network}.{name}")))?;
        }
        let taken = taking.finish()?;
        if let Some(twice) = taken.iter().find(|piece| pieces.iter().any(|other| other.name == piece.name)) {
            let what = format!("is {} once more: another of the given files holds it already", twice.name);
            let cause = Cause::Odd { key: twice.from.clone(), what };
            return Err(ImportError::Checkpoint { path: checkpoint.path().to_owned(), cause });
        }
        pieces.extend(taken);
    }
    for network in ["pnet", "rnet", "onet"] {
        let before = format!("{network}.");
        if !pieces.iter().any(|piece| piece.name.starts_with(&before)) {
            return Err(ImportError::Request(format!(
                "the detector has no {network}; give --detector all three: pnet.pt, rnet.pt and onet.pt of facenet-pytorch"
            )));
        }
    }
    Ok(pieces)
}

/// Which of the three a file of its own holds.
fn network(taking: &Taking) -> Result<&'static str, ImportError> {
    let known = |(_, tensor, shape): &&(&str, &str, [usize; 2])| {
        taking.shape(tensor).is_ok_and(|found| found == shape.as_slice())
    };
    if let Some((network, ..)) = NETWORKS.iter().find(known) {
        return Ok(network);
    }
    if taking.contains("conv4_1.weight") && taking.contains("conv4_2.weight") {
        return Ok("pnet");
    }
    Err(taking.wrong(Cause::OtherKind {
        found: "a checkpoint without the layers of PNet, RNet or ONet".to_owned(),
        wanted: "a network of MTCNN",
        remedy: "take pnet.pt, rnet.pt and onet.pt of the facenet-pytorch package's data folder".to_owned(),
    }))
}
