//! Jobs on a user's word: only what the state machine accepts, and listings.

use crate::world::World;
use domain::edit::Method;
use domain::job_state::{JobEvent, JobState};
use serde_json::json;
use store::{Deed, JobFilter, TransitionError};

#[tokio::test]
async fn every_job_state_and_event_ends_as_the_state_machine_says() {
    let world = World::new().await;
    let job = world.submit(world.project, "moved", &[Method::default()]).await;
    let settle = |succeeded, dead, cancelled| JobEvent::Settle { succeeded, dead, cancelled };
    let events = [
        JobEvent::Enqueued,
        JobEvent::Pause,
        JobEvent::Resume,
        JobEvent::ResumeUnwritten,
        JobEvent::Cancel,
        settle(9, 0, 0),
        settle(9, 1, 0),
        settle(0, 9, 0),
        JobEvent::Revive,
    ];
    for from in JobState::ALL {
        for event in events {
            world
                .sql(format!(
                    "UPDATE jobs SET state = '{from}', cancel_pending = false, unwritten = false,
                        finished_at = CASE WHEN {} THEN now() END WHERE seq = {job}",
                    from.is_terminal()
                ))
                .await;
            let given = world.store.transition(job, event, None).await;
            match (from.on(event), given) {
                (Ok(expected), Ok(state)) => assert_eq!(state, expected, "{from} on {event:?}"),
                (Err(expected), Err(TransitionError::NotNow(refused))) => assert_eq!(refused, expected),
                (expected, given) => panic!("{from} on {event:?}: {given:?} instead of {expected:?}"),
            }
            assert_eq!(world.job_state(job).await, from.on(event).unwrap_or(from));
        }
    }
    assert!(matches!(world.store.transition(job + 1, JobEvent::Cancel, None).await, Err(TransitionError::Missing)));
}

#[tokio::test]
async fn jobs_are_listed_by_page_and_state() {
    let world = World::new().await;
    let mut seqs = Vec::new();
    for i in 0..5 {
        seqs.push(world.submit(world.project, &format!("job {i}"), &[Method::default()]).await);
    }
    world.store.transition(seqs[1], JobEvent::Cancel, None).await.unwrap();
    let list = async |filter, after| {
        let jobs = world.store.jobs(world.project, filter, after, 3).await.unwrap();
        jobs.into_iter().map(|j| j.seq).collect::<Vec<_>>()
    };
    let first = list(JobFilter::default(), None).await;
    assert_eq!(first, [seqs[4], seqs[3], seqs[2]]);
    assert_eq!(list(JobFilter::default(), first.last().copied()).await, [seqs[1], seqs[0]]);
    assert_eq!(list(JobFilter { state: Some(JobState::Cancelled), text: None }, None).await, [seqs[1]]);
}

#[tokio::test]
async fn actions_are_kept() {
    let world = World::new().await;
    for i in 0..3 {
        let (subject, detail) = (format!("job {i}"), json!({"i": i}));
        let project = (i != 1).then_some(world.project);
        let deed = Deed {
            actor: "operator",
            said: Some("ada"),
            project,
            action: "job.cancel",
            subject: &subject,
            detail: &detail,
        };
        world.store.audit(deed).await.unwrap();
    }
    let log = world.store.audit_log(None, None, 2).await.unwrap();
    assert_eq!(log.iter().map(|e| e.subject.as_str()).collect::<Vec<_>>(), ["job 2", "job 1"]);
    assert_eq!(world.store.audit_log(None, Some(log[1].id), 2).await.unwrap().len(), 1);
    // who may see one project sees what was done in it, and nothing else
    let name = log[0].project.clone().unwrap();
    let seen = async |name: String| world.store.audit_log(Some(&[name]), None, 9).await.unwrap().len();
    assert_eq!((seen(name).await, seen("other".to_owned()).await), (2, 0));
}
