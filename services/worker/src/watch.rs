//! How a running computation hears that it should stop, and tells how far it is: asked before every optimiser step.

use crate::drain::Drain;
use crate::held::HeldTask;
use crate::stages::ended::Ended;
use editing::{Control, Directive};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The eye on one batch.
#[derive(Debug)]
pub struct Watch {
    tasks: Vec<Arc<HeldTask>>,
    drain: Drain,
    rule: Rule,
    /// How long it may compute without a checkpoint. Of computing and not of waiting for the device, so the end is known at the first
    /// step; a slice that is longer than time itself has none.
    slice: Duration,
    end: Option<Option<Instant>>,
    /// The items of the present part.
    part: Range<usize>,
}

/// When a batch stops before its end.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// A micro-batch: stops at the end of its slice, and when the worker drains, at the end of the grace period: most batches finish
    /// within it.
    Finish,
    /// One long task: stops at the end of its slice, or as soon as the worker drains.
    Slice,
}

impl Watch {
    /// For items that are interrupted only after a slice of `length`, or when the grace period ends. `tasks` are in the order of the
    /// items.
    pub fn finishing(tasks: Vec<Arc<HeldTask>>, drain: Drain, length: Duration) -> Self {
        let part = 0..tasks.len();
        Self { tasks, drain, rule: Rule::Finish, slice: length, end: None, part }
    }

    /// For one long task, `length` of it.
    pub fn slicing(task: Arc<HeldTask>, drain: Drain, length: Duration) -> Self {
        Self { tasks: vec![task], drain, rule: Rule::Slice, slice: length, end: None, part: 0..1 }
    }

    /// The items that are computed from now on.
    pub fn enter(&mut self, part: Range<usize>) {
        self.part = part;
    }

    /// Whether an item is still wanted.
    pub fn wants(&self, item: usize) -> bool {
        !self.tasks[item].is_cancelled()
    }

    /// Whether to begin at all: a batch that waits for the device when the drain begins is handed back, and one that nobody wants any
    /// more is dropped before its texts are encoded.
    ///
    /// # Errors
    /// How every item ends instead.
    pub fn begin(&self) -> Result<(), Ended> {
        if self.drain.is_begun() {
            return Err(Ended::Yielded(None));
        }
        if self.tasks.iter().all(|task| task.is_cancelled()) { Err(Ended::Cancelled) } else { Ok(()) }
    }
}

impl Control for Watch {
    fn before_step(&mut self, step: u32, steps: u32) -> Directive {
        // Safe: a ratio of counts.
        let done = f64::from(step) / f64::from(steps.max(1));
        self.tasks[self.part.clone()].iter().for_each(|task| task.set_done(done as f32));
        let now = Instant::now();
        // At least one step a slice, however short: or the work would never end.
        let over = self.end.flatten().is_some_and(|end| now >= end);
        self.end.get_or_insert(now.checked_add(self.slice));
        let stop = over
            || match self.rule {
                Rule::Finish => self.drain.is_over(),
                Rule::Slice => self.drain.is_begun() || self.tasks[0].is_cancelled(),
            };
        if stop { Directive::Yield } else { Directive::Continue }
    }

    fn is_cancelled(&mut self, item: usize) -> bool {
        !self.wants(item)
    }
}
