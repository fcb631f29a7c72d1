//! `worker compute` as a process: a mapper as StyleCLIP saves it against its formula, and what is refused.

use packs::Pack;
use packs::import::{MapperRequest, import_mapper};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// Of the demo pack's generator: latents, and numbers of each.
const LATENTS: i64 = 10;
const WIDTH: i64 = 128;
/// The published network's learning-rate factor, on weights and biases.
const FACTOR: f64 = 0.01;
/// First layers of the groups, and their end.
const GROUPS: [(&str, i64, i64); 3] = [("course", 0, 4), ("medium", 4, 8), ("fine", 8, LATENTS)];

type Tensors = HashMap<String, Tensor>;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/pack")
}

fn random(shape: &[i64], scale: f64) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)) * scale
}

/// StyleCLIP's LevelsMapper, with as many layers of a generator as tell its size.
fn checkpoint() -> Tensors {
    let mut tensors = Tensors::new();
    for (group, _, _) in GROUPS {
        for layer in 1..=4 {
            let name = format!("mapper.{group}_mapping.mapping.{layer}");
            tensors.insert(format!("{name}.weight"), random(&[WIDTH, WIDTH], 1.0 / FACTOR));
            tensors.insert(format!("{name}.bias"), random(&[WIDTH], 0.1 / FACTOR));
        }
    }
    (0..4).for_each(|i| drop(tensors.insert(format!("decoder.to_rgbs.{i}.bias"), random(&[1, 3, 1, 1], 1.0))));
    tensors
}

/// `w + 0.1 M(w)` as `mapper/latent_mappers.py` has it, with PixelNorm over the layers of a group.
fn edited(tensors: &Tensors, latents: &Tensor) -> Tensor {
    let groups = GROUPS.map(|(group, first, end)| {
        let x = latents.narrow(1, first, end - first);
        let mut x = &x * (x.square().mean_dim([1_i64].as_slice(), true, Kind::Double) + 1e-8).rsqrt();
        for layer in 1..=4 {
            let of = |part: &str| &tensors[&format!("mapper.{group}_mapping.mapping.{layer}.{part}")];
            let weight = of("weight").to_kind(Kind::Double) * (FACTOR / (WIDTH as f64).sqrt());
            let y = x.matmul(&weight.tr()) + of("bias").to_kind(Kind::Double) * FACTOR;
            x = y.maximum(&(&y * 0.2)) * std::f64::consts::SQRT_2;
        }
        x
    });
    latents + Tensor::cat(&groups, 1) * 0.1
}

/// What it said, and what it wrote.
fn compute(folder: &TempDir, given: &[(&str, &Tensor)], more: &[&str]) -> (Option<Tensors>, String) {
    let (inputs, out) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    Tensor::write_safetensors(given, &inputs).expect("inputs are written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CFX_")) {
        command.env_remove(name);
    }
    command.args(["compute", "--device", "cpu", "--pack"]).arg(demo()).arg("--inputs").arg(&inputs);
    let output = command.arg("--out").arg(&out).args(more).output().expect("the worker starts");
    let made = Tensor::read_safetensors(&out).ok().map(|made| made.into_iter().collect());
    assert_eq!(made.is_some(), output.status.success());
    (made, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Largest difference over largest value.
fn difference(found: &Tensor, wanted: &Tensor) -> f64 {
    ((found - wanted).abs().max() / wanted.abs().max()).double_value(&[])
}

#[test]
fn a_mapper_edits_as_its_program_does_with_its_gradient() {
    let folder = TempDir::new().expect("a folder");
    let tensors = checkpoint();
    let (from, to) = (folder.path().join("best_model.safetensors"), folder.path().join("mapper.safetensors"));
    Tensor::write_safetensors(&tensors.iter().collect::<Vec<_>>(), &from).expect("a checkpoint is written");
    let pack = Pack::open(demo()).expect("the demo pack");
    let request = MapperRequest { checkpoint: from, any_generator: true };
    let imported = import_mapper(&request, &pack, &to).expect("a mapper");
    assert_eq!((imported.method, imported.note.n_latent), ("styleclip-mapper", 10));

    let (latents, cotangent) = (random(&[2, LATENTS, WIDTH], 1.0), random(&[2, LATENTS, WIDTH], 1.0));
    let given = [("mapper.w_plus", &latents), ("mapper.cotangent", &cotangent)];
    let named = ["--mapper", to.to_str().expect("a path")];
    let (made, said) = compute(&folder, &given, &named);
    let made = made.expect(&said);
    let wide = latents.to_kind(Kind::Double).set_requires_grad(true);
    let wanted = edited(&tensors, &wide);
    let gradient = Tensor::run_backward(&[(&wanted * &cotangent).sum(Kind::Double)], &[&wide], false, false);
    assert!(difference(&wanted, &wide) > 0.01, "it moves nothing");
    for (name, wanted) in [("mapper.edited", &wanted), ("mapper.w_plus.grad", &gradient[0])] {
        let off = difference(&made[name], wanted);
        assert!(off < 1e-5, "{name}: {off}");
    }

    // What cannot be computed is told, before the place of the output is taken.
    let again = TempDir::new().expect("a folder");
    let more: [(&[&str], &str); 3] = [
        (&[], "name its file with --mapper"),
        (&["--double"], "leave --double out"),
        (&["--text", "a face with green hair"], "StyleCLIP's take none"),
    ];
    for (more, wanted) in more {
        let more = if more.is_empty() { Vec::new() } else { [&named, more].concat() };
        let (made, said) = compute(&again, &given, &more);
        assert!(made.is_none() && said.contains(wanted), "{more:?}: {said}");
    }
}
