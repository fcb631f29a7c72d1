//! CLIPs as OpenAI, open_clip and Hugging Face write them.

use crate::numbers::{assert_numbers, assert_same, numbers};
use crate::{Imported, clip, request};
use packs::Role;
use packs::checkpoint::Dtype::{F16, F32};
use packs::manifest::{Activation, ClipArchitecture, Dtype};

/// A pack with the CLIP of `weights` under test, as second, beside OpenAI's.
fn imported(weights: &str) -> Imported {
    let mut request = request("rosinality-half.pt");
    request.clip_second = Some(clip(weights));
    Imported::of(&request)
}

#[test]
fn openais_script_keeps_each_tensors_type() {
    let imported = imported("openai/ViT.pt");
    let part = imported.pack.manifest().clip_second.as_ref().unwrap();
    assert_eq!((part.architecture, part.activation), (ClipArchitecture::OpenaiVit, Activation::QuickGelu));
    assert_eq!((part.dtype, part.context, part.vision_heads), (Dtype::Mixed, 12, None));
    assert_eq!(imported.source(Role::ClipSecond, "openai/ViT.pt").family, "openai");
    let tensors = imported.tensors(Role::ClipSecond);
    assert!(!tensors.contains_key("input_resolution"));
    for (name, tensor) in &tensors {
        let single = name.contains("ln_") || name.contains("embedding") || name == "logit_scale";
        assert_eq!(tensor.dtype(), if single { F32 } else { F16 }, "{name}");
        assert_numbers(tensor, name, tensor.shape());
    }
    let merges = std::fs::read_to_string(imported.pack.path_of(Role::ClipMerges).unwrap()).unwrap();
    assert_eq!(merges, "#version: 0.2\na b\n", "one, as the vocabulary has, of the file's two");
}

#[test]
fn a_resnet_of_open_clips_training_is_told_its_heads_and_activation_by_the_file_beside_it() {
    let imported = imported("open_clip/epoch_3.pt");
    let part = imported.pack.manifest().clip_second.as_ref().unwrap();
    assert_eq!((part.architecture, part.activation), (ClipArchitecture::OpenaiResnet, Activation::Gelu));
    assert_eq!((part.vision_heads, part.text_heads), (Some(32), Some(2)));
    let source = imported.source(Role::ClipSecond, "open_clip/epoch_3.pt");
    assert_eq!(source.family, "open_clip");
    assert!(source.notes.iter().any(|note| note.contains("open_clip_config.json")), "{:?}", source.notes);
    let tensors = imported.tensors(Role::ClipSecond);
    assert!(tensors.keys().all(|name| !name.ends_with("num_batches_tracked")));
    for (name, tensor) in &tensors {
        assert_numbers(tensor, name, tensor.shape());
    }
}

#[test]
fn hugging_faces_gets_openais_names_one_projection_of_three_and_turned_matrices() {
    let imported = imported("hugging-face/model.safetensors");
    let part = imported.pack.manifest().clip_second.as_ref().unwrap();
    assert_eq!((part.activation, part.dtype), (Activation::Gelu, Dtype::F16));
    assert_eq!((part.vision_heads, part.text_heads), (Some(4), Some(4)));
    assert_eq!(imported.source(Role::ClipSecond, "hugging-face/model.safetensors").family, "hugging-face");
    let tensors = imported.tensors(Role::ClipSecond);
    for (ours, theirs) in [
        ("logit_scale", "logit_scale"),
        ("token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
        ("positional_embedding", "text_model.embeddings.position_embedding.weight"),
        ("ln_final.bias", "text_model.final_layer_norm.bias"),
        ("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
        ("visual.class_embedding", "vision_model.embeddings.class_embedding"),
        ("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
        ("visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"),
        ("visual.ln_post.weight", "vision_model.post_layernorm.weight"),
        ("transformer.resblocks.0.ln_2.weight", "text_model.encoder.layers.0.layer_norm2.weight"),
        ("transformer.resblocks.0.mlp.c_proj.weight", "text_model.encoder.layers.0.mlp.fc2.weight"),
        ("visual.transformer.resblocks.0.ln_1.bias", "vision_model.encoder.layers.0.layer_norm1.bias"),
        ("visual.transformer.resblocks.0.mlp.c_fc.weight", "vision_model.encoder.layers.0.mlp.fc1.weight"),
        (
            "visual.transformer.resblocks.0.attn.out_proj.weight",
            "vision_model.encoder.layers.0.self_attn.out_proj.weight",
        ),
    ] {
        assert_numbers(&tensors[ours], theirs, tensors[ours].shape());
    }
    for (ours, theirs) in [("transformer", "text_model"), ("visual.transformer", "vision_model")] {
        for (part, shape) in [("weight", &[16, 16][..]), ("bias", &[16])] {
            let heads = ["q", "k", "v"].map(|head| format!("{theirs}.encoder.layers.0.self_attn.{head}_proj.{part}"));
            let joined: Vec<f32> = heads.iter().flat_map(|name| numbers(name, shape)).collect();
            let name = format!("{ours}.resblocks.0.attn.in_proj_{part}");
            assert_same(&tensors[&name], &joined, &name);
        }
    }
    for (ours, theirs) in [("text_projection", "text_projection.weight"), ("visual.proj", "visual_projection.weight")] {
        assert_eq!(tensors[ours].shape(), [16, 8], "{ours}");
        let rows = numbers(theirs, &[8, 16]);
        let turned: Vec<f32> = (0..16 * 8).map(|i| rows[i % 8 * 16 + i / 8]).collect();
        assert_same(&tensors[ours], &turned, ours);
    }
}
