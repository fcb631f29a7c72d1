//! What happens to the installation while it works. Each story is a deed that lasts for a while and is undone; the hosts, the moment and
//! the length are fixed, because a run tells one story after the other and is looked at as a whole.

use crate::fleet::{COORDINATORS, Fleet, MOST_WORKERS, NODES, WIRES, WORKERS};
use crate::load::{self, Done};
use crate::report::Told;
use crate::switch::Wires;
use anyhow::{Context as _, Result};
use faults::history::Installation as _;
use std::time::{Duration, Instant};

/// Looked at before a deed, and after it is undone.
const LOOK: Duration = Duration::from_secs(15);
/// Over which the throughput has to be what it was for the installation to count as back.
const SPAN: Duration = Duration::from_secs(5);
/// Longest that is waited for that.
const LONGEST: Duration = Duration::from_secs(90);
/// The part of the throughput before at which it counts as back: windows of five seconds differ by more than a twentieth by themselves.
const BACK: f64 = 0.9;

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Story {
    /// Nothing, to know how much windows differ by themselves.
    Quiet,
    /// A slow, lossy network.
    Lossy,
    /// A worker is cut off and comes back as if nothing had been.
    WorkerCut,
    /// A coordinator is cut off.
    CoordinatorCut,
    /// The broker's node that leads the queue of outcomes is cut off.
    LeaderCut,
    /// All of the broker is cut off from everybody else.
    BrokerCut,
    /// The node that leads is killed, and started again later.
    LeaderKilled,
    /// The database is cut off.
    DatabaseCut,
    /// Four workers more.
    Grown,
    /// And four fewer.
    Shrunk,
    /// Every worker ends in good order and another takes its place, one after the other.
    WorkersRolled,
    /// The same with coordinators, which come back with new certificates.
    CoordinatorsRolled,
    /// The same with the broker's nodes.
    BrokerRolled,
    /// PostgreSQL and S3 are restarted.
    ServicesRolled,
}

impl Story {
    /// In the order in which they are told.
    pub const ALL: [Self; 14] = [
        Self::Quiet,
        Self::Lossy,
        Self::WorkerCut,
        Self::CoordinatorCut,
        Self::LeaderCut,
        Self::BrokerCut,
        Self::LeaderKilled,
        Self::DatabaseCut,
        Self::Grown,
        Self::Shrunk,
        Self::WorkersRolled,
        Self::CoordinatorsRolled,
        Self::BrokerRolled,
        Self::ServicesRolled,
    ];

    /// For the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Lossy => "lossy",
            Self::WorkerCut => "worker-cut",
            Self::CoordinatorCut => "coordinator-cut",
            Self::LeaderCut => "leader-cut",
            Self::BrokerCut => "broker-cut",
            Self::LeaderKilled => "leader-killed",
            Self::DatabaseCut => "database-cut",
            Self::Grown => "grown",
            Self::Shrunk => "shrunk",
            Self::WorkersRolled => "workers-rolled",
            Self::CoordinatorsRolled => "coordinators-rolled",
            Self::BrokerRolled => "broker-rolled",
            Self::ServicesRolled => "services-rolled",
        }
    }

    /// For the table.
    pub const fn deed(self) -> &'static str {
        match self {
            Self::Quiet => "nothing",
            Self::Lossy => "2 % of frames lost, 20 ms one way",
            Self::WorkerCut => "a worker cut off",
            Self::CoordinatorCut => "a coordinator cut off",
            Self::LeaderCut => "the leading node of RabbitMQ cut off",
            Self::BrokerCut => "all of RabbitMQ cut off from the rest",
            Self::LeaderKilled => "the leading node of RabbitMQ killed",
            Self::DatabaseCut => "PostgreSQL cut off",
            Self::Grown => "four workers added",
            Self::Shrunk => "four workers drained",
            Self::WorkersRolled => "every worker replaced, one by one",
            Self::CoordinatorsRolled => "every coordinator replaced, with new certificates",
            Self::BrokerRolled => "every node of RabbitMQ restarted, one by one",
            Self::ServicesRolled => "PostgreSQL and S3 restarted",
        }
    }

    /// The deed, until it is undone.
    async fn perform(self, fleet: &mut Fleet, wrong: &mut Vec<String>) -> Result<()> {
        let wait = tokio::time::sleep;
        let cut = Duration::from_secs(25);
        match self {
            Self::Quiet => wait(Duration::from_secs(15)).await,
            Self::Lossy => {
                let bad = Wires { delay: Duration::from_millis(20), jitter: Duration::from_millis(2), loss: 0.02 };
                fleet.network.switch.set(bad);
                wait(Duration::from_secs(20)).await;
                fleet.network.switch.set(WIRES);
            }
            Self::WorkerCut => isolate(fleet, "w3", cut).await?,
            Self::CoordinatorCut => isolate(fleet, "c1", cut).await?,
            Self::DatabaseCut => isolate(fleet, "db", Duration::from_secs(15)).await?,
            Self::LeaderCut => {
                let leader = fleet.rabbit.leader("cfx.outcomes")?;
                isolate(fleet, &format!("mq{}", leader + 1), cut).await?;
                fleet.rabbit.whole().await;
            }
            Self::BrokerCut => {
                let nodes: Vec<usize> =
                    (1..=NODES).map(|no| Ok(fleet.network.host(&format!("mq{no}"))?.port)).collect::<Result<_>>()?;
                let others =
                    ["c1", "c2"].map(str::to_owned).into_iter().chain((1..=MOST_WORKERS).map(|no| format!("w{no}")));
                let others: Vec<usize> =
                    others.map(|name| Ok(fleet.network.host(&name)?.port)).collect::<Result<_>>()?;
                fleet.network.switch.cut(&nodes, &others);
                wait(cut).await;
                fleet.network.switch.mend();
            }
            Self::LeaderKilled => {
                let leader = fleet.rabbit.leader("cfx.outcomes")?;
                fleet.rabbit.nodes[leader].kill()?;
                wait(Duration::from_secs(20)).await;
                fleet.rabbit.nodes[leader].run()?;
                fleet.rabbit.whole().await;
            }
            Self::Grown => {
                for place in WORKERS..MOST_WORKERS {
                    fleet.add_worker(place)?;
                }
                wait(LOOK).await;
            }
            Self::Shrunk => {
                for place in WORKERS..MOST_WORKERS {
                    if fleet.workers().contains(&place) && !fleet.remove_worker(place).await? {
                        wrong.push(format!("worker {place} did not end in good order"));
                    }
                }
            }
            Self::WorkersRolled => {
                for place in fleet.workers() {
                    if !fleet.remove_worker(place).await? {
                        wrong.push(format!("worker {place} did not end in good order"));
                    }
                    fleet.add_worker(place)?;
                }
            }
            Self::CoordinatorsRolled => {
                for place in 0..COORDINATORS {
                    if !fleet.succeed_coordinator(place).await? {
                        wrong.push(format!("coordinator {place} did not end in good order"));
                    }
                    fleet.api.ready().await;
                }
            }
            Self::BrokerRolled => {
                for place in 0..NODES {
                    fleet.rabbit.nodes[place].stop().await?;
                    fleet.rabbit.nodes[place].run()?;
                    // the next only when this one is a member again, or two of three would be away
                    fleet.rabbit.whole().await;
                }
            }
            Self::ServicesRolled => {
                fleet.postgres.restart().await?;
                wait(Duration::from_secs(5)).await;
                fleet.restart_bucket().await?;
                wait(Duration::from_secs(5)).await;
            }
        }
        Ok(())
    }

    /// Tells it: looks, does it, and looks again.
    ///
    /// # Errors
    /// When the harness itself fails.
    pub async fn tell(self, fleet: &mut Fleet) -> Result<Told> {
        let calm = working(fleet, LOOK).await?;
        let began = Instant::now();
        let mut wrong = Vec::new();
        let performed = self.perform(fleet, &mut wrong).await;
        performed.with_context(|| format!("the story {} cannot be told", self.name()))?;
        let ended = Instant::now();
        let back_s = back(fleet, began, calm.per_second).await?;
        let after = working(fleet, LOOK).await?;
        let during = load::done(fleet, began, ended).await?;
        wrong.extend(fleet.fallen());
        if back_s.is_none() && self != Self::Shrunk {
            wrong.push(format!("the throughput was not back {} s after the end", LONGEST.as_secs()));
        }
        Ok(Told {
            name: self.name().to_owned(),
            deed: self.deed().to_owned(),
            lasted_s: ended.duration_since(began).as_secs_f64(),
            before: calm.per_second,
            during: during.per_second,
            after: after.per_second,
            back_s,
            share: Told::shares([calm, during, after]),
            wrong,
        })
    }
}

async fn isolate(fleet: &Fleet, name: &str, time: Duration) -> Result<()> {
    fleet.network.isolate(name)?;
    tokio::time::sleep(time).await;
    fleet.network.switch.mend();
    Ok(())
}

/// Lets it work for a while; what was done.
async fn working(fleet: &Fleet, time: Duration) -> Result<Done> {
    load::keep_up(fleet).await?;
    let began = Instant::now();
    tokio::time::sleep(time).await;
    load::done(fleet, began, began + time).await
}

/// Waits until what is done in a span is near what it was, and tells how long after `since` that span began.
async fn back(fleet: &Fleet, since: Instant, before: f64) -> Result<Option<f64>> {
    let ended = Instant::now();
    let mut from = since;
    while ended.elapsed() < LONGEST {
        if from.elapsed() < SPAN {
            tokio::time::sleep(SPAN.saturating_sub(from.elapsed())).await;
            load::keep_up(fleet).await?;
        }
        if load::done(fleet, from, from + SPAN).await?.per_second >= BACK * before {
            return Ok(Some(from.duration_since(since).as_secs_f64()));
        }
        from += Duration::from_secs(1);
    }
    Ok(None)
}

/// What was made in all, and how many hand-outs were for nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn totals(fleet: &Fleet) -> Result<(i64, i64)> {
    let sql = "SELECT (SELECT count(*) FROM results) + (SELECT count(*) FROM stage_artifacts WHERE state = 'done'),
        (SELECT COALESCE(sum(epoch), 0)::bigint - count(*) FROM tasks WHERE state = 'succeeded' AND epoch > 0)";
    Ok(sqlx::query_as(sql).fetch_one(fleet.pool()).await?)
}
