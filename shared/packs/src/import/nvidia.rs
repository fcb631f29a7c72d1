//! StyleGAN2 of stylegan2-ada-pytorch and of the stylegan3 repository: the same network under other names, with its filters stored
//! to sum 1 where rosinality's sum to 4, and with a bound on activations.
//!
//! Names on the left are of `networks.py` and `networks_stylegan2.py`; shapes differ by dimensions of length one.

use super::error::{Cause, ImportError};
use super::generator::Generator;
use super::taking::{Change, Taking};
use super::{average, fir, noise};
use crate::checkpoint::Value;
use crate::manifest::GeneratorArchitecture;

pub(super) fn import(network: &Value, mut taking: Taking) -> Result<Generator, ImportError> {
    refuse_variants(network, &taking)?;
    fir::check_all(&taking, |name| name.ends_with("resample_filter").then_some(1.0))?;
    let mut notes = Vec::new();
    let doublings = (0..).take_while(|k| taking.contains(&format!("synthesis.b{}.torgb.bias", 8u64 << k))).count();
    let resolution = 4u32.checked_shl(doublings as u32).filter(|size| *size <= 4096);
    let resolution =
        resolution.ok_or_else(|| taking.damaged("synthesis", format!("doubles the image {doublings} times")))?;
    let &[_, w_dim] = taking.shape("synthesis.b4.conv1.affine.weight")? else {
        return Err(taking.damaged("synthesis.b4.conv1.affine.weight", "is no matrix"));
    };

    let conv_clamp = conv_clamp(network, &taking, doublings)?;
    if taking.contains("mapping.w_avg") {
        taking.copy("mapping.w_avg", "latent_avg")?;
    } else {
        let estimate = average::estimate(&taking, "mapping.fc", 0)?;
        taking.make("latent_avg", &[w_dim], estimate)?;
        let (samples, seed) = (average::SAMPLES, noise::SEED);
        notes.push(format!("the checkpoint has no mean latent: estimated from {samples} latents of the seed {seed}"));
    }
    for i in (0..).take_while(|i| taking.contains(&format!("mapping.fc{i}.weight"))).collect::<Vec<_>>() {
        taking.copy(&format!("mapping.fc{i}.weight"), &format!("style.{}.weight", i + 1))?;
        taking.copy(&format!("mapping.fc{i}.bias"), &format!("style.{}.bias", i + 1))?;
    }

    with_front(&mut taking, "synthesis.b4.const", "input.input", Change::Copy)?;
    layer(&mut taking, "synthesis.b4.conv1", "conv1", 0)?;
    to_rgb(&mut taking, "synthesis.b4.torgb", "to_rgb1")?;
    for k in 0..doublings {
        let block = format!("synthesis.b{}", 8u64 << k);
        let filter = format!("{block}.conv0.resample_filter");
        if taking.contains(&filter) {
            let kernel = format!("convs.{}.conv.blur.kernel", 2 * k);
            taking.take(&filter, &kernel, Change::Scale(4.0), |shape| Some(shape.to_vec()))?;
        }
        layer(&mut taking, &format!("{block}.conv0"), &format!("convs.{}", 2 * k), 2 * k + 1)?;
        layer(&mut taking, &format!("{block}.conv1"), &format!("convs.{}", 2 * k + 1), 2 * k + 2)?;
        to_rgb(&mut taking, &format!("{block}.torgb"), &format!("to_rgbs.{k}"))?;
    }
    // Every layer carries the filter, also those that do not resample.
    taking.leave(|name| name.ends_with("resample_filter"));
    Ok(Generator {
        pieces: taking.finish()?,
        architecture: GeneratorArchitecture::StyleGan2,
        conv_clamp,
        stylegan3: None,
        resolution,
        w_dim,
        latents: 2 * doublings + 2,
        family: "nvidia-stylegan2",
        notes,
    })
}

/// One modulated convolution with noise, bias and activation.
fn layer(taking: &mut Taking, from: &str, to: &str, noise: usize) -> Result<(), ImportError> {
    with_front(taking, &format!("{from}.weight"), &format!("{to}.conv.weight"), Change::Copy)?;
    taking.copy(&format!("{from}.affine.weight"), &format!("{to}.conv.modulation.weight"))?;
    taking.copy(&format!("{from}.affine.bias"), &format!("{to}.conv.modulation.bias"))?;
    taking.copy(&format!("{from}.bias"), &format!("{to}.activate.bias"))?;
    let strength = format!("{from}.noise_strength");
    if !taking.contains(&strength) {
        // Trained with `use_noise=False`.
        return taking.make(&format!("{to}.noise.weight"), &[1], vec![0.0]);
    }
    taking.take(&strength, &format!("{to}.noise.weight"), Change::Copy, |_| Some(vec![1]))?;
    let fixed = |shape: &[usize]| Some([&[1, 1], shape].concat());
    taking.take(&format!("{from}.noise_const"), &format!("noises.noise_{noise}"), Change::Copy, fixed)
}

fn to_rgb(taking: &mut Taking, from: &str, to: &str) -> Result<(), ImportError> {
    if taking.shape(&format!("{from}.bias"))? != [3] {
        return Err(taking.odd(&format!("{from}.bias"), "is not for three colours; take one of RGB images"));
    }
    with_front(taking, &format!("{from}.weight"), &format!("{to}.conv.weight"), Change::Copy)?;
    taking.copy(&format!("{from}.affine.weight"), &format!("{to}.conv.modulation.weight"))?;
    taking.copy(&format!("{from}.affine.bias"), &format!("{to}.conv.modulation.bias"))?;
    taking.take(&format!("{from}.bias"), &format!("{to}.bias"), Change::Copy, |_| Some(vec![1, 3, 1, 1]))
}

fn with_front(taking: &mut Taking, from: &str, to: &str, change: Change) -> Result<(), ImportError> {
    taking.take(from, to, change, |shape| Some([&[1], shape].concat()))
}

/// The bound on activations, which every layer must have alike.
fn conv_clamp(network: &Value, taking: &Taking, doublings: usize) -> Result<Option<f64>, ImportError> {
    let mut found = Vec::new();
    for k in 0..=doublings {
        for layer in ["conv0", "conv1", "torgb"] {
            let path = format!("synthesis.b{}.{layer}.conv_clamp", 4u64 << k);
            if let Some(value) = network.get(&path) {
                found.push((path, value.as_float()));
            }
        }
    }
    let Some((_, first)) = found.first().cloned() else {
        // A bare state dict says nothing of it: both repositories' own defaults set it.
        return Err(taking.wrong(Cause::Unsupported {
            what: "a state dict in NVIDIA's names without the network around it, which alone knows conv_clamp,"
                .to_owned(),
            remedy: "import the .pkl that the training wrote",
        }));
    };
    match found.iter().find(|(_, clamp)| *clamp != first) {
        Some((path, _)) => Err(taking.odd(path, "differs from the other layers'; one bound for all is computed here; take a network trained with one conv_clamp")),
        None => Ok(first),
    }
}

/// Networks of the same program that are computed otherwise.
fn refuse_variants(network: &Value, taking: &Taking) -> Result<(), ImportError> {
    let unsupported = |what: String, remedy| Err(taking.wrong(Cause::Unsupported { what, remedy }));
    if taking.names().any(|name| name.starts_with("mapping.embed.")) {
        let classes = network
            .get("c_dim")
            .and_then(Value::as_int)
            .map_or_else(String::new, |classes| format!(" ({classes} of them)"));
        let what = format!("a generator conditioned on class labels{classes}");
        return unsupported(what, "take an unconditional one; there is no label to give with a photograph");
    }
    if let Some(name) = taking.names().find(|name| name.ends_with(".skip.weight")) {
        return unsupported(
            format!("a generator of architecture \"resnet\" (tensor {name})"),
            "take one trained with \"skip\", the default",
        );
    }
    if !taking.contains("synthesis.b4.torgb.bias") && taking.names().any(|name| name.ends_with(".torgb.bias")) {
        return unsupported(
            "a generator of architecture \"orig\", which makes colours at its last resolution alone,".to_owned(),
            "take one trained with \"skip\", the default",
        );
    }
    for layer in ["mapping.fc0", "synthesis.b4.conv1"] {
        let activation = network.get(&format!("{layer}.activation")).and_then(Value::as_text).unwrap_or("lrelu");
        if activation != "lrelu" {
            return unsupported(
                format!("the activation \"{activation}\" in {layer}"),
                "take a network trained with \"lrelu\", the default",
            );
        }
    }
    refuse_multiplier(network, taking)
}

/// Refuses a mapping network whose stored weights are to be multiplied by something else than is computed.
pub(super) fn refuse_multiplier(network: &Value, taking: &Taking) -> Result<(), ImportError> {
    let gain = network.get("mapping.fc0.bias_gain").and_then(Value::as_float);
    match gain.filter(|gain| (gain - 0.01).abs() > 1e-6) {
        None => Ok(()),
        Some(gain) => Err(taking.odd(
            "mapping.fc0.bias_gain",
            format!(
                "is {gain}: a learning rate multiplier of 0.01 is computed here; take a network trained with the default \
                 lr_multiplier"
            ),
        )),
    }
}
