//! The invariants of the design, as far as this protocol carries them. I3, I8 and a part of I1 speak of changes, not of states:
//! the machine notes the change when it happens ([`crate::Seen`]).

use crate::machine::{actual, counted};
use crate::{Broken, Protocol, Row, State};
use domain::task_state::TaskState;
use stateright::{Model, Property};

/// The properties' names, for tests that expect one to be broken.
pub mod names {
    /// See `nothing_ends_unfinished`.
    pub const FINISHES: &str = "I1: whatever happens, every task ends";
    /// The same by stateright's own check of every path.
    pub const EVENTUALLY: &str = "I1: on every path every task ends at last";
    /// A terminal task stays as it is.
    pub const ENDS_ONCE: &str = "I1: the end of a task is final";
    /// One result row for a succeeded task, none for another.
    pub const ONE_RESULT: &str = "I2: one result per succeeded task";
    /// Stale epochs and strangers change nothing.
    pub const FENCED: &str = "I3: only the holder of the present hand-out changes a task";
    /// A result's object is in the bucket.
    pub const OBJECT: &str = "I4: no result without its object";
    /// A hand-out is in the outbox, the broker or a worker's hands; only a broker that loses messages can lose it.
    pub const REACHABLE: &str = "I5: no process's death loses a hand-out";
    /// Rollups and deltas against the tasks.
    pub const COUNTS: &str = "I6: the counts are exact at every moment";
    /// Attempts and losses.
    pub const LIMITS: &str = "I7: attempts stay within their limit";
    /// Nothing is handed out, started or finished after a cancel.
    pub const CANCEL: &str = "I8: nothing moves forward after a cancel";
    /// The model is not vacuous.
    pub const SUCCEEDS: &str = "all tasks can succeed";
}

pub(crate) fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(names::FINISHES, nothing_ends_unfinished),
        Property::eventually(names::EVENTUALLY, |_, state: &State| ended(state)),
        Property::always(names::ENDS_ONCE, |_, state: &State| !state.seen.moved_from_the_end),
        Property::always(names::ONE_RESULT, one_result_each),
        Property::always(names::FENCED, |_, state: &State| !state.seen.stale_applied && !state.seen.stranger_applied),
        Property::always(names::OBJECT, |_, state: &State| {
            state.results.iter().all(|r| state.objects.contains(&r.task))
        }),
        Property::always(names::REACHABLE, hand_outs_are_reachable),
        Property::always(names::COUNTS, |_, state: &State| counted(state) == actual(state)),
        Property::always(names::LIMITS, |_, state: &State| {
            let most = |limit: i16, spent: i16| spent <= limit + 1;
            let within = |t: &domain::task_state::Task| {
                most(Protocol::POLICY.max_attempts, t.attempts) && most(Protocol::POLICY.max_losses, t.losses)
            };
            state.tasks.iter().all(within)
        }),
        Property::always(names::CANCEL, |_, state: &State| !state.seen.after_cancel),
        Property::sometimes(names::SUCCEEDS, |_, state: &State| {
            state.tasks.iter().all(|t| t.state == TaskState::Succeeded)
        }),
    ]
}

fn ended(state: &State) -> bool {
    state.tasks.iter().all(|task| task.state.is_terminal())
}

/// Every action spends something that is never given back (a fault, an id, a message, a step of a worker), so no run is endless:
/// that no state without a next one is unfinished means that every run finishes.
fn nothing_ends_unfinished(protocol: &Protocol, state: &State) -> bool {
    if ended(state) {
        return true;
    }
    let mut next = Vec::new();
    protocol.actions(state, &mut next);
    !next.is_empty()
}

fn one_result_each(_: &Protocol, state: &State) -> bool {
    (0..).zip(&state.tasks).all(|(no, task)| {
        let results = state.results.iter().filter(|r| r.task == no).count();
        results == usize::from(task.state == TaskState::Succeeded)
    })
}

fn hand_outs_are_reachable(protocol: &Protocol, state: &State) -> bool {
    let by_cursor = protocol.broken == Some(Broken::CursorById);
    let taken = |row: &Row| !by_cursor || row.id > state.cursor;
    (0..).zip(&state.tasks).filter(|(_, task)| matches!(task.state, TaskState::Dispatched { .. })).all(|(no, _)| {
        let hand = state.hand_of(no);
        state.cancelled
            || state.lost.contains(&hand)
            || state.outbox.iter().any(|row| row.hand == hand && taken(row))
            || state.work.iter().any(|message| message.hand == hand)
            || state.said.iter().any(|said| said.hand == hand)
    })
}
