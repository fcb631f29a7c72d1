//! The life of a task as a pure state machine.
//!
//! ```text
//!            unblock            dispatch             start               finish
//! blocked ───────────▶ ready ───────────▶ dispatched ─────▶ running ───────────────▶ succeeded
//!    │                  ▲  ▲                  │    finish ▲    │  │
//!    │ producer dead    │  └── yield, revive ─┴────┬───────┘    │  │ fail
//!    ▼                  │ due                      │ fail, lost │  ▼
//!  dead ◀───────────────┴─────────── retry_wait ◀──┴────────────┘ dead          cancelled ◀── cancel (any not terminal)
//! ```
//! A user pauses what is blocked, ready or in back-off (`paused`), and resumes it: back to ready, or to blocked.
//!
//! A finish may arrive before the start is processed (messages are hints and come in any order), so `dispatched` accepts it.
//! An event that carries an epoch other than the task's changes nothing: that is the fence (invariant I3).

use crate::failure::{FailureClass, Reason, RetryPolicy};
use crate::ids::{BatchId, BootId, Epoch};
use serde::{Deserialize, Serialize};

/// Where a task stands. Each state holds the facts that are true only there.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for an earlier stage (a latent, a mapper). Its commit moves the task on; a sweeper re-arms a lost producer.
    Blocked,
    /// May be handed out. The dispatcher moves it on.
    Ready,
    /// Written to the outbox in `batch`. The worker's `Started` moves it on; else the sweeper, after a time.
    Dispatched {
        /// The hand-out.
        batch: BatchId,
    },
    /// A worker said it started. Its outcome moves the task on; else the sweeper, once the worker is lost.
    Running {
        /// The process that runs it.
        boot: BootId,
    },
    /// Failed, and waits for its back-off to pass.
    RetryWait {
        /// Why the last attempt failed.
        reason: Reason,
    },
    /// Held back by a user. Only a user moves it on.
    Paused,
    /// Done: exactly one result row exists. Terminal.
    Succeeded,
    /// Given up, with a reason. Terminal, but an operator may revive it.
    Dead {
        /// Why.
        reason: Reason,
    },
    /// Cancelled by the user. Terminal.
    Cancelled,
}

impl TaskState {
    /// The column value, for example `retry_wait`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Dispatched { .. } => "dispatched",
            Self::Running { .. } => "running",
            Self::RetryWait { .. } => "retry_wait",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Dead { .. } => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if no event but an operator's revival moves the task again.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead { .. } | Self::Cancelled)
    }
}

/// The names of all states, in the order of the diagram.
pub const TASK_STATES: [&str; 9] =
    ["blocked", "ready", "dispatched", "running", "retry_wait", "paused", "succeeded", "dead", "cancelled"];

/// A task as the state machine sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The fence: bumped by every dispatch.
    pub epoch: Epoch,
    /// Failures of class `Bug` so far.
    pub attempts: i16,
    /// Failures of class `Retryable` so far.
    pub losses: i16,
    /// Where it stands.
    #[serde(flatten)]
    pub state: TaskState,
}

/// What can happen to a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TaskEvent {
    /// Everything it waited for is there.
    Unblock,
    /// What it waited for will never come.
    ProducerDied,
    /// Chosen by the dispatcher.
    Dispatch {
        /// The hand-out.
        batch: BatchId,
    },
    /// A worker took it.
    Start {
        /// The epoch the worker was given.
        epoch: Epoch,
        /// The worker's process.
        boot: BootId,
    },
    /// The result is uploaded.
    Finish {
        /// The epoch the worker was given.
        epoch: Epoch,
    },
    /// Stopped at a checkpoint: end of slice, drain, pre-emption.
    Yield {
        /// The epoch the worker was given.
        epoch: Epoch,
    },
    /// An attempt failed.
    Fail {
        /// The epoch the worker was given.
        epoch: Epoch,
        /// Why.
        reason: Reason,
    },
    /// The sweeper found it handed out but not alive.
    Lose {
        /// `never_started` or `worker_lost`.
        reason: Reason,
    },
    /// The back-off has passed.
    Due,
    /// The user holds it back.
    Pause,
    /// The user lets it go on.
    Resume {
        /// Whether something it waits for is not there yet.
        waits: bool,
    },
    /// The user cancelled it or its job.
    Cancel,
    /// An operator wants a dead task tried again, with fresh attempts.
    Revive,
}

/// Why an event changed nothing. Both are normal in a system of late and doubled messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Refused {
    /// The event carries another epoch: a late, doubled or zombie message.
    #[error("stale epoch")]
    StaleEpoch,
    /// The state does not accept the event.
    #[error("the state does not accept this event")]
    NotNow,
}

impl Task {
    /// The task after `event`, or why nothing changes.
    ///
    /// # Errors
    /// [`Refused`], which callers treat as "drop the message", never as a failure.
    pub fn on(&self, event: &TaskEvent, policy: &RetryPolicy) -> Result<Self, Refused> {
        use TaskEvent as E;
        use TaskState as S;
        if let E::Start { epoch, .. } | E::Finish { epoch } | E::Yield { epoch } | E::Fail { epoch, .. } = event
            && *epoch != self.epoch
        {
            return Err(Refused::StaleEpoch);
        }
        let to = |state| Ok(Self { state, ..self.clone() });
        match (&self.state, event) {
            (S::Blocked, E::Unblock) | (S::RetryWait { .. }, E::Due) => to(S::Ready),
            // ready too: an edit whose latent is there may still wait behind the gate of a mapper that will never come
            (S::Blocked | S::Ready, E::ProducerDied) => to(S::Dead { reason: Reason::ProducerDead }),
            (S::Ready, E::Dispatch { batch }) => {
                Ok(Self { epoch: self.epoch + 1, state: S::Dispatched { batch: *batch }, ..self.clone() })
            }
            (S::Dispatched { .. }, E::Start { boot, .. }) => to(S::Running { boot: *boot }),
            (S::Dispatched { .. } | S::Running { .. }, E::Finish { .. }) => to(S::Succeeded),
            // nobody tried it, so nothing failed: a wait behind long work must never add up to a death
            (S::Dispatched { .. }, E::Lose { reason: Reason::NeverStarted }) => to(S::Ready),
            (S::Dispatched { .. } | S::Running { .. }, E::Yield { .. }) => to(S::Ready),
            (S::Dispatched { .. } | S::Running { .. }, E::Fail { reason, .. } | E::Lose { reason }) => {
                Ok(self.failed(*reason, policy))
            }
            // what a worker has is finished: the cancel is there to stop it
            (S::Blocked | S::Ready | S::RetryWait { .. }, E::Pause) => to(S::Paused),
            (S::Paused, E::Resume { waits: true }) => to(S::Blocked),
            (S::Paused, E::Resume { waits: false }) => to(S::Ready),
            (state, E::Cancel) if !state.is_terminal() => to(S::Cancelled),
            (S::Dead { reason: Reason::ProducerDead }, E::Revive) => {
                // its producer must come first; reviving re-arms that too
                Ok(Self { attempts: 0, losses: 0, state: S::Blocked, ..self.clone() })
            }
            (S::Dead { .. }, E::Revive) => Ok(Self { attempts: 0, losses: 0, state: S::Ready, ..self.clone() }),
            _ => Err(Refused::NotNow),
        }
    }

    /// Counts the failure against its own limit: an item that is at fault is dead at once, the surroundings and our own
    /// defects have a limit each (invariant I7: attempts <= limit + 1).
    fn failed(&self, reason: Reason, policy: &RetryPolicy) -> Self {
        let (attempts, losses) = match reason.class() {
            FailureClass::Data => (self.attempts, self.losses),
            FailureClass::Bug => (self.attempts + 1, self.losses),
            FailureClass::Retryable => (self.attempts, self.losses + 1),
        };
        let spent = attempts >= policy.max_attempts || losses >= policy.max_losses;
        let dead = reason.class() == FailureClass::Data || spent;
        let state = if dead { TaskState::Dead { reason } } else { TaskState::RetryWait { reason } };
        Self { epoch: self.epoch, attempts, losses, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use uuid::Uuid;

    fn task(state: TaskState) -> Task {
        Task { epoch: 5, attempts: 0, losses: 0, state }
    }

    fn states() -> Vec<TaskState> {
        let reason = Reason::WorkerLost;
        vec![
            TaskState::Blocked,
            TaskState::Ready,
            TaskState::Dispatched { batch: BatchId::from_uuid(Uuid::nil()) },
            TaskState::Running { boot: BootId::from_uuid(Uuid::nil()) },
            TaskState::RetryWait { reason },
            TaskState::Paused,
            TaskState::Succeeded,
            TaskState::Dead { reason },
            TaskState::Dead { reason: Reason::ProducerDead },
            TaskState::Cancelled,
        ]
    }

    fn events() -> Vec<(&'static str, TaskEvent)> {
        let boot = BootId::from_uuid(Uuid::nil());
        vec![
            ("unblock", TaskEvent::Unblock),
            ("producer_died", TaskEvent::ProducerDied),
            ("dispatch", TaskEvent::Dispatch { batch: BatchId::from_uuid(Uuid::nil()) }),
            ("start", TaskEvent::Start { epoch: 5, boot }),
            ("start (stale)", TaskEvent::Start { epoch: 4, boot }),
            ("finish", TaskEvent::Finish { epoch: 5 }),
            ("finish (stale)", TaskEvent::Finish { epoch: 4 }),
            ("yield", TaskEvent::Yield { epoch: 5 }),
            ("yield (stale)", TaskEvent::Yield { epoch: 4 }),
            ("fail: storage", TaskEvent::Fail { epoch: 5, reason: Reason::StorageUnavailable }),
            ("fail: data", TaskEvent::Fail { epoch: 5, reason: Reason::Truncated }),
            ("fail: bug", TaskEvent::Fail { epoch: 5, reason: Reason::Internal }),
            ("fail (stale)", TaskEvent::Fail { epoch: 6, reason: Reason::Internal }),
            ("lose", TaskEvent::Lose { reason: Reason::WorkerLost }),
            ("lose: unstarted", TaskEvent::Lose { reason: Reason::NeverStarted }),
            ("due", TaskEvent::Due),
            ("pause", TaskEvent::Pause),
            ("resume", TaskEvent::Resume { waits: false }),
            ("resume: waits", TaskEvent::Resume { waits: true }),
            ("cancel", TaskEvent::Cancel),
            ("revive", TaskEvent::Revive),
        ]
    }

    #[test]
    fn the_table_of_states_and_events_is_as_reviewed() {
        let mut table = String::new();
        for state in states() {
            let producer = if state == (TaskState::Dead { reason: Reason::ProducerDead }) { " (producer)" } else { "" };
            let _ = writeln!(table, "{}{producer}", state.name());
            for (name, event) in events() {
                let cell = match task(state.clone()).on(&event, &RetryPolicy::default()) {
                    Ok(next) => {
                        let bump = if next.epoch > 5 { ", epoch+1" } else { "" };
                        format!("{} (attempts {}, losses {}{bump})", next.state.name(), next.attempts, next.losses)
                    }
                    Err(refused) => format!("- {refused}"),
                };
                let _ = writeln!(table, "  {name:<16} {cell}");
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn losses_and_attempts_are_capped_apart() {
        let policy = RetryPolicy::default();
        let running = TaskState::Running { boot: BootId::from_uuid(Uuid::nil()) };
        let worn = Task { losses: policy.max_losses - 1, ..task(running.clone()) };
        let lost = worn.on(&TaskEvent::Lose { reason: Reason::WorkerLost }, &policy).unwrap();
        assert_eq!(lost.state, TaskState::Dead { reason: Reason::WorkerLost });
        let bug = worn.on(&TaskEvent::Fail { epoch: 5, reason: Reason::Internal }, &policy).unwrap();
        assert_eq!((bug.attempts, bug.state.name()), (1, "retry_wait"));
        let last = Task { attempts: policy.max_attempts - 1, ..task(running) };
        let dead = last.on(&TaskEvent::Fail { epoch: 5, reason: Reason::Internal }, &policy).unwrap();
        assert_eq!(dead.state, TaskState::Dead { reason: Reason::Internal });
    }
}
