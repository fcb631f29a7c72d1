//! Makes a pack of the files that users hold: recognises each, renames its tensors to the pack's names, writes safetensors and a
//! `pack.toml` that says where everything came from.
//!
//! ```text
//! .pt .pkl .pth .safetensors ── checkpoint (reads, runs nothing) ── one module a family (which tensors, which settings)
//!                                                                          │
//!              pack.toml + *.safetensors  ◄── storing (one tensor at a time, every number finite) ◄──┘
//! ```
//!
//! **Strict both ways**: a tensor that is missing and a tensor that is left over both end the import, because both mean another
//! network than the one that will be computed. Left out are only tensors known to mean nothing (counters, masks, filters that are
//! built in, once they were compared).
//!
//! **All or nothing**: the pack is made in a folder aside, checked as `cfx pack verify` checks it, and renamed into its place.

mod average;
mod clip;
pub mod clip_shape;
mod detector;
mod encoder;
mod error;
mod faces;
mod fir;
mod generator;
mod mapper;
mod merges;
mod noise;
mod nvidia;
mod rosinality;
mod storing;
mod stylegan3;
mod taking;
mod tensorflow;

pub use error::{Cause, ImportError};
pub use mapper::{ImportedMapper, MapperRequest, import_mapper};

use crate::checkpoint::Checkpoint;
use crate::layout::{self, Fault};
use crate::manifest::{
    Activation, Clip, ClipArchitecture, Detector, DetectorArchitecture, Encoder, FORMAT, FileRef, Generator, Identity,
    IdentityInput, Image, Layout, Manifest, Normalise, Perceptual, Preprocess, Resize, Role, Source,
};
use crate::pack::{MANIFEST, Pack};
use crate::text::Text;
use crate::weights::{self, file_digest};
use domain::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prompts that a text is averaged over where the user gives none: a few that name no style.
const TEMPLATES: [&str; 5] = ["{}", "a photo of {}", "a picture of {}", "a portrait of {}", "an image of {}"];

/// What to import.
#[derive(Clone, Debug)]
pub struct Request {
    /// The pack's name and version, as in [`Manifest`].
    pub name: String,
    /// The maker's version of the pack.
    pub version: String,
    /// One sentence for lists.
    pub description: String,
    /// Licence of the weights.
    pub license: String,
    /// What else a user must know about rights.
    pub license_notes: String,
    /// The generator's checkpoint. `None`: the decoder in the encoder's.
    pub generator: Option<PathBuf>,
    /// The inversion encoder's. `None`: the pack has none, and images are inverted by optimisation.
    pub encoder: Option<PathBuf>,
    /// The CLIP that edits are optimised against.
    pub clip: ClipRequest,
    /// A CLIP for a second opinion.
    pub clip_second: Option<ClipRequest>,
    /// The identity network, and what it looks at.
    pub identity: Option<(PathBuf, IdentityInput)>,
    /// The perceptual network; LPIPS heads and their trunk may be two files.
    pub perceptual: Option<(PathBuf, Option<PathBuf>)>,
    /// The face detector: the files of MTCNN's three networks, or one with all; empty for none.
    pub detector: Vec<PathBuf>,
    /// The neutral text that edits depart from.
    pub neutral: String,
    /// Prompts with one `{}` each; empty for a few plain ones.
    pub templates: Vec<String>,
}

/// A CLIP to import.
#[derive(Clone, Debug)]
pub struct ClipRequest {
    /// Its checkpoint.
    pub weights: PathBuf,
    /// OpenAI's merges, packed or not, or Hugging Face's `merges.txt` or `tokenizer.json`. `None`: looked for beside the weights.
    pub merges: Option<PathBuf>,
    /// The activation, where neither the format nor a configuration beside the weights tells it.
    pub activation: Option<Activation>,
    /// How generated images are brought to its size.
    pub resize: Resize,
}

/// Makes the pack of `request` in `folder`, which must not exist yet.
///
/// # Errors
/// When a file cannot be read or is not what it is given as, when the parts do not fit each other, or when `folder` exists or cannot
/// be written. Nothing is left behind then.
pub fn import(request: &Request, folder: &Path) -> Result<Pack, ImportError> {
    if folder.exists() {
        return Err(ImportError::Request(format!(
            "{} exists; import into a new folder, or remove it",
            folder.display()
        )));
    }
    let name =
        folder.file_name().ok_or_else(|| ImportError::Request(format!("{} is no folder's name", folder.display())))?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = parent.join(format!(".{}.importing-{}", name.to_string_lossy(), std::process::id()));
    // One that a killed process of the same number left: containers number theirs alike.
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&aside)(error)),
        _ => {}
    }
    let above = aside.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    let new: Vec<&Path> = above.take_while(|dir| !dir.exists()).collect();
    std::fs::create_dir_all(&aside).map_err(failed(&aside))?;
    let made = Making { aside: &aside, sources: Vec::new(), headers: BTreeMap::new() }.make(request);
    let placed = made.and_then(|()| std::fs::rename(&aside, folder).map_err(failed(folder)));
    if let Err(error) = placed {
        // The reason for the failure matters more than that of a failed removal.
        let _ = std::fs::remove_dir_all(&aside);
        // Stops at the first that something else is in by now.
        let _ = new.into_iter().try_for_each(std::fs::remove_dir);
        return Err(error);
    }
    Ok(Pack::open(folder)?)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::Write { path, source }
}

/// Refuses a network with a tensor too few, too many or of another shape, by the checkpoint's own names.
fn whole(role: Role, pieces: &[taking::Piece], from: &Checkpoint) -> Result<(), ImportError> {
    let shapes = pieces.iter().map(|piece| (piece.name.clone(), piece.shape.clone())).collect();
    let theirs = |name: &str| {
        let piece = pieces.iter().find(|piece| piece.name == name);
        piece.map_or_else(|| name.to_owned(), |piece| piece.from.clone())
    };
    let mut path = from.path();
    let cause = match layout::check(role, &shapes) {
        Ok(()) => return Ok(()),
        Err(Fault::Missing(key)) => Cause::Missing { key },
        Err(Fault::Surplus(keys)) => Cause::Surplus { keys: keys.iter().map(|key| theirs(key)).collect() },
        Err(Fault::Shape { tensor, found, expected }) => {
            let piece = pieces.iter().find(|piece| piece.name == tensor);
            path = piece.and_then(taking::Piece::file).unwrap_or(path);
            let what = format!(
                "has shape {found:?}, but by the network's other tensors it is {expected:?}; the file is damaged, or of a changed \
                 program: copy it again, or take another"
            );
            Cause::Odd { key: theirs(&tensor), what }
        }
    };
    Err(ImportError::Checkpoint { path: path.to_owned(), cause })
}

struct Making<'a> {
    aside: &'a Path,
    sources: Vec<Source>,
    headers: BTreeMap<Role, crate::fit::Tensors>,
}

/// A weights file of the pack.
struct Placed {
    file: String,
    sha256: Digest,
    dtype: crate::manifest::Dtype,
}

impl Making<'_> {
    fn make(mut self, request: &Request) -> Result<(), ImportError> {
        let encoder = request.encoder.as_deref().map(Checkpoint::open).transpose()?;
        let generator = match (&request.generator, &encoder) {
            (Some(path), _) => &Checkpoint::open(path)?,
            (None, Some(encoder)) => encoder,
            (None, None) => {
                return Err(ImportError::Request("a pack needs a generator: give its checkpoint".to_owned()));
            }
        };
        let found = generator::import(generator)?;
        let (latents, w_dim, resolution) = (found.latents, found.w_dim, found.resolution);
        let (architecture, conv_clamp, stylegan3) = (found.architecture, found.conv_clamp, found.stylegan3);
        let Placed { file, sha256, dtype } =
            self.place(Role::Generator, generator, found.pieces, found.family, found.notes)?;
        let generator_part = Generator { architecture, file, sha256, dtype, conv_clamp, stylegan3 };

        let mut encoder_part = None;
        if let Some(checkpoint) = &encoder {
            let found = encoder::import(checkpoint, latents)?;
            if (found.latents, found.w_dim) != (latents, w_dim) {
                return Err(ImportError::Request(format!(
                    "{} makes {} latents of {} numbers, but the generator in {} takes {latents} of {w_dim}: they were trained for \
                     different image sizes; take two that belong together",
                    checkpoint.path().display(),
                    found.latents,
                    found.w_dim,
                    generator.path().display()
                )));
            }
            let (architecture, frame) = (found.architecture, found.frame);
            let placed = self.place(Role::Encoder, checkpoint, found.pieces, found.family, found.notes)?;
            encoder_part =
                Some(Encoder { architecture, file: placed.file, sha256: placed.sha256, dtype: placed.dtype, frame });
        }
        let (clip, rules) = self.clip(&request.clip, Role::Clip)?;
        let mut merges = BTreeMap::from([(Role::ClipMerges, rules)]);
        let mut clip_second = None;
        if let Some(second) = &request.clip_second {
            let (part, rules) = self.clip(second, Role::ClipSecond)?;
            merges.insert(Role::ClipSecondMerges, rules);
            clip_second = Some(part);
        }
        let manifest = Manifest {
            format: FORMAT,
            name: request.name.clone(),
            version: request.version.clone(),
            description: request.description.clone(),
            license: request.license.clone(),
            license_notes: request.license_notes.clone(),
            documents: Vec::new(),
            image: Image { size: resolution, channels: 3, range: [-1.0, 1.0], layout: Layout::NchwRgb },
            generator: generator_part,
            encoder: encoder_part,
            clip,
            clip_second,
            text: Text {
                neutral: request.neutral.clone(),
                subjects: vec![request.neutral.clone()],
                templates: match request.templates.as_slice() {
                    [] => TEMPLATES.map(str::to_owned).to_vec(),
                    given => given.to_vec(),
                },
            },
            judge: None,
            identity: self.identity(request)?,
            perceptual: self.perceptual(request)?,
            detector: self.detector(request)?,
            sources: std::mem::take(&mut self.sources),
        };
        let text =
            toml::to_string_pretty(&manifest).map_err(|error| failed(self.aside)(std::io::Error::other(error)))?;
        let text =
            format!("# Made by `cfx pack import`. Keys and their meaning: shared/packs/src/manifest.rs.\n{text}");
        let manifest = Manifest::from_toml(&text)?;
        let problems = crate::fit::check(&manifest, &self.headers, &merges);
        if !problems.is_empty() {
            return Err(ImportError::Misfit { problems });
        }
        let path = self.aside.join(MANIFEST);
        std::fs::write(&path, text).map_err(failed(&path))
    }

    /// Writes one network's tensors, reads them back, and notes where they came from.
    fn place(
        &mut self,
        role: Role,
        from: &Checkpoint,
        pieces: Vec<taking::Piece>,
        family: &str,
        notes: Vec<String>,
    ) -> Result<Placed, ImportError> {
        whole(role, &pieces, from)?;
        let file = format!("{}.safetensors", role.key());
        let target = self.aside.join(&file);
        let stored = storing::write(pieces, from.path(), &target)?;
        let facts = weights::inspect(&target).map_err(failed(&target))?;
        let tensors = match facts.tensors {
            Ok(tensors) if facts.sha256 == stored.sha256 => tensors,
            Ok(_) => {
                return Err(failed(&target)(std::io::Error::other(
                    "reads back otherwise than it was written; check the disk",
                )));
            }
            Err(error) => return Err(failed(&target)(std::io::Error::other(error.to_string()))),
        };
        self.sources.push(Source {
            role,
            file: from.path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            sha256: file_digest(from.path()).map_err(failed(from.path()))?,
            family: family.to_owned(),
            tensors: weights::tensor_digest(&tensors),
            notes,
        });
        self.headers.insert(role, tensors);
        Ok(Placed { file, sha256: stored.sha256, dtype: stored.dtype })
    }

    fn clip(&mut self, request: &ClipRequest, role: Role) -> Result<(Clip, usize), ImportError> {
        let checkpoint = Checkpoint::open(&request.weights)?;
        let found = clip::import(&checkpoint, request.activation)?;
        let (shape, activation) = (found.shape, found.activation);
        let placed = self.place(role, &checkpoint, found.pieces, found.family, found.notes)?;
        let merges = merges::read(&request.weights, request.merges.as_deref(), shape.vocabulary)?;
        let file = format!("{}.merges.txt", role.key());
        let target = self.aside.join(&file);
        std::fs::write(&target, &merges.text).map_err(failed(&target))?;
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let clip = Clip {
            architecture: match shape.vision {
                clip_shape::VisionShape::Vit { .. } => ClipArchitecture::OpenaiVit,
                clip_shape::VisionShape::ResNet { .. } => ClipArchitecture::OpenaiResnet,
            },
            file: placed.file,
            sha256: placed.sha256,
            dtype: placed.dtype,
            activation,
            vision_heads: shape.vision_heads_to_tell().map(narrow),
            text_heads: shape.text_heads_to_tell().map(narrow),
            context: narrow(shape.context),
            preprocess: Preprocess { resize: request.resize, normalise: Normalise::ClipMeanStd },
            merges: FileRef { file, sha256: Digest::of(&merges.text) },
        };
        Ok((clip, merges.rules))
    }

    fn identity(&mut self, request: &Request) -> Result<Option<Identity>, ImportError> {
        let Some((path, input)) = &request.identity else { return Ok(None) };
        let checkpoint = Checkpoint::open(path)?;
        let (pieces, architecture) = faces::identity(&checkpoint)?;
        let Placed { file, sha256, dtype } =
            self.place(Role::Identity, &checkpoint, pieces, "insightface", Vec::new())?;
        Ok(Some(Identity { architecture, file, sha256, dtype, input: *input }))
    }

    fn perceptual(&mut self, request: &Request) -> Result<Option<Perceptual>, ImportError> {
        let Some((path, trunk)) = &request.perceptual else { return Ok(None) };
        let checkpoint = Checkpoint::open(path)?;
        let trunk = trunk.as_deref().map(Checkpoint::open).transpose()?;
        let (pieces, architecture) = faces::perceptual(&checkpoint, trunk.as_ref())?;
        let notes = match &trunk {
            Some(trunk) => {
                let digest = file_digest(trunk.path()).map_err(failed(trunk.path()))?;
                vec![format!("the trunk is from a file with SHA-256 {digest}")]
            }
            None => Vec::new(),
        };
        let Placed { file, sha256, dtype } = self.place(Role::Perceptual, &checkpoint, pieces, "lpips", notes)?;
        Ok(Some(Perceptual { architecture, file, sha256, dtype }))
    }

    fn detector(&mut self, request: &Request) -> Result<Option<Detector>, ImportError> {
        let checkpoints = request.detector.iter().map(|path| Checkpoint::open(path)).collect::<Result<Vec<_>, _>>()?;
        let [first, others @ ..] = checkpoints.as_slice() else { return Ok(None) };
        let pieces = detector::detector(&checkpoints)?;
        let note = |other: &Checkpoint| {
            let digest = file_digest(other.path()).map_err(failed(other.path()))?;
            let name = other.path().file_name().unwrap_or_default().to_string_lossy();
            Ok::<_, ImportError>(format!("with {name}, a file with SHA-256 {digest}"))
        };
        let notes = others.iter().map(note).collect::<Result<_, _>>()?;
        let Placed { file, sha256, dtype } = self.place(Role::Detector, first, pieces, "facenet-pytorch", notes)?;
        Ok(Some(Detector { architecture: DetectorArchitecture::Mtcnn, file, sha256, dtype }))
    }
}
