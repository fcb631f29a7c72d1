//! What a generator's file does not tell, and the sampling rates that follow from it.

use crate::error::LoadError;
use crate::layers::check_clamp;
use crate::weights::Weights;

/// What a generator's tensors do not tell: arguments of `SynthesisNetwork` in the original, under its names.
///
/// The defaults are those of the original, which every published network was trained with.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Config {
    /// Layers at the end, before RGB, that are critically sampled: their cutoff is half the resolution. At least 1.
    pub num_critical: usize,
    /// Cutoff frequency of the first layer, cycles per image.
    pub first_cutoff: f64,
    /// Least stopband frequency of the first layer, cycles per image.
    pub first_stopband: f64,
    /// Least stopband frequency of the last layer, relative to its cutoff.
    pub last_stopband_rel: f64,
    /// Pixels kept outside the image on each side, so that no layer sees its border.
    pub margin_size: i64,
    /// Factor on the image.
    pub output_scale: f64,
    /// Every layer's activation is cut to `[-c, c]` after its gain, before it is sampled down; RGB too.
    pub conv_clamp: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            num_critical: 2,
            first_cutoff: 2.0,
            first_stopband: 2f64.powf(2.1),
            last_stopband_rel: 2f64.powf(0.3),
            margin_size: 10,
            output_scale: 0.25,
            conv_clamp: Some(256.0),
        }
    }
}

/// The signal after one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    /// Cutoff frequency, cycles per image.
    pub(super) cutoff: f64,
    /// Samples per image, a power of two.
    pub(super) rate: i64,
    /// Samples with the margin: height and width of the layer's output.
    pub(super) size: i64,
}

/// No published network comes near it; a file that says more is damaged or meant to exhaust the machine.
const MAX_IMAGE_SIDE: i64 = 16_384;
/// As many pixels of margin as no network has.
const MAX_MARGIN: i64 = 1024;

/// The levels of a network of `count` layers, RGB included, that draws images of `resolution` px: cutoffs and least
/// stopbands in geometric progression, the lowest rate that holds each stopband (paper, section 3.2; in the original,
/// the head of `SynthesisNetwork.__init__`).
pub(super) fn plan(weights: &Weights, config: Config, resolution: i64, count: usize) -> Result<Vec<Level>, LoadError> {
    check_clamp(weights, config.conv_clamp)?;
    let positive = [
        ("first_cutoff", config.first_cutoff),
        ("first_stopband", config.first_stopband),
        ("last_stopband_rel", config.last_stopband_rel),
        ("output_scale", config.output_scale),
    ];
    for (setting, value) in positive {
        if !(value.is_finite() && value > 0.0) {
            return Err(weights.setting_error(setting, format!("is {value}, expected a positive number")));
        }
    }
    let layers = count - 1; // without RGB
    if !(1..layers).contains(&config.num_critical) {
        let reason = format!("is {}, expected 1 to {} for {layers} layers", config.num_critical, layers - 1);
        return Err(weights.setting_error("num_critical", reason));
    }
    if !(0..=MAX_MARGIN).contains(&config.margin_size) {
        let reason = format!("is {}, expected 0 to {MAX_MARGIN}", config.margin_size);
        return Err(weights.setting_error("margin_size", reason));
    }
    if resolution > MAX_IMAGE_SIDE || resolution.count_ones() != 1 {
        let reason = format!("is {resolution} px by the last layer's name, expected a power of two");
        return Err(weights.setting_error("img_resolution", format!("{reason} up to {MAX_IMAGE_SIDE}")));
    }

    let last_cutoff = resolution as f64 / 2.0;
    let last_stopband = last_cutoff * config.last_stopband_rel;
    let levels: Vec<_> = (0..count)
        .map(|i| {
            let exponent = (i as f64 / (layers - config.num_critical) as f64).min(1.0);
            let cutoff = config.first_cutoff * (last_cutoff / config.first_cutoff).powf(exponent);
            let stopband = config.first_stopband * (last_stopband / config.first_stopband).powf(exponent);
            // At least one and at most `resolution`, whatever the settings.
            let rate = (stopband * 2.0).min(resolution as f64).log2().ceil().max(0.0).exp2() as i64;
            let size = if i + 2 >= count { resolution } else { rate + 2 * config.margin_size };
            Level { cutoff, rate, size }
        })
        .collect();
    // Fourier features fade between the bandwidth and half the rate; the rates must not fall on the way up.
    if levels[0].cutoff >= levels[0].rate as f64 / 2.0 || levels.windows(2).any(|pair| pair[0].rate > pair[1].rate) {
        let reason = format!("is {}, too high for an image of {resolution} px", config.first_cutoff);
        return Err(weights.setting_error("first_cutoff", reason));
    }
    Ok(levels)
}
