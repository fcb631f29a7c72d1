//! Inversion encoders of the pSp family: e4e, pSp and ReStyle keep theirs beside the decoder, under `encoder.`.

use super::error::{Cause, ImportError};
use super::taking::{Piece, Taking};
use crate::checkpoint::{Checkpoint, Value};
use crate::manifest::EncoderArchitecture;

/// An encoder as the pack will have it.
pub(super) struct Encoder {
    pub(super) pieces: Vec<Piece>,
    pub(super) architecture: EncoderArchitecture,
    /// Latents that it makes.
    pub(super) latents: usize,
    pub(super) w_dim: usize,
    pub(super) family: &'static str,
    pub(super) notes: Vec<String>,
}

/// One block for each latent.
const STYLE_BLOCKS: &str = "styles.";

pub(super) fn import(checkpoint: &Checkpoint) -> Result<Encoder, ImportError> {
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
    let opts = checkpoint.root.child("opts");
    let architecture = architecture(&taking, opts)?;
    let latents = (0..).take_while(|i| taking.contains(&format!("{STYLE_BLOCKS}{i}.linear.weight"))).count();
    if latents == 0 {
        return Err(taking.missing("styles.0.linear.weight"));
    }
    let &[w_dim, _] = taking.shape("styles.0.linear.weight")? else {
        return Err(taking.odd("styles.0.linear.weight", "is no matrix"));
    };
    taking.copy_rest()?;
    let mut notes = Vec::new();
    average(checkpoint, opts, &mut taking, latents, w_dim, &mut notes)?;
    let family = match architecture {
        EncoderArchitecture::E4e => "e4e",
        EncoderArchitecture::Psp => "psp",
        EncoderArchitecture::RestyleE4e | EncoderArchitecture::RestylePsp => "restyle",
        EncoderArchitecture::ResidualWPlus => "own",
    };
    Ok(Encoder { pieces: taking.finish()?, architecture, latents, w_dim, family, notes })
}

/// Which of the programs made it. e4e and pSp have the same tensors and add them up differently, so the options must say.
fn architecture(taking: &Taking, opts: Option<&Value>) -> Result<EncoderArchitecture, ImportError> {
    let text = |key: &str| opts.and_then(|opts| opts.child(key)).and_then(Value::as_text);
    let channels = taking.shape("input_layer.0.weight")?.get(1).copied();
    let pyramid = taking.contains("latlayer1.weight");
    let unsupported = |what: String, remedy| Err(taking.wrong(Cause::Unsupported { what, remedy }));
    match (text("encoder_type"), pyramid, channels) {
        (Some("Encoder4Editing"), true, Some(3)) => Ok(EncoderArchitecture::E4e),
        (Some("GradualStyleEncoder"), true, Some(3)) => Ok(EncoderArchitecture::Psp),
        (Some("BackboneEncoder"), false, Some(6)) => Ok(EncoderArchitecture::RestylePsp),
        (Some("ProgressiveBackboneEncoder"), false, Some(6)) => Ok(EncoderArchitecture::RestyleE4e),
        (Some(other), _, Some(3 | 6)) => unsupported(
            format!("an encoder of type {other}"),
            "known are Encoder4Editing, GradualStyleEncoder, BackboneEncoder and ProgressiveBackboneEncoder, on IR-SE50",
        ),
        (None, _, Some(3 | 6)) => unsupported(
            "an encoder without opts.encoder_type, by which alone e4e and pSp differ,".to_owned(),
            "take the checkpoint as its program saved it, with its opts",
        ),
        (_, _, channels) => unsupported(
            format!("an encoder of images with {} channels", channels.unwrap_or(0)),
            "sketches and segmentations are not inverted here; take one for photographs",
        ),
    }
}

/// The mean latent that the encoder's output is added to, one row for each latent or one for all.
fn average(
    checkpoint: &Checkpoint,
    opts: Option<&Value>,
    taking: &mut Taking,
    latents: usize,
    w_dim: usize,
    notes: &mut Vec<String>,
) -> Result<(), ImportError> {
    let starts = opts.and_then(|opts| opts.child("start_from_latent_avg")).and_then(Value::as_bool).unwrap_or(true);
    if !starts {
        notes.push("the encoder's output is the latent itself (start_from_latent_avg is off)".to_owned());
        return taking.make("latent_avg", &[latents, w_dim], vec![0.0; latents * w_dim]);
    }
    let Some(tensor) = checkpoint.root.child("latent_avg").and_then(Value::as_tensor) else {
        return Err(taking.missing("latent_avg"));
    };
    let row = tensor.elements() == w_dim;
    if !row && tensor.elements() != latents * w_dim {
        let what = format!("has shape {:?}; expected [{latents}, {w_dim}] or [{w_dim}]", tensor.shape());
        return Err(taking.odd("latent_avg", what));
    }
    let numbers = tensor.read_f32()?;
    let numbers = if row { numbers.repeat(latents) } else { numbers };
    taking.make("latent_avg", &[latents, w_dim], numbers)
}
