//! Which CLIP a set of tensors forms, told from names and shapes alone, and whether it is whole.
//!
//! The rules are those of `build_model` in OpenAI's `model.py`, widened to the sizes of open_clip's class of the same layout. Names
//! are OpenAI's (`visual.conv1.weight`, `token_embedding.weight`, …): other layouts are renamed first.

use std::collections::BTreeMap;

/// Shapes by tensor name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Width of one attention head in OpenAI's models, and in most of open_clip's.
const HEAD_WIDTH: usize = 64;
/// The widest vision transformer with heads of that width. open_clip's wider ones (H, g, bigG, e) have 16 heads all of them.
const WIDEST_BY_RULE: usize = 1024;
const HEADS_BEYOND: usize = 16;
/// No size in a published CLIP comes near it; products of a few such sizes cannot overflow.
const MAX_SIZE: usize = 1 << 24;

/// The sizes of a CLIP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClipShape {
    /// Height and width of the input image, px.
    pub image_size: usize,
    /// Width of the common embedding space.
    pub embed: usize,
    /// The image tower.
    pub vision: VisionShape,
    /// The text tower's transformer.
    pub text: TransformerShape,
    /// Tokens per text, start and end included.
    pub context: usize,
    /// Number of token ids.
    pub vocabulary: usize,
}

/// The sizes of an image tower.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VisionShape {
    /// A vision transformer.
    Vit {
        /// Height and width of one patch, px.
        patch: usize,
        /// The transformer over the patches.
        transformer: TransformerShape,
    },
    /// OpenAI's modified ResNet.
    ResNet {
        /// Channels after the stem.
        width: usize,
        /// Bottlenecks in each of the four stages.
        layers: [usize; 4],
        /// Heads of the attention pool.
        heads: usize,
    },
}

/// The sizes of a transformer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransformerShape {
    /// Width of its states.
    pub width: usize,
    /// Width inside its MLPs.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Whether what a block adds has a trained scale (`ls_1.gamma`).
    pub layer_scale: bool,
}

/// Attention heads as a configuration beside the weights gives them. No shape shows them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ToldHeads {
    /// Of the image tower.
    pub vision: Option<usize>,
    /// Of the text tower.
    pub text: Option<usize>,
}

/// Why tensors form no CLIP that can be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClipShapeError {
    /// A tensor is absent.
    #[error("tensor {0} is missing: the file is cut, or holds another network than a CLIP")]
    Missing(String),
    /// A tensor has an impossible shape.
    #[error("tensor {tensor} has shape {found:?}, expected {expected}")]
    Shape {
        /// Its name.
        tensor: String,
        /// What it should be, in words or numbers.
        expected: String,
        /// What it is.
        found: Vec<usize>,
    },
    /// Tensors that a CLIP of these sizes does not have.
    #[error("{} tensors that a CLIP of these sizes has no use for: {}", tensors.len(), listed(tensors))]
    Surplus {
        /// Their names, sorted.
        tensors: Vec<String>,
    },
    /// A network that is known, and known not to be computed here.
    #[error("tensor {tensor} belongs to {network}, which is not supported; take a CLIP of OpenAI's layout")]
    Unsupported {
        /// The tensor that shows it.
        tensor: String,
        /// What it is.
        network: &'static str,
    },
    /// Heads that cannot be.
    #[error(
        "the {tower} tower's attention is {width} wide, which {heads} heads do not divide: put its config.json or \
         open_clip_config.json beside the weights, for no shape shows their number"
    )]
    Heads {
        /// `vision` or `text`.
        tower: &'static str,
        /// The number told, or that the rule gives.
        heads: usize,
        /// The width.
        width: usize,
    },
}

/// The first few, so that a wrong file does not fill the screen.
fn listed(names: &[String]) -> String {
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(5)].join(", "))
}

/// Tensors that checkpoints carry beside the weights and that no computation of features reads: sizes as numbers, masks, counters of
/// training steps, and the bias of a sigmoid loss, which moves every cosine alike.
pub fn carries_no_weight(name: &str) -> bool {
    matches!(name, "input_resolution" | "context_length" | "vocab_size" | "logit_bias" | "attn_mask")
        || name.ends_with(".attn_mask")
        || name.ends_with(".num_batches_tracked")
}

/// Networks that would otherwise be refused for a missing tensor, by the beginning of a name.
const OTHER_NETWORKS: [(&str, &str); 6] = [
    ("visual.trunk.", "an image tower of timm"),
    ("visual.attn_pool.", "a CoCa"),
    ("text_decoder.", "a CoCa"),
    ("text.transformer.embeddings.", "a text tower of Hugging Face's transformers"),
    ("text_model.head.", "a SigLIP"),
    ("vision_model.head.", "a SigLIP"),
];

/// A network that is known and not computed here, and the tensor that shows it.
pub(crate) fn other_network<'a>(names: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'static str)> {
    let known = |name: &'a str| {
        let (_, network) = OTHER_NETWORKS.iter().find(|(start, _)| name.starts_with(start))?;
        Some((name, *network))
    };
    names.filter_map(known).next()
}

/// Tells the sizes, and checks that every tensor they imply is there in its shape and no other. Tensors that
/// [carry no weight](carries_no_weight) are passed over.
///
/// # Errors
/// Names the first tensor that is missing or odd, or all that are surplus.
pub fn infer(shapes: &Shapes, told: ToldHeads) -> Result<ClipShape, ClipShapeError> {
    if let Some((tensor, network)) = other_network(shapes.keys().map(String::as_str)) {
        return Err(ClipShapeError::Unsupported { tensor: tensor.to_owned(), network });
    }
    let [_, embed] = dims(shapes, "text_projection")?;
    let [vocabulary, width] = dims(shapes, "token_embedding.weight")?;
    let [context, _] = dims(shapes, "positional_embedding")?;
    let heads = heads("text", told.text.unwrap_or(width / HEAD_WIDTH), width)?;
    let text = transformer(shapes, "transformer", width, heads)?;
    let (image_size, vision) = if shapes.contains_key("visual.layer1.0.conv1.weight") {
        resnet(shapes, told.vision)?
    } else {
        vit(shapes, told.vision)?
    };
    let shape = ClipShape { image_size, embed, vision, text, context, vocabulary };
    shape.check(shapes)?;
    Ok(shape)
}

fn vit(shapes: &Shapes, told: Option<usize>) -> Result<(usize, VisionShape), ClipShapeError> {
    let [width] = dims(shapes, "visual.class_embedding")?;
    let [_, _, _, patch] = dims(shapes, "visual.conv1.weight")?;
    if !shapes.contains_key("visual.ln_pre.weight") && shapes.contains_key("visual.ln_post.weight") {
        let network = "a CLIPA or another CLIP without a first norm, whose feature is an average of patches";
        return Err(ClipShapeError::Unsupported { tensor: "visual.ln_post.weight".to_owned(), network });
    }
    let grid = grid(shapes, "visual.positional_embedding")?;
    let by_rule = if width > WIDEST_BY_RULE { HEADS_BEYOND } else { width / HEAD_WIDTH };
    let transformer =
        transformer(shapes, "visual.transformer", width, heads("vision", told.unwrap_or(by_rule), width)?)?;
    Ok((grid * patch, VisionShape::Vit { patch, transformer }))
}

fn resnet(shapes: &Shapes, told: Option<usize>) -> Result<(usize, VisionShape), ClipShapeError> {
    let [width, ..] = dims::<4>(shapes, "visual.layer1.0.conv1.weight")?;
    let grid = grid(shapes, "visual.attnpool.positional_embedding")?;
    let layers = [1, 2, 3, 4].map(|stage| count(shapes, &format!("visual.layer{stage}."), ".conv1.weight"));
    let features = 32 * width;
    let heads = heads("vision", told.unwrap_or(features / HEAD_WIDTH), features)?;
    Ok((32 * grid, VisionShape::ResNet { width, layers, heads }))
}

fn transformer(shapes: &Shapes, prefix: &str, width: usize, heads: usize) -> Result<TransformerShape, ClipShapeError> {
    let blocks = format!("{prefix}.resblocks.");
    let [hidden, _] = dims(shapes, &format!("{blocks}0.mlp.c_fc.weight"))?;
    let layers = count(shapes, &blocks, ".ln_1.weight");
    let layer_scale = shapes.contains_key(&format!("{blocks}0.ls_1.gamma"));
    Ok(TransformerShape { width, hidden, layers, heads, layer_scale })
}

/// The rule makes none in a tower narrower than one head, as OpenAI's does; such a tower's are told or the file is refused.
fn heads(tower: &'static str, heads: usize, width: usize) -> Result<usize, ClipShapeError> {
    if heads > 0 && width.is_multiple_of(heads) {
        return Ok(heads);
    }
    Err(ClipShapeError::Heads { tower, heads, width })
}

/// The side of the square of positions that follow the first one.
fn grid(shapes: &Shapes, name: &str) -> Result<usize, ClipShapeError> {
    let [positions, width] = dims(shapes, name)?;
    let grid = (positions - 1).isqrt();
    if grid > 0 && grid * grid + 1 == positions {
        return Ok(grid);
    }
    let expected = "[1 + grid², width], one position and a square".to_owned();
    Err(ClipShapeError::Shape { tensor: name.to_owned(), expected, found: vec![positions, width] })
}

/// How many consecutive names `{before}{i}{after}` there are, at least one: an absent first one is then missed by its name.
fn count(shapes: &Shapes, before: &str, after: &str) -> usize {
    (0..).take_while(|i| shapes.contains_key(&format!("{before}{i}{after}"))).count().max(1)
}

/// The dimensions of a tensor that must be there with this rank.
fn dims<const N: usize>(shapes: &Shapes, name: &str) -> Result<[usize; N], ClipShapeError> {
    let found = shapes.get(name).ok_or_else(|| ClipShapeError::Missing(name.to_owned()))?;
    match <[usize; N]>::try_from(found.as_slice()) {
        Ok(dims) if dims.iter().all(|size| (1..=MAX_SIZE).contains(size)) => Ok(dims),
        _ => {
            let expected = format!("{N} dimensions of 1 to {MAX_SIZE}");
            Err(ClipShapeError::Shape { tensor: name.to_owned(), expected, found: found.clone() })
        }
    }
}

impl ClipShape {
    /// Every tensor of a CLIP of these sizes.
    pub fn tensors(&self) -> Shapes {
        let mut all = Names::default();
        all.put("logit_scale", &[]);
        all.put("token_embedding.weight", &[self.vocabulary, self.text.width]);
        all.put("positional_embedding", &[self.context, self.text.width]);
        all.put("text_projection", &[self.text.width, self.embed]);
        all.pair("ln_final", self.text.width);
        all.transformer("transformer", &self.text);
        match &self.vision {
            VisionShape::Vit { patch, transformer } => {
                let (width, grid) = (transformer.width, self.image_size / patch);
                all.put("visual.class_embedding", &[width]);
                all.put("visual.conv1.weight", &[width, 3, *patch, *patch]);
                all.put("visual.positional_embedding", &[1 + grid * grid, width]);
                all.put("visual.proj", &[width, self.embed]);
                all.pair("visual.ln_pre", width);
                all.pair("visual.ln_post", width);
                all.transformer("visual.transformer", transformer);
            }
            VisionShape::ResNet { width, layers, .. } => all.resnet(*width, *layers, self.image_size / 32, self.embed),
        }
        all.0
    }

    /// The number of vision heads where the network must be told: they are not 64 wide, or the transformer is so wide that this
    /// cannot be taken for granted.
    pub fn vision_heads_to_tell(&self) -> Option<usize> {
        match &self.vision {
            VisionShape::Vit { transformer: t, .. } if t.width > WIDEST_BY_RULE => Some(t.heads),
            VisionShape::Vit { transformer: t, .. } => to_tell(t.heads, t.width),
            VisionShape::ResNet { width, heads, .. } => to_tell(*heads, 32 * width),
        }
    }

    /// The number of text heads where they are not 64 wide.
    pub fn text_heads_to_tell(&self) -> Option<usize> {
        to_tell(self.text.heads, self.text.width)
    }

    fn check(&self, shapes: &Shapes) -> Result<(), ClipShapeError> {
        let expected = self.tensors();
        for (name, shape) in &expected {
            let found = shapes.get(name).ok_or_else(|| ClipShapeError::Missing(name.clone()))?;
            // open_clip writes the scale as a list of one where it was told so (`nonscalar_logit_scale`).
            if found != shape && !(name == "logit_scale" && found == &[1]) {
                let (tensor, found) = (name.clone(), found.clone());
                return Err(ClipShapeError::Shape { tensor, expected: format!("{shape:?}"), found });
            }
        }
        let surplus = |name: &&String| !expected.contains_key(*name) && !carries_no_weight(name);
        let tensors: Vec<String> = shapes.keys().filter(surplus).cloned().collect();
        if tensors.is_empty() { Ok(()) } else { Err(ClipShapeError::Surplus { tensors }) }
    }
}

fn to_tell(heads: usize, width: usize) -> Option<usize> {
    (heads * HEAD_WIDTH != width).then_some(heads)
}

/// Names and shapes as they are put together.
#[derive(Default)]
struct Names(Shapes);

impl Names {
    fn put(&mut self, name: &str, shape: &[usize]) {
        self.0.insert(name.to_owned(), shape.to_vec());
    }

    /// `weight` and `bias` of a norm.
    fn pair(&mut self, name: &str, width: usize) {
        self.put(&format!("{name}.weight"), &[width]);
        self.put(&format!("{name}.bias"), &[width]);
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.put(&format!("{name}.weight"), &[outputs, inputs]);
        self.put(&format!("{name}.bias"), &[outputs]);
    }

    fn transformer(&mut self, prefix: &str, shape: &TransformerShape) {
        let (width, hidden) = (shape.width, shape.hidden);
        for i in 0..shape.layers {
            let block = format!("{prefix}.resblocks.{i}");
            self.pair(&format!("{block}.ln_1"), width);
            self.put(&format!("{block}.attn.in_proj_weight"), &[3 * width, width]);
            self.put(&format!("{block}.attn.in_proj_bias"), &[3 * width]);
            self.linear(&format!("{block}.attn.out_proj"), width, width);
            self.pair(&format!("{block}.ln_2"), width);
            self.linear(&format!("{block}.mlp.c_fc"), width, hidden);
            self.linear(&format!("{block}.mlp.c_proj"), hidden, width);
            if shape.layer_scale {
                self.put(&format!("{block}.ls_1.gamma"), &[width]);
                self.put(&format!("{block}.ls_2.gamma"), &[width]);
            }
        }
    }

    fn resnet(&mut self, width: usize, layers: [usize; 4], grid: usize, embed: usize) {
        self.convolution("visual", ["conv1", "bn1"], [width / 2, 3, 3]);
        self.convolution("visual", ["conv2", "bn2"], [width / 2, width / 2, 3]);
        self.convolution("visual", ["conv3", "bn3"], [width, width / 2, 3]);
        let (mut inputs, mut inner) = (width, width);
        for (stage, count) in layers.into_iter().enumerate() {
            for i in 0..count {
                let block = format!("visual.layer{}.{i}", stage + 1);
                self.convolution(&block, ["conv1", "bn1"], [inner, inputs, 1]);
                self.convolution(&block, ["conv2", "bn2"], [inner, inner, 3]);
                self.convolution(&block, ["conv3", "bn3"], [4 * inner, inner, 1]);
                if i == 0 {
                    self.convolution(&block, ["downsample.0", "downsample.1"], [4 * inner, inputs, 1]);
                }
                inputs = 4 * inner;
            }
            inner *= 2;
        }
        let features = 32 * width;
        self.put("visual.attnpool.positional_embedding", &[1 + grid * grid, features]);
        for name in ["q_proj", "k_proj", "v_proj"] {
            self.linear(&format!("visual.attnpool.{name}"), features, features);
        }
        self.linear("visual.attnpool.c_proj", features, embed);
    }

    /// A convolution without bias and its batch normalisation.
    fn convolution(&mut self, prefix: &str, [conv, norm]: [&str; 2], [outputs, inputs, size]: [usize; 3]) {
        self.put(&format!("{prefix}.{conv}.weight"), &[outputs, inputs, size, size]);
        self.pair(&format!("{prefix}.{norm}"), outputs);
        self.put(&format!("{prefix}.{norm}.running_mean"), &[outputs]);
        self.put(&format!("{prefix}.{norm}.running_var"), &[outputs]);
    }
}

#[cfg(test)]
mod tests;
