//! The protocol of `shared/store`, the relay and the workers as a state machine that [`stateright`] explores exhaustively in the
//! small: every interleaving of dispatchers, relay, broker, workers, outcome handlers, sweepers and the leader's fold, with a
//! bounded number of faults.
//!
//! **What is real.** A task moves by [`domain::task_state::Task::on`], the table that the SQL is held against by
//! `shared/store/tests/store/conformance.rs`. What the SQL adds to the table is modelled here beside it: the job's state under
//! its lock, the holder of a running task, the outbox row in the claim's transaction, deltas in the change's statement.
//!
//! **What is modelled.** Postgres is linearisable: one action, one transaction (a claim and a fold take two, to let others in
//! between). The broker is a bag: messages are taken in any order, delivered again, doubled and lost. The bucket keeps what is
//! put. Workers die and come back as another boot, hang while others take over, and are revoked at any time or never. Time is
//! not modelled: a time-out may strike whenever its condition holds. It is free where the thing waited for is truly lost, and
//! costs one of [`Budget::hasty`] where it is merely late, so every run ends.
//!
//! **What is checked** is in [`properties`]. **Broken variants** ([`Broken`]) each take out one rule; the model must find what
//! that rule is for, or it proves nothing. What was explored, and in which time, stands in `README.md` beside this.

mod machine;
mod properties;
mod state;

pub use machine::Action;
pub use properties::names;
pub use state::{Claim, Delta, Doing, Hand, Leader, Message, Protocol, Row, Said, Seen, State, What, Worker};

/// How many faults a run may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Budget {
    /// Workers that die and coordinators that end in the middle of a claim.
    pub deaths: u8,
    /// Messages in the broker that are lost (a wiped broker loses several).
    pub lost: u8,
    /// Messages that are published, delivered or handled twice.
    pub doubled: u8,
    /// Time-outs that strike although the thing waited for would still have come.
    pub hasty: u8,
    /// Attempts that fail by a defect.
    pub failed: u8,
    /// Attempts that are handed back.
    pub yielded: u8,
    /// Cancels of the job.
    pub cancels: u8,
    /// Pauses of a task.
    pub pauses: u8,
    /// Revivals of dead tasks.
    pub revivals: u8,
    /// Changes of the leader.
    pub elections: u8,
}

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Broken {
    /// The delivery is acknowledged before `Started` is confirmed.
    AckBeforeConfirm,
    /// Outcomes are compared with the number of failed attempts instead of the epoch.
    FenceByAttempt,
    /// The relay remembers the last id it published instead of taking whichever rows are there.
    CursorById,
    /// The leader's writes do not carry its epoch.
    NoLeaderEpoch,
    /// A finish looks at the epoch but not at the state.
    FinishInAnyState,
    /// The count follows in a statement of its own.
    DeltaApart,
    /// A finish does not look at the job.
    CommitAfterCancel,
    /// The result is told before its object is in the bucket.
    TellBeforePut,
    /// The relay deletes a row before the broker has confirmed it.
    DeleteBeforeConfirm,
    /// An outcome is taken from whichever process sends it.
    AnyHolder,
}
