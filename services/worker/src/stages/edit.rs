//! Latents to edited images, scored.

use super::ended::Ended;
use super::judge::{self, Scores};
use crate::watch::Watch;
use domain::edit::{EditSpec, Method};
use domain::record::{MicroBatch, TextFacts};
use domain::{Digest, Stage};
use editing::batch::{MemoryModel, run_in_parts};
use editing::descent::Descended;
use editing::mapper::Mapper;
use editing::rng::RngKey;
use editing::score::Goal;
use editing::{EditError, EditText, Engine, Stop, clip_nce, latent, raster};
use std::time::Instant;
use tch::Tensor;

/// What a whole batch shares.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The edit.
    pub edit: EditSpec,
    /// The trained mapper's file, for `cf-mapper`.
    pub mapper: Option<Vec<u8>>,
    /// How the pack's judge reads this text, if it can.
    pub goal: Option<Goal>,
}

/// One latent to edit.
#[derive(Clone, Debug)]
pub struct Input {
    /// The latent's file.
    pub latent: Vec<u8>,
    /// RGB8 raster of the reconstruction: what the edit is compared with.
    pub reconstruction: Vec<u8>,
    /// SHA-256 of the source image, part of the key of the item's random numbers.
    pub source: Digest,
    /// Factor on the latent's change.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
}

/// An edited image.
#[derive(Clone, Debug)]
pub struct Edited {
    /// RGB8 raster.
    pub raster: Vec<u8>,
    /// Height and width, px.
    pub side: u32,
    /// The edited latent's file.
    pub latent: Vec<u8>,
    /// The loss before each step, for methods that optimise per image.
    pub loss: Vec<f64>,
    /// Steps taken.
    pub steps: u32,
    /// Scores by networks that were not optimised against.
    pub scores: Scores,
    /// The pass it was computed in.
    pub micro_batch: MicroBatch,
    /// Milliseconds of its share of editing and of judging.
    pub milliseconds: [f64; 2],
}

/// What a batch gives: the texts as the text encoder saw them, and one end per item.
pub type Batch = (TextFacts, Vec<Result<Edited, Ended>>);

/// Edits every item that is still wanted; results are in the order of `items`.
///
/// # Errors
/// What concerns the whole batch: a text that is too long, a mapper that is missing or for another pack.
pub fn compute(
    engine: &Engine,
    memory: &mut MemoryModel,
    plan: &Plan,
    items: &[Input],
    watch: &mut Watch,
) -> Result<Batch, Ended> {
    let text = EditText::encode(engine, &plan.edit.text, &plan.edit.neutral)?;
    let mapper = match (&plan.edit.method, &plan.mapper) {
        (Method::CfMapper(_), Some(bytes)) => Some(Mapper::from_bytes(bytes, engine)?),
        (Method::CfMapper(_), None) => {
            return Err(Ended::internal("the edit needs a trained mapper, and none came with it"));
        }
        (Method::ClipNce(_), _) => None,
    };
    let pass = Pass {
        engine,
        plan,
        identity: plan.edit.identity().map_err(Ended::internal)?,
        target: engine.sentences(&plan.edit.text, &plan.edit.neutral).target,
        text: &text,
        mapper,
    };
    let results = run_in_parts(memory, Stage::Edit, engine.resolution(), items.len(), items.len(), |part| {
        watch.enter(part.clone());
        let wanted: Vec<usize> = part.clone().filter(|&i| watch.wants(i)).collect();
        let mut ends: Vec<Result<Edited, Stop>> = part.clone().map(|_| Err(Stop::Cancelled)).collect();
        if !wanted.is_empty() {
            let done = pass.run(items, &wanted, watch)?;
            wanted.into_iter().zip(done).for_each(|(item, end)| ends[item - part.start] = end);
        }
        Ok(ends)
    });
    Ok((text.facts, results.into_iter().map(|end| end.map_err(Ended::from)).collect()))
}

/// The constants of a batch.
struct Pass<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    identity: Digest,
    target: Vec<String>,
    text: &'a EditText,
    mapper: Option<Mapper>,
}

impl Pass<'_> {
    /// One pass over the items `wanted`.
    fn run(
        &self,
        items: &[Input],
        wanted: &[usize],
        watch: &mut Watch,
    ) -> Result<Vec<Result<Edited, Stop>>, EditError> {
        let began = Instant::now();
        let engine = self.engine;
        let read =
            |&i: &usize| latent::from_bytes(&items[i].latent, engine.n_latent(), engine.w_dim(), engine.device());
        let sources = wanted.iter().map(read).collect::<Result<Vec<Tensor>, _>>()?;
        let ends = self.change(items, wanted, &sources, watch)?;
        let mut results: Vec<Result<Edited, Stop>> = Vec::with_capacity(ends.len());
        let mut finished = Vec::new();
        for (place, end) in ends.into_iter().enumerate() {
            match end {
                Ok(end) => finished.push((place, end)),
                Err(stop) => results.push(Err(stop)),
            }
        }
        let stopped = std::mem::take(&mut results).into_iter();
        let edited = self.finish(items, wanted, &finished, began)?;
        Ok(interleave(wanted.len(), finished.into_iter().map(|(place, _)| place).zip(edited), stopped))
    }

    /// The edited latents at the items' strengths.
    fn change(
        &self,
        items: &[Input],
        wanted: &[usize],
        sources: &[Tensor],
        watch: &mut Watch,
    ) -> Result<Vec<Result<Descended, Stop>>, EditError> {
        match (&self.plan.edit.method, &self.mapper) {
            (Method::ClipNce(method), _) => {
                let key = |i: usize| RngKey::new("clip-nce/views", &items[i].source, &self.identity, items[i].seed);
                let entries = wanted.iter().zip(sources);
                let entries: Vec<_> =
                    entries.map(|(&id, latent)| clip_nce::Item { id, latent, key: key(id) }).collect();
                let ends = clip_nce::edit(self.engine, self.text, method, &entries, watch)?;
                let scaled = ends.into_iter().zip(wanted.iter().zip(sources)).map(|(end, (&i, source))| match end {
                    Ok(end) => {
                        let latent = latent::at_strength(source, &end.latent, items[i].strength)?;
                        Ok(Ok(Descended { latent, ..end }))
                    }
                    Err(stop) => Ok(Err(stop)),
                });
                scaled.collect()
            }
            (Method::CfMapper(_), Some(mapper)) => {
                let batch = Tensor::f_stack(sources, 0)?;
                let moved = mapper.apply(&batch, 1.0)?;
                let scaled = wanted.iter().zip(sources).enumerate().map(|(place, (&i, source))| {
                    let latent = latent::at_strength(source, &moved.f_get(place as i64)?, items[i].strength)?;
                    Ok(Ok(Descended { latent, loss: Vec::new(), steps: 0 }))
                });
                scaled.collect()
            }
            (Method::CfMapper(_), None) => Err(EditError::Input { what: "the mapper is missing".to_owned() }),
        }
    }

    /// Renders, scores and writes down the items that have a latent.
    fn finish(
        &self,
        items: &[Input],
        wanted: &[usize],
        finished: &[(usize, Descended)],
        began: Instant,
    ) -> Result<Vec<Edited>, EditError> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine;
        let latents: Vec<_> = finished.iter().map(|(_, end)| &end.latent).collect();
        let images = engine.render(&Tensor::f_stack(&latents, 0)?)?;
        let rasters = raster::to_rgb8(&images)?;
        let editing = began.elapsed();
        let judging = Instant::now();
        let before: Vec<_> = finished.iter().map(|(place, _)| &items[wanted[*place]].reconstruction).collect();
        let before = raster::from_rgb8(&before, engine.resolution(), engine.device())?;
        let after = raster::as_published(&images)?;
        let scores = judge::score(engine, self.plan.goal.as_ref(), &self.target, &before, &after)?;
        let share = |time: std::time::Duration| time.as_secs_f64() * 1e3 / finished.len() as f64;
        let milliseconds = [share(editing), share(judging.elapsed())];
        let each = finished.iter().zip(rasters).zip(scores).map(|(((place, end), raster), scores)| {
            Ok(Edited {
                raster,
                // Safe to narrow: pixels, items.
                side: engine.resolution() as u32,
                latent: latent::to_bytes(&end.latent)?,
                loss: end.loss.clone(),
                steps: end.steps,
                scores,
                micro_batch: MicroBatch { size: wanted.len() as u32, slot: *place as u32 },
                milliseconds,
            })
        });
        each.collect()
    }
}

/// One result per place: `done` has some places, and `stopped` fills the others in order.
fn interleave<T, E>(
    count: usize,
    done: impl Iterator<Item = (usize, T)>,
    mut stopped: impl Iterator<Item = Result<T, E>>,
) -> Vec<Result<T, E>> {
    let mut done = done.peekable();
    let next = |place| match done.next_if(|(at, _)| *at == place) {
        Some((_, value)) => Some(Ok(value)),
        None => stopped.next(),
    };
    (0..count).filter_map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_and_stopped_items_keep_their_places() {
        let stopped = vec![Err("a"), Err("b")].into_iter();
        let all = interleave(4, [(1, 10), (3, 30)].into_iter(), stopped);
        assert_eq!(all, [Err("a"), Ok(10), Err("b"), Ok(30)]);
    }
}
