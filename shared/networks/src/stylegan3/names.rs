//! The layers' names, in which the original keeps their order, sizes and channels.

use std::collections::BTreeMap;

use crate::error::LoadError;
use crate::weights::Weights;

const LAYERS: &str = "synthesis.L";

/// `L{index}_{size}_{channels}`
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerName {
    index: usize,
    /// Height and width of the output, px.
    pub(super) size: i64,
    /// Channels of the output.
    pub(super) channels: i64,
}

impl LayerName {
    /// `text` is what stands between `synthesis.L` and the next dot. `None` for a number that is not written as the
    /// original writes it, so that no two spellings stand for one layer.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (index, size, channels) = (parts.next()?, parts.next()?, parts.next()?);
        let name = LayerName { index: index.parse().ok()?, size: size.parse().ok()?, channels: channels.parse().ok()? };
        let written = format!("{}_{}_{}", name.index, name.size, name.channels);
        (written == text && name.size > 0 && name.channels > 0).then_some(name)
    }

    /// The prefix of the layer's tensors.
    pub(super) fn prefix(&self) -> String {
        format!("{LAYERS}{}_{}_{}", self.index, self.size, self.channels)
    }

    /// The full name of one of the layer's tensors.
    pub(super) fn tensor(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix())
    }
}

/// The layers of a file by their numbers, at least two: one and RGB. Names that are no layer's are left, and refused as
/// surplus once all is taken; so are those of the second of two layers of one number.
pub(super) fn layer_names(weights: &Weights) -> Result<Vec<LayerName>, LoadError> {
    let mut found = BTreeMap::new();
    for name in weights.names().filter_map(|name| name.strip_prefix(LAYERS)) {
        if let Some(name) = name.split('.').next().and_then(LayerName::parse) {
            found.entry(name.index).or_insert(name);
        }
    }
    // At least two layers, and no gap: where one is, a layer of that number is missing.
    let count = found.len().max(2);
    (0..count)
        .map(|index| {
            let name = found.get(&index).copied();
            name.ok_or_else(|| weights.missing(&format!("{LAYERS}{index}_{{size}}_{{channels}}.weight")))
        })
        .collect()
}
