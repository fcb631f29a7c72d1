//! The life of a job as a pure state machine.
//!
//! ```text
//! accepting ──enqueued──▶ active ◀──resume──▶ paused        (cancel from any of the three: cancelled)
//!     ▲                      │ settled           ▲
//!     │                      ▼                   │
//!     │      succeeded | partial | failed | cancelled        (revive: partial, failed ──▶ active)
//!     └────────────────────pause────────────────▶┘           (back by `resume` while tasks are still to be written)
//! ```
//! `accepting` tasks are already dispatched while the rest is still being written; only settling waits for `active`. A job that is
//! paused meanwhile is `paused` at once: the rest of its tasks is written all the same, and whoever keeps jobs remembers that it is not
//! done.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Its tasks are still being written, slice by slice.
    Accepting,
    /// All tasks are written; the dispatcher hands them out.
    Active,
    /// The dispatcher skips it; running work goes on.
    Paused,
    /// Every task succeeded.
    Succeeded,
    /// Some tasks succeeded, some are dead.
    Partial,
    /// No task succeeded.
    Failed,
    /// Cancelled by the user.
    Cancelled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Accepting, Self::Active, Self::Paused, Self::Succeeded, Self::Partial, Self::Failed, Self::Cancelled];

    /// The column value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepting => "accepting",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if the job will not move without an operator.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for JobState {
    type Err = UnknownJobState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| UnknownJobState(text.to_owned()))
    }
}

/// A job state that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a job state")]
pub struct UnknownJobState(pub String);

/// What can happen to a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JobEvent {
    /// The last slice of tasks is written.
    Enqueued,
    /// The user wants no more hand-outs for now.
    Pause,
    /// The user wants hand-outs again.
    Resume,
    /// The same, of a job that was paused before all of its tasks were written, which are not yet.
    ResumeUnwritten,
    /// The user wants it to end.
    Cancel,
    /// Every task is terminal; the counts decide how the job ended.
    Settle {
        /// Edit tasks that succeeded.
        succeeded: i64,
        /// Tasks that are dead.
        dead: i64,
        /// Tasks that were cancelled one by one.
        cancelled: i64,
    },
    /// An operator revived dead tasks.
    Revive,
}

/// The state does not accept the event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a job that is {from} does not accept this request")]
pub struct NotNow {
    /// The state the job is in.
    pub from: JobState,
}

impl JobState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`NotNow`] when the state does not accept the event. Pausing a paused job and the like are accepted: a repeated request
    /// is not an error.
    pub fn on(self, event: JobEvent) -> Result<Self, NotNow> {
        use JobEvent as E;
        match (self, event) {
            (Self::Accepting, E::Enqueued) | (Self::Active | Self::Paused, E::Resume) => Ok(Self::Active),
            (Self::Accepting, E::Resume) | (Self::Accepting | Self::Paused, E::ResumeUnwritten) => Ok(Self::Accepting),
            (Self::Accepting | Self::Active | Self::Paused, E::Pause) | (Self::Paused, E::Enqueued) => Ok(Self::Paused),
            (Self::Accepting | Self::Active | Self::Paused | Self::Cancelled, E::Cancel) => Ok(Self::Cancelled),
            (Self::Active | Self::Paused, E::Settle { succeeded, dead, cancelled }) => {
                Ok(match (succeeded, dead, cancelled) {
                    (_, 0, 0) => Self::Succeeded,
                    (0, 0, _) => Self::Cancelled,
                    (0, _, _) => Self::Failed,
                    _ => Self::Partial,
                })
            }
            (Self::Partial | Self::Failed, E::Revive) => Ok(Self::Active),
            _ => Err(NotNow { from: self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn the_table_of_states_and_events_is_as_reviewed() {
        let settle = |succeeded, dead, cancelled| JobEvent::Settle { succeeded, dead, cancelled };
        let events = [
            ("enqueued", JobEvent::Enqueued),
            ("pause", JobEvent::Pause),
            ("resume", JobEvent::Resume),
            ("resume early", JobEvent::ResumeUnwritten),
            ("cancel", JobEvent::Cancel),
            ("settle 9/0/0", settle(9, 0, 0)),
            ("settle 9/1/0", settle(9, 1, 0)),
            ("settle 0/9/0", settle(0, 9, 0)),
            ("settle 9/0/1", settle(9, 0, 1)),
            ("settle 0/0/9", settle(0, 0, 9)),
            ("revive", JobEvent::Revive),
        ];
        let mut table = String::new();
        for state in JobState::ALL {
            let _ = writeln!(table, "{state}");
            for (name, event) in events {
                let cell = state.on(event).map_or_else(|_| "-".to_owned(), |next| next.to_string());
                let _ = writeln!(table, "  {name:<13} {cell}");
            }
        }
        insta::assert_snapshot!(table);
    }
}
