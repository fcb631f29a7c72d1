//! What work costs, learnt from its outcomes: GPU milliseconds per unit of [`domain::cost`], for each class of workers and pack.
//! A new job of a known pack starts with what others have taught.

use crate::columns::Place;
use crate::{LeaderEpoch, Store, StoreError};
use domain::{Cost, Digest, Stage};
use std::collections::HashMap;

/// Learnt costs. A snapshot, small: one entry per class, pack and kind of work.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Estimates {
    /// Milliseconds per unit by class, the class heard of last first.
    per_unit: HashMap<(Digest, Stage, String), Vec<(String, f64)>>,
}

impl Estimates {
    /// GPU milliseconds of one task on a worker of `class`, or of the class that did such work last. None before the first result.
    pub fn task_ms(&self, class: Option<&str>, pack: Digest, stage: Stage, cost: &Cost) -> Option<f64> {
        let known = self.per_unit.get(&(pack, stage, cost.name.clone()))?;
        let same = known.iter().find(|(name, _)| Some(name.as_str()) == class);
        same.or_else(|| known.first()).map(|(_, ms)| ms * cost.units)
    }
}

impl Store {
    /// What is learnt so far.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.estimates", skip(self))]
    pub async fn estimates(&self) -> Result<Estimates, StoreError> {
        let sql = "-- estimates
            SELECT class, pack, stage::text, cost, ms / units FROM stage_costs WHERE units > 0 ORDER BY updated_at DESC, class";
        let rows: Vec<(String, Vec<u8>, String, String, f64)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        let mut estimates = Estimates::default();
        for (class, pack, stage, cost, ms) in rows {
            let at = Place { table: "stage_costs", row: &cost };
            let key = (at.digest("pack", &pack)?, at.parse("stage", &stage)?, cost.clone());
            estimates.per_unit.entry(key).or_default().push((class, ms));
        }
        Ok(estimates)
    }

    /// Learns from up to `limit` outcomes. Returns how many; zero when there are none, or `epoch` is not the leader's any more.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.fold_costs", skip(self))]
    pub async fn fold_costs(&self, leadership: &str, epoch: LeaderEpoch, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- fold_costs
            WITH taken AS (
                DELETE FROM cost_samples WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM cost_samples
                    WHERE EXISTS (SELECT FROM leader WHERE name = $1 AND epoch = $2)
                    LIMIT $3 FOR UPDATE SKIP LOCKED))
                RETURNING job_seq, stage, edit_no, class, n, gpu_ms),
            timed AS (
                INSERT INTO stage_hours AS h (hour, class, stage, bucket, n, gpu_ms)
                SELECT date_trunc('hour', now()), class, stage, floor(20 * log(GREATEST(gpu_ms / n, 0.01)))::smallint AS bucket,
                       sum(n), sum(gpu_ms)
                FROM taken WHERE n > 0 GROUP BY class, stage, bucket ORDER BY class, stage, bucket
                ON CONFLICT (hour, class, stage, bucket) DO UPDATE SET n = h.n + excluded.n, gpu_ms = h.gpu_ms + excluded.gpu_ms),
            named AS (
                SELECT t.class, j.pack_digest AS pack, t.stage, c.cost, sum(t.n) AS n, sum(t.n * c.units) AS units, sum(t.gpu_ms) AS ms
                FROM taken t JOIN jobs j ON j.seq = t.job_seq
                LEFT JOIN job_edits e ON e.job_seq = t.job_seq AND e.edit_no = t.edit_no
                CROSS JOIN LATERAL (
                    SELECT CASE t.stage WHEN 'invert' THEN j.invert_cost WHEN 'train' THEN e.train_cost ELSE e.edit_cost END AS cost,
                           CASE t.stage WHEN 'invert' THEN j.invert_units WHEN 'train' THEN e.train_units ELSE e.edit_units END AS units
                ) AS c
                -- jobs of the version before do not say
                WHERE c.cost IS NOT NULL GROUP BY t.class, j.pack_digest, t.stage, c.cost),
            learnt AS (
                INSERT INTO stage_costs AS s (class, pack, stage, cost, units, ms)
                SELECT class, pack, stage, cost, units, ms FROM named ORDER BY class, pack, stage, cost
                ON CONFLICT (class, pack, stage, cost) DO UPDATE SET
                    -- what was learnt loses two per cent of its weight with every task
                    units = s.units * power(0.98, LEAST((SELECT n FROM named m WHERE m.class = excluded.class
                        AND m.pack = excluded.pack AND m.stage = excluded.stage AND m.cost = excluded.cost), 1000)) + excluded.units,
                    ms = s.ms * power(0.98, LEAST((SELECT n FROM named m WHERE m.class = excluded.class
                        AND m.pack = excluded.pack AND m.stage = excluded.stage AND m.cost = excluded.cost), 1000)) + excluded.ms,
                    updated_at = now())
            SELECT count(*) FROM taken";
        self.fold(sql, leadership, epoch, limit).await
    }
}
