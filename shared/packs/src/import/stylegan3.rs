//! StyleGAN3, configurations T and R. The pack keeps NVIDIA's names; what the names do not tell is in the network's attributes.

use super::error::{Cause, ImportError};
use super::generator::Generator;
use super::nvidia;
use super::taking::Taking;
use crate::checkpoint::Value;
use crate::manifest::{GeneratorArchitecture, StyleGan3Settings};

pub(super) fn import(network: &Value, mut taking: Taking) -> Result<Generator, ImportError> {
    if taking.names().any(|name| name.starts_with("mapping.embed.")) {
        return Err(taking.wrong(Cause::Unsupported {
            what: "a generator conditioned on class labels".to_owned(),
            remedy: "take an unconditional one; there is no label to give with a photograph",
        }));
    }
    nvidia::refuse_multiplier(network, &taking)?;
    let known = |key: &str| network.get(&format!("synthesis.{key}"));
    let number =
        |key: &str| known(key).and_then(Value::as_float).ok_or_else(|| taking.missing(&format!("synthesis.{key}")));
    let natural = |key: &str| {
        let number = known(key).and_then(Value::as_int).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| taking.missing(&format!("synthesis.{key}")))
    };
    let given = |key: &str| {
        let places = [format!("synthesis._init_kwargs.{key}"), format!("_init_kwargs.{key}")];
        places.iter().find_map(|place| network.get(place)).and_then(Value::as_float)
    };
    let init = |key: &str, default: f64| given(key).unwrap_or(default);
    let settings = StyleGan3Settings {
        num_critical: natural("num_critical")?,
        // These four are arguments that the network computes with and does not keep, but for those given at its making.
        first_cutoff: init("first_cutoff", 2.0),
        first_stopband: init("first_stopband", 2f64.powf(2.1)),
        last_stopband_rel: init("last_stopband_rel", 2f64.powf(0.3)),
        margin_size: natural("margin_size")?,
        output_scale: number("output_scale")?,
    };
    let resolution = natural("img_resolution")?;
    let last = taking.names().filter_map(|name| {
        // Not the bias of the layer's own affine map.
        let layer = name.strip_prefix("synthesis.L")?.strip_suffix(".bias").filter(|layer| !layer.contains('.'))?;
        Some((layer.split('_').next()?.parse::<usize>().ok()?, layer.to_owned()))
    });
    let Some((count, last)) = last.max() else { return Err(taking.missing("synthesis.L0_….bias")) };
    let conv_clamp = network.get(&format!("synthesis.L{last}.conv_clamp"));
    let conv_clamp = conv_clamp.ok_or_else(|| taking.missing(&format!("synthesis.L{last}.conv_clamp")))?.as_float();
    let w_dim = taking.shape("mapping.w_avg")?.iter().product();
    taking.copy_rest()?;
    Ok(Generator {
        pieces: taking.finish()?,
        architecture: GeneratorArchitecture::StyleGan3,
        conv_clamp,
        stylegan3: Some(settings),
        resolution,
        w_dim,
        latents: count + 2,
        family: "nvidia-stylegan3",
        notes: Vec::new(),
    })
}
