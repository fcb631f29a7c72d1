//! StyleGAN2 of NVIDIA's TensorFlow programs (stylegan2 and stylegan2-ada, `stylegan2-ffhq-config-f.pkl`): three networks, each a
//! list of named numpy arrays and its parts.
//!
//! What becomes of which variable is `convert_tf_generator` in `legacy.py` of stylegan2-ada-pytorch: matrices are transposed, filters
//! go from `[k, k, in, out]` to `[out, in, k, k]` (turned by 180 degrees where they double the image), and the 1 that is added to
//! every style is part of its bias.

use super::error::{Cause, ImportError};
use super::generator::Generator;
use super::taking::{Change, Taking};
use crate::checkpoint::{Checkpoint, Object, Tensor, Value};
use crate::manifest::GeneratorArchitecture;
use std::collections::BTreeMap;

/// The class of all three.
const CLASS: &str = "dnnlib.tflib.network.Network";
/// Earlier ones are StyleGAN's of 2018 and Progressive GAN's.
const VERSION: i128 = 4;
/// Arguments that change nothing of what is computed here, or that the tensors show.
const SHOWN: [&str; 16] = [
    "latent_size",
    "dlatent_size",
    "resolution",
    "mapping_layers",
    "mapping_fmaps",
    "label_fmaps",
    "fmap_base",
    "fmap_max",
    "fmap_min",
    "fmap_decay",
    "num_fp16_res",
    "w_avg_beta",
    "truncation_psi",
    "truncation_cutoff",
    "style_mixing_prob",
    "use_noise",
];

/// The averaged generator, last of the three; `None` where the checkpoint is none of TensorFlow's.
pub(super) fn find(checkpoint: &Checkpoint) -> Option<&Object> {
    let network = |value: &Value| value.as_object().is_some_and(|network| network.class == CLASS);
    let networks = checkpoint.root.items();
    (!networks.is_empty() && networks.iter().all(network)).then(|| networks.last()?.as_object()).flatten()
}

pub(super) fn import(checkpoint: &Checkpoint, network: &Object) -> Result<Generator, ImportError> {
    let mut tensors = BTreeMap::new();
    collect(network, "", 0, &mut tensors);
    let mut taking = Taking::named(checkpoint, tensors);
    let version = network.state.child("version").and_then(Value::as_int).unwrap_or(0);
    if version < VERSION {
        return Err(taking.wrong(Cause::Unsupported {
            what: format!(
                "a network of version {version} of TensorFlow's dnnlib, as Progressive GAN and the first StyleGAN had,"
            ),
            remedy: "take a StyleGAN2 or StyleGAN3",
        }));
    }
    let conv_clamp = settings(network, &taking)?;
    taking.leave(|name| name == "lod");

    let mut notes = vec!["converted from TensorFlow's layout".to_owned()];
    for i in (0..).take_while(|i| taking.contains(&format!("mapping/Dense{i}/weight"))).collect::<Vec<_>>() {
        matrix(&mut taking, &format!("mapping/Dense{i}/weight"), &format!("style.{}.weight", i + 1))?;
        taking.copy(&format!("mapping/Dense{i}/bias"), &format!("style.{}.bias", i + 1))?;
    }
    constant(&mut taking)?;
    layer(&mut taking, "4x4/Conv", "conv1", 0)?;
    to_rgb(&mut taking, "4x4", "to_rgb1")?;
    let doublings =
        (0..10).take_while(|k| taking.contains(&format!("synthesis/{0}x{0}/ToRGB/bias", 8u32 << k))).count();
    for k in 0..doublings {
        let block = format!("{0}x{0}", 8u32 << k);
        layer(&mut taking, &format!("{block}/Conv0_up"), &format!("convs.{}", 2 * k), 2 * k + 1)?;
        layer(&mut taking, &format!("{block}/Conv1"), &format!("convs.{}", 2 * k + 1), 2 * k + 2)?;
        to_rgb(&mut taking, &block, &format!("to_rgbs.{k}"))?;
    }
    let w_dim = taking.taken_shape("conv1.conv.modulation.weight").and_then(|shape| shape.get(1)).copied().unwrap_or(0);
    if taking.contains("dlatent_avg") {
        taking.copy("dlatent_avg", "latent_avg")?;
    } else {
        notes.push("the checkpoint has no mean latent: zero stands for it".to_owned());
        taking.make("latent_avg", &[w_dim], vec![0.0; w_dim])?;
    }
    Ok(Generator {
        pieces: taking.finish()?,
        architecture: GeneratorArchitecture::StyleGan2,
        conv_clamp,
        stylegan3: None,
        resolution: 4 << doublings,
        w_dim,
        latents: 2 * doublings + 2,
        family: "nvidia-tensorflow",
        notes,
    })
}

/// All variables by the path of their parts. Parts cannot hold each other, and values nest no deeper than the reader allows.
fn collect(network: &Object, before: &str, depth: usize, into: &mut BTreeMap<String, Tensor>) {
    for variable in network.state.child("variables").map(Value::items).unwrap_or_default() {
        if let [Value::Text(name), Value::Tensor(tensor)] = variable.items() {
            into.insert(format!("{before}{name}"), tensor.clone());
        }
    }
    if depth > 2 {
        return;
    }
    for (name, part) in network.state.child("components").map(Value::entries).unwrap_or_default() {
        if let (Some(name), Some(part)) = (name.as_text(), part.as_object()) {
            collect(part, &format!("{before}{name}/"), depth + 1, into);
        }
    }
}

/// The bound on activations; refuses what is computed otherwise.
fn settings(network: &Object, taking: &Taking) -> Result<Option<f64>, ImportError> {
    let unsupported = |what: String, remedy| Err(taking.wrong(Cause::Unsupported { what, remedy }));
    const USUAL: &str = "take a network trained with the default";
    let mut clamp = None;
    for (key, value) in network.state.child("static_kwargs").map(Value::entries).unwrap_or_default() {
        let Some(key) = key.as_text() else { continue };
        let usual = match key {
            _ if SHOWN.contains(&key) => true,
            "conv_clamp" => {
                clamp = value.as_float();
                true
            }
            "num_channels" => value.as_int() == Some(3),
            "label_size" => value.as_int() == Some(0),
            "architecture" => value.as_text() == Some("skip"),
            "nonlinearity" | "mapping_nonlinearity" => value.as_text() == Some("lrelu"),
            "mapping_lrmul" => value.as_float().is_some_and(|factor| (factor - 0.01).abs() < 1e-9),
            "resample_kernel" => {
                value.items().iter().map(Value::as_float).eq([1.0, 3.0, 3.0, 1.0].map(Some))
                    || matches!(value, Value::None)
            }
            "structure" => true,
            _ => false,
        };
        if !usual {
            return unsupported(format!("a StyleGAN2 of TensorFlow made with {key} = {value:?}"), USUAL);
        }
    }
    if let Some(name) = taking.names().find(|name| name.contains("/ToRGB_lod") || name.ends_with("/Skip/weight")) {
        return unsupported(format!("a generator of another architecture than \"skip\" (variable {name})"), USUAL);
    }
    if let Some(name) = taking.names().find(|name| name.contains("LabelEmbed") || name.contains("LabelConcat")) {
        return unsupported(
            format!("a generator conditioned on class labels (variable {name})"),
            "take an unconditional one; there is no label to give with a photograph",
        );
    }
    Ok(clamp)
}

fn matrix(taking: &mut Taking, from: &str, to: &str) -> Result<(), ImportError> {
    taking.take(from, to, Change::Transpose, |shape| if let &[a, b] = shape { Some(vec![b, a]) } else { None })
}

fn filters(taking: &mut Taking, from: &str, to: &str, turned: bool) -> Result<(), ImportError> {
    taking.take(from, to, Change::Filters { turned }, |shape| match *shape {
        [height, width, inputs, outputs] => Some(vec![1, outputs, inputs, height, width]),
        _ => None,
    })
}

fn constant(taking: &mut Taking) -> Result<(), ImportError> {
    taking.copy("synthesis/4x4/Const/const", "input.input")
}

/// A styled convolution's modulation, which is the same in all of them.
fn modulation(taking: &mut Taking, from: &str, to: &str) -> Result<(), ImportError> {
    matrix(taking, &format!("{from}/mod_weight"), &format!("{to}.conv.modulation.weight"))?;
    let bias = format!("{to}.conv.modulation.bias");
    taking.take(&format!("{from}/mod_bias"), &bias, Change::PlusOne, |shape| Some(shape.to_vec()))
}

fn layer(taking: &mut Taking, from: &str, to: &str, noise: usize) -> Result<(), ImportError> {
    let (turned, from) = (from.ends_with("_up"), format!("synthesis/{from}"));
    filters(taking, &format!("{from}/weight"), &format!("{to}.conv.weight"), turned)?;
    modulation(taking, &from, to)?;
    taking.copy(&format!("{from}/bias"), &format!("{to}.activate.bias"))?;
    let strength = format!("{from}/noise_strength");
    if taking.contains(&strength) {
        taking.take(&strength, &format!("{to}.noise.weight"), Change::Copy, |_| Some(vec![1]))?;
        return taking.copy(&format!("synthesis/noise{noise}"), &format!("noises.noise_{noise}"));
    }
    // Trained with `use_noise = False`.
    taking.leave(|name| name == format!("synthesis/noise{noise}"));
    taking.make(&format!("{to}.noise.weight"), &[1], vec![0.0])
}

fn to_rgb(taking: &mut Taking, block: &str, to: &str) -> Result<(), ImportError> {
    let from = format!("synthesis/{block}/ToRGB");
    if taking.shape(&format!("{from}/bias"))? != [3] {
        return Err(taking.odd(&format!("{from}/bias"), "is not for three colours; take one of RGB images"));
    }
    filters(taking, &format!("{from}/weight"), &format!("{to}.conv.weight"), false)?;
    modulation(taking, &from, to)?;
    taking.take(&format!("{from}/bias"), &format!("{to}.bias"), Change::Copy, |_| Some(vec![1, 3, 1, 1]))
}
