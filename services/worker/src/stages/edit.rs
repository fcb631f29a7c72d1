//! Latents to edited images, scored.

use self::change::Changed;
use super::ended::Ended;
use super::judge::{self, Rubric, Scores};
use crate::watch::Watch;
use domain::edit::EditSpec;
use domain::record::{MicroBatch, TextFacts};
use domain::{Digest, Stage, StageKey};
use editing::batch::{Load, MemoryModel, run_in_parts};
use editing::draw::Painter;
use editing::guidance::Draw;
use editing::mapper::Mapper;
use editing::score::Goal;
use editing::{EditError, EditText, Engine, Stop, latent, raster, region};
use std::time::Instant;
use tch::Tensor;

mod change;

/// What a whole batch shares.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The edit.
    pub edit: EditSpec,
    /// The trained mapper's file, for methods that have one.
    pub mapper: Option<Vec<u8>>,
    /// How the pack's judge reads this text, if it can.
    pub goal: Option<Goal>,
}

/// One latent to edit.
#[derive(Clone, Debug)]
pub struct Input {
    /// The latent's file, with the noise and weights that its inversion found.
    pub latent: Vec<u8>,
    /// RGB8 raster of the reconstruction: what the edit is compared with.
    pub reconstruction: Vec<u8>,
    /// SHA-256 of the source image, part of the key of the item's random numbers.
    pub source: Digest,
    /// Where it may change, for edits inside a mask: one byte a pixel of the generator's image, 0 outside to 255 inside.
    pub mask: Option<Vec<u8>>,
    /// Factor on the latent's change; with a strength search the most it may be.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
    /// Identity of the result, which checkpoints name.
    pub key: StageKey,
    /// Where an earlier slice stopped, for methods that optimise per image.
    pub checkpoint: Option<Vec<u8>>,
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
    /// The distinct edits of that pass, and this one's place among them.
    pub edit_batch: MicroBatch,
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
    let text = EditText::encode(engine, &plan.edit.text, &plan.edit.neutral, plan.edit.method.numerics())?;
    let mapper = match (plan.edit.method.training(), &plan.mapper) {
        (Some(_), Some(bytes)) => Some(Mapper::open(bytes, engine, &plan.edit.method, &plan.edit.text)?),
        (Some(_), None) => return Err(Ended::internal("the edit needs a trained mapper, and none came with it")),
        (None, _) => None,
    };
    let pass = Pass {
        engine,
        plan,
        identity: plan.edit.identity().map_err(Ended::internal)?,
        target: engine.sentences(&plan.edit.text, &plan.edit.neutral).target,
        text: &text,
        mapper,
    };
    // Without a descent nothing looks at the images with a gradient.
    let looks = plan.edit.method.descent().map_or(0, |_| plan.edit.method.views().per_image());
    let beside = engine.view_bytes().saturating_mul(u64::from(looks));
    let load = Load { stage: Stage::Edit, resolution: engine.resolution(), beside };
    let results = run_in_parts(memory, &load, items.len(), items.len(), |part| {
        watch.enter(part.clone());
        let wanted: Vec<usize> = part.clone().filter(|&i| watch.wants(i)).collect();
        let mut ends: Vec<Result<Edited, Stop>> = part.clone().map(|_| Err(Stop::Cancelled)).collect();
        if !wanted.is_empty() {
            let done = pass.run(items, &wanted, watch)?;
            wanted.into_iter().zip(done).for_each(|(item, end)| ends[item - part.start] = end);
        }
        Ok(ends)
    });
    Ok((
        text.facts,
        results.into_iter().zip(items).map(|(end, item)| end.map_err(|stop| Ended::of(stop, item.key))).collect(),
    ))
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
        let mut results: Vec<Result<Edited, Stop>> = Vec::with_capacity(wanted.len());
        let mut finished = Vec::new();
        for (place, end) in self.change(items, wanted, watch)?.into_iter().enumerate() {
            match end {
                Ok(end) => finished.push((place, end)),
                Err(stop) => results.push(Err(stop)),
            }
        }
        let stopped = std::mem::take(&mut results).into_iter();
        let edited = self.finish(items, wanted, finished, began)?;
        let (places, edited): (Vec<_>, Vec<_>) = edited.into_iter().unzip();
        Ok(interleave(wanted.len(), places.into_iter().zip(edited), stopped))
    }

    /// The soft masks `[items or 1, 1, R, R]` of some items, if the edit has a region.
    fn regions<'b>(&self, items: impl Iterator<Item = &'b Input>) -> Result<Option<Tensor>, EditError> {
        let Some(region) = &self.plan.edit.method.guards().region else { return Ok(None) };
        let (side, device) = (self.engine.resolution(), self.engine.device());
        let soft = |item: &Input| region::soft_mask(region, item.mask.as_deref(), side, device);
        Ok(Some(Tensor::f_cat(&items.map(soft).collect::<Result<Vec<_>, _>>()?, 0)?))
    }

    /// Renders latents `[B, L, w_dim]`; inside their regions, where the edit has one.
    fn show(
        &self,
        painter: &Painter<'_>,
        latents: &Tensor,
        sources: &Tensor,
        regions: Option<&Tensor>,
    ) -> Result<Tensor, EditError> {
        // Safe to narrow: a number of items.
        let rows: Vec<_> = (0..latents.size()[0] as usize).collect();
        tch::no_grad(|| {
            let edited = painter.draw(&rows, latents, None)?;
            match regions {
                Some(regions) => Ok(region::compose(&painter.draw(&rows, sources, None)?, &edited, regions)?),
                None => Ok(edited),
            }
        })
    }

    /// Renders, scores and writes down the items that have a latent; each with its place.
    fn finish(
        &self,
        items: &[Input],
        wanted: &[usize],
        finished: Vec<(usize, Changed)>,
        began: Instant,
    ) -> Result<Vec<(usize, Edited)>, EditError> {
        if finished.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine;
        let of = |(place, _): &(usize, Changed)| &items[wanted[*place]];
        let stacked = |part: fn(&Changed) -> &Tensor| {
            let latents: Vec<_> = finished.iter().map(|(_, changed)| part(changed)).collect();
            Tensor::f_stack(&latents, 0)
        };
        let regions = self.regions(finished.iter().map(of))?;
        let painter = Painter::new(engine, finished.iter().map(|(_, changed)| Some(&*changed.own)).collect())?;
        let images = self.show(&painter, &stacked(|c| &c.latent)?, &stacked(|c| &c.source)?, regions.as_ref())?;
        let rasters = raster::to_rgb8(&images)?;
        let editing = began.elapsed();
        let judging = Instant::now();
        let before: Vec<_> = finished.iter().map(|entry| &of(entry).reconstruction).collect();
        let before = raster::from_rgb8(&before, engine.resolution(), engine.device())?;
        let after = raster::as_published(&images)?;
        let rubric = Rubric { goal: self.plan.goal.as_ref(), accept: &self.plan.edit.accept, target: &self.target };
        let scores = judge::score(engine, &rubric, &before, &after, regions.as_ref())?;
        let share = |time: std::time::Duration| time.as_secs_f64() * 1e3 / finished.len() as f64;
        let milliseconds = [share(editing), share(judging.elapsed())];
        let each = finished.into_iter().zip(rasters).zip(scores).map(|(((place, changed), raster), mut scores)| {
            scores.metrics.extend(changed.found_strength.map(|strength| ("strength".to_owned(), strength)));
            let edited = Edited {
                raster,
                // Safe to narrow: pixels, items.
                side: engine.resolution() as u32,
                latent: latent::to_bytes(&changed.latent)?,
                loss: changed.loss,
                steps: changed.steps,
                scores,
                micro_batch: MicroBatch { size: wanted.len() as u32, slot: place as u32 },
                edit_batch: changed.distinct,
                milliseconds,
            };
            Ok((place, edited))
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
