//! The faults of the matrix. Each strikes a running installation, holds as long as it says, and is over when it returns: what is
//! dead is started again, what is cut is whole. What cannot be made on this machine says why and counts as skipped, not passed.

mod deeds;

use crate::rig::{COORDINATORS, Rig, WORKERS};
use crate::scenario;
use crate::setup::{Executor, How, faketime};
use anyhow::Result;
use deeds::{await_crash, end_sessions, hold, hold_snapshot, refusal, shuffle, storm, take_connections};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use testkit::Fault as Wire;
use tokio::time::sleep;

/// A fault. Names begin with the number in the matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No fault: what a run takes by itself.
    Calm,
    /// SIGKILL to a worker.
    WorkerKilled,
    /// A worker dies at a crash point.
    WorkerCrash(&'static str),
    /// SIGSTOP for longer than a worker may be silent, then SIGCONT.
    WorkerFrozen,
    /// The broker is stopped in good order and started.
    BrokerRestarted,
    /// The broker is killed and started.
    BrokerKilled,
    /// The vhost with every queue and message is deleted and made again.
    BrokerWiped,
    /// Every connection to the broker is closed, for seconds.
    BrokerCut,
    /// Bytes to and from the broker stand still, for seconds.
    BrokerStill,
    /// Connections to the broker are dead and nobody says so; new ones pass.
    BrokerHalfOpen,
    /// Every chunk to and from the broker takes its time.
    BrokerSlow,
    /// Postgres is cut off and recovers from its log.
    DatabaseCrash,
    /// Every session is ended, again and again.
    SessionsEnded,
    /// Others take all connections.
    ConnectionsTaken,
    /// Bytes to and from Postgres stand still, for seconds.
    DatabaseStill,
    /// Postgres comes back as it was some hundred commits ago.
    CommitsLost,
    /// S3 answers with an error.
    BucketAnswers(&'static str),
    /// S3 stalls.
    BucketStalls,
    /// S3's answers are cut off.
    BucketTruncates,
    /// S3's answers have a wrong byte.
    BucketGarbles,
    /// Workers' and a coordinator's clocks are an hour off, either way. S3 refuses what they sign (`RequestTimeTooSkewed`), and its
    /// answer tells the time to sign with.
    ClocksOff,
    /// Messages are doubled, turned around, delayed and lost.
    MessagesShuffled,
    /// An image at which every worker dies.
    DeadlyImage,
    /// Images that cannot be decoded, for workers that compute.
    BadImages,
    /// No fault: two projects of unequal weight have work all the time.
    Shares,
    /// Two jobs ask for the same, and a worker that computes it dies.
    SameTwice,
    /// The disk of Postgres is full.
    DatabaseDiskFull,
    /// The broker finds its disk full, and blocks publishers.
    BrokerDiskFull,
    /// A coordinator dies at a crash point.
    CoordinatorCrash(&'static str),
    /// SIGKILL to a coordinator.
    CoordinatorKilled,
    /// SIGSTOP to a coordinator for longer than a leader's lease, then SIGCONT.
    LeaderFrozen,
    /// Pause and resume, over and over, and sometimes a cancel.
    ControlStorm,
    /// Two versions at once.
    RollingUpgrade,
    /// A transaction holds its snapshot, and readers are busy.
    SnapshotHeld,
    /// SIGTERM to a worker: a spot machine is taken.
    SpotTaken,
    /// The device is lost, and the worker with it.
    DeviceLost,
    /// No batch fits into the device's memory.
    DeviceSmall,
}

/// Every fault, in the order of the matrix.
pub const ALL: [Fault; 47] = [
    Fault::Calm,
    Fault::Shares,
    Fault::SameTwice,
    Fault::WorkerKilled,
    Fault::WorkerCrash("w.after_started_confirm"),
    Fault::WorkerCrash("w.after_ack"),
    Fault::WorkerCrash("w.after_put"),
    Fault::WorkerCrash("w.after_publish"),
    Fault::WorkerFrozen,
    Fault::BrokerRestarted,
    Fault::BrokerKilled,
    Fault::BrokerWiped,
    Fault::BrokerCut,
    Fault::BrokerStill,
    Fault::BrokerHalfOpen,
    Fault::BrokerSlow,
    Fault::DatabaseCrash,
    Fault::SessionsEnded,
    Fault::ConnectionsTaken,
    Fault::DatabaseStill,
    Fault::CommitsLost,
    Fault::BucketAnswers("500"),
    Fault::BucketAnswers("503"),
    Fault::BucketAnswers("409"),
    Fault::BucketAnswers("412"),
    Fault::BucketStalls,
    Fault::BucketTruncates,
    Fault::BucketGarbles,
    Fault::ClocksOff,
    Fault::MessagesShuffled,
    Fault::DeadlyImage,
    Fault::BadImages,
    Fault::DatabaseDiskFull,
    Fault::BrokerDiskFull,
    Fault::CoordinatorCrash("o.after_commit"),
    Fault::CoordinatorCrash("o.after_confirm"),
    Fault::CoordinatorCrash("o.after_apply"),
    Fault::CoordinatorKilled,
    Fault::LeaderFrozen,
    Fault::ControlStorm,
    Fault::RollingUpgrade,
    Fault::SnapshotHeld,
    Fault::SpotTaken,
    Fault::DeviceLost,
    Fault::DeviceSmall,
    // the two that most often go together in a data centre: given twice the weight
    Fault::WorkerKilled,
    Fault::BrokerCut,
];

/// What a fault needs to know of its run.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The project whose job it is.
    pub project: &'static str,
    /// The job's id.
    pub job: String,
    /// The job's number.
    pub seq: i64,
}

impl Fault {
    /// Its name in the report.
    pub fn name(self) -> String {
        match self {
            Self::Calm => "00 no fault".into(),
            Self::WorkerKilled => "01 worker killed".into(),
            Self::WorkerCrash(point) => format!("01 worker dies {point}"),
            Self::WorkerFrozen => "02 worker frozen beyond its lease".into(),
            Self::BrokerRestarted => "03 broker restarted".into(),
            Self::BrokerKilled => "03 broker killed".into(),
            Self::BrokerWiped => "03 broker wiped".into(),
            Self::BrokerCut => "04 broker cut off".into(),
            Self::BrokerStill => "04 broker stands still".into(),
            Self::BrokerHalfOpen => "04 broker half-open".into(),
            Self::BrokerSlow => "04 broker slow".into(),
            Self::DatabaseCrash => "05 postgres crashes".into(),
            Self::SessionsEnded => "05 postgres ends sessions".into(),
            Self::ConnectionsTaken => "05 postgres has no connections left".into(),
            Self::DatabaseStill => "05 postgres stands still".into(),
            Self::CommitsLost => "06 postgres loses commits".into(),
            Self::BucketAnswers(status) => format!("07 s3 answers {status}"),
            Self::BucketStalls => "07 s3 stalls".into(),
            Self::BucketTruncates => "07 s3 truncates".into(),
            Self::BucketGarbles => "07 s3 garbles".into(),
            Self::ClocksOff => "08 clocks an hour off".into(),
            Self::MessagesShuffled => "09 messages doubled, reordered, lost".into(),
            Self::DeadlyImage => "10 image that kills its worker".into(),
            Self::BadImages => "10 images that cannot be decoded".into(),
            Self::Shares => "00 two projects share".into(),
            Self::SameTwice => "00 two jobs ask for the same".into(),
            Self::DatabaseDiskFull => "11 postgres's disk full".into(),
            Self::BrokerDiskFull => "11 broker's disk full".into(),
            Self::CoordinatorCrash(point) => format!("12 coordinator dies {point}"),
            Self::CoordinatorKilled => "12 coordinator killed".into(),
            Self::LeaderFrozen => "13 leader frozen".into(),
            Self::ControlStorm => "14 pause, resume, cancel".into(),
            Self::RollingUpgrade => "15 rolling upgrade".into(),
            Self::SnapshotHeld => "16 snapshot held, readers busy".into(),
            Self::SpotTaken => "17 spot machine taken".into(),
            Self::DeviceLost => "17 device lost".into(),
            Self::DeviceSmall => "17 device out of memory".into(),
        }
    }

    /// Why it cannot be made here, if so.
    pub fn skipped(self, rig: &Rig) -> Option<String> {
        let why = match self {
            Self::RollingUpgrade if scenario::upgrade::previous().is_none() => {
                "tests/faults/previous.sh has not built the version before"
            }
            Self::ClocksOff if faketime().is_none() => "Debian's package faketime is not installed",
            Self::DatabaseDiskFull if !rig.database.has_own_disk() => {
                "only root may give postgres a small disk of its own"
            }
            _ => return None,
        };
        Some(why.to_owned())
    }

    /// The service it is about: two faults of one service would undo each other.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Calm | Self::Shares | Self::SameTwice => "nothing",
            Self::WorkerKilled
            | Self::WorkerCrash(_)
            | Self::WorkerFrozen
            | Self::SpotTaken
            | Self::DeviceLost
            | Self::DeviceSmall => "worker",
            Self::BrokerRestarted
            | Self::BrokerKilled
            | Self::BrokerWiped
            | Self::BrokerCut
            | Self::BrokerStill
            | Self::BrokerHalfOpen
            | Self::BrokerSlow
            | Self::MessagesShuffled
            | Self::BrokerDiskFull => "broker",
            Self::DatabaseCrash
            | Self::SessionsEnded
            | Self::ConnectionsTaken
            | Self::DatabaseStill
            | Self::CommitsLost
            | Self::DatabaseDiskFull
            | Self::SnapshotHeld => "database",
            Self::BucketAnswers(_) | Self::BucketStalls | Self::BucketTruncates | Self::BucketGarbles => "bucket",
            Self::CoordinatorCrash(_) | Self::CoordinatorKilled | Self::LeaderFrozen | Self::RollingUpgrade => {
                "coordinator"
            }
            Self::ClocksOff | Self::DeadlyImage | Self::BadImages => "processes",
            Self::ControlStorm => "user",
        }
    }

    /// Whether it brings an installation or a job of its own, and so is no fault that strikes what runs.
    pub const fn is_scenario(self) -> bool {
        matches!(self, Self::DeadlyImage | Self::BadImages | Self::Shares | Self::SameTwice | Self::RollingUpgrade)
    }

    /// Whether a job that met it may end in another way than with all tasks succeeded.
    pub const fn may_cancel(self) -> bool {
        matches!(self, Self::ControlStorm)
    }

    /// Done before the job is submitted: processes that are to die at a point are started with it.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn prepare(self, rig: &Rig, rng: &mut ChaCha8Rng) -> Result<()> {
        match self {
            Self::WorkerCrash(point) => {
                // so many passages that the job is under way, so few that it comes to pass
                let most = if point == "w.after_put" { 12 } else { 3 };
                let how = How { crash_at: Some(format!("{point}:{}", rng.random_range(1..=most))), ..How::default() };
                rig.note(format!("a worker will die at {how:?}"));
                rig.replace_worker(rig.some_worker(rng), how)
            }
            Self::CoordinatorCrash(point) => {
                let how = How { crash_at: Some(format!("{point}:{}", rng.random_range(1..=4))), ..How::default() };
                rig.note(format!("a coordinator will die at {how:?}"));
                rig.replace_coordinator(1, how)
            }
            Self::ClocksOff => {
                let how = |clock| How { clock: Some(clock), ..How::default() };
                rig.replace_worker(0, how("+1h"))?;
                rig.replace_worker(1, how("-1h"))?;
                rig.replace_coordinator(1, how("-1h"))?;
                rig.api.ready().await;
                Ok(())
            }
            Self::DeviceLost => {
                let executor = Executor::Null(format!("sleep:30ms,lost:{}", rng.random_range(1..=12)));
                let how = How { executor: Some(executor), ..How::default() };
                rig.note(format!("a worker's device will be lost: {how:?}"));
                rig.replace_worker(rig.some_worker(rng), how)
            }
            Self::DeviceSmall => {
                let executor = Executor::Null(format!("sleep:30ms,room:{}", rng.random_range(1..=3)));
                for place in rig.expendable_workers() {
                    rig.replace_worker(place, How { executor: Some(executor.clone()), ..How::default() })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Strikes, and returns when it is over.
    ///
    /// # Errors
    /// When the harness itself fails: the fault could not be made or not be taken back.
    pub async fn strike(self, rig: &Rig, scene: &Scene, rng: &mut ChaCha8Rng) -> Result<()> {
        let seconds = |rng: &mut ChaCha8Rng, from: f64, to: f64| Duration::from_secs_f64(rng.random_range(from..to));
        match self {
            Self::Calm
            | Self::DeadlyImage
            | Self::BadImages
            | Self::Shares
            | Self::SameTwice
            | Self::RollingUpgrade => Ok(()),
            Self::WorkerKilled => {
                let place = rig.some_worker(rng);
                rig.with_worker(place, |child| child.kill())?;
                sleep(seconds(rng, 0.1, 1.5)).await;
                rig.revive()
            }
            Self::CoordinatorKilled => {
                let place = rig.some_coordinator(rng);
                rig.with_coordinator(place, |child| child.kill())?;
                sleep(seconds(rng, 0.1, 1.5)).await;
                rig.revive()
            }
            Self::WorkerCrash(_) | Self::CoordinatorCrash(_) | Self::DeviceLost => await_crash(self, rig).await,
            Self::WorkerFrozen => {
                let place = rng.random_range(0..WORKERS);
                rig.with_worker(place, |child| child.freeze())?;
                sleep(seconds(rng, 4.0, 6.0)).await;
                rig.with_worker(place, |child| child.thaw())
            }
            Self::LeaderFrozen => {
                let place = rng.random_range(0..COORDINATORS);
                rig.with_coordinator(place, |child| child.freeze())?;
                sleep(seconds(rng, 5.5, 7.0)).await;
                rig.with_coordinator(place, |child| child.thaw())
            }
            Self::SpotTaken => {
                rig.with_worker(rig.some_worker(rng), |child| child.terminate())?;
                sleep(seconds(rng, 1.0, 3.0)).await;
                rig.revive()
            }
            Self::BrokerRestarted => {
                rig.broker.stop().await?;
                rig.broker.start_again().await
            }
            Self::BrokerKilled => {
                rig.broker.kill().await?;
                rig.broker.start_again().await
            }
            Self::BrokerWiped => rig.vhost.wipe().await,
            Self::BrokerCut => hold(&rig.broker_proxy, Wire::Cut, seconds(rng, 0.5, 3.0)).await,
            Self::BrokerStill => hold(&rig.broker_proxy, Wire::Blackhole, seconds(rng, 1.0, 6.0)).await,
            Self::BrokerHalfOpen => hold(&rig.broker_proxy, Wire::HalfOpen, seconds(rng, 1.0, 3.0)).await,
            Self::BrokerSlow => {
                hold(&rig.broker_proxy, Wire::Delay(seconds(rng, 0.1, 0.7)), seconds(rng, 2.0, 5.0)).await
            }
            Self::DatabaseCrash => {
                rig.database.crash().await?;
                sleep(seconds(rng, 0.1, 1.5)).await;
                rig.database.run().await
            }
            Self::SessionsEnded => end_sessions(rig, seconds(rng, 1.0, 3.0)).await,
            Self::ConnectionsTaken => take_connections(rig, seconds(rng, 1.0, 3.0)).await,
            Self::DatabaseStill => hold(&rig.database_proxy, Wire::Blackhole, seconds(rng, 0.5, 4.0)).await,
            Self::CommitsLost => {
                rig.database.keep_copy().await?;
                sleep(seconds(rng, 0.5, 1.5)).await;
                rig.note("the database goes back");
                rig.database.restore_copy().await
            }
            Self::BucketAnswers(status) => {
                hold(&rig.bucket_proxy, Wire::Answer(refusal(status)), seconds(rng, 0.5, 3.0)).await
            }
            Self::BucketStalls => hold(&rig.bucket_proxy, Wire::Blackhole, seconds(rng, 2.0, 6.0)).await,
            Self::BucketTruncates => {
                let most = rng.random_range(1..400);
                hold(&rig.bucket_proxy, Wire::Truncate(most), seconds(rng, 0.5, 2.5)).await
            }
            Self::BucketGarbles => hold(&rig.bucket_proxy, Wire::Garble, seconds(rng, 0.3, 1.5)).await,
            Self::ClocksOff => {
                let off = rig.api.clock_off(1).await?;
                anyhow::ensure!((3500.0..3700.0).contains(&off.abs()), "the coordinator's clock is only {off} s off");
                sleep(seconds(rng, 1.0, 2.0)).await;
                Ok(())
            }
            Self::DeviceSmall => {
                sleep(seconds(rng, 2.0, 4.0)).await;
                Ok(())
            }
            Self::MessagesShuffled => shuffle(rig, rng).await,
            Self::DatabaseDiskFull => {
                rig.database.fill_disk()?;
                sleep(seconds(rng, 1.0, 3.0)).await;
                rig.database.free_disk().await
            }
            Self::BrokerDiskFull => {
                // the alarm is what RabbitMQ makes of a full disk, and by its own rule
                rig.broker.ctl(&["set_disk_free_limit", "1000000GB"]).await?;
                sleep(seconds(rng, 2.0, 4.0)).await;
                rig.broker.ctl(&["set_disk_free_limit", "200MB"]).await
            }
            Self::ControlStorm => storm(rig, scene, rng).await,
            Self::SnapshotHeld => hold_snapshot(rig, seconds(rng, 2.0, 4.0)).await,
        }
    }
}
