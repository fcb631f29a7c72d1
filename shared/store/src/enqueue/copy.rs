//! A slice in COPY's binary format, straight into `tasks`: no staging table, no text to parse, and Postgres writes whole pages.

use crate::columns::seed_column;
use crate::{NewTask, Phase, StoreError};
use domain::{Stage, StageKey};
use sqlx::PgConnection;

const COPY: &str = "-- write_slice: tasks
    COPY tasks (job_seq, no, stage, state, edit_no, ordinal, strength, seed, key, needs) FROM STDIN WITH (FORMAT binary)";
const COLUMNS: i16 = 10;
/// Bytes given to the connection at once.
const CHUNK: usize = 1 << 20;

/// The rows of a slice, in the order of their numbers.
pub(super) struct Rows {
    bytes: Vec<u8>,
    counts: [[i64; Phase::ALL.len()]; 3],
}

impl Rows {
    pub(super) fn with_room_for(tasks: usize) -> Self {
        let mut bytes = Vec::with_capacity(200 * tasks + 64);
        bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        // no flags, no extension
        bytes.extend_from_slice(&[0; 8]);
        Self { bytes, counts: Default::default() }
    }

    pub(super) fn push(&mut self, job: i64, no: i32, task: &NewTask, phase: Phase) {
        let (stage, edit_no, ordinal, change, key, needs) = match *task {
            NewTask::Invert { ordinal, key } => (Stage::Invert, -1, Some(ordinal), None, key, None),
            NewTask::Train { edit_no, key } => (Stage::Train, edit_no, None, None, key, None),
            NewTask::Edit { edit_no, ordinal, strength, seed, key, needs } => {
                (Stage::Edit, edit_no, Some(ordinal), Some((strength, seed_column(seed))), key, Some(needs))
            }
        };
        self.counts[stage as usize][phase as usize] += 1;
        self.bytes.extend_from_slice(&COLUMNS.to_be_bytes());
        self.field(&job.to_be_bytes());
        self.field(&no.to_be_bytes());
        self.field(stage.name().as_bytes());
        self.field(phase.name().as_bytes());
        self.field(&edit_no.to_be_bytes());
        self.optional(ordinal.map(i64::to_be_bytes));
        self.optional(change.map(|(strength, _)| strength.to_be_bytes()));
        self.optional(change.map(|(_, seed)| seed.to_be_bytes()));
        self.field(key.0.as_bytes());
        self.optional(needs.map(|StageKey(digest)| *digest.as_bytes()));
    }

    fn field(&mut self, value: &[u8]) {
        // safe: no column here is longer than a digest
        self.bytes.extend_from_slice(&i32::try_from(value.len()).unwrap_or(i32::MAX).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    fn optional<const N: usize>(&mut self, value: Option<[u8; N]>) {
        match value {
            Some(value) => self.field(&value),
            None => self.bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }

    /// Writes the rows, and their counts in the same transaction: COPY returns nothing that one statement could count. Returns how
    /// many they are.
    pub(super) async fn write(mut self, conn: &mut PgConnection, job: i64) -> Result<u64, StoreError> {
        let mut written = 0;
        for (stage, counts) in Stage::ALL.into_iter().zip(self.counts) {
            for (phase, n) in Phase::ALL.into_iter().zip(counts).filter(|(_, n)| *n > 0) {
                let sql = "-- write_slice: counts
                    INSERT INTO count_deltas (job_seq, stage, state, n) VALUES ($1, $2::task_stage, $3::task_state, $4)";
                sqlx::query(sql).bind(job).bind(stage.name()).bind(phase.name()).bind(n).execute(&mut *conn).await?;
                written += n.cast_unsigned();
            }
        }
        if written == 0 {
            return Ok(0);
        }
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut sink = conn.copy_in_raw(COPY).await?;
        for chunk in self.bytes.chunks(CHUNK) {
            sink.send(chunk).await?;
        }
        let copied = sink.finish().await?;
        debug_assert_eq!(copied, written, "every row is counted");
        Ok(copied)
    }
}
