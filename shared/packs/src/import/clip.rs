//! CLIPs as OpenAI, open_clip and Hugging Face write them, brought to OpenAI's names.

use super::clip_shape::{self, ClipShape, ToldHeads};
use super::error::{Cause, ImportError};
use super::taking::{Change, Piece, Taking};
use crate::checkpoint::{Checkpoint, Format};
use crate::manifest::Activation;
use serde_json::Value as Json;
use std::path::Path;

/// How pixels are normalised for all CLIPs here: OpenAI's numbers, as open_clip writes them.
const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const DEVIATION: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// A CLIP as the pack will have it.
pub(super) struct Clip {
    pub(super) pieces: Vec<Piece>,
    pub(super) shape: ClipShape,
    pub(super) activation: Activation,
    pub(super) family: &'static str,
    pub(super) notes: Vec<String>,
}

/// The CLIP of a checkpoint. `told` is the activation that the user knows of, which wins over what lies beside the file.
pub(super) fn import(checkpoint: &Checkpoint, told: Option<Activation>) -> Result<Clip, ImportError> {
    let value = checkpoint.root.child("state_dict").unwrap_or(&checkpoint.root);
    let mut taking = Taking::of(checkpoint, value)?;
    let beside = Beside::read(checkpoint.path());
    let family = if taking.contains("vision_model.embeddings.patch_embedding.weight") {
        "hugging-face"
    } else if checkpoint.format == Format::TorchScript {
        "openai"
    } else {
        "open_clip"
    };
    // Before the activation is asked for, which no user could tell of these.
    if let Some((tensor, network)) = clip_shape::other_network(taking.names()) {
        let what = format!("{network} (tensor {tensor})");
        return Err(taking.wrong(Cause::Unsupported { what, remedy: "take a CLIP of OpenAI's layout" }));
    }
    let towers = [["vision_model.", "visual."], ["text_model.", "transformer."]];
    let has = |tower: [&str; 2]| taking.names().any(|name| tower.iter().any(|start| name.starts_with(start)));
    let custom = taking.contains("text.token_embedding.weight");
    if let [vision, text] = towers.map(has)
        && vision != (text || custom)
    {
        let tower = if vision { "image" } else { "text" };
        return Err(taking.wrong(Cause::OtherKind {
            found: format!("the {tower} tower of a CLIP alone"),
            wanted: "a CLIP with both towers",
            remedy: "take the whole model, in which images and texts meet".to_owned(),
        }));
    }
    if !has(towers[0]) {
        let example = taking.names().next().unwrap_or("none");
        return Err(taking.wrong(Cause::OtherKind {
            found: format!("a checkpoint whose tensors have names such as {example}"),
            wanted: "a CLIP",
            remedy: "known are OpenAI's .pt, and the weights of open_clip and of Hugging Face's CLIPModel".to_owned(),
        }));
    }
    if let Some(cause) = beside.unlike() {
        return Err(taking.wrong(cause));
    }
    let mut notes = Vec::new();
    let activation = told.or_else(|| beside.activation(&mut notes)).or_else(|| {
        // Only OpenAI has ever published CLIPs as scripts, and all of its models have this one.
        (family == "openai").then_some(Activation::QuickGelu)
    });
    let Some(activation) = activation else {
        return Err(taking.wrong(Cause::Unsupported {
            what: "a CLIP whose activation nothing tells: no tensor shows it, and the wrong one spoils the features. Such a file".into(),
            remedy: "put its config.json or open_clip_config.json beside it, or say --clip-activation quick-gelu (OpenAI's weights, \
                     names with -quickgelu) or gelu (open_clip's others)",
        }));
    };
    if family == "hugging-face" {
        taking.leave(|name| name.ends_with(".position_ids"));
        rename_hugging_face(&mut taking)?;
    } else {
        let custom = taking.contains("text.token_embedding.weight");
        let names: Vec<String> = taking.names().map(str::to_owned).collect();
        for name in names.iter().filter(|name| !clip_shape::carries_no_weight(name)) {
            // open_clip's CustomTextCLIP has the same text tower one level down.
            let to = if custom { name.strip_prefix("text.").unwrap_or(name) } else { name };
            taking.copy(name, to)?;
        }
    }
    taking.leave(clip_shape::carries_no_weight);
    let path = taking.path().to_owned();
    let pieces = taking.finish()?;
    let shapes = pieces.iter().map(|piece| (piece.name.clone(), piece.shape.clone())).collect();
    let shape = clip_shape::infer(&shapes, beside.heads());
    let shape = shape.map_err(|error| ImportError::Checkpoint {
        path,
        cause: Cause::Odd { key: "as a CLIP,".to_owned(), what: error.to_string() },
    })?;
    Ok(Clip { pieces, shape, activation, family, notes })
}

/// `convert_clip_original_pytorch_to_hf.py` of transformers, read backwards.
fn rename_hugging_face(taking: &mut Taking) -> Result<(), ImportError> {
    taking.copy("logit_scale", "logit_scale")?;
    let transposed = |shape: &[usize]| if let &[rows, columns] = shape { Some(vec![columns, rows]) } else { None };
    taking.take("visual_projection.weight", "visual.proj", Change::Transpose, transposed)?;
    taking.take("text_projection.weight", "text_projection", Change::Transpose, transposed)?;
    for (from, to) in [
        ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.final_layer_norm.weight", "ln_final.weight"),
        ("text_model.final_layer_norm.bias", "ln_final.bias"),
        ("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
        ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
        // The misspelling is theirs.
        ("vision_model.pre_layrnorm.weight", "visual.ln_pre.weight"),
        ("vision_model.pre_layrnorm.bias", "visual.ln_pre.bias"),
        ("vision_model.post_layernorm.weight", "visual.ln_post.weight"),
        ("vision_model.post_layernorm.bias", "visual.ln_post.bias"),
    ] {
        taking.copy(from, to)?;
    }
    for (from, to) in [("text_model", "transformer"), ("vision_model", "visual.transformer")] {
        for i in 0.. {
            let (from, to) = (format!("{from}.encoder.layers.{i}"), format!("{to}.resblocks.{i}"));
            if !taking.contains(&format!("{from}.layer_norm1.weight")) {
                break;
            }
            for part in ["weight", "bias"] {
                let heads = ["q", "k", "v"].map(|head| format!("{from}.self_attn.{head}_proj.{part}"));
                taking.join(&heads, &format!("{to}.attn.in_proj_{part}"))?;
                for (theirs, ours) in [
                    ("self_attn.out_proj", "attn.out_proj"),
                    ("layer_norm1", "ln_1"),
                    ("layer_norm2", "ln_2"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                ] {
                    taking.copy(&format!("{from}.{theirs}.{part}"), &format!("{to}.{ours}.{part}"))?;
                }
            }
        }
    }
    Ok(())
}

/// The configuration that its maker put beside the weights, if it is there.
struct Beside {
    hugging_face: Option<Json>,
    open_clip: Option<Json>,
}

impl Beside {
    fn read(weights: &Path) -> Self {
        let json = |name: &str| {
            let path = weights.parent()?.join(name);
            // A model's configuration is a few kilobytes.
            let small = std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() < 1 << 20);
            if small { serde_json::from_slice(&std::fs::read(path).ok()?).ok() } else { None }
        };
        Self { hugging_face: json("config.json"), open_clip: json("open_clip_config.json") }
    }

    fn activation(&self, notes: &mut Vec<String>) -> Option<Activation> {
        let named = |name: &str| match name {
            "quick_gelu" => Some(Activation::QuickGelu),
            "gelu" => Some(Activation::Gelu),
            _ => None,
        };
        if let Some(config) = &self.hugging_face {
            let [text, vision] = ["text_config", "vision_config"].map(|tower| {
                let act = config.get(tower).and_then(|tower| tower.get("hidden_act")).and_then(Json::as_str);
                // What `CLIPTextConfig` and `CLIPVisionConfig` of transformers default to.
                act.or(config.get(tower).map(|_| "quick_gelu"))
            });
            if let (Some(text), Some(vision)) = (text, vision)
                && text == vision
            {
                notes.push(format!("activation from config.json beside the weights: {text}"));
                return named(text);
            }
        }
        let config = self.open_clip.as_ref()?.get("model_cfg")?;
        let quick = config.get("quick_gelu").and_then(Json::as_bool).unwrap_or(false);
        notes.push(format!("activation from open_clip_config.json beside the weights: quick_gelu = {quick}"));
        Some(if quick { Activation::QuickGelu } else { Activation::Gelu })
    }

    /// A setting by which the network computes otherwise than all CLIPs here, and that no tensor shows.
    fn unlike(&self) -> Option<Cause> {
        let odd = |file: &str, key: String, value: &Json, expected: &str| Cause::Unsupported {
            what: format!("a CLIP whose {file} sets {key} to {value}, where {expected} is computed here,"),
            remedy: "take one with the usual setting, or remove the line if it says something else than how it was trained",
        };
        if let Some(config) = &self.hugging_face {
            let eps = |tower: &str| config.get(tower).and_then(|tower| tower.get("layer_norm_eps"));
            for (tower, value) in ["text_config", "vision_config"].map(|tower| (tower, eps(tower))) {
                if let Some(value) = value.filter(|value| value.as_f64().is_none_or(|eps| (eps - 1e-5).abs() > 1e-9)) {
                    return Some(odd("config.json", format!("{tower}.layer_norm_eps"), value, "1e-5"));
                }
            }
            let act = |tower: &str| config.get(tower).and_then(|tower| tower.get("hidden_act"));
            if let (Some(text), Some(vision)) = (act("text_config"), act("vision_config"))
                && text != vision
            {
                let expected = format!("vision_config.hidden_act, {vision}, for both towers alike");
                return Some(odd("config.json", "text_config.hidden_act".to_owned(), text, &expected));
            }
            return None;
        }
        let config = self.open_clip.as_ref()?;
        let known: [(&str, Json); 11] = [
            ("/model_cfg/vision_cfg/pool_type", "tok".into()),
            ("/model_cfg/vision_cfg/act_kwargs", Json::Null),
            ("/model_cfg/vision_cfg/norm_kwargs", Json::Null),
            ("/model_cfg/vision_cfg/final_ln_after_pool", false.into()),
            ("/model_cfg/text_cfg/pool_type", "argmax".into()),
            ("/model_cfg/text_cfg/act_kwargs", Json::Null),
            ("/model_cfg/text_cfg/norm_kwargs", Json::Null),
            ("/model_cfg/text_cfg/no_causal_mask", false.into()),
            ("/model_cfg/text_cfg/correct_cls_mask", false.into()),
            ("/preprocess_cfg/mean", MEAN.as_slice().into()),
            ("/preprocess_cfg/std", DEVIATION.as_slice().into()),
        ];
        let nothing = |value: &Json| value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        known.into_iter().find_map(|(place, usual)| {
            let value = config.pointer(place).filter(|value| **value != usual && !nothing(value))?;
            let key = place.trim_start_matches('/').replace('/', ".");
            let expected = if usual.is_null() { "nothing".to_owned() } else { usual.to_string() };
            Some(odd("open_clip_config.json", key, value, &expected))
        })
    }

    fn heads(&self) -> ToldHeads {
        let number = |json: Option<&Json>| json.and_then(Json::as_u64).and_then(|n| usize::try_from(n).ok());
        if let Some(config) = &self.hugging_face {
            // Configurations are saved as differences to the defaults of `CLIPVisionConfig` and `CLIPTextConfig`.
            let heads = |tower: &str, default| {
                let tower = config.get(tower)?;
                number(tower.get("num_attention_heads")).or(Some(default))
            };
            return ToldHeads { vision: heads("vision_config", 12), text: heads("text_config", 8) };
        }
        let Some(config) = self.open_clip.as_ref().and_then(|config| config.get("model_cfg")) else {
            return ToldHeads::default();
        };
        // Defaults of `CLIPVisionCfg` and `CLIPTextCfg`.
        let vision = config.get("vision_cfg").and_then(|tower| {
            let head = number(tower.get("head_width")).unwrap_or(64);
            let width = number(tower.get("width")).unwrap_or(768);
            // A list of layers is a ResNet, whose attention pool is 32 times as wide as its stem.
            let width = if tower.get("layers").is_some_and(Json::is_array) { width.checked_mul(32)? } else { width };
            width.checked_div(head)
        });
        let text = config.get("text_cfg").map(|tower| number(tower.get("heads")).unwrap_or(8));
        ToldHeads { vision, text }
    }
}
