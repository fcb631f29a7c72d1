//! Reads the files of `make_goldens.py`: the network's weights and what the Python reference made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use networks::Weights;
use tch::{Device, Kind, Tensor};

/// Largest relative error allowed, `max|ours - reference| / max|reference|`.
///
/// The reference computes in double precision, so the difference is the rounding of our single precision: half a unit
/// of 2^-24 per operation, over sums of up to about 2,600 products in some 20 layers one after another, which random
/// signs bring to 1e-6, and gradients, which pass the layers twice, to some 1e-5. That leaves room for other CPUs and
/// thread counts, which sum in another order, while any wrong constant, border or order of operations shows at 1e-2
/// and above.
pub const TOLERANCE: f64 = 1e-4;

pub struct Golden {
    pub weights: Vec<(String, Tensor)>,
    values: BTreeMap<String, Tensor>,
}

impl Golden {
    pub fn read(name: &str) -> Golden {
        // One thread per test: the tests themselves run side by side.
        tch::set_num_threads(1);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(format!("{name}.safetensors"));
        let mut golden = Golden { weights: Vec::new(), values: BTreeMap::new() };
        for (name, tensor) in Tensor::read_safetensors(path).unwrap() {
            match name.split_once('/').unwrap() {
                ("weights", name) => golden.weights.push((name.to_owned(), tensor)),
                (_, name) => drop(golden.values.insert(name.to_owned(), tensor)),
            }
        }
        golden
    }

    /// The network's weights, to be loaded in `kind`.
    pub fn weights_as(&self, kind: Kind) -> Weights {
        let copies = self.weights.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        Weights::from_tensors("tiny network", copies, Device::Cpu, kind).unwrap()
    }

    pub fn get(&self, name: &str) -> &Tensor {
        self.values.get(name).unwrap_or_else(|| panic!("no golden value {name}"))
    }

    /// The values below `prefix`, by the rest of their names.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.values.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
    }
}

/// `max|ours - reference| / max|reference|`.
pub fn relative_error(ours: &Tensor, reference: &Tensor) -> f64 {
    assert_eq!(ours.size(), reference.size());
    let (ours, reference) = (ours.to_kind(Kind::Double), reference.to_kind(Kind::Double));
    let scale = reference.abs().max().double_value(&[]);
    assert!(scale > 0.0, "an all-zero reference tests nothing");
    (ours - reference).abs().max().double_value(&[]) / scale
}

/// Prints the error (`cargo test -- --nocapture` shows it) and fails beyond [`TOLERANCE`].
#[expect(clippy::print_stdout, reason = "the measured error is what a reader of the test run wants")]
pub fn check(what: &str, ours: &Tensor, reference: &Tensor) {
    let error = relative_error(ours, reference);
    println!("{what}: max relative error {error:.1e}");
    assert!(error <= TOLERANCE, "{what}: max relative error {error:.3e}");
}

/// A copy that gradients are wanted for.
pub fn leaf(tensor: &Tensor) -> Tensor {
    tensor.copy().set_requires_grad(true)
}

/// The gradient of `sum(output * probe)`, summed over the outputs, with respect to `source`.
pub fn gradient<'a>(outputs: impl IntoIterator<Item = (&'a Tensor, &'a Tensor)>, source: &Tensor) -> Tensor {
    let losses: Vec<Tensor> = outputs.into_iter().map(|(output, probe)| (output * probe).sum(None)).collect();
    let loss = Tensor::stack(&losses, 0).sum(None);
    Tensor::run_backward(&[loss], &[source], false, false).remove(0)
}

/// The folder of the demo pack's weights.
pub fn demo_pack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/pack")
}
