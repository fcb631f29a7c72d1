//! The load: two projects that always have work, and every job of theirs held against the invariants when it ends.

use crate::api::Body;
use crate::fault::Scene;
use crate::history::{self, Snapshots};
use crate::rig::Rig;
use anyhow::Result;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Projects and their weights.
pub const PROJECTS: [(&str, f64); 2] = [("light", 1.0), ("heavy", 3.0)];
/// A project with fewer unfinished tasks than this submits another job: it never runs out, whatever is broken.
const LOW: i64 = 360;
/// A job of which no task has ended for so long, while others went on, was passed over.
const PASSED_OVER: Duration = Duration::from_secs(600);

/// An open job.
#[derive(Clone, Debug)]
struct Job {
    project: &'static str,
    id: String,
    seq: i64,
    done: i64,
    at: Instant,
    may_cancel: bool,
}

/// What runs and what has come of it.
#[derive(Debug, Default)]
pub struct Load {
    open: Mutex<Vec<Job>>,
    violations: Mutex<Vec<String>>,
    submitted: AtomicU64,
    ended: AtomicU64,
    done: AtomicU64,
    counted: Mutex<Option<Instant>>,
    first_seed: u64,
}

impl Load {
    /// Makes the projects.
    ///
    /// # Errors
    /// When no coordinator takes them.
    pub async fn prepare(rig: &Rig) -> Result<Self> {
        projects(rig).await?;
        Ok(Self { first_seed: 1, ..Self::default() })
    }

    /// Submits and checks, for ever.
    pub async fn keep_up(&self, rig: &Rig) {
        loop {
            for (project, _) in PROJECTS {
                // a database that is away is asked again
                if matches!(unfinished(rig, project).await, Ok(n) if n < LOW) {
                    self.submit(rig, project).await;
                }
            }
            self.look(rig).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn submit(&self, rig: &Rig, project: &'static str) {
        let seed = self.first_seed + self.submitted.fetch_add(1, Ordering::Relaxed);
        match rig.api.submit_as(project, seed, 1).await {
            Ok((id, seq)) => {
                lock(&self.open).push(Job { project, id, seq, done: 0, at: Instant::now(), may_cancel: false });
            }
            Err(error) => self.violated(format!("a job was not taken: {error:#}")),
        }
    }

    /// Checks what has ended.
    async fn look(&self, rig: &Rig) {
        let due = lock(&self.counted).is_none_or(|at| at.elapsed() > Duration::from_secs(3));
        // seldom, because it reads all results
        if due && let Ok(done) = done(rig).await {
            *lock(&self.counted) = Some(Instant::now());
            self.done.store(done, Ordering::Relaxed);
        }
        let open = lock(&self.open).clone();
        for job in open {
            let Ok((done, ended)) = history::progress(rig, job.seq).await else { continue };
            if !ended {
                let stands = done == job.done && job.at.elapsed() > PASSED_OVER;
                if stands {
                    self.violated(format!("I1: no task of job {} has ended for {PASSED_OVER:?}", job.seq));
                }
                if stands || done != job.done {
                    self.note(job.seq, done);
                }
                continue;
            }
            let Ok(mut found) = history::violations(rig, job.seq, &Snapshots::default()).await else { continue };
            // read again: it may have been cancelled meanwhile
            let may_cancel = lock(&self.open).iter().any(|open| open.seq == job.seq && open.may_cancel);
            if may_cancel {
                found.retain(|what| !what.starts_with("I1: a job whose end"));
            }
            lock(&self.open).retain(|open| open.seq != job.seq);
            self.ended.fetch_add(1, Ordering::Relaxed);
            found.into_iter().for_each(|what| self.violated(format!("job {}: {what}", job.seq)));
        }
    }

    fn note(&self, seq: i64, done: i64) {
        for job in lock(&self.open).iter_mut().filter(|job| job.seq == seq) {
            (job.done, job.at) = (done, Instant::now());
        }
    }

    /// Until all that was submitted has ended.
    pub async fn drain(&self, rig: &Rig) {
        while !lock(&self.open).is_empty() {
            self.look(rig).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// An open job; one that a fault may cancel is remembered.
    pub fn some_job(&self, rng: &mut ChaCha8Rng, may_cancel: bool) -> Option<Scene> {
        let mut open = lock(&self.open);
        let seq = open.choose(rng)?.seq;
        let job = open.iter_mut().find(|job| job.seq == seq)?;
        job.may_cancel |= may_cancel;
        Some(Scene { project: job.project, job: job.id.clone(), seq })
    }

    /// The numbers of open jobs.
    pub fn open(&self) -> Vec<i64> {
        lock(&self.open).iter().map(|job| job.seq).collect()
    }

    /// Jobs that have ended and were checked.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Tasks that have succeeded, at the last look.
    pub fn done(&self) -> f64 {
        // safe to widen: a count of tasks
        self.done.load(Ordering::Relaxed) as f64
    }

    /// What did not hold.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    /// Something did not hold.
    pub fn violated(&self, what: String) {
        lock(&self.violations).push(what);
    }
}

/// Makes the projects with their weights and datasets, if they are not there.
///
/// # Errors
/// When no coordinator takes them.
pub async fn projects(rig: &Rig) -> Result<()> {
    let sql = "SELECT count(*) FROM projects p JOIN datasets d ON d.project = p.id WHERE p.name = $1 AND d.sources > 0";
    for (name, weight) in PROJECTS {
        rig.api.send(Method::POST, &format!("/v1/projects/{name}"), Body::Json(json!({ "weight": weight }))).await?;
        if sqlx::query_scalar::<_, i64>(sql).bind(name).fetch_one(&rig.pool).await? == 0 {
            rig.api.datasets(name).await?;
        }
    }
    Ok(())
}

async fn unfinished(rig: &Rig, project: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM projects p JOIN jobs j ON j.project = p.id JOIN tasks t ON t.job_seq = j.seq
        WHERE p.name = $1 AND j.state IN ('accepting', 'active', 'paused') AND t.state IN ('blocked', 'ready')";
    Ok(sqlx::query_scalar(sql).bind(project).fetch_one(&rig.pool).await?)
}

/// By what is never dropped.
async fn done(rig: &Rig) -> Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM results) + (SELECT count(*) FROM stage_artifacts WHERE state = 'done')";
    let done: i64 = sqlx::query_scalar(sql).fetch_one(&rig.pool).await?;
    Ok(done.unsigned_abs())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // safe to go on after a panic elsewhere: every change is one call
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
