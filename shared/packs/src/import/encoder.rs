//! Inversion encoders of the pSp family: e4e, pSp and ReStyle keep theirs beside the decoder, under `encoder.`.

use super::error::{Cause, ImportError};
use super::taking::{Piece, Taking};
use crate::checkpoint::{Checkpoint, Value};
use crate::manifest::{EncoderArchitecture, EncoderFrame};

/// An encoder as the pack will have it.
pub(super) struct Encoder {
    pub(super) pieces: Vec<Piece>,
    pub(super) architecture: EncoderArchitecture,
    pub(super) frame: EncoderFrame,
    /// Latents that it makes.
    pub(super) latents: usize,
    pub(super) w_dim: usize,
    pub(super) family: &'static str,
    pub(super) notes: Vec<String>,
}

/// One block for each latent.
const STYLE_BLOCKS: &str = "styles.";

/// e4e's encoder of cars may have the blocks of a generator of 1024 px over one of 512; its `scripts/inference.py` uses the first.
const LATENTS_OF_CARS: [usize; 2] = [18, 16];

/// What the options say of an encoder.
struct Told {
    architecture: EncoderArchitecture,
    family: &'static str,
    frame: EncoderFrame,
    /// Whether the encoder's output is added to the mean latent.
    from_average: bool,
}

/// Reads the encoder for a generator of `wanted` latents.
pub(super) fn import(checkpoint: &Checkpoint, wanted: usize) -> Result<Encoder, ImportError> {
    let state = checkpoint.root.child("state_dict").unwrap_or(&checkpoint.root);
    let mut taking = Taking::of(checkpoint, state)?.below("encoder.");
    if taking.names().next().is_none() {
        return Err(taking.wrong(Cause::OtherKind {
            found: "a checkpoint without encoder.*".to_owned(),
            wanted: "an inversion encoder",
            remedy: "known are the .pt of e4e, pSp and ReStyle, which hold encoder and decoder".to_owned(),
        }));
    }
    taking.leave(|name| name.ends_with("num_batches_tracked"));
    let told = told(&taking, checkpoint.root.child("opts"))?;
    let mut notes = Vec::new();
    // An encoder into W makes one latent, for however many layers.
    let one = taking.contains("linear.weight");
    let mut latents = wanted;
    if !one {
        let blocks = (0..).take_while(|i| taking.contains(&format!("{STYLE_BLOCKS}{i}.linear.weight"))).count();
        latents = blocks;
        if told.frame == EncoderFrame::MiddleRows && [blocks, wanted] == LATENTS_OF_CARS {
            let unused = |name: &str| (wanted..blocks).any(|i| name.starts_with(&format!("{STYLE_BLOCKS}{i}.")));
            taking.leave(unused);
            notes.push(format!("{blocks} style blocks, of which the generator takes the first {wanted}"));
            latents = wanted;
        }
    }
    let first = if one { "linear.weight" } else { "styles.0.linear.weight" };
    let &[w_dim, _] = taking.shape(first)? else {
        return Err(taking.damaged(first, "is no matrix"));
    };
    taking.copy_rest()?;
    if told.from_average {
        average(checkpoint, &mut taking, latents, w_dim)?;
    } else {
        notes.push("the encoder's output is the latent itself (start_from_latent_avg is off)".to_owned());
        taking.make("latent_avg", &[latents, w_dim], vec![0.0; latents * w_dim])?;
    }
    let Told { architecture, family, frame, .. } = told;
    Ok(Encoder { pieces: taking.finish()?, architecture, frame, latents, w_dim, family, notes })
}

/// Which of the programs made it. e4e and pSp have the same tensors and add them up differently, so the options must say.
fn told(taking: &Taking, opts: Option<&Value>) -> Result<Told, ImportError> {
    let option = |key: &str| opts.and_then(|opts| opts.child(key));
    let text = |key: &str| option(key).and_then(Value::as_text);
    let first = if taking.contains("conv1.weight") { "conv1.weight" } else { "input_layer.0.weight" };
    let colours = taking.shape(first)?.get(1).copied();
    let unsupported = |what: String, remedy| Err(taking.wrong(Cause::Unsupported { what, remedy }));
    let restyle = match colours {
        Some(3) => false,
        Some(6) => true,
        other => {
            return unsupported(
                format!("an encoder of images with {} channels", other.unwrap_or(0)),
                "sketches and segmentations are not inverted here; take one for photographs",
            );
        }
    };
    let Some(kind) = text("encoder_type") else {
        return unsupported(
            "an encoder without opts.encoder_type, by which alone e4e and pSp differ,".to_owned(),
            "take the checkpoint as its program saved it, with its opts",
        );
    };
    let (deltas, of_restyle) = match kind {
        "Encoder4Editing" => (true, false),
        "ProgressiveBackboneEncoder" | "ResNetProgressiveBackboneEncoder" => (true, true),
        "GradualStyleEncoder" | "BackboneEncoderUsingLastLayerIntoW" | "SingleStyleCodeEncoder" => (false, restyle),
        "ResNetGradualStyleEncoder" | "BackboneEncoder" | "ResNetBackboneEncoder" => (false, true),
        other => {
            return unsupported(
                format!("an encoder of type {other}"),
                "known are those of e4e, pSp (but for BackboneEncoderUsingLastLayerIntoWPlus) and ReStyle",
            );
        }
    };
    let architecture = match (restyle, deltas) {
        (false, true) => EncoderArchitecture::E4e,
        (false, false) => EncoderArchitecture::Psp,
        (true, true) => EncoderArchitecture::RestyleE4e,
        (true, false) => EncoderArchitecture::RestylePsp,
    };
    let family = match (of_restyle, deltas) {
        (true, _) => "restyle",
        (false, true) => "e4e",
        (false, false) => "psp",
    };
    let cars = text("dataset_type").is_some_and(|kind| kind.starts_with("cars_"));
    Ok(Told {
        architecture,
        family,
        frame: if cars { EncoderFrame::MiddleRows } else { EncoderFrame::Whole },
        // ReStyle has the option too, and starts from the mean latent whatever it says.
        from_average: of_restyle || option("start_from_latent_avg").and_then(Value::as_bool).unwrap_or(true),
    })
}

/// The mean latent that the encoder's output is added to, one row for each latent or one for all.
fn average(checkpoint: &Checkpoint, taking: &mut Taking, latents: usize, w_dim: usize) -> Result<(), ImportError> {
    let Some(tensor) = checkpoint.root.child("latent_avg").and_then(Value::as_tensor) else {
        return Err(taking.missing("latent_avg"));
    };
    let rows = match *tensor.shape() {
        [width] | [1, width] if width == w_dim => 1,
        [rows, width] if width == w_dim && (rows == latents || [rows, latents] == LATENTS_OF_CARS) => rows,
        _ => {
            let what = format!("has shape {:?}; expected [{latents}, {w_dim}] or [{w_dim}]", tensor.shape());
            return Err(taking.damaged("latent_avg", what));
        }
    };
    let mut numbers = tensor.read_f32()?;
    if rows == 1 {
        numbers = numbers.repeat(latents);
    }
    numbers.truncate(latents * w_dim);
    taking.make("latent_avg", &[latents, w_dim], numbers)
}
