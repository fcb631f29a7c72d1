//! Messages that are doubled, stale or nonsense change nothing (I3).

use crate::per_image;
use anyhow::Result;
use broker::{BrokerConfig, Message, Publisher};
use domain::ids::{BatchId, BootId, TaskId};
use domain::job_state::JobState;
use domain::{Digest, Reason, StageKey};
use stories::{Cluster, faces};
use uuid::Uuid;
use wire::broker::v1::{Fence, FromWorker, ItemOutcome, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn stale_doubled_and_malformed_messages_change_nothing() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(6)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", 2)).await?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded);

    let publisher = Publisher::start(BrokerConfig::new(cluster.broker_url(), "story"));
    let boot = BootId::from_uuid(Uuid::new_v4());
    let batch = BatchId::from_uuid(Uuid::new_v4());
    let all: Vec<TaskId> = (0..i32::try_from(job.total())?).map(|no| TaskId { job: job.seq, no }).collect();
    let send = async |payload: Vec<u8>| -> Result<()> { Ok(publisher.publish(Message::outcome(payload)).await?) };
    for epoch in [0, 1, 2, 99] {
        let fences: Vec<_> = all.iter().map(|task| Fence { task: *task, epoch }).collect();
        let item = |fence: &Fence, outcome: Outcome| ItemOutcome { fence: *fence, gpu_ms: 1e6, outcome };
        let failed = |f: &Fence| {
            item(f, Outcome::Failed { reason: Reason::Internal, detail: "a message of no consequence".to_owned() })
        };
        let key = StageKey(Digest::of("nothing"));
        let stored = |f: &Fence| item(f, Outcome::Stored { key, artifact: Digest::of("nothing") });
        let yielded = |f: &Fence| item(f, Outcome::Yielded { checkpoint: None, done: 0.0 });
        for message in [
            FromWorker::Started { boot, batch, tasks: fences.clone() },
            FromWorker::Outcomes { boot, batch, items: fences.iter().map(failed).collect() },
            FromWorker::Outcomes { boot, batch, items: fences.iter().map(stored).collect() },
            FromWorker::Outcomes { boot, batch, items: fences.iter().map(yielded).collect() },
        ] {
            let payload = serde_json::to_vec(&message)?;
            send(payload.clone()).await?;
            send(payload).await?;
        }
    }
    send(b"not even JSON".to_vec()).await?;

    // a job after the noise: it can only end if every message before it was dealt with
    let next = cluster.submit(&per_image("faces", 2)).await?;
    assert_eq!(cluster.ended(next).await.state, JobState::Succeeded);
    let after = cluster.job(id).await?;
    assert_eq!((after.state, after.counts, after.reasons), (job.state, job.counts, job.reasons));
    assert_eq!(cluster.sql_count("SELECT count(*) FROM results").await?, 12);
    cluster.assert_invariants().await
}
