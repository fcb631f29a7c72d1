//! Results in the order of a score, kept in memory: sorting a million rows takes the database seconds, and an index for every score
//! would cost every result that is written. An order is made once, in the background, when somebody asks for it; 12 bytes a result.
//!
//! **After a crash** orders are made again when they are asked for. Each coordinator has its own.

use crate::app::App;
use domain::accept::RejectReason;
use domain::record::Verdict;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{JobRow, Scored, StoreError, VerdictKind};

/// Orders kept at once.
const KEPT: usize = 8;
/// What a page waits for an order: those of small jobs are made within it.
const PATIENCE: Duration = Duration::from_millis(60);
/// How old the order of a running job may be, at least.
const FRESH: Duration = Duration::from_secs(5);
/// An order of a running job is made anew after this many times what it took to make: making it may cost a tenth of a core.
const REST: u32 = 10;

/// A result's place.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Entry {
    value: f32,
    no: i32,
    edit_no: i16,
    verdict: VerdictKind,
    /// A bit for each of `RejectReason::ALL`.
    reasons: u8,
}

/// Which results.
#[derive(Clone, Copy, Default)]
pub struct Wanted {
    /// Only of this edit.
    pub edit_no: Option<i16>,
    /// Only of this verdict.
    pub verdict: Option<VerdictKind>,
    /// Only those rejected for this.
    pub reason: Option<RejectReason>,
}

/// Results by their score.
pub struct Order {
    /// Ascending by score, then by number.
    entries: Vec<Entry>,
}

fn bit(reason: RejectReason) -> u8 {
    RejectReason::ALL.iter().position(|r| *r == reason).map_or(0, |at| 1 << at)
}

impl Order {
    fn of(scored: Vec<Scored>) -> Self {
        let entry = |s: Scored| Entry {
            // a score has far fewer meaningful digits
            value: s.value as f32,
            no: s.no,
            edit_no: s.edit_no,
            verdict: match s.verdict {
                Some(Verdict::Accept) => VerdictKind::Accepted,
                Some(Verdict::Reject) => VerdictKind::Rejected,
                None => VerdictKind::Unjudged,
            },
            reasons: s.rejected_for.into_iter().map(bit).fold(0, |all, one| all | one),
        };
        let mut entries: Vec<Entry> = scored.into_iter().map(entry).collect();
        entries.sort_unstable_by(|a, b| a.value.total_cmp(&b.value).then(a.no.cmp(&b.no)));
        Self { entries }
    }

    /// The numbers of a page after the cursor, and the cursor of the next one. `falling` is from the highest score down.
    pub fn page(
        &self,
        wanted: Wanted,
        falling: bool,
        after: Option<(f32, i32)>,
        limit: usize,
    ) -> (Vec<i32>, Option<String>) {
        let fits = |e: &&Entry| {
            wanted.edit_no.is_none_or(|no| e.edit_no == no)
                && wanted.verdict.is_none_or(|kind| e.verdict == kind)
                && wanted.reason.is_none_or(|reason| e.reasons & bit(reason) != 0)
        };
        let place = |e: &Entry, (value, no): (f32, i32)| e.value.total_cmp(&value).then(e.no.cmp(&no));
        let found: Vec<&Entry> = if falling {
            let end = after.map_or(self.entries.len(), |at| self.entries.partition_point(|e| place(e, at).is_lt()));
            self.entries[..end].iter().rev().filter(fits).take(limit).collect()
        } else {
            let start = after.map_or(0, |at| self.entries.partition_point(|e| place(e, at).is_le()));
            self.entries[start..].iter().filter(fits).take(limit).collect()
        };
        let next = found.last().filter(|_| found.len() == limit).map(|e| format!("{}:{}", e.value, e.no));
        (found.into_iter().map(|e| e.no).collect(), next)
    }
}

/// A cursor of [`Order::page`].
pub fn cursor(text: &str) -> Option<(f32, i32)> {
    let (value, no) = text.split_once(':')?;
    Some((value.parse().ok()?, no.parse().ok()?))
}

type Key = (i64, String);

struct Kept {
    order: Arc<Order>,
    made: Instant,
    took: Duration,
    used: Instant,
    /// The job had ended: nothing is added to it.
    complete: bool,
}

impl Kept {
    fn is_fresh(&self) -> bool {
        self.complete || self.made.elapsed() < FRESH.max(self.took * REST)
    }
}

#[derive(Default)]
struct State {
    kept: HashMap<Key, Kept>,
    making: HashMap<Key, Arc<tokio::sync::Notify>>,
}

/// The orders that are kept.
#[derive(Default)]
pub struct Orders {
    state: Mutex<State>,
}

impl Orders {
    /// The job's results by `metric`; none while that is still being made.
    pub async fn ask(&self, app: &App, job: &JobRow, metric: &str) -> Option<Arc<Order>> {
        let key = (job.seq, metric.to_owned());
        let (kept, made) = self.begin(app, job, &key);
        if kept.is_some() {
            return kept;
        }
        let _ = tokio::time::timeout(PATIENCE, made?.notified()).await;
        self.lock().kept.get(&key).map(|kept| Arc::clone(&kept.order))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there, and the bell of what is being made; begins to make it if that is needed.
    fn begin(&self, app: &App, job: &JobRow, key: &Key) -> (Option<Arc<Order>>, Option<Arc<tokio::sync::Notify>>) {
        let mut state = self.lock();
        let mut found = None;
        if let Some(kept) = state.kept.get_mut(key) {
            kept.used = Instant::now();
            found = Some(Arc::clone(&kept.order));
            if kept.is_fresh() {
                return (found, None);
            }
        }
        if let Some(bell) = state.making.get(key) {
            return (found, Some(Arc::clone(bell)));
        }
        let bell = Arc::new(tokio::sync::Notify::new());
        state.making.insert(key.clone(), Arc::clone(&bell));
        let (app, job, key, rung) = (app.clone(), job.clone(), key.clone(), Arc::clone(&bell));
        tokio::spawn(async move {
            let began = Instant::now();
            let made = make(&app, &job, &key.1).await;
            app.orders.keep(key, made, began.elapsed(), job.state.is_terminal());
            // also for who has not begun to wait
            rung.notify_waiters();
            rung.notify_one();
        });
        (found, Some(bell))
    }

    fn keep(&self, key: Key, made: Result<Order, StoreError>, took: Duration, complete: bool) {
        let mut state = self.lock();
        state.making.remove(&key);
        match made {
            Ok(order) => {
                let now = Instant::now();
                state.kept.insert(key, Kept { order: Arc::new(order), made: now, took, used: now, complete });
            }
            Err(error) => tracing::warn!(job = key.0, %error, "the results of a job could not be sorted"),
        }
        while state.kept.len() > KEPT {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone());
            oldest.and_then(|key| state.kept.remove(&key));
        }
    }
}

async fn make(app: &App, job: &JobRow, metric: &str) -> Result<Order, StoreError> {
    let scored = app.store.scores(job.seq, metric).await?;
    let made = tokio::task::spawn_blocking(move || Order::of(scored)).await;
    Ok(made.unwrap_or_else(|_| Order { entries: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_in_both_directions() {
        let scored = |no, value: f64| Scored {
            no,
            edit_no: (no % 2) as i16,
            value,
            verdict: (no == 3).then_some(Verdict::Reject),
            rejected_for: if no == 3 { vec![RejectReason::NotPreserved] } else { Vec::new() },
        };
        let order = Order::of(vec![scored(1, 0.5), scored(2, 0.1), scored(3, 0.5), scored(4, 0.9), scored(5, 0.2)]);
        for (falling, all) in [(false, [2, 5, 1, 3, 4]), (true, [4, 3, 1, 5, 2])] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (page, next) = order.page(Wanted::default(), falling, after, 2);
                seen.extend(page);
                let Some(next) = next else { break };
                after = cursor(&next);
            }
            assert_eq!(seen, all);
        }
        let rejected = Wanted { reason: Some(RejectReason::NotPreserved), ..Wanted::default() };
        assert_eq!(order.page(rejected, false, None, 9), (vec![3], None));
        let even = Wanted { edit_no: Some(0), verdict: Some(VerdictKind::Unjudged), ..Wanted::default() };
        assert_eq!(order.page(even, true, None, 9).0, [4, 2]);
        assert_eq!(cursor("x"), None);
    }
}
