//! Tasks of old jobs are forgotten by the partition; what they brought stays.

use crate::world::{World, boot, edit, invert, successes};
use domain::Stage;
use domain::edit::Method;
use domain::job_state::JobEvent;
use std::time::Duration;

const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl World {
    async fn partition_is_there(&self, low: i64) -> bool {
        let sql = "SELECT to_regclass('tasks_' || $1::text) IS NOT NULL";
        sqlx::query_scalar(sql).bind(low).fetch_one(&self.pool).await.unwrap()
    }

    /// Jobs of this and the next cohort, by submitting until there are some.
    async fn fill_cohort(&self) {
        for n in 0..64 {
            self.submit(self.project, &format!("filler {n}"), &[Method::ClipNce(Default::default())]).await;
        }
        self.sql("UPDATE jobs SET created_at = now() - interval '30 days'").await;
    }

    async fn end_fillers(&self, of: &str) {
        self.sql(format!(
            "UPDATE jobs SET state = 'cancelled', finished_at = now() - interval '20 days'
             WHERE state = 'accepting' AND {of}"
        ))
        .await;
    }
}

#[tokio::test]
async fn a_cohort_is_forgotten_whole_when_its_last_job_is_old_and_results_stay() {
    let world = World::new().await;
    let job = world.job("old", &[invert(0), edit("old", 0, 0)]).await;
    for stage in [Stage::Invert, Stage::Edit] {
        let batch = world.claim(job, stage, 8).await.unwrap();
        world.apply(boot(), &successes(&batch)).await;
    }
    assert_eq!(world.store.settle_jobs(10).await.unwrap().len(), 1);
    let low = job / 64 * 64;
    let forget = || world.store.forget_tasks(WEEK);
    assert_eq!(forget().await.unwrap(), 0, "it has just ended");
    world.sql("UPDATE jobs SET finished_at = now() - interval '20 days' WHERE finished_at IS NOT NULL").await;
    assert_eq!(forget().await.unwrap(), 0, "its cohort is not full");
    world.fill_cohort().await;
    assert_eq!(forget().await.unwrap(), 0, "others of its cohort have not ended");
    world.end_fillers(&format!("seq < {low} + 63")).await;
    assert_eq!(forget().await.unwrap(), 0, "the last of its cohort has not ended");
    world.end_fillers(&format!("seq < {low} + 64")).await;
    let counts = world.store.counts(job).await.unwrap();
    assert!(world.partition_is_there(low).await);
    assert_eq!(forget().await.unwrap(), (low + 64 - job).unsigned_abs());
    assert!(!world.partition_is_there(low).await);
    assert!(world.partition_is_there(low + 64).await, "the next cohort is not old");
    assert_eq!(forget().await.unwrap(), 0);
    // what it brought is there as before
    assert_eq!(world.store.counts(job).await.unwrap(), counts);
    world.check_counts(job).await;
    assert_eq!(world.store.results(job, Default::default(), None, 10).await.unwrap().len(), 1);
    assert_eq!(world.number("SELECT count(*) FROM records").await, 1);
    assert_eq!(world.store.tasks(job, None, None, 10).await.unwrap(), []);
    // and its latent still serves others
    let later = world.job("later", &[invert(0), edit("later", 0, 0)]).await;
    assert_eq!(world.claim(later, Stage::Edit, 8).await.unwrap().len(), 1);
}

#[tokio::test]
async fn tasks_that_somebody_reads_are_not_waited_for() {
    let world = World::new().await;
    let job = world.job("read", &[invert(0)]).await;
    world.store.transition(job, JobEvent::Cancel, None).await.unwrap();
    while world.store.cancel_tasks_slice(10).await.unwrap() > 0 {}
    world.fill_cohort().await;
    world.end_fillers("true").await;
    world.sql("UPDATE jobs SET finished_at = now() - interval '20 days' WHERE finished_at IS NOT NULL").await;
    let mut reader = world.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM tasks").fetch_one(&mut *reader).await.unwrap();
    assert_eq!(world.store.forget_tasks(WEEK).await.unwrap(), 0);
    assert!(world.partition_is_there(job / 64 * 64).await);
    reader.rollback().await.unwrap();
    assert!(world.store.forget_tasks(WEEK).await.unwrap() > 0);
    assert!(!world.partition_is_there(job / 64 * 64).await);
}
