//! `cfx pack import`: checkpoints as others publish them, made into a pack. Needs no server.

use super::{Context, pack};
use crate::args::ImportArgs;
use anyhow::{Context as _, Result};
use packs::import::{ClipRequest, Request, import};
use packs::manifest::{Activation, IdentityInput, Resize};
use std::path::PathBuf;

/// Imports, then proves the result as `cfx pack verify` does.
pub fn run(at: &Context, args: &ImportArgs) -> Result<u8> {
    import(&request(args)?, &args.folder)?;
    pack::verify(at, &args.folder, false)
}

fn request(args: &ImportArgs) -> Result<Request> {
    let folder = || args.folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let clip = |weights: &PathBuf, merges: &Option<PathBuf>, activation: &Option<String>| ClipRequest {
        weights: weights.clone(),
        merges: merges.clone(),
        activation: activation
            .as_deref()
            .map(|name| if name == "gelu" { Activation::Gelu } else { Activation::QuickGelu }),
        resize: match args.clip_resize.as_str() {
            "none" => Resize::None,
            "area" => Resize::Area,
            "bicubic" => Resize::Bicubic,
            _ => Resize::BicubicAa,
        },
    };
    let input = if args.identity_input == "whole-image" { IdentityInput::WholeImage } else { IdentityInput::FfhqCrop };
    Ok(Request {
        name: args.name.clone().or_else(folder).context("the folder has no name; give the pack one with --name")?,
        version: args.version.clone(),
        description: args.description.clone(),
        license: args.license.clone(),
        license_notes: args.license_notes.clone(),
        generator: args.generator.clone(),
        encoder: args.encoder.clone(),
        clip: clip(&args.clip, &args.clip_merges, &args.clip_activation),
        clip_second: args.clip_second.as_ref().map(|w| clip(w, &args.clip_second_merges, &args.clip_second_activation)),
        identity: args.identity.clone().map(|path| (path, input)),
        perceptual: args.perceptual.clone().map(|path| (path, args.perceptual_trunk.clone())),
        detector: args.detector.clone(),
        neutral: args.neutral.clone(),
        templates: args.templates.clone(),
    })
}
