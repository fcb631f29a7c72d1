//! From trained parameters to a pack's folder.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use networks::Tokenizer;
use packs::Pack;
use tch::{Kind, Tensor};

use crate::error::TrainingError;
use crate::faces::heads;
use crate::parameters::Parameters;
use crate::recipe::Recipe;
use crate::session::{replace, write_tensors};

/// The networks of a pack.
pub struct Networks<'a> {
    /// StyleGAN2.
    pub generator: &'a Parameters,
    /// The inversion encoder.
    pub encoder: &'a Parameters,
    /// The CLIP.
    pub clip: &'a Parameters,
    /// The judge.
    pub judge: &'a Parameters,
    /// The tokenizer's merges.
    pub merges: &'a str,
}

/// Texts whose edits the judge can read, each with head, class, region and the heads that may change with it.
const TARGETS: [(&str, &str, &str, &str, &[&str]); 6] = [
    ("a face with green hair", "hair_color", "green", "hair", &["beard_color"]),
    ("a face with purple hair", "hair_color", "purple", "hair", &["beard_color"]),
    ("a face with blue hair", "hair_color", "blue", "hair", &["beard_color"]),
    ("a face with blue skin", "skin", "blue", "skin", &[]),
    ("a face with green skin", "skin", "green", "skin", &[]),
    ("a face with glasses", "glasses", "glasses", "glasses", &[]),
];

/// Writes the pack: weights in 16 bits, merges, licence, `pack.toml` with its digests. Then reads it as a user would.
///
/// # Errors
/// As files fail, and when the pack is not sound.
pub fn write(folder: &Path, recipe: &Recipe, networks: &Networks<'_>, library: &Path) -> Result<Pack, TrainingError> {
    fs::create_dir_all(folder).map_err(TrainingError::io(folder))?;
    let files = [
        ("generator", networks.generator),
        ("inversion_encoder", networks.encoder),
        ("clip", networks.clip),
        ("judge", networks.judge),
    ];
    for (name, parameters) in files {
        let tensors: Vec<(String, Tensor)> = parameters.all().collect();
        write_tensors(tensors, HashMap::new(), Kind::Half, &folder.join(format!("{name}.safetensors")))?;
    }
    replace(&folder.join("bpe_merges.txt"), networks.merges.as_bytes())?;
    let licence = library.join("LICENSE");
    fs::copy(&licence, folder.join("facesjs.LICENSE")).map_err(TrainingError::io(&licence))?;
    replace(&folder.join("pack.toml"), manifest(recipe).as_bytes())?;
    let pack = packs::seal(folder)?;
    let report = pack.verify();
    if !report.is_sound() {
        let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
        return Err(TrainingError::Unsound(problems.join("; ")));
    }
    // What the headers cannot tell: that the vocabulary is the tokenizer's.
    let rows = networks.clip.get("token_embedding.weight").size()[0];
    let known = Tokenizer::from_merges(networks.merges, recipe.clip.context as usize)?.vocab_size() as i64;
    if rows != known {
        return Err(TrainingError::Unsound(format!("the CLIP has {rows} tokens, its tokenizer {known}")));
    }
    Ok(pack)
}

fn manifest(recipe: &Recipe) -> String {
    let quoted = |words: &[&str]| words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
    let side = recipe.generator.side();
    let weights = |section: &str, architecture: &str, file: &str| {
        format!("[{section}]\narchitecture = \"{architecture}\"\nfile = \"{file}.safetensors\"\ndtype = \"f16\"\n")
    };
    let mut text = format!(
        "# A pack trained from scratch by train-pack; report.md says how and what it reaches.\n\
         format = 1\nname = \"{}\"\nversion = \"{}\"\n\
         description = \"Cartoon faces, {side}x{side}, trained from scratch on drawings with natural hair and skin.\"\n\
         license = \"Apache-2.0\"\n\
         license_notes = \"The faces are drawn with facesjs 5.0.3 (Apache-2.0, facesjs.LICENSE).\"\n\
         documents = [\"facesjs.LICENSE\"]\n\n\
         [image]\nsize = {side}\nchannels = 3\nrange = [-1.0, 1.0]\nlayout = \"nchw-rgb\"\n\n",
        recipe.name, recipe.version
    );
    text += &weights("generator", "stylegan2", "generator");
    text += "\n";
    text += &weights("encoder", "residual-w-plus", "inversion_encoder");
    text += "\n";
    text += &weights("clip", "openai-vit", "clip");
    text += &format!(
        "activation = \"quick-gelu\"\ncontext = {}\n\
         preprocess = {{ resize = \"none\", normalise = \"signed-unit\" }}\n\
         merges = {{ file = \"bpe_merges.txt\" }}\n\n\
         [text]\nneutral = \"a face\"\nsubjects = [\"a face\", \"a person\", \"someone\", \"a head\"]\n\
         templates = [\"{{}}\", \"a photo of {{}}\", \"a picture of {{}}\", \"a portrait of {{}}\", \"a cartoon of {{}}\", \
         \"a drawing of {{}}\", \"an image of {{}}\"]\n\n",
        recipe.clip.context
    );
    text += &weights("judge", "attribute-cnn", "judge");
    text += "heads = [\n";
    for (name, classes) in heads() {
        text += &format!("    {{ name = \"{name}\", classes = [{}] }},\n", quoted(&classes));
    }
    text += "]\n";
    for (target, head, class, region, excluded) in TARGETS {
        text += &format!(
            "\n[[judge.targets]]\ntext = \"{target}\"\nhead = \"{head}\"\nclass = \"{class}\"\nregion = \"{region}\"\n"
        );
        if !excluded.is_empty() {
            text += &format!("excluded = [{}]\n", quoted(excluded));
        }
    }
    text
}
