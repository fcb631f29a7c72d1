//! The sizes of a mapper, and its parameters by name.

use crate::engine::Engine;
use crate::error::EditError;
use crate::rng::{RngKey, normals, unit};
use crate::text::EditText;
use domain::edit::{Layers, MapperNetwork, Method, PixelNormAxis};
use networks::error::LoadError;
use networks::weights::Weights;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tch::{Device, TchError, Tensor};

/// The learning-rate factor of the published network's layers.
pub(super) const RATE_FACTOR: f64 = 0.01;
/// The groups' names in released checkpoints (the first is spelt so there).
const RELEASED: [&str; 3] = ["course", "medium", "fine"];

/// The layers of W+ that share one network: coarse 0 to 3; medium 4 to 7, or 4 and 5 where there are fewer than 14
/// layers; fine the rest. Empty groups are left out.
pub fn groups(n_latent: i64) -> Vec<Range<i64>> {
    let medium_end = if n_latent >= 14 { 8 } else { 6 };
    between(&[0, 4, medium_end, n_latent])
}

/// The ranges between bounds, of which the last is the highest.
fn between(bounds: &[i64]) -> Vec<Range<i64>> {
    let last = bounds.last().copied().unwrap_or(0);
    bounds.windows(2).map(|pair| pair[0].min(last)..pair[1].min(last)).filter(|group| !group.is_empty()).collect()
}

/// How the layers of W+ are shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partition {
    /// By [`groups`].
    #[default]
    BySize,
    /// As the released code does at every size: 0 to 3, 4 to 7, the rest.
    Released,
    /// One network for all layers (StyleCLIP's `SingleMapper`).
    Whole,
}

impl Partition {
    fn is_by_size(&self) -> bool {
        *self == Self::BySize
    }

    fn groups(self, n_latent: i64) -> Vec<Range<i64>> {
        match self {
            Self::BySize => groups(n_latent),
            Self::Released => between(&[0, 4, 8, n_latent]),
            Self::Whole => between(&[0, n_latent]),
        }
    }
}

/// The sizes and switches of a mapper.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Which network.
    pub network: MapperNetwork,
    /// What PixelNorm averages over.
    pub pixel_norm: PixelNormAxis,
    /// Layers of W+.
    pub n_latent: i64,
    /// Size of one latent, and of every hidden layer.
    pub w_dim: i64,
    /// Width of the text feature it is told; none if it is told no text.
    pub text_dim: Option<i64>,
    /// Hidden layers per group; one more follows. The published text mappers have as many.
    pub depth: u32,
    /// Which groups have a network. The others change nothing.
    pub groups: Layers,
    /// First and last layer of W+ that may change; all when absent.
    pub layers: Option<[u32; 2]>,
    /// Which layers share a network.
    #[serde(default, skip_serializing_if = "Partition::is_by_size")]
    pub partition: Partition,
}

/// One parameter.
struct Parameter {
    name: String,
    shape: Vec<i64>,
    start: Start,
}

/// How a parameter begins.
#[derive(Clone, Copy)]
enum Start {
    /// Uniform in ± this.
    Uniform(f64),
    /// Gaussian of this standard deviation.
    Normal(f32),
    /// At zero.
    Zero,
}

impl Shape {
    /// The mapper of a method for this pack and text.
    ///
    /// # Errors
    /// When the method has no mapper, or a range of layers beyond the generator's.
    pub fn of(engine: &Engine, method: &Method, text: &EditText) -> Result<Self, EditError> {
        let Some(course) = method.training() else {
            return Err(EditError::Input {
                what: format!("{} has no mapper: it optimises every image", method.name()),
            });
        };
        let layers = method.guards().layers;
        crate::per_image::open_layers(engine, layers)?;
        Ok(Self {
            network: course.network,
            pixel_norm: method.numerics().pixel_norm,
            n_latent: engine.n_latent(),
            w_dim: engine.w_dim(),
            text_dim: method.tells_text().then(|| text.mapper_input.size()[0]),
            depth: course.depth,
            groups: course.groups,
            layers,
            partition: Partition::BySize,
        })
    }

    /// The groups with their place among coarse, medium and fine, and whether they are switched on.
    pub(super) fn switched(&self) -> impl Iterator<Item = (usize, Range<i64>, bool)> {
        let on = [self.groups.coarse, self.groups.medium, self.groups.fine];
        self.partition
            .groups(self.n_latent)
            .into_iter()
            .enumerate()
            .map(move |(index, layers)| (index, layers, on[index]))
    }

    /// Names and shapes of all parameters, each layer with `.weight` and `.bias`, in the order in which they are given.
    ///
    /// Compact: `tproj.{0,2}`, `fuse.<group>`, `maps.<group>.{1,3,..,2 depth + 1}`. Published: the names of released
    /// checkpoints, `text_mapper.mapper_<layer>.mapping.{1,..,depth + 1}`, `mapper.fc`,
    /// `mapper.{course,medium,fine}_mapping.mapping.{1,..,depth + 1}`. Of groups that are switched off there is nothing, nor of
    /// the text mappers of their layers, which could learn nothing.
    pub fn parameters(&self) -> Vec<(String, Vec<i64>)> {
        self.all().into_iter().map(|Parameter { name, shape, .. }| (name, shape)).collect()
    }

    fn all(&self) -> Vec<Parameter> {
        match self.network {
            MapperNetwork::Compact => self.compact(),
            MapperNetwork::Published => self.published(),
        }
    }

    fn compact(&self) -> Vec<Parameter> {
        let w = self.w_dim;
        let mut layers = Vec::new();
        if let Some(text) = self.text_dim {
            layers.extend([("tproj.0".to_owned(), text), ("tproj.2".to_owned(), w)]);
        }
        for (group, _, _) in self.switched().filter(|(_, _, on)| *on) {
            layers.push((format!("fuse.{group}"), if self.text_dim.is_some() { 2 * w } else { w }));
            layers.extend((0..=self.depth).map(|layer| (format!("maps.{group}.{}", 2 * layer + 1), w)));
        }
        // PyTorch's default for linear layers: a bias has its weight's range.
        let range = |inputs: i64| Start::Uniform(1.0 / (inputs as f64).sqrt());
        layers.into_iter().flat_map(|(name, inputs)| pair(&name, [w, inputs], [range(inputs); 2])).collect()
    }

    fn published(&self) -> Vec<Parameter> {
        let w = self.w_dim;
        let mut layers = Vec::new();
        let on: Vec<_> = self.switched().filter(|(_, _, on)| *on).collect();
        if let Some(text) = self.text_dim {
            for layer in on.iter().flat_map(|(_, layers, _)| layers.clone()) {
                let name = |k| format!("text_mapper.mapper_{layer}.mapping.{k}");
                layers.extend((1..=self.depth + 1).map(|k| (name(k), if k == 1 { text } else { w })));
            }
            layers.push(("mapper.fc".to_owned(), 2 * w));
        }
        for (group, _, _) in on {
            let name = |k| format!("mapper.{}_mapping.mapping.{k}", RELEASED[group]);
            layers.extend((1..=self.depth + 1).map(|k| (name(k), w)));
        }
        let starts = [Start::Normal(1.0 / RATE_FACTOR as f32), Start::Zero];
        layers.into_iter().flat_map(|(name, inputs)| pair(&name, [w, inputs], starts)).collect()
    }

    /// Takes the parameters out of a file, each name preceded by `prefix`.
    ///
    /// # Errors
    /// Names the tensor that is missing or of another shape.
    pub fn take(&self, weights: &mut Weights, prefix: &str) -> Result<Vec<Tensor>, LoadError> {
        let named = self.parameters().into_iter();
        named.map(|(name, shape)| weights.take(&format!("{prefix}{name}"), &shape)).collect()
    }

    /// Fresh values for [`Shape::parameters`] from the item's own random numbers: for the compact network uniform in
    /// `±1 / sqrt(inputs)` (PyTorch's default for linear layers), for the published one Gaussian weights of standard deviation
    /// 100 and biases of zero (rosinality's `EqualLinear`).
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn initial(&self, key: &RngKey, device: Device) -> Result<Vec<Tensor>, TchError> {
        let fresh = |(index, Parameter { shape, start, .. }): (usize, Parameter)| {
            let mut rng = key.at(index as u64);
            // Safe: a product of sizes.
            let count = shape.iter().product::<i64>() as usize;
            let values = match start {
                Start::Uniform(bound) => (0..count).map(|_| ((2.0 * unit(&mut rng) - 1.0) * bound) as f32).collect(),
                Start::Normal(deviation) => {
                    normals(&mut rng, count).into_iter().map(|value| value * deviation).collect()
                }
                Start::Zero => vec![0.0; count],
            };
            Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?.f_to_device(device)
        };
        self.all().into_iter().enumerate().map(fresh).collect()
    }
}

fn pair(name: &str, shape: [i64; 2], [weight, bias]: [Start; 2]) -> [Parameter; 2] {
    let parameter =
        |part, shape: &[i64], start| Parameter { name: format!("{name}.{part}"), shape: shape.into(), start };
    [parameter("weight", &shape, weight), parameter("bias", &shape[..1], bias)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Digest;

    const COMPACT: Shape = Shape {
        network: MapperNetwork::Compact,
        pixel_norm: PixelNormAxis::Channels,
        n_latent: 10,
        w_dim: 128,
        text_dim: Some(128),
        depth: 4,
        groups: Layers { coarse: true, medium: true, fine: true },
        layers: None,
        partition: Partition::BySize,
    };

    fn names(shape: Shape) -> Vec<String> {
        shape.parameters().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn groups_follow_the_number_of_layers() {
        assert_eq!(groups(10), [0..4, 4..6, 6..10]);
        assert_eq!(groups(18), [0..4, 4..8, 8..18]);
        assert_eq!(groups(6), [0..4, 4..6]);
    }

    #[test]
    fn the_compact_network_has_one_text_network() {
        let parameters = COMPACT.parameters();
        assert_eq!(parameters.len(), 2 * (2 + 3 * 6));
        assert_eq!(parameters[4], ("fuse.0.weight".to_owned(), vec![128, 256]));
        assert_eq!(parameters.last().unwrap(), &("maps.2.9.bias".to_owned(), vec![128]));
        let untold = Shape { text_dim: None, groups: Layers { medium: false, ..COMPACT.groups }, ..COMPACT };
        assert_eq!(untold.parameters()[0], ("fuse.0.weight".to_owned(), vec![128, 128]));
        assert_eq!(names(untold).iter().filter(|name| name.contains(".1.")).count(), 4);
    }

    /// 22,587,904 parameters at 1024 px and 20,486,656 at 512 px, as the released code has.
    #[test]
    fn the_published_network_has_its_size_and_names() {
        let at = |n_latent| Shape {
            network: MapperNetwork::Published,
            n_latent,
            w_dim: 512,
            text_dim: Some(512),
            depth: 3,
            ..COMPACT
        };
        let count = |shape: Shape| shape.parameters().iter().map(|(_, s)| s.iter().product::<i64>()).sum::<i64>();
        assert_eq!([count(at(18)), count(at(16))], [22_587_904, 20_486_656]);
        let all = names(at(18));
        assert_eq!(all.len(), 2 * (18 * 4 + 1 + 3 * 4));
        for name in
            ["text_mapper.mapper_17.mapping.4.bias", "mapper.fc.weight", "mapper.course_mapping.mapping.1.weight"]
        {
            assert!(all.contains(&name.to_owned()), "{name}");
        }
        let fine_off = Shape { groups: Layers { fine: false, ..COMPACT.groups }, ..at(18) };
        assert!(names(fine_off).iter().all(|name| !name.contains("fine") && !name.contains("mapper_8.")));
        let untold = Shape { text_dim: None, ..at(18) };
        assert!(names(untold).iter().all(|name| name.contains("_mapping")));
    }

    #[test]
    fn published_weights_begin_gaussian_and_large() {
        let shape = Shape { network: MapperNetwork::Published, ..COMPACT };
        let key = RngKey::new("test", &Digest::of(b""), &Digest::of(b""), 0);
        let first = &shape.initial(&key, Device::Cpu).unwrap()[0];
        let (mean, deviation) = (first.mean(None).double_value(&[]), first.std(true).double_value(&[]));
        assert!(mean.abs() < 3.0 && (deviation - 100.0).abs() < 2.0, "{mean} {deviation}");
        let tails = first.abs().ge(196.0).to_kind(tch::Kind::Float).mean(None).double_value(&[]);
        assert!((tails - 0.05).abs() < 0.01, "{tails}");
    }
}
