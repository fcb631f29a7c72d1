//! Submitting once, writing slices once.

use crate::world::{World, edit, invert, key};
use domain::edit::Method;
use domain::job_state::{JobEvent, JobState};
use domain::{Digest, Stage};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{NewTask, SliceOutcome, Submitted};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_key_is_the_same_job_and_another_specification_is_refused() {
    let world = Arc::new(World::new().await);
    let job = world.new_job(world.project, "once", &[Method::default()]).await;
    let submits: Vec<_> = (0..8)
        .map(|_| {
            let (world, job) = (world.clone(), job.clone());
            tokio::spawn(async move { world.store.submit(&job).await.unwrap() })
        })
        .collect();
    let mut created = Vec::new();
    let mut same = Vec::new();
    for submit in submits {
        match submit.await.unwrap() {
            Submitted::Created(job) => created.push(job),
            Submitted::Same(job) => same.push(job),
            Submitted::KeyReused => panic!("the specification is the same"),
        }
    }
    assert_eq!((created.len(), same.len()), (1, 7));
    assert!(same.iter().all(|job| *job == created[0]));
    assert_eq!(world.store.job(world.project, created[0].id).await.unwrap().as_ref(), Some(&created[0]));
    let other = store::NewJob { spec_digest: Digest::of("another"), ..job.clone() };
    assert_eq!(world.store.submit(&other).await.unwrap(), Submitted::KeyReused);
    // keys are per project
    let elsewhere = world.store.ensure_project("elsewhere").await.unwrap();
    let theirs = store::NewJob { project: elsewhere, ..other };
    assert!(matches!(world.store.submit(&theirs).await.unwrap(), Submitted::Created(_)));
    assert_eq!(world.store.edits(created[0].seq).await.unwrap().len(), 1);
}

#[tokio::test]
async fn slices_resume_and_a_slice_is_never_written_twice() {
    let world = World::new().await;
    let job = world.submit(world.project, "slices", &[Method::ClipNce(Default::default())]).await;
    let (start, middle, end) = (Value::Null, json!({"source": 2}), json!({"source": 4}));
    let first: Vec<_> = (0..2).flat_map(|o| [invert(o), edit("slices", 0, o)]).collect();
    let second: Vec<_> = (2..4).flat_map(|o| [invert(o), edit("slices", 0, o)]).collect();
    let written = SliceOutcome::Written { tasks: 4, memoised: 0 };
    assert_eq!(world.store.accepting_jobs(10).await.unwrap()[0].seq, job);
    assert_eq!(world.write(job, &start, &middle, &first, false).await, written);
    assert_eq!(world.write(job, &start, &middle, &first, false).await, SliceOutcome::Moved { cursor: middle.clone() });
    assert_eq!(world.job_state(job).await, JobState::Accepting);
    // accepting jobs are handed out already
    assert_eq!(world.claim(job, Stage::Invert, 10).await.unwrap().len(), 2);
    assert_eq!(world.store.settle_jobs(10).await.unwrap(), []);
    assert_eq!(world.write(job, &middle, &end, &second, true).await, written);
    let stopped = SliceOutcome::Stopped { state: JobState::Active };
    assert_eq!(world.write(job, &middle, &end, &second, true).await, stopped);
    let numbers: Vec<i32> =
        world.store.tasks(job, None, None, 100).await.unwrap().into_iter().map(|t| t.id.no).collect();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
    assert!(world.store.accepting_jobs(10).await.unwrap().is_empty());
    world.check_counts(job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_coordinators_writing_the_same_slice_write_it_once() {
    let world = Arc::new(World::new().await);
    let job = world.submit(world.project, "both", &[Method::ClipNce(Default::default())]).await;
    let tasks: Vec<_> = (0..8).flat_map(|o| [invert(o), edit("both", 0, o)]).collect();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (world, tasks) = (world.clone(), tasks.clone());
            tokio::spawn(async move { world.write(job, &Value::Null, &json!(1), &tasks, false).await })
        })
        .collect();
    let mut written = 0;
    for writer in writers {
        written += usize::from(matches!(writer.await.unwrap(), SliceOutcome::Written { .. }));
    }
    assert_eq!(written, 1);
    assert_eq!(world.states(job).await.values().sum::<usize>(), 16);
}

#[tokio::test]
async fn a_cancelled_job_takes_no_more_slices_and_an_empty_job_settles() {
    let world = World::new().await;
    let job = world.submit(world.project, "gone", &[Method::default()]).await;
    world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
    let outcome = world.write(job, &Value::Null, &json!(1), &[invert(0)], false).await;
    assert_eq!(outcome, SliceOutcome::Stopped { state: JobState::Cancelled });
    let empty = world.job("empty", &[]).await;
    let settled = world.store.settle_jobs(10).await.unwrap();
    assert_eq!((settled[0].job_seq, settled[0].state), (empty, JobState::Succeeded));
}

#[tokio::test]
async fn a_job_that_is_paused_while_its_tasks_are_written_is_written_and_stays_paused() {
    let world = World::new().await;
    let accepting =
        async || world.store.accepting_jobs(10).await.unwrap().into_iter().map(|j| j.seq).collect::<Vec<_>>();
    let job = world.submit(world.project, "held", &[Method::ClipNce(Default::default())]).await;
    world.write(job, &Value::Null, &json!(1), &[invert(0)], false).await;
    let on = async |event| world.store.transition(job, event, None).await.unwrap();
    for _ in 0..2 {
        assert_eq!(on(JobEvent::Pause).await, JobState::Paused);
    }
    assert!(world.claim(job, Stage::Invert, 10).await.is_none(), "nothing is handed out from then on");
    assert_eq!(accepting().await, [job]);
    // back while there is more to write, and held again
    assert_eq!(on(JobEvent::Resume).await, JobState::Accepting);
    assert_eq!(on(JobEvent::Resume).await, JobState::Accepting);
    assert_eq!(on(JobEvent::Pause).await, JobState::Paused);
    let written = world.write(job, &json!(1), &json!(2), &[invert(1)], false).await;
    assert_eq!(written, SliceOutcome::Written { tasks: 1, memoised: 0 });
    assert_eq!(world.job_state(job).await, JobState::Paused);
    // with all that is written so far at its end, it has not ended
    let revoke = |_: &[store::Fence]| store::OutboxMessage {
        routing_key: String::new(),
        payload: Value::Null,
        traceparent: None,
    };
    assert_eq!(world.store.cancel_tasks(job, &[0, 1], revoke).await.unwrap().cancelled, 2);
    assert_eq!(world.store.settle_jobs(10).await.unwrap(), []);
    world.write(job, &json!(2), &json!(3), &[invert(2)], true).await;
    assert_eq!((world.job_state(job).await, accepting().await), (JobState::Paused, vec![]));
    assert!(world.claim(job, Stage::Invert, 10).await.is_none(), "nor when all is written");
    assert_eq!(on(JobEvent::Resume).await, JobState::Active);
    assert_eq!(world.claim(job, Stage::Invert, 10).await.map(|batch| batch.len()), Some(1));
    world.check_counts(job).await;

    // a cancel ends the writing, too
    let other = world.submit(world.project, "dropped", &[Method::ClipNce(Default::default())]).await;
    for event in [JobEvent::Pause, JobEvent::Cancel] {
        world.store.transition(other, event, None).await.unwrap();
    }
    let outcome = world.write(other, &Value::Null, &json!(1), &[invert(0)], false).await;
    assert_eq!((outcome, accepting().await), (SliceOutcome::Stopped { state: JobState::Cancelled }, vec![]));
}

#[tokio::test]
async fn strengths_and_seeds_come_back_bit_for_bit() {
    let world = World::new().await;
    let values = [(0.1 + 0.2, u64::MAX), (-1e-300, 1 << 63), (9.999999999999999, 0)];
    let mut tasks = vec![invert(0)];
    for (i, (strength, seed)) in values.into_iter().enumerate() {
        let key = key(&format!("exact {i}"));
        tasks.push(NewTask::Edit { edit_no: 0, ordinal: 0, strength, seed, key, needs: crate::world::key("latent 0") });
    }
    let job = world.job("exact", &tasks).await;
    let read = world.store.tasks(job, None, Some(0), 10).await.unwrap();
    let read: Vec<_> = read.iter().map(|t| (t.strength.unwrap(), t.seed.unwrap())).collect();
    assert_eq!(read, values);
}
