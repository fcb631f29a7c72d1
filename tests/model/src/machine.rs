//! What can happen next, and what it does.

use crate::state::{STATES, batch_id, boot_id, place};
use crate::{Broken, Claim, Delta, Doing, Hand, Leader, Message, Protocol, Row, Said, Seen, State, What, Worker};
use domain::Reason;
use domain::task_state::{Task, TaskEvent, TaskState};
use stateright::{Model, Property};
use std::collections::BTreeSet;

/// One step of one party. Numbers are places in the lists of [`State`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// A dispatcher begins a claim: it locks the task and draws an outbox id.
    ClaimBegins(u8),
    /// It commits: epoch, state, outbox row and count in one transaction.
    ClaimCommits(usize),
    /// Its process dies: all of it is rolled back.
    ClaimDies(usize),
    /// The relay publishes a row, has it confirmed, and deletes it.
    Publish(usize),
    /// The relay publishes a row and dies, or the confirm is lost: the row stays.
    PublishUnconfirmed(usize),
    /// The relay deletes a row and dies before it has published it. Only where that order is broken.
    DeleteUnpublished(usize),
    /// The broker loses a work message.
    LoseWork(usize),
    /// The broker loses what a worker said.
    LoseSaid(usize),
    /// The broker delivers an unacknowledged message again: its worker's connection broke.
    Redeliver(usize),
    /// A worker takes a message.
    Take(usize, usize),
    /// It says `Started`, and the broker confirms.
    SayStarted(usize),
    /// It acknowledges the delivery.
    Acknowledge(usize),
    /// It has computed the task and put the object into the bucket.
    Put(usize),
    /// It tells the result.
    Tell(usize),
    /// Its attempt fails.
    Fail(usize),
    /// It hands the task back.
    Yield(usize),
    /// It hears that the hand-out is void, and drops it.
    Revoke(usize),
    /// It dies; another boot takes its place.
    Die(usize),
    /// A coordinator applies what a worker said, and acknowledges.
    Apply(usize),
    /// It applies it and dies before it has acknowledged: the message stays.
    ApplyUnacknowledged(usize),
    /// A hand-out that nobody started is taken back.
    NeverStarted(u8),
    /// A running task is taken from a worker that is silent or does not hold it.
    WorkerLost(u8),
    /// A back-off has passed.
    Due(u8),
    /// The user cancels the job, and it is acknowledged.
    Cancel,
    /// A sweeper cancels a task of the cancelled job.
    CancelTask(u8),
    /// An operator revives a dead task.
    Revive(u8),
    /// A user holds the task back.
    Pause(u8),
    /// A user lets it go on.
    Resume(u8),
    /// A count that waited for a statement of its own is written.
    WriteCount,
    /// A coordinator becomes the leader.
    Elect,
    /// A leader reads deltas.
    FoldReads(usize),
    /// It folds what it read, if it still is the leader.
    FoldWrites(usize),
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let ready = Task { epoch: 0, attempts: 0, losses: 0, state: TaskState::Ready };
        let mut state = State {
            tasks: vec![ready; usize::from(self.tasks)],
            cancelled: false,
            claims: Vec::new(),
            outbox: Vec::new(),
            next_row: 1,
            results: Vec::new(),
            deltas: Vec::new(),
            next_delta: 0,
            rollup: [0; STATES],
            leader_epoch: 0,
            work: Vec::new(),
            said: Vec::new(),
            objects: BTreeSet::new(),
            workers: (0..self.workers).map(|boot| Worker { boot, doing: Doing::Idle }).collect(),
            next_boot: self.workers,
            leaders: Vec::new(),
            cursor: 0,
            unwritten: None,
            left: self.budget,
            lost: BTreeSet::new(),
            seen: Seen::default(),
        };
        for _ in 0..self.tasks {
            self.write_count(&mut state, None, place("ready"));
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.of_dispatch_and_relay(state, actions);
        self.of_broker_and_workers(state, actions);
        self.of_outcomes_and_sweeps(state, actions);
        self.of_users_and_leaders(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.perform(&mut next, action);
        // bags: two orders of the same messages are one state
        next.work.sort_unstable();
        next.said.sort_unstable();
        next.outbox.sort_unstable();
        next.claims.sort_unstable();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all()
    }
}

/// What may happen next.
impl Protocol {
    fn of_dispatch_and_relay(&self, state: &State, actions: &mut Vec<Action>) {
        for task in 0..self.tasks {
            let locked = state.claims.iter().any(|claim| claim.task == task);
            if state.tasks[usize::from(task)].state == TaskState::Ready && !locked && !state.cancelled {
                actions.push(Action::ClaimBegins(task));
            }
        }
        for claim in 0..state.claims.len() {
            actions.push(Action::ClaimCommits(claim));
            if state.left.deaths > 0 {
                actions.push(Action::ClaimDies(claim));
            }
        }
        for (row, held) in state.outbox.iter().enumerate() {
            if self.is_broken(Broken::CursorById) {
                let passed = |r: &Row| r.id > state.cursor && r.id < held.id;
                if held.id > state.cursor && !state.outbox.iter().any(passed) {
                    actions.push(Action::Publish(row));
                }
                continue;
            }
            actions.push(Action::Publish(row));
            if state.left.doubled > 0 {
                actions.push(Action::PublishUnconfirmed(row));
            }
            if self.is_broken(Broken::DeleteBeforeConfirm) && state.left.deaths > 0 {
                actions.push(Action::DeleteUnpublished(row));
            }
        }
    }

    fn of_broker_and_workers(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, message) in state.work.iter().enumerate() {
            if state.left.lost > 0 {
                actions.push(Action::LoseWork(at));
            }
            if message.unacked.is_some() && state.left.doubled > 0 {
                actions.push(Action::Redeliver(at));
            }
        }
        if state.left.lost > 0 {
            actions.extend((0..state.said.len()).map(Action::LoseSaid));
        }
        let early_ack = self.is_broken(Broken::AckBeforeConfirm);
        for (place, worker) in state.workers.iter().enumerate() {
            match worker.doing {
                Doing::Idle => {
                    let waiting = (0..state.work.len()).filter(|at| state.work[*at].unacked.is_none());
                    actions.extend(waiting.map(|at| Action::Take(place, at)));
                }
                Doing::Taken { said, acked, .. } => {
                    if !said && (acked || !early_ack) {
                        actions.push(Action::SayStarted(place));
                    }
                    if !acked && (said || early_ack) {
                        actions.push(Action::Acknowledge(place));
                    }
                    if said && acked {
                        let tells = self.is_broken(Broken::TellBeforePut);
                        actions.push(if tells { Action::Tell(place) } else { Action::Put(place) });
                        if state.left.failed > 0 {
                            actions.push(Action::Fail(place));
                        }
                        if state.left.yielded > 0 {
                            actions.push(Action::Yield(place));
                        }
                    }
                }
                Doing::Stored { .. } => {
                    let told = self.is_broken(Broken::TellBeforePut);
                    actions.push(if told { Action::Put(place) } else { Action::Tell(place) });
                }
            }
            let begun = matches!(worker.doing, Doing::Taken { said: true, acked: true, .. });
            if begun && worker.doing.hand().is_some_and(|hand| !state.is_its_own(worker.boot, hand)) {
                actions.push(Action::Revoke(place));
            }
            if state.left.deaths > 0 && worker.doing != Doing::Idle {
                actions.push(Action::Die(place));
            }
        }
    }

    fn of_outcomes_and_sweeps(&self, state: &State, actions: &mut Vec<Action>) {
        for at in 0..state.said.len() {
            actions.push(Action::Apply(at));
            if state.left.doubled > 0 {
                actions.push(Action::ApplyUnacknowledged(at));
            }
        }
        for no in 0..self.tasks {
            let task = &state.tasks[usize::from(no)];
            let free = state.left.hasty > 0;
            match &task.state {
                TaskState::Dispatched { .. } => {
                    let hand = state.hand_of(no);
                    // what is still in the outbox waits for the broker
                    let waits = state.outbox.iter().any(|row| row.hand == hand);
                    if !waits && (free || !state.may_still_be_heard_of(hand, None)) {
                        actions.push(Action::NeverStarted(no));
                    }
                }
                TaskState::Running { boot } if free || !state.may_still_be_heard_of(state.hand_of(no), Some(*boot)) => {
                    actions.push(Action::WorkerLost(no));
                }
                TaskState::RetryWait { .. } => actions.push(Action::Due(no)),
                TaskState::Paused if !state.cancelled => actions.push(Action::Resume(no)),
                TaskState::Dead { .. } if state.left.revivals > 0 && !state.cancelled => {
                    actions.push(Action::Revive(no));
                }
                _ => {}
            }
            let waits = matches!(task.state, TaskState::Ready | TaskState::RetryWait { .. });
            // a claim under way has the task's row locked: the pause waits for it
            let claimed = state.claims.iter().any(|claim| claim.task == no);
            if state.left.pauses > 0 && waits && !claimed && !state.cancelled {
                actions.push(Action::Pause(no));
            }
            if state.cancelled && !task.state.is_terminal() {
                actions.push(Action::CancelTask(no));
            }
        }
    }

    fn of_users_and_leaders(&self, state: &State, actions: &mut Vec<Action>) {
        // a claim under way holds the job's row shared: the cancel waits for it
        if state.left.cancels > 0 && !state.cancelled && state.claims.is_empty() {
            actions.push(Action::Cancel);
        }
        if state.unwritten.is_some() {
            actions.push(Action::WriteCount);
        }
        if !self.folding {
            return;
        }
        if state.leaders.is_empty() || state.left.elections > 0 {
            actions.push(Action::Elect);
        }
        for (at, leader) in state.leaders.iter().enumerate() {
            if leader.read.is_some() {
                actions.push(Action::FoldWrites(at));
            } else if leader.epoch == state.leader_epoch && !state.deltas.is_empty() {
                actions.push(Action::FoldReads(at));
            }
        }
    }
}

/// What happens.
impl Protocol {
    fn perform(&self, state: &mut State, action: Action) {
        match action {
            Action::ClaimBegins(task) => {
                state.claims.push(Claim { id: state.next_row, task });
                state.next_row += 1;
            }
            Action::ClaimCommits(at) => self.commit_claim(state, at),
            Action::ClaimDies(at) => {
                state.left.deaths -= 1;
                state.claims.remove(at);
            }
            Action::Publish(at) => {
                let row = state.outbox[at];
                state.work.push(Message { hand: row.hand, unacked: None });
                if self.is_broken(Broken::CursorById) {
                    state.cursor = row.id;
                }
                state.outbox.remove(at);
            }
            Action::PublishUnconfirmed(at) => {
                state.left.doubled -= 1;
                state.work.push(Message { hand: state.outbox[at].hand, unacked: None });
            }
            Action::DeleteUnpublished(at) => {
                state.left.deaths -= 1;
                state.outbox.remove(at);
            }
            Action::LoseWork(at) => {
                state.left.lost -= 1;
                let message = state.work.remove(at);
                state.lost.insert(message.hand);
            }
            Action::LoseSaid(at) => {
                state.left.lost -= 1;
                let said = state.said.remove(at);
                state.lost.insert(said.hand);
            }
            Action::Redeliver(at) => {
                state.left.doubled -= 1;
                state.work[at].unacked = None;
            }
            Action::Cancel => {
                state.left.cancels -= 1;
                state.cancelled = true;
            }
            Action::WriteCount => {
                if let Some((from, to)) = state.unwritten.take() {
                    self.write_count(state, Some(from), to);
                }
            }
            Action::Elect => {
                if !state.leaders.is_empty() {
                    state.left.elections -= 1;
                }
                state.leader_epoch += 1;
                state.leaders.push(Leader { epoch: state.leader_epoch, read: None });
            }
            Action::FoldReads(at) => state.leaders[at].read = Some(state.deltas.clone()),
            Action::FoldWrites(at) => self.fold(state, at),
            Action::Apply(at) => {
                let said = state.said.remove(at);
                self.apply(state, said);
            }
            Action::ApplyUnacknowledged(at) => {
                state.left.doubled -= 1;
                let said = state.said[at];
                self.apply(state, said);
            }
            Action::NeverStarted(no) => {
                if state.may_still_be_heard_of(state.hand_of(no), None) {
                    state.left.hasty -= 1;
                }
                self.step(state, no, &TaskEvent::Lose { reason: Reason::NeverStarted });
            }
            Action::WorkerLost(no) => {
                if let TaskState::Running { boot } = state.tasks[usize::from(no)].state
                    && state.may_still_be_heard_of(state.hand_of(no), Some(boot))
                {
                    state.left.hasty -= 1;
                }
                self.step(state, no, &TaskEvent::Lose { reason: Reason::WorkerLost });
            }
            Action::Due(no) => self.step(state, no, &TaskEvent::Due),
            Action::CancelTask(no) => self.step(state, no, &TaskEvent::Cancel),
            Action::Pause(no) => {
                state.left.pauses -= 1;
                self.step(state, no, &TaskEvent::Pause);
            }
            Action::Resume(no) => self.step(state, no, &TaskEvent::Resume { waits: false }),
            Action::Revive(no) => {
                state.left.revivals -= 1;
                self.step(state, no, &TaskEvent::Revive);
            }
            worker => work(state, worker),
        }
    }

    fn commit_claim(&self, state: &mut State, at: usize) {
        let Claim { id, task } = state.claims.remove(at);
        state.seen.after_cancel |= state.cancelled;
        let batch = batch_id(state.tasks[usize::from(task)].epoch + 1);
        self.step(state, task, &TaskEvent::Dispatch { batch });
        let hand = state.hand_of(task);
        state.outbox.push(Row { id, hand });
    }

    /// What the SQL of `started`, `finish_*`, `yield_back` and `fail` does with one fence.
    fn apply(&self, state: &mut State, said: Said) {
        let no = usize::from(said.hand.task);
        let task = state.tasks[no].clone();
        let by_attempt = self.is_broken(Broken::FenceByAttempt);
        let fenced = if by_attempt { said.hand.attempts == task.attempts } else { said.hand.epoch == task.epoch };
        let commits_late = said.what == What::Finished && self.is_broken(Broken::CommitAfterCancel);
        if !fenced || (state.cancelled && !commits_late) {
            return;
        }
        let boot = boot_id(said.boot);
        let holder = match task.state {
            TaskState::Running { boot } => Some(boot),
            _ => None,
        };
        let stranger = said.what != What::Started && holder.is_some_and(|holder| holder != boot);
        if stranger && !self.is_broken(Broken::AnyHolder) {
            return;
        }
        let epoch = task.epoch;
        let event = match said.what {
            What::Started => TaskEvent::Start { epoch, boot },
            What::Finished => TaskEvent::Finish { epoch },
            What::Failed => TaskEvent::Fail { epoch, reason: Reason::Internal },
            What::Yielded => TaskEvent::Yield { epoch },
        };
        let anyhow = said.what == What::Finished && self.is_broken(Broken::FinishInAnyState);
        let next = match task.on(&event, &Self::POLICY) {
            Ok(next) => next,
            Err(_) if anyhow => Task { state: TaskState::Succeeded, ..task.clone() },
            Err(_) => return,
        };
        state.seen.stale_applied |= said.hand.epoch != epoch;
        state.seen.stranger_applied |= stranger;
        state.seen.after_cancel |= state.cancelled;
        if said.what == What::Finished {
            state.results.push(said.hand);
        }
        self.replace(state, said.hand.task, next);
    }

    /// A change that the table allows; nothing if it does not.
    fn step(&self, state: &mut State, no: u8, event: &TaskEvent) {
        if let Ok(next) = state.tasks[usize::from(no)].on(event, &Self::POLICY) {
            if matches!(event, TaskEvent::Revive) {
                let from = place(state.tasks[usize::from(no)].state.name());
                self.count(state, from, place(next.state.name()));
                state.tasks[usize::from(no)] = next;
            } else {
                self.replace(state, no, next);
            }
        }
    }

    fn replace(&self, state: &mut State, no: u8, next: Task) {
        let task = &mut state.tasks[usize::from(no)];
        state.seen.moved_from_the_end |= task.state.is_terminal();
        let (from, to) = (place(task.state.name()), place(next.state.name()));
        *task = next;
        self.count(state, from, to);
    }

    fn count(&self, state: &mut State, from: u8, to: u8) {
        if self.is_broken(Broken::DeltaApart) && state.unwritten.is_none() {
            state.unwritten = Some((from, to));
        } else {
            self.write_count(state, Some(from), to);
        }
    }

    fn write_count(&self, state: &mut State, from: Option<u8>, to: u8) {
        let delta = Delta { id: state.next_delta, from, to };
        if self.folding {
            state.next_delta += 1;
            state.deltas.push(delta);
        } else {
            // as if folded at once: who folds is another scenario's matter
            add(&mut state.rollup, delta);
        }
    }

    fn fold(&self, state: &mut State, at: usize) {
        let Some(read) = state.leaders[at].read.take() else { return };
        if state.leaders[at].epoch != state.leader_epoch && !self.is_broken(Broken::NoLeaderEpoch) {
            return;
        }
        read.iter().for_each(|delta| add(&mut state.rollup, *delta));
        state.deltas.retain(|delta| !read.contains(delta));
    }
}

/// A worker's own steps: they touch its memory, the broker and the bucket alone.
fn work(state: &mut State, action: Action) {
    let say = |state: &mut State, place: usize, hand: Hand, what: What| {
        let boot = state.workers[place].boot;
        state.said.push(Said { boot, hand, what });
    };
    match action {
        Action::Take(place, at) => {
            let hand = state.work[at].hand;
            state.work[at].unacked = Some(state.workers[place].boot);
            state.workers[place].doing = Doing::Taken { hand, said: false, acked: false };
        }
        Action::SayStarted(place) => {
            if let Doing::Taken { hand, acked, .. } = state.workers[place].doing {
                say(state, place, hand, What::Started);
                state.workers[place].doing = Doing::Taken { hand, said: true, acked };
            }
        }
        Action::Acknowledge(place) => {
            if let Doing::Taken { hand, said, .. } = state.workers[place].doing {
                let boot = Some(state.workers[place].boot);
                // a copy that was delivered again is not this worker's to acknowledge
                if let Some(at) = state.work.iter().position(|m| m.hand == hand && m.unacked == boot) {
                    state.work.remove(at);
                }
                state.workers[place].doing = Doing::Taken { hand, said, acked: true };
            }
        }
        Action::Put(place) => {
            if let Some(hand) = state.workers[place].doing.hand() {
                state.objects.insert(hand.task);
                let told = matches!(state.workers[place].doing, Doing::Stored { .. });
                state.workers[place].doing = if told { Doing::Idle } else { Doing::Stored { hand } };
            }
        }
        Action::Tell(place) => {
            if let Some(hand) = state.workers[place].doing.hand() {
                say(state, place, hand, What::Finished);
                let put = matches!(state.workers[place].doing, Doing::Stored { .. });
                state.workers[place].doing = if put { Doing::Idle } else { Doing::Stored { hand } };
            }
        }
        Action::Fail(place) | Action::Yield(place) => {
            let fails = matches!(action, Action::Fail(_));
            if let Some(hand) = state.workers[place].doing.hand() {
                say(state, place, hand, if fails { What::Failed } else { What::Yielded });
                state.workers[place].doing = Doing::Idle;
            }
            let left = if fails { &mut state.left.failed } else { &mut state.left.yielded };
            *left -= 1;
        }
        Action::Revoke(place) => state.workers[place].doing = Doing::Idle,
        Action::Die(place) => {
            state.left.deaths -= 1;
            let boot = Some(state.workers[place].boot);
            state.work.iter_mut().filter(|m| m.unacked == boot).for_each(|m| m.unacked = None);
            state.workers[place] = Worker { boot: state.next_boot, doing: Doing::Idle };
            state.next_boot += 1;
        }
        _ => {}
    }
}

impl State {
    /// The present hand-out of a task.
    pub(crate) fn hand_of(&self, no: u8) -> Hand {
        let task = &self.tasks[usize::from(no)];
        Hand { task: no, epoch: task.epoch, attempts: task.attempts }
    }

    /// Whether a worker may go on with a hand-out, by the rule of `heartbeat`.
    fn is_its_own(&self, boot: u8, hand: Hand) -> bool {
        let task = &self.tasks[usize::from(hand.task)];
        let held = match task.state {
            TaskState::Dispatched { .. } => true,
            TaskState::Running { boot: holder } => holder == boot_id(boot),
            _ => false,
        };
        task.epoch == hand.epoch && held && !self.cancelled
    }

    /// Whether somebody (or, once it runs, its holder) will still say something about the hand-out if nothing else goes wrong.
    fn may_still_be_heard_of(&self, hand: Hand, holder: Option<domain::BootId>) -> bool {
        let its = |boot: u8| holder.is_none_or(|holder| boot_id(boot) == holder);
        let waits = holder.is_none() && self.work.iter().any(|m| m.hand == hand);
        waits
            || self.said.iter().any(|s| s.hand == hand && s.what != What::Started && its(s.boot))
            || (holder.is_none() && self.said.iter().any(|s| s.hand == hand))
            || self.workers.iter().any(|w| w.doing.hand() == Some(hand) && its(w.boot))
    }
}

fn add(counts: &mut [i8; STATES], delta: Delta) {
    if let Some(from) = delta.from {
        counts[usize::from(from)] -= 1;
    }
    counts[usize::from(delta.to)] += 1;
}

/// What the counts say: rollups and what is not folded.
pub(crate) fn counted(state: &State) -> [i8; STATES] {
    let mut counts = state.rollup;
    state.deltas.iter().for_each(|delta| add(&mut counts, *delta));
    counts
}

/// What the tasks say.
pub(crate) fn actual(state: &State) -> [i8; STATES] {
    let mut counts = [0; STATES];
    for task in &state.tasks {
        counts[usize::from(place(task.state.name()))] += 1;
    }
    counts
}
