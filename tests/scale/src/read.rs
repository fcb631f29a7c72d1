//! Reading about a large job, through the coordinator.

use crate::rig::Rig;
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Instant;
use store::JobRow;

/// Requests of each kind.
const REQUESTS: u32 = 60;

/// Gives every edit of the job a result by SQL, and measures the pages that people and programs look at.
///
/// # Errors
/// When a request fails.
pub async fn measure(rig: &Rig, job: &JobRow) -> Result<Value> {
    let results =
        "INSERT INTO results (job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record,
            metrics, verdict, rejected_for, gpu_ms, epoch, boot)
        SELECT job_seq, no, edit_no, ordinal, strength, seed, key, key, needs, key,
               jsonb_build_object('preservation', kept), CASE WHEN kept < 0.3 THEN 'reject' ELSE 'accept' END,
               CASE WHEN kept < 0.3 THEN '{not-preserved}' ELSE '{}' END::text[], 50, 1, gen_random_uuid()
        FROM (SELECT *, random() AS kept FROM tasks WHERE job_seq = $1 AND stage = 'edit') AS t ORDER BY no";
    let made = sqlx::query(results).bind(job.seq).execute(&rig.pool).await?.rows_affected();
    // as many as people come to look at
    let reviews = "INSERT INTO reviews (job_seq, no, decision, reviewer)
        SELECT job_seq, no, 'flagged', 'ann' FROM results WHERE job_seq = $1 AND ordinal % 100 = 0 LIMIT 5000";
    sqlx::query(reviews).bind(job.seq).execute(&rig.pool).await?;
    let id = job.id;
    let deep = job_depth(made);
    let paths = [
        ("job_page", format!("/jobs/{id}")),
        ("list_page", "/".to_owned()),
        ("list_page_by_text", "/?q=no-op".to_owned()),
        ("gallery_page", format!("/jobs/{id}/gallery")),
        ("gallery_page_deep", format!("/jobs/{id}/gallery?after={deep}")),
        ("gallery_page_by_source", format!("/jobs/{id}/gallery?view=sources&after={deep}")),
        ("gallery_page_by_score", format!("/jobs/{id}/gallery?sort=-preservation")),
        // the rejected ones are those that the order has last
        ("gallery_page_by_score_of_rejected", format!("/jobs/{id}/gallery?sort=-preservation&reason=not-preserved")),
        (
            "gallery_page_by_score_of_reviewed",
            format!("/jobs/{id}/gallery?sort=-preservation&verdict=rejected&review=flagged"),
        ),
        ("gallery_page_by_review", format!("/jobs/{id}/gallery?review=flagged")),
        ("new_job_page", "/jobs/new".to_owned()),
        ("workers_page", "/workers".to_owned()),
        ("audit_page", "/audit".to_owned()),
        ("rollup", format!("/v1/jobs/{id}")),
        ("job_list", "/v1/jobs?limit=100".to_owned()),
        ("results", format!("/v1/jobs/{id}/results?limit=100")),
        ("results_deep", format!("/v1/jobs/{id}/results?limit=100&after={deep}")),
        ("tasks_deep", format!("/v1/jobs/{id}/tasks?limit=100&after={deep}")),
    ];
    let mut told = json!({ "results": made, "requests": REQUESTS });
    for (name, path) in paths {
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            let began = Instant::now();
            rig.get(&path).await?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        // the smallest time that 95 of 100 do not exceed
        let at = (times.len() * 95).div_ceil(100).saturating_sub(1);
        told[name] = json!(times[at]);
    }
    Ok(told)
}

/// A task's number three quarters down the list.
const fn job_depth(results: u64) -> u64 {
    results * 2 / 4 * 3
}
