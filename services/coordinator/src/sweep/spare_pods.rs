//! Keeps the cost of deleting a worker's pod at the seconds of work that it has in hand, so that whoever scales down takes idle workers
//! first. One leader at a time. A cost is a hint: a pod that is taken all the same hands its work back as it drains.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use crate::pods::Pods;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Name of the lease.
const LEADERSHIP: &str = "spare_pods";
/// A step whose calls run into their time limits may outlast it: two leaders would only say the same.
const LEASE: Duration = Duration::from_secs(60);
/// Pods told in one step, those that changed most first.
const SLICE: usize = 100;

/// The loop's body.
pub struct SparePods {
    app: App,
    pods: Pods,
    /// What pods were told last, by name.
    told: Mutex<BTreeMap<String, i32>>,
}

impl SparePods {
    /// What it works with.
    pub fn new(app: App, pods: Pods) -> Self {
        Self { app, pods, told: Mutex::default() }
    }
}

impl Reconciler for SparePods {
    const NAME: &'static str = "spare_pods";
    /// Each call waits for Kubernetes' API server.
    const PATIENCE: Duration = Duration::from_secs(1200);

    async fn run_once(&self) -> Result<u64, LoopError> {
        let App { store, holder, .. } = &self.app;
        if store.acquire(LEADERSHIP, holder, LEASE).await?.is_none() {
            // the next leader may say something else meanwhile
            self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
            return Ok(0);
        }
        let costs = costs(store.work_in_hand().await?);
        let changes = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.retain(|pod, _| costs.contains_key(pod));
            changes(&costs, &told)
        };
        let mut changed = 0;
        for (pod, cost) in changes {
            // a worker that runs somewhere else has no pod, and is not asked for again while it says the same
            changed += u64::from(self.pods.set_cost(&pod, cost).await?);
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(pod, cost);
        }
        Ok(changed)
    }
}

/// Whole seconds by pod: a worker's name is its host's, which is its pod's, and the number of its process.
fn costs(workers: Vec<(String, f64)>) -> BTreeMap<String, i32> {
    let mut costs = BTreeMap::new();
    for (name, seconds) in workers {
        let pod = name.rsplit_once(':').map_or(name.as_str(), |(host, _)| host).to_owned();
        // any number of seconds above 68 years is as good as another
        #[expect(clippy::cast_possible_truncation, reason = "a float that is too large becomes the largest cost")]
        let cost = seconds.ceil() as i32;
        let sum: &mut i32 = costs.entry(pod).or_default();
        *sum = sum.saturating_add(cost.max(0));
    }
    costs
}

/// What is worth a call: a pod that becomes idle or busy, and a cost that changed by a tenth. Only the order of costs matters.
fn changes(costs: &BTreeMap<String, i32>, told: &BTreeMap<String, i32>) -> Vec<(String, i32)> {
    let moved = |pod: &String, cost: i32| match told.get(pod) {
        None => i32::MAX,
        Some(&before) if (before == 0) != (cost == 0) => i32::MAX,
        Some(&before) if before.abs_diff(cost) * 10 > before.unsigned_abs() => {
            i32::try_from(before.abs_diff(cost)).unwrap_or(i32::MAX)
        }
        Some(_) => 0,
    };
    let mut moves: Vec<_> = costs.iter().map(|(pod, &cost)| (moved(pod, cost), pod, cost)).collect();
    moves.retain(|&(by, ..)| by > 0);
    moves.sort_by_key(|&(by, ..)| std::cmp::Reverse(by));
    moves.into_iter().take(SLICE).map(|(_, pod, cost)| (pod.clone(), cost)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_cost_is_the_sum_of_its_workers_in_whole_seconds() {
        let workers = [("gpu-1:7", 0.2), ("gpu-1:8", 2.0), ("gpu-2:1", 0.0), ("odd", 1e20)];
        let told = costs(workers.map(|(name, seconds)| (name.to_owned(), seconds)).into());
        assert_eq!(
            told,
            BTreeMap::from([("gpu-1", 3), ("gpu-2", 0), ("odd", i32::MAX)].map(|(n, c)| (n.to_owned(), c)))
        );
    }

    #[test]
    fn only_what_changes_the_order_is_told() {
        let of = |costs: &[(&str, i32)]| costs.iter().map(|&(pod, cost)| (pod.to_owned(), cost)).collect();
        let told = of(&[("idle", 0), ("busy", 100), ("begun", 0), ("ended", 9)]);
        let now = of(&[("idle", 0), ("busy", 95), ("begun", 1), ("ended", 0), ("new", 0)]);
        let mut names: Vec<String> = changes(&now, &told).into_iter().map(|(pod, _)| pod).collect();
        names.sort();
        assert_eq!(names, ["begun", "ended", "new"]);
        assert_eq!(changes(&of(&[("busy", 80)]), &told), [("busy".to_owned(), 80)]);
    }
}
