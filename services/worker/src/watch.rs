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
    /// The items of the present part.
    part: Range<usize>,
}

/// When a batch stops before its end.
#[derive(Clone, Copy, Debug)]
enum Rule {
    /// A micro-batch: finishes during the grace period.
    Finish,
    /// Long work with checkpoints: stops at the end of its slice, or as soon as the worker drains. The slice is of computing and
    /// not of waiting for the device, so its end is known at the first step.
    Slice { length: Duration, end: Option<Instant> },
}

impl Watch {
    /// For items that are too short to be interrupted without need. `tasks` are in the order of the items.
    pub fn finishing(tasks: Vec<Arc<HeldTask>>, drain: Drain) -> Self {
        let part = 0..tasks.len();
        Self { tasks, drain, rule: Rule::Finish, part }
    }

    /// For one long task, `length` of it.
    pub fn slicing(task: Arc<HeldTask>, drain: Drain, length: Duration) -> Self {
        Self { tasks: vec![task], drain, rule: Rule::Slice { length, end: None }, part: 0..1 }
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
            return Err(Ended::Yielded);
        }
        if self.tasks.iter().all(|task| task.is_cancelled()) { Err(Ended::Cancelled) } else { Ok(()) }
    }
}

impl Control for Watch {
    fn before_step(&mut self, step: u32, steps: u32) -> Directive {
        // Safe: a ratio of counts.
        let done = f64::from(step) / f64::from(steps.max(1));
        self.tasks[self.part.clone()].iter().for_each(|task| task.set_done(done as f32));
        let stop = match &mut self.rule {
            Rule::Finish => self.drain.is_over(),
            Rule::Slice { length, end } => {
                let now = Instant::now();
                // At least one step a slice, however short: or the work would never end.
                let over = end.is_some_and(|end| now >= end);
                end.get_or_insert(now + *length);
                self.drain.is_begun() || over || self.tasks[0].is_cancelled()
            }
        };
        if stop { Directive::Yield } else { Directive::Continue }
    }

    fn is_cancelled(&mut self, item: usize) -> bool {
        !self.wants(item)
    }
}
