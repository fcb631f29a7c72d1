//! Files and settings that must be refused, and what the error must name. Each test spoils one thing.

use networks::LoadError;
use networks::stylegan2::GeneratorConfig;
use networks::stylegan3::{Config, Generator};
use tch::{Kind, Tensor};

use crate::formula::{fill, tensors, weights};
use crate::stylegan3::{R, T, changed, config};

fn renamed(from: &str, to: &str) -> Result<(), LoadError> {
    let rename = |tensors: &mut Vec<(String, Tensor)>| {
        let mut any = false;
        for (name, _) in tensors.iter_mut().filter(|(name, _)| name.contains(from)) {
            *name = name.replace(from, to);
            any = true;
        }
        assert!(any, "no tensor named {from}");
    };
    changed(T, config(T), rename).map(drop)
}

#[test]
fn every_tensor_is_needed_and_has_one_shape() {
    for case in [T, R] {
        for (name, tensor) in tensors(case, Kind::Float) {
            let error = changed(case, config(case), |tensors| tensors.retain(|(found, _)| *found != name)).unwrap_err();
            // A gap in the numbering of the mapping leaves the layers after it unclaimed.
            let told = match &error {
                LoadError::Missing { tensor, .. } => *tensor == name,
                LoadError::Surplus { .. } | LoadError::Shape { .. } => name.starts_with("mapping.fc"),
                _ => false,
            };
            assert!(told, "without {name}: {error}");
            let wider = match tensor.dim() {
                0 => tensor.view([1]),
                _ => Tensor::cat(&[&tensor, &tensor.narrow(0, 0, 1)], 0),
            };
            let spoilt = changed(case, config(case), |tensors| {
                tensors.iter_mut().find(|(found, _)| *found == name).unwrap().1 = wider;
            });
            assert!(matches!(&spoilt, Err(LoadError::Shape { .. })), "{name}: {:?}", spoilt.err());
        }
    }
}

#[test]
fn surplus_tensors_are_named() {
    for surplus in
        ["discriminator.weight", "synthesis.L3_36_7.noise_strength", "synthesis.L3_36_9.bias", "synthesis.Lx"]
    {
        let error = changed(T, config(T), |tensors| {
            tensors.push((surplus.to_owned(), fill(surplus, &[7], 1.0).to_kind(Kind::Float)));
        });
        assert!(matches!(&error, Err(LoadError::Surplus { tensors, .. }) if tensors == &[surplus]), "{error:?}");
    }
}

#[test]
fn a_layer_is_what_its_name_says() {
    // Channels: the tensor under the name has others.
    let error = renamed("L4_36_6", "L4_36_5").unwrap_err();
    assert!(matches!(&error, LoadError::Shape { tensor, .. } if tensor == "synthesis.L4_36_5.weight"), "{error}");
    // Size: not the one the settings give.
    let error = renamed("L4_36_6", "L4_52_6").unwrap_err().to_string();
    assert!(
        error.contains("synthesis.L4_52_6.weight") && error.contains("52 px") && error.contains("36 px"),
        "{error}"
    );
    // A number is missing, or there is no telling which.
    let error = renamed("L4_36_6", "L40_36_6").unwrap_err();
    assert!(matches!(&error, LoadError::Missing { tensor, .. } if tensor.starts_with("synthesis.L4_")), "{error}");
    for spelling in ["L04_36_6", "L4_+36_6", "L4_36", "L4_36_6_1", "L4_36_99999999999999999999", "L4_-36_6", "L4_36_0"]
    {
        let error = renamed("L4_36_6", spelling).unwrap_err();
        assert!(matches!(&error, LoadError::Missing { .. }), "{spelling}: {error}");
    }
    // The last layer gives the size of the image, and draws three colours.
    for (to, told) in [("L14_33_3", "power of two"), ("L14_65536_3", "power of two"), ("L14_32_4", "RGB")] {
        let error = renamed("L14_32_3", to).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert!(matches!(renamed("L14_32_3", "L14_64_3"), Err(LoadError::Value { .. })), "the layers are of 32 px");
}

#[test]
fn an_impossible_value_is_refused() {
    for name in ["synthesis.L4_36_6.magnitude_ema", "synthesis.L14_32_3.magnitude_ema"] {
        for value in [0.0, -1.0] {
            let error = changed(T, config(T), |tensors| {
                let (_, magnitude) = tensors.iter_mut().find(|(found, _)| found == name).unwrap();
                *magnitude = magnitude.zeros_like() + value;
            });
            assert!(matches!(&error, Err(LoadError::Value { tensor, .. }) if tensor == name), "{error:?}");
        }
    }
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let default = Config::default();
    for (setting, config) in [
        ("num_critical", Config { num_critical: 0, ..default }),
        ("num_critical", Config { num_critical: 14, ..default }),
        ("first_cutoff", Config { first_cutoff: 0.0, ..default }),
        ("first_cutoff", Config { first_cutoff: 9.0, ..default }),
        ("first_cutoff", Config { first_cutoff: f64::NAN, ..default }),
        ("first_stopband", Config { first_stopband: -1.0, ..default }),
        ("last_stopband_rel", Config { last_stopband_rel: f64::INFINITY, ..default }),
        ("margin_size", Config { margin_size: -1, ..default }),
        ("margin_size", Config { margin_size: i64::MAX, ..default }),
        ("output_scale", Config { output_scale: 0.0, ..default }),
        ("conv_clamp", Config { conv_clamp: Some(0.0), ..default }),
    ] {
        let error = changed(T, config, |_| ()).unwrap_err();
        assert!(matches!(&error, LoadError::Setting { setting: found, .. } if *found == setting), "{setting}: {error}");
    }
    // Settings of another network give other sizes than the names say, or other filters.
    for config in [Config { margin_size: 8, ..default }, Config { first_stopband: 9.0, ..default }] {
        let error = changed(T, config, |_| ()).unwrap_err();
        assert!(matches!(&error, LoadError::Value { .. }), "{error}");
    }
    let half = Generator::load(weights(tensors(T, Kind::Float), Kind::Half).unwrap(), default).unwrap_err();
    assert!(matches!(&half, LoadError::Setting { setting: "kind", .. }), "{half}");
    for bound in [0.0, -256.0, f64::NAN, f64::INFINITY] {
        let weights = weights(tensors("stylegan2-ada", Kind::Float), Kind::Float).unwrap();
        let config = GeneratorConfig { conv_clamp: Some(bound) };
        let error = networks::stylegan2::Generator::load_with(weights, config).unwrap_err();
        assert!(matches!(&error, LoadError::Setting { setting: "conv_clamp", .. }), "{error}");
    }
}

/// The embedding of a label is refused by its name, in StyleGAN3's naming and in what StyleGAN2's becomes.
#[test]
fn a_conditional_generator_is_refused() {
    for name in ["mapping.embed.weight", "mapping.embed.bias", "embed.weight", "style.embed.weight"] {
        let embedding = || (name.to_owned(), fill(name, &[12, 10], 1.0).to_kind(Kind::Float));
        let of_3 = changed(T, config(T), |tensors| tensors.push(embedding())).unwrap_err();
        let mut all = tensors("stylegan2-ada", Kind::Float);
        all.push(embedding());
        let of_2 = networks::stylegan2::Generator::load(weights(all, Kind::Float).unwrap()).unwrap_err();
        for error in [of_2, of_3] {
            assert!(matches!(&error, LoadError::Unsupported { tensor, .. } if tensor == name), "{error}");
            assert!(error.to_string().contains("class label"), "{error}");
        }
    }
}

/// A mapping whose last layer does not end in w, or whose layers do not fit one another.
#[test]
fn a_mapping_of_other_sizes_is_refused() {
    for (name, size) in [("style.1.weight", [13, 10]), ("style.2.weight", [12, 13]), ("style.2.weight", [13, 14])] {
        let mut all = tensors("stylegan2-ada", Kind::Float);
        all.iter_mut().find(|(found, _)| found == name).unwrap().1 = fill(name, &size, 1.0).to_kind(Kind::Float);
        let error = networks::stylegan2::Generator::load(weights(all, Kind::Float).unwrap()).unwrap_err();
        assert!(matches!(&error, LoadError::Shape { .. }), "{name} {size:?}: {error}");
    }
}
