//! StyleGAN2 by rosinality/stylegan2-pytorch, whose names are the pack's own: `g_ema` of its checkpoints, and the decoders of e4e,
//! pSp and ReStyle.

use super::error::{Cause, ImportError};
use super::generator::Generator;
use super::taking::{Change, Taking};
use super::{average, fir, noise};
use crate::checkpoint::{Checkpoint, Value};
use crate::manifest::GeneratorArchitecture;

/// The filter `[1, 3, 3, 1]`, times four where the image doubles.
const UPSAMPLING: f32 = 4.0;

pub(super) fn import(checkpoint: &Checkpoint, mut taking: Taking) -> Result<Generator, ImportError> {
    if let Some(name) = taking.names().find(|name| name.contains(".iwt.") || name.contains(".dwt.")) {
        return Err(taking.wrong(Cause::Unsupported {
            what: format!("a SWAGAN, which draws wavelets in place of colours (tensor {name}),"),
            remedy: "take one trained with --arch stylegan2, the default",
        }));
    }
    let mut notes = Vec::new();
    let doublings = (0..).take_while(|i| taking.contains(&format!("to_rgbs.{i}.bias"))).count();
    let resolution = 4u32.checked_shl(doublings as u32).filter(|size| *size <= 4096);
    let resolution =
        resolution.ok_or_else(|| taking.damaged("to_rgbs", format!("doubles the image {doublings} times")))?;
    let &[_, w_dim] = taking.shape("conv1.conv.modulation.weight")? else {
        return Err(taking.damaged("conv1.conv.modulation.weight", "is no matrix"));
    };
    fir::check_all(&taking, |name| {
        (name.ends_with("blur.kernel") || name.ends_with("upsample.kernel")).then_some(UPSAMPLING)
    })?;
    let layers = 2 * doublings + 1;
    let lacking: Vec<usize> = (0..layers).filter(|i| !taking.contains(&format!("noises.noise_{i}"))).collect();
    if !lacking.is_empty() {
        // Older checkpoints have none, and programs that load them draw new noise at every start.
        for &i in &lacking {
            let side = 1usize << ((i + 5) / 2);
            taking.make(&format!("noises.noise_{i}"), &[1, 1, side, side], noise::fixed(i, side * side))?;
        }
        notes.push(format!(
            "the checkpoint has no fixed noise for {} of {layers} layers: drawn once from the seed {}",
            lacking.len(),
            noise::SEED
        ));
    }
    average(checkpoint, &mut taking, w_dim, &mut notes)?;
    taking.copy_rest()?;
    Ok(Generator {
        pieces: taking.finish()?,
        architecture: GeneratorArchitecture::StyleGan2,
        conv_clamp: None,
        stylegan3: None,
        resolution,
        w_dim,
        latents: 2 * doublings + 2,
        family: "rosinality",
        notes,
    })
}

/// The mean latent: the generator's own, the checkpoint's beside it, or a new estimate.
fn average(
    checkpoint: &Checkpoint,
    taking: &mut Taking,
    w_dim: usize,
    notes: &mut Vec<String>,
) -> Result<(), ImportError> {
    if taking.contains("latent_avg") {
        return taking.take("latent_avg", "latent_avg", Change::Copy, |_| Some(vec![w_dim]));
    }
    let beside = checkpoint.root.child("latent_avg").and_then(Value::as_tensor);
    if let Some(beside) = beside.filter(|beside| beside.elements() > 0 && beside.elements() % w_dim == 0) {
        let numbers = beside.read_f32()?;
        let (first, others) = numbers.split_at(w_dim);
        // Encoders repeat it for each layer; a training that moved the rows apart left no mean of W.
        if others.chunks(w_dim).all(|row| row == first) {
            return taking.make("latent_avg", &[w_dim], first.to_vec());
        }
        notes.push(
            "the checkpoint's latent_avg differs from layer to layer and is the encoder's: not taken for the generator"
                .into(),
        );
    }
    let estimate = average::estimate(taking, "style.", 1)?;
    notes.push(format!(
        "the checkpoint has no mean latent: estimated from {} latents of the seed {}",
        average::SAMPLES,
        noise::SEED
    ));
    taking.make("latent_avg", &[w_dim], estimate)
}
