//! Files and inputs that must be refused, and what the error must name. Each test spoils one thing.

use networks::{Encoder, EncoderArchitecture, EncoderFrame, LoadError, NetworkError};
use tch::{Device, Kind, Tensor};

use crate::formula::{fill, tensors, weights};

use EncoderArchitecture::{E4e, Psp, ResidualWPlus, RestyleE4e, RestylePsp};

/// The file with `change` made to it.
fn changed(
    file: &str,
    architecture: EncoderArchitecture,
    change: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> Result<Encoder, LoadError> {
    let mut all = tensors(file, Kind::Float);
    change(&mut all);
    Encoder::load(weights(all, Kind::Float)?, architecture).map(|(encoder, _)| encoder)
}

fn load_error(all: Vec<(String, Tensor)>, architecture: EncoderArchitecture) -> LoadError {
    match Encoder::load(weights(all, Kind::Float).unwrap(), architecture) {
        Ok(_) => panic!("the file was taken"),
        Err(error) => error,
    }
}

/// Whether `error` tells of a file without the tensor `name`.
fn tells_of_absence(error: &LoadError, name: &str) -> bool {
    match error {
        LoadError::Missing { tensor, .. } if tensor == name => true,
        // By these the loader tells one kind of trunk and of head from the other, so it asks for the other's.
        LoadError::Missing { tensor, .. } => match name {
            "conv1.weight" => tensor == "input_layer.0.weight",
            "linear.weight" => tensor == "styles.0.convs.0.weight",
            _ => false,
        },
        LoadError::Shape { .. } | LoadError::Surplus { .. } => name == "latlayer1.weight",
        _ => false,
    }
}

#[test]
fn every_tensor_is_needed_and_has_one_shape() {
    for (file, architecture) in [("pyramid", E4e), ("w", Psp), ("resnet", RestyleE4e)] {
        let all = tensors(file, Kind::Float);
        for (at, (name, tensor)) in
            all.iter().enumerate().filter(|(_, (name, _))| !name.ends_with("num_batches_tracked"))
        {
            let copy = || all.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect::<Vec<_>>();
            let mut without = copy();
            drop(without.remove(at));
            let error = load_error(without, architecture);
            assert!(tells_of_absence(&error, name), "{file} without {name}: {error}");

            // One more row of the mean latent is one more latent.
            if name == "latent_avg" {
                continue;
            }
            let mut longer = copy();
            longer[at].1 = Tensor::cat(&[tensor, &tensor.narrow(0, 0, 1)], 0);
            let error = load_error(longer, architecture);
            assert!(matches!(&error, LoadError::Shape { .. }), "{file} with a longer {name}: {error}");
        }
    }
}

/// The mean latent says how many blocks there must be.
#[test]
fn a_latent_without_a_block_is_refused() {
    for rows in [15, 17] {
        let error = changed("pyramid", Psp, |all| {
            let (_, avg) = all.iter_mut().find(|(name, _)| name == "latent_avg").unwrap();
            *avg = fill("other", &[rows, 12], 1.0).to_kind(Kind::Float);
        })
        .unwrap_err();
        let told = match &error {
            LoadError::Missing { tensor, .. } => rows == 17 && tensor == "styles.16.convs.0.weight",
            LoadError::Surplus { tensors, .. } => rows == 15 && tensors.iter().all(|t| t.starts_with("styles.15.")),
            _ => false,
        };
        assert!(told, "{rows}: {error}");
    }
}

#[test]
fn surplus_tensors_are_named() {
    for surplus in
        ["decoder.input.input", "styles.16.linear.weight", "body.x.res_layer.1.weight", "output_layer.3.bias"]
    {
        let error = changed("pyramid", Psp, |all| {
            all.push((surplus.to_owned(), fill(surplus, &[7], 1.0).to_kind(Kind::Float)));
        });
        assert!(matches!(&error, Err(LoadError::Surplus { tensors, .. }) if tensors == &[surplus]), "{error:?}");
    }
}

/// The number of colours tells a file for ReStyle from one for a single pass.
#[test]
fn a_file_is_not_taken_for_another_member_of_the_family() {
    for (file, architecture) in [("pyramid", RestylePsp), ("last", Psp), ("resnet", E4e), ("w", RestylePsp)] {
        let error = changed(file, architecture, |_| ()).unwrap_err();
        let first = if file == "resnet" { "conv1.weight" } else { "input_layer.0.weight" };
        assert!(matches!(&error, LoadError::Shape { tensor, .. } if tensor == first), "{file}: {error}");
    }
    let error = changed("w", E4e, |_| ()).unwrap_err();
    assert!(matches!(&error, LoadError::Value { tensor, .. } if tensor == "linear.weight"), "{error}");
    let error = changed("pyramid", ResidualWPlus, |_| ()).unwrap_err();
    assert!(matches!(&error, LoadError::Missing { tensor, .. } if tensor == "stem.weight"), "{error}");
}

#[test]
fn the_projects_own_encoder_reads_whole_images() {
    let all = weights(tensors("pyramid", Kind::Float), Kind::Float).unwrap();
    let error = Encoder::load_framed(all, ResidualWPlus, EncoderFrame::MiddleRows).unwrap_err();
    assert!(matches!(&error, LoadError::Setting { setting: "frame", .. }), "{error}");
}

/// A body of blocks that halve without end leaves no pixel; the file must not bring the process down.
#[test]
fn too_many_halvings_are_refused() {
    let error = changed("resnet", RestyleE4e, |all| {
        let block: Vec<_> = all
            .iter()
            .filter(|(name, _)| name.starts_with("body.3."))
            .map(|(n, t)| (n.clone(), t.shallow_clone()))
            .collect();
        all.retain(|(name, _)| !name.starts_with("body."));
        // Widths go up by two in each.
        for i in 0..70_i64 {
            for (name, tensor) in &block {
                let name = name.replace("body.3.", &format!("body.{i}."));
                let (outputs, inputs) = (8 + 2 * i, 6 + 2 * i);
                let shape: Vec<i64> = match tensor.size().as_slice() {
                    [_] => vec![outputs],
                    [_, _, side, _] if name.ends_with("conv2.weight") => vec![outputs, outputs, *side, *side],
                    [_, _, side, _] => vec![outputs, inputs, *side, *side],
                    other => other.to_vec(),
                };
                let value = if tensor.size().is_empty() {
                    tensor.shallow_clone()
                } else {
                    Tensor::ones(shape, (Kind::Float, Device::Cpu))
                };
                all.push((name, value));
            }
        }
    })
    .unwrap_err();
    assert!(matches!(&error, LoadError::Value { tensor, .. } if tensor == "body"), "{error}");
}

#[test]
fn inputs_of_another_shape_are_refused() {
    let encoder = changed("pyramid", Psp, |_| ()).unwrap();
    for shape in [&[1, 3, 255, 256][..], &[1, 6, 256, 256], &[1, 3, 192, 256], &[3, 256, 256], &[0, 3, 256, 256]] {
        let error = encoder.encode(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).unwrap_err();
        assert!(matches!(&error, NetworkError::Shape { input: "images", .. }), "{shape:?}: {error}");
    }
}

#[test]
fn restyle_wants_a_generator() {
    let encoder = changed("resnet", RestyleE4e, |_| ()).unwrap();
    let error = encoder.encode(&Tensor::zeros([1, 3, 256, 256], (Kind::Float, Device::Cpu))).unwrap_err();
    assert!(matches!(&error, NetworkError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("give it the generator"), "{error}");
}
