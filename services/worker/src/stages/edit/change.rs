//! From inverted latents to edited ones: the method once per distinct image and seed, the strength per item.

use super::{Input, Pass};
use crate::stages::ended::read_checkpoint;
use crate::watch::Watch;
use domain::record::MicroBatch;
use editing::descent::{Checkpoint, Descended};
use editing::draw::{Own, Painter};
use editing::mapper::Mapper;
use editing::per_image::{self, Item};
use editing::rng::RngKey;
use editing::search::{Found, at_strengths, smallest};
use editing::{EditError, Stop, latent, raster};
use std::rc::Rc;
use tch::Tensor;

/// An edited latent.
pub(super) struct Changed {
    /// The inverted latent it came from, `[L, w_dim]`.
    pub source: Tensor,
    /// What else its image is drawn with.
    pub own: Rc<Own>,
    /// `[L, w_dim]`.
    pub latent: Tensor,
    /// The strength that a search found.
    pub found_strength: Option<f64>,
    /// The loss before each step, for methods that optimise per image.
    pub loss: Vec<f64>,
    /// Steps taken.
    pub steps: u32,
    /// The distinct edits that were computed with it, and its place among them.
    pub distinct: MicroBatch,
}

/// The edit of one distinct image at strength 1.
struct Full {
    source: Tensor,
    own: Rc<Own>,
    edited: Tensor,
    loss: Vec<f64>,
    steps: u32,
}

impl Pass<'_> {
    /// The edited latents at the items' strengths, one end per item of `wanted`.
    pub(super) fn change(
        &self,
        items: &[Input],
        wanted: &[usize],
        watch: &mut Watch,
    ) -> Result<Vec<Result<Changed, Stop>>, EditError> {
        // Several strengths of one image are one edit.
        let mut distinct: Vec<usize> = Vec::new();
        let place_of: Vec<usize> = wanted
            .iter()
            .map(|&i| match distinct.iter().position(|&j| self.same_edit(&items[i], &items[j])) {
                Some(place) => place,
                None => {
                    distinct.push(i);
                    distinct.len() - 1
                }
            })
            .collect();
        let full = self.full(items, &distinct, watch)?;
        let mut ends = Vec::with_capacity(wanted.len());
        for (&i, place) in wanted.iter().zip(place_of) {
            ends.push(match &full[place] {
                Ok(full) => Ok(Changed {
                    source: full.source.shallow_clone(),
                    own: Rc::clone(&full.own),
                    latent: latent::at_strength(&full.source, &full.edited, items[i].strength)?,
                    found_strength: None,
                    loss: full.loss.clone(),
                    steps: full.steps,
                    // safe to narrow: numbers of items
                    distinct: MicroBatch { size: distinct.len() as u32, slot: place as u32 },
                }),
                Err(stop) => Err(again(stop)),
            });
        }
        self.search(items, wanted, &mut ends)?;
        Ok(ends)
    }

    /// Whether two items differ in strength alone. A mapper does not know the seed.
    fn same_edit(&self, a: &Input, b: &Input) -> bool {
        (self.mapper.is_some() || a.seed == b.seed) && a.source == b.source && a.latent == b.latent && a.mask == b.mask
    }

    /// The edits of distinct images at strength 1.
    fn full(
        &self,
        items: &[Input],
        distinct: &[usize],
        watch: &mut Watch,
    ) -> Result<Vec<Result<Full, Stop>>, EditError> {
        let engine = self.engine;
        let read = |&i: &usize| latent::inversion_from_bytes(&items[i].latent, engine.generator());
        let (sources, owns): (Vec<Tensor>, Vec<Own>) =
            distinct.iter().map(read).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let ends = match &self.mapper {
            Some(mapper) => mapped(mapper, &sources)?,
            None => {
                let painter = Painter::new(engine, owns.iter().map(Some).collect())?;
                let key = |i: usize| RngKey::new("clip-nce/views", &items[i].source, &self.identity, items[i].seed);
                let entries = distinct.iter().zip(&sources);
                let entry = |(&id, latent)| Item { id, latent, key: key(id), begun: self.begun(items, id) };
                let entries: Vec<_> = entries.map(entry).collect();
                let regions = self.regions(distinct.iter().map(|&i| &items[i]))?;
                per_image::edit(engine, &painter, self.text, &self.plan.edit.method, &entries, regions, watch)?
            }
        };
        let full = sources.into_iter().zip(owns).zip(ends).map(|((source, own), end)| {
            end.map(|end| Full { source, own: Rc::new(own), edited: end.latent, loss: end.loss, steps: end.steps })
        });
        Ok(full.collect())
    }

    /// Where the edit of the item `id` goes on. Its other strengths are the same edit, so the one that came furthest tells.
    fn begun(&self, items: &[Input], id: usize) -> Option<Rc<Checkpoint>> {
        let alike = items.iter().filter(|other| self.same_edit(other, &items[id]));
        let begun = alike.filter_map(|i| read_checkpoint(i.checkpoint.as_ref()?, i.key, self.engine.device()));
        begun.max_by_key(|checkpoint| checkpoint.step)
    }

    /// Replaces each item's strength by the smallest that reaches the target, where the edit asks for it.
    fn search(&self, items: &[Input], wanted: &[usize], ends: &mut [Result<Changed, Stop>]) -> Result<(), EditError> {
        let Some(search) = &self.plan.edit.strength_search else { return Ok(()) };
        let goal = self.plan.goal.as_ref().ok_or_else(|| EditError::Pack {
            what: format!("has no judge target for '{}', which a strength search needs", self.plan.edit.text),
        })?;
        let going: Vec<_> = wanted.iter().zip(ends).filter_map(|(&i, end)| Some((i, end.as_mut().ok()?))).collect();
        if going.is_empty() {
            return Ok(());
        }
        let stack = |part: fn(&Changed) -> &Tensor| {
            let latents: Vec<_> = going.iter().map(|(_, changed)| part(changed)).collect();
            Tensor::f_stack(&latents, 0)
        };
        let (source, edited) = (stack(|c| &c.source)?, stack(|c| &c.latent)?);
        let regions = self.regions(going.iter().map(|(i, _)| &items[*i]))?;
        let owns: Vec<_> = going.iter().map(|(_, changed)| Rc::clone(&changed.own)).collect();
        let painter = Painter::new(self.engine, owns.iter().map(|own| Some(&**own)).collect())?;
        // The edited latents stand at the ceilings already, so the search goes over their fractions.
        let ceilings = vec![1.0; going.len()];
        let found = smallest(self.engine, goal, search, &ceilings, &mut |fractions| {
            let shown = self.show(&painter, &at_strengths(&source, &edited, fractions)?, &source, regions.as_ref())?;
            raster::as_published(&shown)
        })?;
        for ((i, changed), Found { strength, .. }) in going.into_iter().zip(found) {
            changed.latent = latent::at_strength(&changed.source, &changed.latent, strength)?;
            changed.found_strength = Some(items[i].strength * strength);
        }
        Ok(())
    }
}

/// A mapper moves latents alone: noise and weights of an item's own stay its own.
fn mapped(mapper: &Mapper, sources: &[Tensor]) -> Result<Vec<Result<Descended, Stop>>, EditError> {
    let moved = mapper.apply(&Tensor::f_stack(sources, 0)?, 1.0)?.f_unbind(0)?;
    Ok(moved.into_iter().map(|latent| Ok(Descended { latent, loss: Vec::new(), steps: 0 })).collect())
}

/// The same end for another strength of the same image.
fn again(stop: &Stop) -> Stop {
    match stop {
        Stop::Cancelled => Stop::Cancelled,
        Stop::Yielded(halted) => Stop::Yielded(halted.clone()),
        Stop::Failed(error) => Stop::Failed(EditError::Input { what: error.to_string() }),
    }
}
