//! Mappers as CF-CLIP's and StyleCLIP's programs save them (`mapper/training/coach.py`): one file with the mapper, in CF-CLIP's also
//! the text mappers, and a whole generator. The mapper's tensors are kept under their names, with a note of their meaning; the text
//! is folded in where a mapper is used, by whatever CLIP the pack has.
//!
//! The generator in the file is compared with the pack's, number by number: a mapper moves latents of the one it was trained on.

use super::error::{Cause, ImportError};
use super::storing;
use super::taking::{Piece, Taking};
use super::{failed, rosinality};
use crate::checkpoint::{Checkpoint, Value};
use crate::manifest::{GeneratorArchitecture, Role};
use crate::pack::Pack;
use crate::weights::{self, TensorFacts, file_digest};
use domain::edit::{Layers, ReleasedMapper, SourceFile};
use domain::{Digest, canonical_json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The programs' names of the coarse (spelt so there), medium and fine networks.
const GROUPS: [&str; 3] = ["course_mapping", "medium_mapping", "fine_mapping"];
/// A tensor that every mapper has after its names are set right.
const FIRST: &str = "mapper.…mapping.1.weight";
/// First layer of W+ that the fine network changes, whatever the generator's size.
const FINE: usize = 8;
/// Layers of every network after PixelNorm.
const LAYERS: std::ops::RangeInclusive<usize> = 1..=4;

/// A mapper to import.
#[derive(Clone, Debug)]
pub struct MapperRequest {
    /// Its checkpoint.
    pub checkpoint: PathBuf,
    /// Take it although the generator in its file is not the pack's, or the file has none.
    pub any_generator: bool,
}

/// A mapper's file as it was written.
#[derive(Clone, Debug)]
pub struct ImportedMapper {
    /// What the file says of itself.
    pub note: ReleasedMapper,
    /// Its digest: how edits name it.
    pub sha256: Digest,
    /// The method that uses it.
    pub method: &'static str,
}

/// Writes the mapper in a checkpoint to `target`, for the generator of `pack`. `target` must not exist.
///
/// # Errors
/// When the checkpoint cannot be read, is no mapper of the two programs, or was trained for a generator of another size or other
/// weights than the pack's. `target` is not there then.
pub fn import_mapper(request: &MapperRequest, pack: &Pack, target: &Path) -> Result<ImportedMapper, ImportError> {
    if target.exists() {
        return Err(ImportError::Request(format!("{} exists; give another name, or remove it", target.display())));
    }
    let checkpoint = Checkpoint::open(&request.checkpoint)?;
    let state = checkpoint.root.child("state_dict").unwrap_or(&checkpoint.root);
    let opts = checkpoint.root.child("opts");
    let mut taking = Taking::of(&checkpoint, state)?;
    if !taking.names().any(|name| name.starts_with("mapper.")) {
        return Err(taking.wrong(Cause::OtherKind {
            found: "a checkpoint without tensors named mapper.…".to_owned(),
            wanted: "a mapper of CF-CLIP or StyleCLIP",
            remedy: "their training saves one as checkpoints/iteration_….pt or best_model.pt".to_owned(),
        }));
    }
    let decoder = Taking::of(&checkpoint, state)?.below("decoder.");
    taking.leave(|name| name.starts_with("decoder."));

    let generator = generator(pack)?;
    let latents = latents(&taking, opts, &decoder)?;
    if latents != generator.latents {
        let side = |latents: usize| 1_u64 << (latents / 2 + 1).min(62);
        return Err(taking.wrong(Cause::OtherKind {
            found: format!("a mapper of {latents} latents, for a generator of {} px", side(latents)),
            wanted: "one for the pack's generator",
            remedy: format!(
                "the generator of {} has {} latents ({} px): use a pack of the generator that the mapper was trained on; `cfx pack \
                 import` makes one of the mapper's own file",
                pack.manifest().name,
                generator.latents,
                side(generator.latents)
            ),
        }));
    }
    let trained_on =
        if request.any_generator { None } else { Some(same_generator(&checkpoint, decoder, pack, &generator)?) };
    let shape = networks(&mut taking, latents)?;
    if shape.w_dim != generator.w_dim {
        let what = format!(
            "changes latents of {} numbers, and the pack's have {}; use a pack of the generator that it was trained on",
            shape.w_dim, generator.w_dim
        );
        return Err(taking.odd(FIRST, what));
    }
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let note = ReleasedMapper {
        format: ReleasedMapper::FORMAT.to_owned(),
        n_latent: narrow(latents),
        w_dim: narrow(shape.w_dim),
        text_dim: shape.text_dim.map(narrow),
        groups: shape.groups,
        single: shape.single,
        generator: trained_on,
        text: opts.and_then(|opts| opts.child("description")).and_then(Value::as_text).map(str::to_owned),
        source: SourceFile {
            file: checkpoint.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            sha256: file_digest(checkpoint.path()).map_err(failed(checkpoint.path()))?,
        },
    };
    let sha256 = store(taking.finish()?, &note, checkpoint.path(), target)?;
    Ok(ImportedMapper { method: if note.text_dim.is_some() { "cf-mapper" } else { "styleclip-mapper" }, note, sha256 })
}

/// The pack's generator, as far as it is compared.
struct OfPack {
    sha256: Digest,
    latents: usize,
    w_dim: usize,
    tensors: BTreeMap<String, TensorFacts>,
}

fn generator(pack: &Pack) -> Result<OfPack, ImportError> {
    let manifest = pack.manifest();
    let refused = |why: &str| ImportError::Request(format!("the pack {}: {why}", manifest.name));
    if manifest.generator.architecture != GeneratorArchitecture::StyleGan2 {
        return Err(refused("its generator is a StyleGAN3, and these mappers were trained on StyleGAN2"));
    }
    let path = pack.path_of(Role::Generator).ok_or_else(|| refused("it names no generator"))?;
    let facts = weights::inspect(&path).map_err(failed(&path))?;
    let tensors = facts.tensors.map_err(|error| failed(&path)(std::io::Error::other(error)))?;
    let w_dim = tensors.get("conv1.conv.modulation.weight").and_then(|facts| facts.shape.get(1)).copied();
    let w_dim = w_dim.ok_or_else(|| refused("its generator lacks conv1.conv.modulation.weight"))?;
    // Safe: a manifest's size is a power of two of 4 px at least.
    let doublings = manifest.image.size.ilog2() as usize - 2;
    Ok(OfPack { sha256: facts.sha256, latents: 2 * doublings + 2, w_dim, tensors })
}

/// How many latents the mapper was trained for: as many as text mappers, as its options say, or as the generator beside it takes.
fn latents(taking: &Taking, opts: Option<&Value>, decoder: &Taking) -> Result<usize, ImportError> {
    let told = (0..).take_while(|i| taking.contains(&format!("text_mapper.mapper_{i}.mapping.1.weight"))).count();
    if told > 0 {
        return Ok(told);
    }
    if let Some(size) = opts.and_then(|opts| opts.child("stylegan_size")).and_then(Value::as_int) {
        let side = u32::try_from(size).ok().filter(|side| side.is_power_of_two() && (8..=4096).contains(side));
        let side =
            side.ok_or_else(|| taking.damaged("opts.stylegan_size", format!("is {size}; expected a power of two")))?;
        return Ok(2 * side.ilog2() as usize - 2);
    }
    let doublings = (0..).take_while(|i| decoder.contains(&format!("to_rgbs.{i}.bias"))).count();
    if doublings == 0 {
        let what = "is not there, nor a decoder: for which size of generator this mapper is cannot be known; take the checkpoint as its program saved it, with its opts";
        return Err(taking.odd("opts.stylegan_size", what));
    }
    Ok(2 * doublings + 2)
}

/// Refuses a generator in the checkpoint that has other weights than the pack's. Noise and the mean latent move no mapper.
fn same_generator(checkpoint: &Checkpoint, decoder: Taking, pack: &Pack, own: &OfPack) -> Result<Digest, ImportError> {
    let remedy = "take the pack of the generator it was trained on (`cfx pack import --generator` reads it out of this very file), or \
                  say --any-generator and look closely at the results";
    let name = &pack.manifest().name;
    if decoder.names().next().is_none() {
        return Err(decoder.wrong(Cause::OtherKind {
            found: "a mapper without the generator that it was trained on".to_owned(),
            wanted: "the proof that it belongs to the pack's",
            remedy: "say --any-generator if you know that it does".to_owned(),
        }));
    }
    let found = rosinality::import(checkpoint, decoder)?;
    for piece in &found.pieces {
        if piece.name == "latent_avg" || piece.name.starts_with("noises.") {
            continue;
        }
        let differs = match own.tensors.get(&piece.name) {
            Some(facts) => facts.shape != piece.shape || facts.sha256 != Digest::of(storing::bytes(piece)?),
            None => true,
        };
        if differs {
            let cause = Cause::OtherKind {
                found: format!("a mapper whose generator differs from that of {name} (first in {})", piece.name),
                wanted: "one that was trained on the pack's",
                remedy: remedy.to_owned(),
            };
            return Err(ImportError::Checkpoint { path: checkpoint.path().to_owned(), cause });
        }
    }
    Ok(own.sha256)
}

/// The networks of a mapper.
struct Networks {
    w_dim: usize,
    text_dim: Option<usize>,
    groups: Layers,
    single: bool,
}

/// Takes the networks under the names of the levels' mapper, and drops text mappers of layers that no network looks at.
fn networks(taking: &mut Taking, latents: usize) -> Result<Networks, ImportError> {
    let unsupported = |what: &str, remedy| Cause::Unsupported { what: what.to_owned(), remedy };
    if taking.contains("mapper.mapper_0.mapping.1.weight") {
        let remedy = "take one that was trained without work_in_stylespace";
        return Err(taking.wrong(unsupported("a mapper of style space", remedy)));
    }
    let single = taking.contains("mapper.mapping.mapping.1.weight");
    let told = taking.contains("mapper.fc.weight");
    if single && taking.contains("text_mapper.mapper_0.mapping.1.weight") {
        let remedy = "CF-CLIP's own program cannot run it either: its layers do not fit; take a LevelsMapper";
        return Err(taking.wrong(unsupported("a SingleMapper that is told a text", remedy)));
    }
    let on = GROUPS.map(|group| taking.contains(&format!("mapper.{group}.mapping.1.weight")));
    // Of a generator so small that the fine network has no layer, the program makes one all the same.
    let on = if single { [true, false, false] } else { [on[0], on[1] && latents > 4, on[2] && latents > FINE] };
    let groups = Layers { coarse: on[0], medium: on[1], fine: on[2] };
    let mut w_dim = 0;
    for (group, _) in GROUPS.iter().zip(on).filter(|(_, on)| *on) {
        for layer in LAYERS {
            let to = format!("mapper.{group}.mapping.{layer}");
            let from = if single { format!("mapper.mapping.mapping.{layer}") } else { to.clone() };
            w_dim = square(taking, &format!("{from}.weight"))?;
            taking.copy(&format!("{from}.weight"), &format!("{to}.weight"))?;
            taking.copy(&format!("{from}.bias"), &format!("{to}.bias"))?;
        }
    }
    if w_dim == 0 {
        return Err(taking.missing("mapper.course_mapping.mapping.1.weight"));
    }
    let mut text_dim = None;
    if told {
        taking.copy("mapper.fc.weight", "mapper.fc.weight")?;
        taking.copy("mapper.fc.bias", "mapper.fc.bias")?;
        let groups = [(0..4, on[0]), (4..FINE, on[1]), (FINE..latents.max(FINE), on[2])];
        for layer in groups.into_iter().filter(|(_, on)| *on).flat_map(|(range, _)| range).filter(|l| *l < latents) {
            for part in LAYERS {
                let name = format!("text_mapper.mapper_{layer}.mapping.{part}");
                if part == 1 {
                    text_dim = taking.shape(&format!("{name}.weight"))?.get(1).copied();
                }
                taking.copy(&format!("{name}.weight"), &format!("{name}.weight"))?;
                taking.copy(&format!("{name}.bias"), &format!("{name}.bias"))?;
            }
        }
    }
    let idle = |name: &str| {
        let text =
            name.strip_prefix("text_mapper.mapper_").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        text.is_some_and(|layer| layer < latents) || name.starts_with("mapper.fine_mapping.") && latents <= FINE
    };
    if told {
        taking.leave(idle);
    } else {
        taking.leave(|name| idle(name) && !name.starts_with("text_mapper."));
    }
    // What training keeps of its losses' networks is none of the mapper's.
    taking.leave(|name| !name.starts_with("mapper.") && !name.starts_with("text_mapper."));
    Ok(Networks { w_dim, text_dim, groups, single })
}

/// Rows of a square matrix.
fn square(taking: &Taking, name: &str) -> Result<usize, ImportError> {
    match *taking.shape(name)? {
        [rows, columns] if rows == columns => Ok(rows),
        ref other => Err(taking.damaged(name, format!("has shape {other:?}; expected a square matrix"))),
    }
}

/// Writes aside and renames, so that there is a whole file or none.
fn store(pieces: Vec<Piece>, note: &ReleasedMapper, from: &Path, target: &Path) -> Result<Digest, ImportError> {
    let text = canonical_json(note).map_err(|error| failed(target)(std::io::Error::other(error)))?;
    let text = String::from_utf8(text).map_err(|error| failed(target)(std::io::Error::other(error)))?;
    let mut aside = target.as_os_str().to_owned();
    aside.push(format!(".importing-{}", std::process::id()));
    let aside = PathBuf::from(aside);
    let stored = storing::write_noted(pieces, Some((ReleasedMapper::NOTE, text)), from, &aside);
    let placed = stored.and_then(|stored| {
        std::fs::rename(&aside, target).map_err(failed(target))?;
        Ok(stored.sha256)
    });
    if placed.is_err() {
        // The reason for the failure matters more than that of a failed removal.
        let _ = std::fs::remove_file(&aside);
    }
    placed
}
