//! Workers: one row per process start. A heartbeat changes that row alone, never the tasks.

use crate::columns::{Place, to_json};
use crate::tasks::FenceColumns;
use crate::{Fence, Store, StoreError};
use chrono::{DateTime, Utc};
use domain::ids::Epoch;
use domain::{BootId, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What a worker says of itself.
#[derive(Clone, PartialEq, Debug)]
pub struct HeartbeatRow {
    /// The process.
    pub boot: BootId,
    /// For people.
    pub name: String,
    /// Queue class it serves.
    pub class: String,
    /// For people.
    pub device: String,
    /// Version of the worker.
    pub version: String,
    /// True once it takes no more work.
    pub draining: bool,
    /// Tasks it holds, running or staged.
    pub running: Vec<RunningTask>,
    /// Images finished since its start.
    pub images: i64,
    /// Milliseconds of tensor work since its start.
    pub busy_ms: i64,
    /// What keeps it from taking more work: `storage`; none if nothing does.
    pub waits_for: Option<String>,
    /// The queue it hears control messages from, which ends with its connection.
    pub control_queue: Option<String>,
    /// Resident memory in bytes, if it says.
    pub memory_bytes: Option<i64>,
    /// Memory of its GPU, if it says.
    pub device_memory: Option<DeviceMemory>,
}

/// Memory of a GPU, or of the part of one that a worker has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceMemory {
    /// Bytes that are taken, by all processes together.
    pub used_bytes: i64,
    /// Bytes there are.
    pub total_bytes: i64,
}

/// A task that a worker says it holds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunningTask {
    /// The task.
    pub task: TaskId,
    /// The epoch of its hand-out.
    pub epoch: Epoch,
    /// Part done, 0 to 1.
    pub done: f32,
}

/// Whether a worker can be counted on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkerState {
    /// Takes work.
    Live,
    /// Takes no more work.
    Draining,
    /// Said goodbye.
    Gone,
    /// Was not heard of for too long; what it held was handed out again.
    Lost,
}

/// A worker process.
#[derive(Clone, PartialEq, Debug)]
pub struct WorkerRow {
    /// What it last said.
    pub heartbeat: HeartbeatRow,
    /// Whether it can be counted on.
    pub state: WorkerState,
    /// When it was first heard of.
    pub first_seen: DateTime<Utc>,
    /// When it was last heard of.
    pub last_seen: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    boot: Uuid,
    name: String,
    class: String,
    device: String,
    version: String,
    state: String,
    running: Value,
    images: i64,
    busy_ms: i64,
    waits_for: Option<String>,
    control_queue: Option<String>,
    memory_bytes: Option<i64>,
    device_memory_used_bytes: Option<i64>,
    device_memory_total_bytes: Option<i64>,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
}

impl TryFrom<Row> for WorkerRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let boot = BootId::from_uuid(row.boot);
        let at = Place { table: "workers", row: &boot };
        let state = match row.state.as_str() {
            "live" => WorkerState::Live,
            "draining" => WorkerState::Draining,
            "gone" => WorkerState::Gone,
            "lost" => WorkerState::Lost,
            other => return Err(at.corrupt("state", format!("'{other}' is not a worker's state"))),
        };
        let heartbeat = HeartbeatRow {
            boot,
            name: row.name,
            class: row.class,
            device: row.device,
            version: row.version,
            draining: state == WorkerState::Draining,
            running: at.json("running", row.running)?,
            images: row.images,
            busy_ms: row.busy_ms,
            waits_for: row.waits_for,
            control_queue: row.control_queue,
            memory_bytes: row.memory_bytes,
            device_memory: row
                .device_memory_used_bytes
                .zip(row.device_memory_total_bytes)
                .map(|(used_bytes, total_bytes)| DeviceMemory { used_bytes, total_bytes }),
        };
        Ok(Self { heartbeat, state, first_seen: row.first_seen, last_seen: row.last_seen })
    }
}

impl Store {
    /// Notes a worker's sign of life. Returns those of the tasks it holds that are not its to run: it must drop them.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.heartbeat", skip_all, fields(boot = %row.boot))]
    pub async fn heartbeat(&self, row: &HeartbeatRow) -> Result<Vec<Fence>, StoreError> {
        let sql = "-- heartbeat
            WITH seen AS (
                INSERT INTO workers AS w (boot, name, class, device, version, state, running, images, busy_ms, waits_for,
                                          control_queue, memory_bytes, device_memory_used_bytes, device_memory_total_bytes)
                VALUES ($1, $2, $3, $4, $5, $6::worker_state, $7, $8, $9, $13, $14, $15, $16, $17)
                ON CONFLICT (boot) DO UPDATE SET state = excluded.state, running = excluded.running, waits_for = excluded.waits_for,
                    control_queue = excluded.control_queue, memory_bytes = excluded.memory_bytes,
                    device_memory_used_bytes = excluded.device_memory_used_bytes,
                    device_memory_total_bytes = excluded.device_memory_total_bytes,
                    unreachable_since = CASE WHEN w.control_queue = excluded.control_queue THEN w.unreachable_since END,
                    -- messages may come out of order; these only grow
                    images = GREATEST(w.images, excluded.images), busy_ms = GREATEST(w.busy_ms, excluded.busy_ms),
                    last_seen = now()
                WHERE w.state <> 'gone'),
            f AS (SELECT * FROM unnest($10::bigint[], $11::integer[], $12::bigint[]) AS f(job_seq, no, epoch))
            SELECT f.job_seq, f.no, f.epoch FROM f
            LEFT JOIN tasks t ON t.job_seq = f.job_seq AND t.no = f.no AND t.epoch = f.epoch
                -- as text: see the module `outcomes`
                AND (t.state::text = 'dispatched' OR (t.state::text = 'running' AND t.boot = $1))
                AND EXISTS (SELECT FROM jobs j WHERE j.seq = f.job_seq AND j.state <> 'cancelled')
            WHERE t.no IS NULL ORDER BY 1, 2";
        let fences: Vec<Fence> = row.running.iter().map(|r| Fence { task: r.task, epoch: r.epoch }).collect();
        let columns = FenceColumns::of(fences.iter());
        let stale: Vec<(i64, i32, i64)> = sqlx::query_as(sql)
            .bind(row.boot.as_uuid())
            .bind(&row.name)
            .bind(&row.class)
            .bind(&row.device)
            .bind(&row.version)
            .bind(if row.draining { "draining" } else { "live" })
            .bind(to_json("running tasks", &row.running)?)
            .bind(row.images)
            .bind(row.busy_ms)
            .bind(columns.jobs)
            .bind(columns.nos)
            .bind(columns.epochs)
            .bind(&row.waits_for)
            .bind(&row.control_queue)
            .bind(row.memory_bytes)
            .bind(row.device_memory.map(|memory| memory.used_bytes))
            .bind(row.device_memory.map(|memory| memory.total_bytes))
            .fetch_all(&self.pool)
            .await?;
        Ok(stale.into_iter().map(|(job, no, epoch)| Fence::new(job, no, epoch)).collect())
    }

    /// Notes that a worker ended by its own will. What it still holds is lost to the next [`Store::lost_workers`].
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.goodbye", skip_all, fields(%boot))]
    pub async fn goodbye(&self, boot: BootId) -> Result<(), StoreError> {
        let sql = "-- goodbye\nUPDATE workers SET state = 'gone', running = '[]', last_seen = now() WHERE boot = $1";
        sqlx::query(sql).bind(boot.as_uuid()).execute(&self.pool).await?;
        Ok(())
    }

    /// The control queues of workers that are counted on.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.control_queues", skip(self))]
    pub async fn control_queues(&self) -> Result<Vec<String>, StoreError> {
        let sql = "-- control_queues
            SELECT control_queue FROM workers WHERE state IN ('live', 'draining') AND control_queue IS NOT NULL";
        Ok(sqlx::query_scalar(sql).fetch_all(&self.pool).await?)
    }

    /// Notes which control queues were there when last looked for, and which were not.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.note_reachable", skip_all)]
    pub async fn note_reachable(&self, there: &[String], missing: &[String]) -> Result<(), StoreError> {
        let sql = "-- note_reachable
            UPDATE workers SET unreachable_since = CASE WHEN control_queue = ANY($2) THEN now() END
            WHERE (control_queue = ANY($1) AND unreachable_since IS NOT NULL)
                OR (control_queue = ANY($2) AND unreachable_since IS NULL)";
        sqlx::query(sql).bind(there).bind(missing).execute(&self.pool).await?;
        Ok(())
    }

    /// Each worker that is counted on, by name, with the seconds of device time that what it runs is estimated to take still.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.work_in_hand", skip(self))]
    pub async fn work_in_hand(&self) -> Result<Vec<(String, f64)>, StoreError> {
        let sql = "-- work_in_hand
            SELECT w.name, COALESCE(sum(t.charged * (1 - r.done)), 0)::float8 / 1000
            FROM workers w
            LEFT JOIN LATERAL (
                SELECT split_part(held->>'task', '-', 1)::bigint AS job_seq, split_part(held->>'task', '-', 2)::integer AS no,
                       LEAST(GREATEST((held->>'done')::real, 0), 1) AS done
                FROM jsonb_array_elements(w.running) held) r ON true
            -- what it holds by its own word alone is not its own any more
            LEFT JOIN tasks t ON t.job_seq = r.job_seq AND t.no = r.no AND t.boot = w.boot
            WHERE w.state IN ('live', 'draining') GROUP BY w.boot, w.name";
        Ok(sqlx::query_as(sql).fetch_all(&self.pool).await?)
    }

    /// Workers, those heard of last first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.workers", skip(self))]
    pub async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        let sql = "-- workers
            SELECT boot, name, class, device, version, state::text, running, images, busy_ms, waits_for, control_queue,
                   memory_bytes, device_memory_used_bytes, device_memory_total_bytes, first_seen, last_seen
            FROM workers ORDER BY last_seen DESC, boot";
        let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        rows.into_iter().map(WorkerRow::try_from).collect()
    }
}
