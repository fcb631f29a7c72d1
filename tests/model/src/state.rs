//! What there is: the rows in Postgres, the messages in the broker, the objects in the bucket, the workers' memories.

use crate::{Broken, Budget};
use domain::failure::RetryPolicy;
use domain::ids::{BatchId, BootId};
use domain::task_state::{TASK_STATES, Task};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// What is explored: how much of everything, which faults, and which rule is left out.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Tasks of the one job, all ready at first. A batch is one task.
    pub tasks: u8,
    /// Worker processes.
    pub workers: u8,
    /// Whether counts are folded by leaders; off, deltas only pile up.
    pub folding: bool,
    /// The faults.
    pub budget: Budget,
    /// The rule that is left out, if any.
    pub broken: Option<Broken>,
}

impl Protocol {
    /// Limits small enough to be reached.
    pub(crate) const POLICY: RetryPolicy =
        RetryPolicy { max_attempts: 2, max_losses: 2, base: Duration::ZERO, cap: Duration::ZERO };

    pub(crate) fn is_broken(&self, rule: Broken) -> bool {
        self.broken == Some(rule)
    }
}

/// A task as handed out once: what every message carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hand {
    /// The task.
    pub task: u8,
    /// Its epoch then.
    pub epoch: i64,
    /// Its failed attempts then: what [`Broken::FenceByAttempt`] compares.
    pub attempts: i16,
}

/// A row of the outbox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Row {
    /// From the sequence: given when the claim begins, not when it commits.
    pub id: u8,
    /// The message.
    pub hand: Hand,
}

/// A work message in the broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Message {
    /// What it hands out.
    pub hand: Hand,
    /// The process that has it unacknowledged.
    pub unacked: Option<u8>,
}

/// What a worker said, in the broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Said {
    /// The process.
    pub boot: u8,
    /// The hand-out.
    pub hand: Hand,
    /// What of it.
    pub what: What,
}

/// Kinds of words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum What {
    /// Taken.
    Started,
    /// Done.
    Finished,
    /// Failed by a defect.
    Failed,
    /// Handed back.
    Yielded,
}

/// What a worker is at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Doing {
    /// Nothing.
    Idle,
    /// It took a delivery.
    Taken {
        /// Which.
        hand: Hand,
        /// `Started` is confirmed.
        said: bool,
        /// The delivery is acknowledged.
        acked: bool,
    },
    /// Computed and in the bucket, not yet told.
    Stored {
        /// Which.
        hand: Hand,
    },
}

impl Doing {
    pub(crate) const fn hand(self) -> Option<Hand> {
        match self {
            Self::Idle => None,
            Self::Taken { hand, .. } | Self::Stored { hand } => Some(hand),
        }
    }
}

/// A worker process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Worker {
    /// Its boot: a new one after every death.
    pub boot: u8,
    /// What it is at.
    pub doing: Doing,
}

/// A claim that has begun and not committed: it holds the task's lock and, shared, the job's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Claim {
    /// The outbox id it drew.
    pub id: u8,
    /// The task.
    pub task: u8,
}

/// How many states a task has.
pub(crate) const STATES: usize = TASK_STATES.len();

/// A row of `count_deltas`: one task left a state and entered another. States by their place in
/// [`domain::task_state::TASK_STATES`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Delta {
    /// Identity of the row.
    pub id: u8,
    /// The state left; none for a new task.
    pub from: Option<u8>,
    /// The state entered.
    pub to: u8,
}

/// A coordinator as the folding leader it once was, or still is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Leader {
    /// The epoch it was given.
    pub epoch: u8,
    /// Deltas it has read and not yet folded.
    pub read: Option<Vec<Delta>>,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    // Postgres
    /// The tasks.
    pub tasks: Vec<Task>,
    /// True once the job is cancelled: from that commit on the cancel is acknowledged.
    pub cancelled: bool,
    /// Open claims.
    pub claims: Vec<Claim>,
    /// The outbox.
    pub outbox: Vec<Row>,
    /// Next id of the outbox.
    pub next_row: u8,
    /// Result rows: the hand-out each came from.
    pub results: Vec<Hand>,
    /// Deltas that are not folded.
    pub deltas: Vec<Delta>,
    /// Next id of a delta.
    pub next_delta: u8,
    /// Folded counts by state.
    pub rollup: [i8; STATES],
    /// The leader's epoch.
    pub leader_epoch: u8,
    // the broker
    /// Work messages.
    pub work: Vec<Message>,
    /// What workers said.
    pub said: Vec<Said>,
    // the bucket
    /// Tasks whose object is there.
    pub objects: BTreeSet<u8>,
    // processes
    /// The workers.
    pub workers: Vec<Worker>,
    /// Next boot.
    pub next_boot: u8,
    /// Whoever was elected, oldest first; only the last is the leader.
    pub leaders: Vec<Leader>,
    /// The cursor of a relay that has one.
    pub cursor: u8,
    /// A count that a coordinator has still to write: only where that is a statement of its own.
    pub unwritten: Option<(u8, u8)>,
    // what is left to go wrong, and what went wrong
    /// Faults left.
    pub left: Budget,
    /// Hand-outs whose message the broker lost.
    pub lost: BTreeSet<Hand>,
    /// What a rule should have kept from happening, seen at the moment it did.
    pub seen: Seen,
}

/// Events that no state shows afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Seen {
    /// An outcome of another epoch changed a task (I3).
    pub stale_applied: bool,
    /// A process that does not hold the task changed it (I3).
    pub stranger_applied: bool,
    /// A task was handed out, started or finished after the cancel was acknowledged (I8).
    pub after_cancel: bool,
    /// A terminal task moved without a revival (I1).
    pub moved_from_the_end: bool,
}

/// A domain id for a boot.
pub(crate) fn boot_id(boot: u8) -> BootId {
    BootId::from_uuid(Uuid::from_u128(u128::from(boot)))
}

/// A domain id for a hand-out.
pub(crate) fn batch_id(epoch: i64) -> BatchId {
    // safe to lose the sign: epochs are counted up from zero
    BatchId::from_uuid(Uuid::from_u128(u128::from(epoch.unsigned_abs())))
}

/// A state's place in the list of states.
pub(crate) fn place(name: &str) -> u8 {
    let place = domain::task_state::TASK_STATES.iter().position(|state| *state == name);
    // safe: the list names every state, which a test of the domain's table holds
    u8::try_from(place.unwrap_or_default()).unwrap_or_default()
}
