//! Verdicts by edit: what is counted is what the results say, and lists give exactly what is asked for.

use crate::world::{World, edit, invert};
use domain::accept::RejectReason;
use domain::edit::Method;
use domain::review::Decision;
use domain::{Stage, TaskId};
use std::collections::BTreeSet;
use std::time::Duration;
use store::{NewTask, ResultFilter, VerdictKind};

/// A job of two edits on eight sources, all finished.
async fn finished(world: &World) -> i64 {
    let methods = [Method::ClipNce(Default::default()), Method::ClipNce(Default::default())];
    let tasks: Vec<NewTask> =
        (0..8).map(invert).chain((0..8).flat_map(|o| [edit("judged", 0, o), edit("judged", 1, o)])).collect();
    let job = world.job_of(world.project, "judged", &methods, &tasks).await;
    world.complete(job, Stage::Invert).await;
    for edit_no in [0, 1] {
        let batch = world.claim_edit(job, Stage::Edit, Some(edit_no), 8).await.unwrap();
        world.finish(crate::world::boot(), &batch).await;
    }
    job
}

#[tokio::test]
async fn verdicts_are_counted_by_edit_and_reason_before_and_after_folding() {
    let world = World::new().await;
    let job = finished(&world).await;
    let before = world.store.verdicts(job).await.unwrap();
    world.check_counts(job).await;
    let epoch = world.store.acquire("fold", "one", Duration::from_secs(60)).await.unwrap().unwrap();
    let mut folded = 0;
    loop {
        match world.store.fold_verdicts("fold", epoch, 2).await.unwrap() {
            0 => break,
            n => folded += n,
        }
        assert_eq!(world.store.verdicts(job).await.unwrap(), before);
    }
    assert!(folded > 4, "{folded}");
    assert_eq!(world.store.fold_verdicts("fold", store::LeaderEpoch(epoch.0 + 1), 10).await.unwrap(), 0);
    world.check_counts(job).await;
    let (one, two) = (&before[&0], &before[&1]);
    for edit in [one, two] {
        assert_eq!(edit.accepted + edit.rejected + edit.unjudged, 8, "{edit:?}");
        // every rejection of these tests is for the target, some for two reasons
        assert_eq!(edit.reasons.get(&RejectReason::TargetMissed).copied().unwrap_or(0), edit.rejected);
    }
    assert_ne!(one, two, "the keys give both edits a different mix");
    // a count that drifted is found
    world
        .sql(format!(
            "UPDATE edit_rollups SET n = n + 1 WHERE job_seq = {job} AND verdict = 'accepted' AND edit_no = 0"
        ))
        .await;
    let found = world.store.check_verdicts(job).await.unwrap();
    assert_eq!((found.len(), found[0].stage.as_str(), found[0].counted - found[0].actual), (1, "edit 0", 1));
}

#[tokio::test]
async fn a_list_holds_exactly_what_its_filter_says() {
    let world = World::new().await;
    let job = finished(&world).await;
    let verdicts = world.store.verdicts(job).await.unwrap();
    let list = async |filter: ResultFilter| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.results(job, filter, after, 3).await.unwrap();
            after = page.last().map(|r| r.task.no);
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    };
    let all = list(ResultFilter::default()).await;
    assert_eq!(all.len(), 16);
    let mut seen = BTreeSet::new();
    for edit_no in [0, 1] {
        for (verdict, n) in [
            (VerdictKind::Accepted, verdicts[&edit_no].accepted),
            (VerdictKind::Rejected, verdicts[&edit_no].rejected),
            (VerdictKind::Unjudged, verdicts[&edit_no].unjudged),
        ] {
            let filter = ResultFilter { edit_no: Some(edit_no), verdict: Some(verdict), reason: None, decision: None };
            let rows = list(filter).await;
            assert_eq!(rows.len() as i64, n, "{filter:?}");
            assert!(rows.iter().all(|r| r.rejected_for.is_empty() != (verdict == VerdictKind::Rejected)));
            seen.extend(rows.iter().map(|r| r.task.no));
        }
    }
    assert_eq!(seen.len(), 16);
    let outside = ResultFilter { reason: Some(RejectReason::OutsideChanged), ..ResultFilter::default() };
    let rows = list(outside).await;
    let expected: i64 =
        verdicts.values().map(|v| v.reasons.get(&RejectReason::OutsideChanged).copied().unwrap_or(0)).sum();
    assert_eq!(rows.len() as i64, expected);
    assert!(rows.iter().all(|r| r.rejected_for == [RejectReason::TargetMissed, RejectReason::OutsideChanged]));
}

#[tokio::test]
async fn results_from_before_the_verdicts_were_counted_are_counted_by_the_migration() {
    let empty = testkit::TestDatabase::create_empty().await.unwrap();
    let pool = empty.pool().await.unwrap();
    let folder = testkit::workspace_root().join("migrations");
    let migration = |name: &str| sqlx::AssertSqlSafe(std::fs::read_to_string(folder.join(name)).unwrap());
    sqlx::raw_sql(migration("20261123200000_schema.sql")).execute(&pool).await.unwrap();
    let old = "INSERT INTO results (job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record, metrics,
                                    verdict, gpu_ms, epoch, boot)
        SELECT 7, no, no % 2, no, 1, 0, d, d, d, d, '{}', CASE WHEN no < 3 THEN 'accept' WHEN no < 5 THEN 'reject' END, 1, 1,
               gen_random_uuid()
        FROM generate_series(0, 5) AS no, sha256('x') AS d";
    sqlx::raw_sql(old).execute(&pool).await.unwrap();
    sqlx::raw_sql(migration("20261123230000_verdicts_and_masks.sql")).execute(&pool).await.unwrap();
    let counted = "SELECT edit_no, verdict::text, reason, n FROM edit_verdicts WHERE job_seq = 7 ORDER BY 1, 2";
    let rows: Vec<(i16, String, String, i64)> = sqlx::query_as(counted).fetch_all(&pool).await.unwrap();
    let named = |edit, verdict: &str, n| (edit, verdict.to_owned(), String::new(), n);
    let expected = [
        named(0, "accepted", 2),
        named(0, "rejected", 1),
        named(1, "accepted", 1),
        named(1, "rejected", 1),
        named(1, "unjudged", 1),
    ];
    assert_eq!(rows, expected);
    pool.close().await;
}

#[tokio::test]
async fn reviews_stand_beside_results_and_are_found_by_decision() {
    let world = World::new().await;
    let job = finished(&world).await;
    let store = &world.store;
    let before = store.results(job, ResultFilter::default(), None, 100).await.unwrap();
    let (one, two) = (before[3].task, before[5].task);
    assert!(store.review(one, Decision::Flagged, "look", "ann", None).await.unwrap());
    assert!(store.review(one, Decision::Rejected, "seen", "bob", None).await.unwrap(), "the latest word stands");
    assert!(store.review(two, Decision::Flagged, "", "ann", None).await.unwrap());
    let nobody = TaskId { job, no: 9_999 };
    assert!(!store.review(nobody, Decision::Flagged, "", "ann", None).await.unwrap());
    let flagged = ResultFilter { decision: Some(Decision::Flagged), ..ResultFilter::default() };
    let found = store.results(job, flagged, None, 100).await.unwrap();
    assert_eq!(found.iter().map(|r| r.task).collect::<Vec<_>>(), [two]);
    let mut after = store.result(one).await.unwrap().unwrap();
    let review = after.review.take().unwrap();
    assert_eq!((review.decision, review.note.as_str(), review.reviewer.as_str()), (Decision::Rejected, "seen", "bob"));
    assert_eq!(after, before[3], "the result itself is as it was");
    assert!(store.unreview(one, None).await.unwrap() && !store.unreview(one, None).await.unwrap());
}
