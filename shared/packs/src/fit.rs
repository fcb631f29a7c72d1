//! Whether the networks of a pack fit each other, as far as their headers tell: image size, latent size, classes, vocabulary;
//! and whether a file holds the network it is said to hold.

use crate::import::clip_shape::{ClipShapeError, ToldHeads, VisionShape, infer};
use crate::layout::{self, Fault};
use crate::manifest::{
    Clip, ClipArchitecture, EncoderArchitecture, GeneratorArchitecture, IdentityArchitecture, Judge, Manifest,
    PerceptualArchitecture, Resize, Role,
};
use crate::verify::Problem;
use crate::weights::TensorFacts;
use std::collections::BTreeMap;

/// The tensors of one file by name.
pub type Tensors = BTreeMap<String, TensorFacts>;

/// One file whose tensors are looked up by name.
struct Header<'a> {
    role: Role,
    file: &'a str,
    tensors: &'a Tensors,
}

impl Header<'_> {
    /// The dimensions of a tensor that must be there with this rank.
    fn dims<const N: usize>(&self, name: &str) -> Result<[usize; N], Problem> {
        let missing =
            || Problem::MissingTensor { role: self.role, file: self.file.to_owned(), tensor: name.to_owned() };
        let facts = self.tensors.get(name).ok_or_else(missing)?;
        facts
            .shape
            .as_slice()
            .try_into()
            .map_err(|_| self.misfit(name, format!("has shape {:?}, expected {N} dimensions", facts.shape)))
    }

    /// All tensors of the network must be there, and no others.
    fn whole(&self) -> Result<(), Problem> {
        let shapes = self.tensors.iter().map(|(name, facts)| (name.clone(), facts.shape.clone())).collect();
        layout::check(self.role, &shapes).map_err(|fault| match fault {
            Fault::Missing(tensor) => Problem::MissingTensor { role: self.role, file: self.file.to_owned(), tensor },
            Fault::Surplus(names) => {
                let first = names.first().cloned().unwrap_or_default();
                self.misfit(&first, format!("belongs to no network of this kind, nor do {} others", names.len() - 1))
            }
            Fault::Shape { tensor, found, expected } => self
                .misfit(&tensor, format!("has shape {found:?}, but by the network's other tensors it is {expected:?}")),
        })
    }

    fn misfit(&self, tensor: &str, message: String) -> Problem {
        Problem::Misfit { role: self.role, file: self.file.to_owned(), tensor: tensor.to_owned(), message }
    }

    /// The tensor's dimension must have this value.
    fn expect(&self, tensor: &str, what: &str, found: usize, expected: usize, because: &str) -> Result<(), Problem> {
        if found == expected {
            return Ok(());
        }
        Err(self.misfit(tensor, format!("{what} is {found}, but {because} {expected}")))
    }
}

/// Checks every network whose header is sound against the manifest and the others. `merges` holds the number of merge rules of
/// each merges file that could be read.
pub fn check(manifest: &Manifest, headers: &BTreeMap<Role, Tensors>, merges: &BTreeMap<Role, usize>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let header = |role, file| headers.get(&role).map(|tensors| Header { role, file, tensors });
    let mut latent = None;
    if let Some(h) = header(Role::Generator, &manifest.generator.file) {
        match generator(&h, manifest.generator.architecture, manifest.image.size as usize) {
            Ok(sizes) => {
                latent = Some(sizes);
                problems.extend(h.whole().err());
            }
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(part) = &manifest.encoder
        && let Some(h) = header(Role::Encoder, &part.file)
    {
        problems.extend(encoder(&h, part.architecture, latent).and_then(|()| h.whole()).err());
    }
    let clips = [
        (Role::Clip, Role::ClipMerges, Some(&manifest.clip)),
        (Role::ClipSecond, Role::ClipSecondMerges, manifest.clip_second.as_ref()),
    ];
    for (role, merges_role, clip) in clips {
        let Some(clip) = clip else { continue };
        if let Some(h) = header(role, &clip.file) {
            problems
                .extend(clip_tower(&h, clip, manifest.image.size as usize, merges.get(&merges_role).copied()).err());
        }
    }
    if let Some(judge) = &manifest.judge
        && let Some(h) = header(Role::Judge, &judge.file)
    {
        problems.extend(judge_heads(&h, judge));
    }
    if let Some(part) = &manifest.identity
        && let Some(h) = header(Role::Identity, &part.file)
    {
        problems.extend(identity(&h, part.architecture).err());
    }
    if let Some(part) = &manifest.perceptual
        && let Some(h) = header(Role::Perceptual, &part.file)
    {
        problems.extend(perceptual(&h, part.architecture).err());
    }
    if let Some(part) = &manifest.detector
        && let Some(h) = header(Role::Detector, &part.file)
    {
        problems.extend(h.whole().err());
    }
    problems
}

/// Checks the resolution; gives the number of W+ layers and the size of w.
fn generator(h: &Header<'_>, architecture: GeneratorArchitecture, size: usize) -> Result<(usize, usize), Problem> {
    if architecture == GeneratorArchitecture::StyleGan3 {
        return stylegan3(h, size);
    }
    h.dims::<4>("input.input")?;
    let [_, w_dim] = h.dims("conv1.conv.modulation.weight")?;
    let mapping = (2..).take_while(|i| h.dims::<2>(&format!("style.{i}.weight")).is_ok()).last().unwrap_or(1);
    let last = format!("style.{mapping}.weight");
    let [mapped, _] = h.dims(&last)?;
    h.expect(&last, "the size of w", mapped, w_dim, "the first convolution takes")?;
    h.dims::<4>("to_rgb1.bias")?;
    let doublings = (0..).take_while(|i| h.tensors.contains_key(&format!("to_rgbs.{i}.bias"))).count();
    let last = if doublings == 0 { "to_rgb1.bias".to_owned() } else { format!("to_rgbs.{}.bias", doublings - 1) };
    let resolution = 4_usize.checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX)).unwrap_or(0);
    h.expect(&last, "the resolution", resolution, size, "image.size says")?;
    Ok((2 * doublings + 2, w_dim))
}

/// Layers are `synthesis.L{i}_{size}_{channels}`; the last makes the image.
fn stylegan3(h: &Header<'_>, size: usize) -> Result<(usize, usize), Problem> {
    let [w_dim] = h.dims("mapping.w_avg")?;
    h.dims::<2>("synthesis.input.freqs")?;
    let layer = |name: &String| {
        let mut parts =
            name.strip_prefix("synthesis.L")?.strip_suffix(".bias")?.split('_').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??, name.clone()))
    };
    let last: Option<(usize, usize, String)> = h.tensors.keys().filter_map(layer).max();
    let missing =
        || Problem::MissingTensor { role: h.role, file: h.file.to_owned(), tensor: "synthesis.L0_….bias".to_owned() };
    let (index, side, name) = last.ok_or_else(missing)?;
    h.expect(&name, "the resolution", side, size, "image.size says")?;
    Ok((index + 2, w_dim))
}

fn encoder(h: &Header<'_>, architecture: EncoderArchitecture, latent: Option<(usize, usize)>) -> Result<(), Problem> {
    if architecture != EncoderArchitecture::ResidualWPlus {
        return style_encoder(h, architecture, latent);
    }
    let [base, _] = h.dims("w.weight")?;
    let [deltas, _] = h.dims("delta.weight")?;
    h.dims::<4>("stem.weight")?;
    let Some((layers, w_dim)) = latent else { return Ok(()) };
    h.expect("w.weight", "the size of w", base, w_dim, "the generator's is")?;
    h.expect("delta.weight", "the length of all deltas", deltas, layers * w_dim, "the generator's W+ needs")
}

/// IR-SE50 or ResNet34 with one style block a latent, or with one latent for all.
fn style_encoder(
    h: &Header<'_>,
    architecture: EncoderArchitecture,
    latent: Option<(usize, usize)>,
) -> Result<(), Problem> {
    let (first, last) = if h.tensors.contains_key("conv1.weight") {
        ("conv1.weight", "body.15.conv2.weight")
    } else {
        ("input_layer.0.weight", "body.23.res_layer.1.weight")
    };
    let [_, channels, ..] = h.dims::<4>(first)?;
    let restyle = matches!(architecture, EncoderArchitecture::RestylePsp | EncoderArchitecture::RestyleE4e);
    let expected = if restyle { 6 } else { 3 };
    h.expect(first, "the number of input channels", channels, expected, "in this architecture it is")?;
    h.dims::<4>(last)?;
    let [rows, width] = h.dims("latent_avg")?;
    if architecture != EncoderArchitecture::Psp || !h.tensors.contains_key("linear.weight") {
        let styles = (0..).take_while(|i| h.tensors.contains_key(&format!("styles.{i}.linear.weight"))).count();
        h.expect("latent_avg", "the number of latents", rows, styles, "the number of style blocks is")?;
    }
    let Some((layers, w_dim)) = latent else { return Ok(()) };
    h.expect("latent_avg", "the number of latents", rows, layers, "the generator's W+ has")?;
    h.expect("latent_avg", "the size of w", width, w_dim, "the generator's is")
}

fn clip_tower(h: &Header<'_>, clip: &Clip, image_size: usize, merges: Option<usize>) -> Result<(), Problem> {
    let odd = |tensor: &str, message: String| h.misfit(tensor, message);
    let shapes = h.tensors.iter().map(|(name, facts)| (name.clone(), facts.shape.clone())).collect();
    let told = |heads: Option<u32>| heads.map(|heads| heads as usize);
    let told = ToldHeads { vision: told(clip.vision_heads), text: told(clip.text_heads) };
    let shape = infer(&shapes, told).map_err(|error| match error {
        ClipShapeError::Missing(tensor) => Problem::MissingTensor { role: h.role, file: h.file.to_owned(), tensor },
        ClipShapeError::Shape { tensor, expected, found } => {
            let message = format!("has shape {found:?}, expected {expected}");
            odd(&tensor, message)
        }
        other => odd("visual", other.to_string()),
    })?;
    let found = match shape.vision {
        VisionShape::Vit { .. } => ClipArchitecture::OpenaiVit,
        VisionShape::ResNet { .. } => ClipArchitecture::OpenaiResnet,
    };
    if found != clip.architecture {
        return Err(odd(
            "visual",
            format!("the image tower is of the architecture {found:?}, pack.toml says {:?}", clip.architecture),
        ));
    }
    h.expect("positional_embedding", "the context", shape.context, clip.context as usize, "the manifest says")?;
    if clip.preprocess.resize == Resize::None {
        let because = "preprocess.resize is \"none\" and image.size is";
        h.expect("visual", "the input size", shape.image_size, image_size, because)?;
    }
    // 256 bytes, the same 256 at the end of a word, one token a merge, start and end (openai/CLIP, simple_tokenizer.py). OpenAI's
    // merges file is longer than its vocabulary, which uses the first rules only; the reverse cannot work.
    if let Some(rules) = merges
        && shape.vocabulary > 514 + rules
    {
        let message =
            format!("the vocabulary is {}, but 514 tokens and {rules} merges make {}", shape.vocabulary, 514 + rules);
        return Err(odd("token_embedding.weight", message));
    }
    Ok(())
}

fn judge_heads(h: &Header<'_>, judge: &Judge) -> Vec<Problem> {
    let one = |name: &str, classes: usize| {
        let tensor = format!("heads.{name}.weight");
        let [outputs, _] = h.dims(&tensor)?;
        h.expect(&tensor, "the number of outputs", outputs, classes, "the manifest's number of classes is")
    };
    let mut problems: Vec<_> =
        judge.heads.iter().filter_map(|head| one(&head.name, head.classes.len()).err()).collect();
    for tensor in h.tensors.keys() {
        let name = tensor.strip_prefix("heads.").and_then(|rest| rest.strip_suffix(".weight"));
        if let Some(name) = name.filter(|name| judge.heads.iter().all(|head| head.name != *name)) {
            problems.push(h.misfit(tensor, format!("the manifest lists no head '{name}'")));
        }
    }
    problems
}

/// First and last layer: they tell the architectures apart, and a file that was cut at either end.
fn identity(h: &Header<'_>, architecture: IdentityArchitecture) -> Result<(), Problem> {
    match architecture {
        IdentityArchitecture::IrSe50 => {
            h.dims::<4>("input_layer.0.weight")?;
            h.dims::<4>("body.0.res_layer.1.weight")?;
            let [length, _] = h.dims("output_layer.3.weight")?;
            let [normalised] = h.dims("output_layer.4.running_var")?;
            h.expect("output_layer.4.running_var", "the length", normalised, length, "the layer before it makes")
        }
        IdentityArchitecture::EmbeddingCnn => {
            h.dims::<4>("body.0.conv.weight")?;
            h.dims::<1>("body.0.norm.running_var")?;
            h.dims::<2>("fc.weight").map(drop)
        }
    }
}

fn perceptual(h: &Header<'_>, architecture: PerceptualArchitecture) -> Result<(), Problem> {
    let (first, side, last) = match architecture {
        PerceptualArchitecture::LpipsAlex => ("features.0.weight", 11, "features.10.weight"),
        PerceptualArchitecture::LpipsVgg => ("features.0.weight", 3, "features.28.weight"),
        PerceptualArchitecture::Vgg19Relu52 => ("conv1_1.weight", 3, "conv5_2.weight"),
    };
    let [_, _, found, _] = h.dims(first)?;
    h.expect(first, "the side of the filter", found, side, "in this architecture it is")?;
    let [width, ..] = h.dims::<4>(last)?;
    if architecture == PerceptualArchitecture::Vgg19Relu52 {
        return Ok(());
    }
    for k in 0..4 {
        h.dims::<4>(&format!("lin{k}.model.1.weight"))?;
    }
    let [_, weighed, ..] = h.dims::<4>("lin4.model.1.weight")?;
    h.expect("lin4.model.1.weight", "the number of channels", weighed, width, "the last layer of the trunk has")
}
