//! The cells of the benchmark (method x text x seed), in the order in which they tell most for the least time, and their
//! computation.

use crate::cache::{Entry, Folder};
use crate::edit::{Trained, edit_all, train};
use crate::faces::{Drawn, HeldOut, training_latents};
use crate::measure::{Scores, measure};
use crate::networks_of::Networks;
use crate::plan::{Plan, Setting, Text};
use crate::results::reference;
use anyhow::{Context as _, Result};
use domain::edit::EditSpec;
use domain::{Digest, digest_of};
use editing::train::SourceSet;
use editing::{EditText, Engine, raster};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use training::faces::Renderer;

/// Raised when the same settings make other edits than before, so that what was kept is no longer what they make.
const EDITS: u32 = 1;
/// Likewise for those whose strength is searched.
const SEARCH: u32 = 2;
/// How long to wait for cells that other processes work on.
const PATIENCE: Duration = Duration::from_secs(5);

/// One cell.
#[derive(Clone, Copy)]
pub struct Cell<'a> {
    /// The method.
    pub setting: &'a Setting,
    /// The text.
    pub text: &'a Text,
    /// The seed.
    pub seed: u64,
}

/// Which cells are wanted; empty lists want all.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Names of methods.
    pub methods: Vec<String>,
    /// Slugs of texts.
    pub texts: Vec<String>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

/// The cells that are wanted: a first seed of every method before a second of any, mappers before per-image methods, and then
/// as the plan has them.
pub fn cells<'a>(plan: &'a Plan, wanted: &Wanted) -> Vec<Cell<'a>> {
    let is_wanted = |cell: &Cell<'_>| {
        (wanted.methods.is_empty() || wanted.methods.contains(&cell.setting.name))
            && (wanted.texts.is_empty() || wanted.texts.contains(&cell.text.slug()))
            && (wanted.seeds.is_empty() || wanted.seeds.contains(&cell.seed))
    };
    let mut all = Vec::new();
    for setting in &plan.methods {
        for text in plan.texts.iter().filter(|text| setting.covers(text)) {
            for (rank, &seed) in setting.seeds.iter().enumerate() {
                all.push((rank, Cell { setting, text, seed }));
            }
        }
    }
    all.retain(|(_, cell)| is_wanted(cell));
    // Stable, so the plan's order remains within a group.
    all.sort_by_key(|(rank, cell)| (*rank, cell.setting.method.training().is_none()));
    all.into_iter().map(|(_, cell)| cell).collect()
}

/// What every cell of a run shares.
pub struct Bench<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The pack.
    pub networks: &'a Networks,
    /// The renderer.
    pub renderer: &'a Renderer,
    /// The folder of what is kept.
    pub cache: PathBuf,
    /// What decides scores besides the images.
    pub rules: String,
}

impl Bench<'_> {
    /// Where a cell's results are.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn folder(&self, cell: &Cell<'_>) -> Result<Folder> {
        Folder::open(&self.cache, &digest_of(&self.essence(cell))?)
    }

    /// Everything that decides the images of a cell.
    fn essence(&self, cell: &Cell<'_>) -> serde_json::Value {
        let spec = cell.setting.edit(self.plan, cell.text, cell.seed);
        let faces = &self.plan.faces;
        let mut essence = json!({
            "edits": EDITS,
            "pack": self.networks.pack,
            "edit": spec.essence(),
            "strength": cell.setting.strength,
            "seed": cell.seed,
            "faces": { "seed": faces.seed, "count": faces.count },
            "of_text": cell.text,
        });
        if !cell.setting.precision.is_default() {
            essence["precision"] = json!(cell.setting.precision);
        }
        if spec.strength_search.is_some() {
            essence["search"] = json!(SEARCH);
        }
        if spec.method.training().is_some() {
            essence["trained_on"] = json!({ "seed": faces.training_seed, "count": faces.training_count });
        }
        essence
    }

    fn training_set(&self) -> Result<Digest> {
        let faces = &self.plan.faces;
        let of = json!({ "pack": self.networks.pack, "seed": faces.training_seed, "count": faces.training_count });
        Ok(digest_of(&of)?)
    }

    /// The faces of a text.
    ///
    /// # Errors
    /// When the renderer or a network fails.
    pub fn held_out(&self, text: &Text) -> Result<HeldOut> {
        let engine = &self.networks.engine;
        // Safe to narrow: a side in pixels.
        let side = engine.resolution() as u32;
        let faces = &self.plan.faces;
        let of = json!({ "seed": faces.seed, "count": faces.count, "side": side, "text": text });
        let folder = Folder::open(&self.cache.join("faces"), &digest_of(&of)?)?;
        let _lock = folder.lock()?;
        HeldOut::of(engine, Drawn::kept(folder.path(), self.renderer, faces, text, side)?)
    }

    /// The rows that are no method: their names and scores.
    ///
    /// # Errors
    /// When the renderer or a network fails.
    pub fn references(&self, text: &Text) -> Result<Vec<(&'static str, Scores)>> {
        let engine = &self.networks.engine;
        let mut faces = None;
        let mut scores = Vec::new();
        for name in [reference::BEFORE, reference::TRUTH, reference::INVERTED] {
            let of = &self.plan.faces;
            let of = json!({
                "reference": name,
                "pack": self.networks.pack,
                "neutral": self.plan.neutral,
                "faces": { "seed": of.seed, "count": of.count },
                "of_text": text,
            });
            let folder = Folder::open(&self.cache.join("references"), &digest_of(&of)?)?;
            let _lock = folder.lock()?;
            let found = match folder.scores(&self.rules)? {
                Some(found) => found,
                None => {
                    if faces.is_none() {
                        faces = Some(self.held_out(text)?);
                    }
                    // Safe because it was just put there.
                    let faces = faces.as_ref().expect("the faces of this text");
                    let images = match name {
                        reference::BEFORE => faces.before.shallow_clone(),
                        reference::TRUTH => faces.truths.shallow_clone(),
                        _ => raster::as_published(&engine.render(&engine.encode(&faces.truths)?)?)?,
                    };
                    let measured = measure(engine, self.plan, text, faces, &images)?;
                    folder.put_scores(&self.rules, &measured)?;
                    measured
                }
            };
            scores.push((name, found));
        }
        Ok(scores)
    }

    /// Computes what is missing, in order, leaving to other processes what they hold, until there is nothing left.
    ///
    /// # Errors
    /// When a method cannot be run or a file cannot be written.
    pub fn run(&self, cells: &[Cell<'_>]) -> Result<()> {
        let revision = std::env::var("CFX_COMMIT").unwrap_or_else(|_| "unknown".to_owned());
        let mut set = None;
        // The faces of one text at a time: those of all would fill the memory.
        let mut faces: Option<(String, HeldOut)> = None;
        loop {
            let mut busy = BTreeSet::new();
            for (number, cell) in cells.iter().enumerate() {
                let folder = self.folder(cell)?;
                if folder.entry()?.is_some() && folder.scores(&self.rules)?.is_some() {
                    continue;
                }
                let Some(_lock) = folder.try_lock()? else {
                    busy.insert(number);
                    continue;
                };
                // Another process may have finished it between the look and the lock.
                if folder.entry()?.is_some() && folder.scores(&self.rules)?.is_some() {
                    continue;
                }
                let slug = cell.text.slug();
                if faces.as_ref().is_none_or(|(of, _)| *of != slug) {
                    faces = Some((slug.clone(), self.held_out(cell.text)?));
                }
                // Safe because it was just put there.
                let (_, of_text) = faces.as_ref().expect("the faces of this text");
                let place = format!("[{} of {}]", number + 1, cells.len());
                eprintln!("{place} {}: {slug}, seed {}", cell.setting.name, cell.seed);
                let done = self.compute(cell, &folder, of_text, &mut set, &revision);
                let scores = done.with_context(|| format!("{}: {slug}, seed {}", cell.setting.name, cell.seed))?;
                eprintln!("{place} {}", crate::table::one_line(&scores));
            }
            if busy.is_empty() {
                return Ok(());
            }
            std::thread::sleep(PATIENCE);
        }
    }

    fn compute(
        &self,
        cell: &Cell<'_>,
        folder: &Folder,
        faces: &HeldOut,
        set: &mut Option<SourceSet>,
        revision: &str,
    ) -> Result<Scores> {
        let images = if folder.entry()?.is_some() {
            folder.images(self.networks.engine.resolution())?
        } else {
            let engine = &*self.networks.editing_in(cell.setting.precision)?;
            let spec = cell.setting.edit(self.plan, cell.text, cell.seed);
            let text = EditText::encode(engine, &spec.text, &spec.neutral, spec.method.numerics())?;
            let trained = match spec.method.training() {
                Some(_) => Some(self.trained(engine, &spec, &text, set)?),
                None => None,
            };
            let edited = edit_all(engine, &text, (cell.setting, cell.text, &spec, cell.seed), faces, trained.as_ref())?;
            let entry = Entry { of: self.essence(cell), revision: revision.to_owned(), cost: edited.cost };
            folder.put(&edited.images, &entry)?;
            edited.images
        };
        let scores = measure(&self.networks.engine, self.plan, cell.text, faces, &images)?;
        folder.put_scores(&self.rules, &scores)?;
        Ok(scores)
    }

    /// The mapper of an edit: from the cache, or trained now. Settings that differ in strength alone share it.
    fn trained(
        &self,
        engine: &Engine,
        spec: &EditSpec,
        text: &EditText,
        set: &mut Option<SourceSet>,
    ) -> Result<Trained> {
        let digest = self.training_set()?;
        // What is applied besides the mapper does not make another mapper.
        let spec = EditSpec { strength_search: None, ..spec.clone() };
        let mut of = json!({ "edits": EDITS, "training_set": digest, "edit": spec.mapper_essence() });
        if !engine.precision().is_default() {
            of["precision"] = json!(engine.precision());
        }
        let folder = Folder::open(&self.cache.join("mappers"), &digest_of(&of)?)?;
        let _lock = folder.lock()?;
        if set.as_ref().is_none_or(|set| !set.is(engine, &digest)) {
            let latents = training_latents(engine, self.renderer, &self.plan.faces)?;
            *set = Some(SourceSet::new(engine, digest, &latents)?);
        }
        // Safe because it was just put there.
        let set = set.as_ref().expect("the training set");
        train(engine, text, &spec, set, folder.path())
    }
}

/// The folder of what is kept, when none is named.
pub fn default_cache(root: &Path) -> PathBuf {
    root.join(".local/quality")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_seed_of_all_comes_before_a_second_of_any_and_mappers_first() {
        let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("quality.toml")).unwrap();
        let all = cells(&plan, &Wanted::default());
        let is_mapper = |cell: &Cell<'_>| cell.setting.method.training().is_some();
        let first_per_image = all.iter().position(|cell| !is_mapper(cell)).unwrap();
        let second_seed = all.iter().position(|cell| cell.seed != cell.setting.seeds[0]).unwrap();
        assert!(first_per_image > 0 && first_per_image < second_seed);
        assert!(all[..first_per_image].iter().all(is_mapper));
        let wanted = Wanted { texts: vec!["glasses".to_owned()], seeds: vec![0], ..Wanted::default() };
        let some = cells(&plan, &wanted);
        assert!(!some.is_empty() && some.iter().all(|cell| cell.seed == 0 && cell.text.slug() == "glasses"));
    }
}
