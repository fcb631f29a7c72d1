//! The networks that measure: ArcFace for identity, LPIPS and VGG19 for how alike two images look.

use super::error::{Cause, ImportError};
use super::taking::{Piece, Taking};
use crate::checkpoint::Checkpoint;
use crate::manifest::{IdentityArchitecture, PerceptualArchitecture};

/// `model_ir_se50.pth` of InsightFace_Pytorch, also inside other programs' checkpoints.
pub(super) fn identity(checkpoint: &Checkpoint) -> Result<(Vec<Piece>, IdentityArchitecture), ImportError> {
    let value = checkpoint.root.child("state_dict").unwrap_or(&checkpoint.root);
    let mut taking = Taking::of(checkpoint, value)?;
    taking.leave(|name| name.ends_with("num_batches_tracked"));
    for name in ["input_layer.0.weight", "body.23.res_layer.1.weight", "output_layer.3.weight"] {
        taking.shape(name)?;
    }
    if taking.shape("output_layer.3.weight")? != [512, 25088] {
        return Err(taking.odd(
            "output_layer.3.weight",
            "is not of the 112 px network with 512 numbers a face; take model_ir_se50.pth of InsightFace_Pytorch",
        ));
    }
    if !taking.contains("body.0.res_layer.5.fc1.weight") {
        return Err(taking.wrong(Cause::Unsupported {
            what: "an IR network without squeeze-and-excitation".to_owned(),
            remedy: "take model_ir_se50.pth of InsightFace_Pytorch",
        }));
    }
    taking.copy_rest()?;
    Ok((taking.finish()?, IdentityArchitecture::IrSe50))
}

/// A perceptual network from its weights, and for LPIPS from the trunk's where those are a file of their own.
pub(super) fn perceptual(
    checkpoint: &Checkpoint,
    trunk: Option<&Checkpoint>,
) -> Result<(Vec<Piece>, PerceptualArchitecture), ImportError> {
    let taking = Taking::of(checkpoint, &checkpoint.root)?;
    let whole = taking.contains("conv5_2.weight") || taking.names().any(|name| name.starts_with("net.slice"));
    if let Some(trunk) = trunk.filter(|_| whole) {
        return Err(ImportError::Request(format!(
            "{} holds the network that its heads weigh, and {} would not be used; leave --perceptual-trunk out",
            checkpoint.path().display(),
            trunk.path().display()
        )));
    }
    if taking.contains("conv5_2.weight") {
        return vgg19(taking);
    }
    let mut heads = Vec::new();
    let mut own = taking;
    let prefixes = [("lin", ".model.1.weight"), ("net.lin", ".model.1.weight"), ("lins.", ".model.1.weight")];
    let Some((before, after)) = prefixes.into_iter().find(|(before, after)| own.contains(&format!("{before}0{after}")))
    else {
        return Err(own.wrong(Cause::OtherKind {
            found: "a checkpoint without lin0.model.1.weight or conv5_2.weight".to_owned(),
            wanted: "LPIPS heads or the VGG19 of CF-CLIP",
            remedy: "take alex.pth or vgg.pth of the lpips package's weights/v0.1, or vgg19_conv.pth".to_owned(),
        }));
    };
    for k in 0..5 {
        own.copy(&format!("{before}{k}{after}"), &format!("lin{k}.model.1.weight"))?;
        heads.push(k);
    }
    // The package's own state dict lists the heads twice.
    own.leave(|name| name.starts_with("lins.") || name.starts_with("scaling_layer."));
    let widths: Vec<usize> = heads
        .iter()
        .map(|k| {
            own.taken_shape(&format!("lin{k}.model.1.weight")).and_then(|shape| shape.get(1).copied()).unwrap_or(0)
        })
        .collect();
    let (architecture, convolutions): (_, &[usize]) = match widths.as_slice() {
        [64, 192, 384, 256, 256] => (PerceptualArchitecture::LpipsAlex, &[0, 3, 6, 8, 10]),
        [64, 128, 256, 512, 512] => {
            (PerceptualArchitecture::LpipsVgg, &[0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28])
        }
        _ => {
            let what = format!(
                "have widths {widths:?}: LPIPS is known here on AlexNet and on VGG16; take its alex.pth or vgg.pth"
            );
            return Err(own.odd("lin0 to lin4", what));
        }
    };
    // `net.slice2.3.weight` in the package is torchvision's `features.3.weight`.
    let names: Vec<String> = own.names().filter(|name| name.starts_with("net.slice")).map(str::to_owned).collect();
    for name in &names {
        let rest = name.trim_start_matches("net.slice").split_once('.').map_or("", |(_, rest)| rest);
        own.copy(name, &format!("features.{rest}"))?;
    }
    let mut pieces = own.finish()?;
    if names.is_empty() {
        let Some(trunk) = trunk else {
            return Err(ImportError::Request(format!(
                "{} holds LPIPS heads alone; give the network they weigh with --perceptual-trunk: torchvision's {}",
                checkpoint.path().display(),
                if architecture == PerceptualArchitecture::LpipsAlex {
                    "alexnet-owt-7be5be79.pth"
                } else {
                    "vgg16-397923af.pth"
                }
            )));
        };
        let mut trunk = Taking::of(trunk, &trunk.root)?;
        trunk.leave(|name| name.starts_with("classifier."));
        trunk.copy_rest()?;
        pieces.extend(trunk.finish()?);
    }
    for convolution in convolutions {
        let name = format!("features.{convolution}.weight");
        if !pieces.iter().any(|piece| piece.name == name) {
            let path = trunk.map_or(checkpoint.path(), Checkpoint::path).to_owned();
            return Err(ImportError::Checkpoint { path, cause: Cause::Missing { key: name } });
        }
    }
    Ok((pieces, architecture))
}

/// CF-CLIP's image loss: names are its own.
fn vgg19(mut taking: Taking) -> Result<(Vec<Piece>, PerceptualArchitecture), ImportError> {
    taking.copy_rest()?;
    Ok((taking.finish()?, PerceptualArchitecture::Vgg19Relu52))
}
