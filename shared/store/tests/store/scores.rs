//! Results in the order of a score: the same that a plain list gives, sorted, whatever is asked for, and by the indexes made for it.

use crate::world::World;
use domain::TaskId;
use domain::accept::RejectReason;
use domain::edit::Method;
use domain::review::Decision;
use std::time::Duration;
use store::{ByScore, ResultFilter, ResultRow, Score, Store, VerdictKind};

const RESULTS: i32 = 120;

/// A job of two edits with results of every verdict. Scores repeat, fall together with the verdict, and are missing here and there.
async fn scored(world: &World) -> i64 {
    let job = world.submit(world.project, "scored", &[(); 2].map(|()| Method::ClipNce(Default::default()))).await;
    world
        .sql(format!(
            "INSERT INTO results (job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record, metrics, verdict,
                                  rejected_for, gpu_ms, epoch, boot)
             SELECT {job}, g, g % 2, g % 8, 1, g, sha256(g::text::bytea), sha256('i'), sha256('r'), sha256(g::text::bytea),
                    jsonb_strip_nulls(jsonb_build_object('preservation', kept, 'mean_change', 255 * g / {RESULTS}.0, 'target_probability', 1e-60 * g,
                        'second_clip_gain', -kept, 'outside_change', g % 3, 'strength', CASE WHEN g % 5 = 0 THEN g END,
                        'identity', CASE WHEN g % 4 = 0 THEN NULL ELSE g % 7 / 7.0 END)),
                    CASE WHEN g % 10 = 0 THEN NULL WHEN kept < 0.5 THEN 'reject' ELSE 'accept' END,
                    CASE WHEN g % 10 = 0 OR kept >= 0.5 THEN '{{}}'::text[] WHEN g % 3 = 0 THEN '{{not-preserved,target-missed}}'
                        ELSE '{{not-preserved}}' END,
                    50, 1, gen_random_uuid()
             FROM (SELECT g, g * 37 % 20 / 20.0 AS kept FROM generate_series(1, {RESULTS}) AS g) AS made"
        ))
        .await;
    for no in (3..RESULTS).step_by(4) {
        let task = TaskId { job, no };
        assert!(world.store.review(task, Decision::ALL[no as usize % 3], "", "ann", None).await.unwrap());
    }
    job
}

/// All pages of seven.
async fn paged(store: &Store, job: i64, filter: ResultFilter, order: ByScore) -> Vec<ResultRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.results_by_score(job, filter, order, after, 7).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.task.no);
        all.extend(page);
    }
}

#[tokio::test]
async fn an_order_by_score_is_the_plain_list_sorted_whatever_is_asked_for() {
    let world = World::new().await;
    let job = scored(&world).await;
    let verdicts = VerdictKind::ALL.map(|kind| (Some(kind), None));
    let reasons = [RejectReason::NotPreserved, RejectReason::TargetMissed, RejectReason::IdentityLost]
        .map(|why| (None, Some(why)));
    let (mut compared, mut several) = (0, 0);
    for edit_no in [None, Some(0), Some(1)] {
        for (verdict, reason) in [(None, None)].into_iter().chain(verdicts).chain(reasons) {
            for decision in [None, Some(Decision::Flagged)] {
                let filter = ResultFilter { edit_no, verdict, reason, decision };
                let plain = world.store.results(job, filter, None, 1_000).await.unwrap();
                for (score, falling) in [(Score::Preservation, true), (Score::Identity, false), (Score::Strength, true)]
                {
                    let value = |r: &ResultRow| r.metrics[score.name()];
                    let mut wanted: Vec<_> =
                        plain.iter().filter(|r| r.metrics.contains_key(score.name())).cloned().collect();
                    wanted.sort_by(|a, b| value(a).total_cmp(&value(b)).then(a.task.no.cmp(&b.task.no)));
                    if falling {
                        wanted.reverse();
                    }
                    let found = paged(&world.store, job, filter, ByScore { score, falling }).await;
                    assert_eq!(found, wanted, "{filter:?} by {score:?}, falling: {falling}");
                    compared += 1;
                    several += usize::from(found.len() > 7);
                }
            }
        }
    }
    assert!(several > 30, "{several} of {compared} orders have more than a page");
    let nothing = world.store.results_by_score(
        job + 1,
        ResultFilter::default(),
        ByScore { score: Score::Identity, falling: true },
        None,
        7,
    );
    assert_eq!(nothing.await.unwrap(), []);
}

#[tokio::test]
async fn every_score_has_an_index_that_serves_it() {
    let world = World::new().await;
    let job = scored(&world).await;
    // so small a table is read over faster: the index is taken where it fits, and where it does not another one
    world
        .sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$")
        .await;
    let store = world.again().await;
    for score in Score::ALL {
        for falling in [false, true] {
            let found = paged(&store, job, ResultFilter::default(), ByScore { score, falling }).await;
            assert!(!found.is_empty(), "{score:?}");
        }
    }
    // what a connection has counted is told when it ends
    drop(store);
    for score in Score::ALL {
        let index = format!("results_by_{}", score.name());
        let sql = format!("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = '{index}'");
        let (sql, world) = (sql.as_str(), &world);
        let used = || async move { Some(world.number(sql).await).filter(|scans| *scans > 10) };
        testkit::wait_until(&index, Duration::from_secs(20), used).await;
    }
}

#[tokio::test]
async fn every_verdict_with_its_reasons_is_a_class_of_its_own() {
    let world = World::new().await;
    let sets: Vec<String> = (0..1 << RejectReason::ALL.len())
        .map(|set: usize| {
            let named = RejectReason::ALL.iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0);
            format!("{{{}}}", named.map(|(_, reason)| reason.name()).collect::<Vec<_>>().join(","))
        })
        .collect();
    let sql = "SELECT count(DISTINCT class) FROM (
        SELECT result_class('reject', reasons::text[]) AS class FROM unnest($1::text[]) AS reasons
        UNION ALL VALUES (result_class('accept', '{}')), (result_class(NULL, '{}'))) AS classes";
    let classes: i64 = sqlx::query_scalar(sql).bind(&sets).fetch_one(&world.pool).await.unwrap();
    assert_eq!(classes, sets.len() as i64 + 2);
}
