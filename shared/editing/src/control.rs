//! How a caller reaches into a running optimisation: between steps, never within one.

/// What a running optimisation should do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Directive {
    /// Take the step.
    Continue,
    /// Stop here and hand the work back: a drain, or the end of a slice.
    Yield,
}

/// Asked before every step. A step takes from milliseconds to about a second, so that is how soon a cancel works.
pub trait Control {
    /// Whether to take step `step` (from 0) of `steps`.
    fn before_step(&mut self, step: u32, steps: u32) -> Directive;

    /// Whether the item with this id (the caller's own) is no longer wanted.
    fn is_cancelled(&mut self, id: usize) -> bool {
        let _ = id;
        false
    }
}

/// Runs to the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unhindered;

impl Control for Unhindered {
    fn before_step(&mut self, _: u32, _: u32) -> Directive {
        Directive::Continue
    }
}

/// A closure over `(step, steps)` is a control that cancels nothing.
impl<F: FnMut(u32, u32) -> Directive> Control for F {
    fn before_step(&mut self, step: u32, steps: u32) -> Directive {
        self(step, steps)
    }
}
