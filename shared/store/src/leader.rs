//! Leadership for chores that one process should do: a lease with an epoch. A leader that was paused past its lease may still
//! believe in itself, so its writes carry the epoch and change nothing once another process has taken over.

use crate::error::retrying;
use crate::{Store, StoreError};
use std::time::Duration;

/// The fence of a leader's writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LeaderEpoch(pub i64);

impl Store {
    /// Takes or renews the leadership `name` for `holder` until `ttl` from now; none while another process holds it.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.acquire", skip(self))]
    pub async fn acquire(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<LeaderEpoch>, StoreError> {
        let sql = "-- acquire
            INSERT INTO leader AS l (name, epoch, holder, until) VALUES ($1, 1, $2, now() + make_interval(secs => $3))
            ON CONFLICT (name) DO UPDATE SET
                epoch = l.epoch + CASE WHEN l.holder = excluded.holder THEN 0 ELSE 1 END,
                holder = excluded.holder,
                until = excluded.until
            WHERE l.holder = excluded.holder OR l.until < now()
            RETURNING epoch";
        let epoch: Option<i64> =
            sqlx::query_scalar(sql).bind(name).bind(holder).bind(ttl.as_secs_f64()).fetch_optional(&self.pool).await?;
        Ok(epoch.map(LeaderEpoch))
    }

    /// Runs a fold: one statement that moves up to `limit` deltas into their rollups while `epoch` is the leader's, so that at every
    /// snapshot a delta is either here or there, and counts them.
    pub(crate) async fn fold(
        &self,
        sql: &'static str,
        leadership: &str,
        epoch: LeaderEpoch,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let fold = async || {
            let folded: i64 =
                sqlx::query_scalar(sql).bind(leadership).bind(epoch.0).bind(limit).fetch_one(&self.pool).await?;
            Ok::<_, StoreError>(folded.cast_unsigned())
        };
        retrying!(fold().await)
    }

    /// Gives the leadership up, so that another process need not wait for the lease to end.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.resign", skip(self))]
    pub async fn resign(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let sql = "-- resign\nUPDATE leader SET until = now() - interval '1 second' WHERE name = $1 AND holder = $2";
        sqlx::query(sql).bind(name).bind(holder).execute(&self.pool).await?;
        Ok(())
    }
}
