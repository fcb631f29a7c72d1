//! How much of what a worker says is believed. The fence decides whether a message counts; what it carries may still be nonsense
//! (a defect, a forged message, a machine with broken memory), and one worker's nonsense must not reach other people's shares,
//! pages and queues.

use domain::Reason;
use store::{EditedRow, Fence, OutcomeRow};

/// Most GPU milliseconds of one hand-out of one task: a day. Slices are ten minutes by default; what is above this is no
/// measurement, and charged it would starve the project for as long.
const MOST_GPU_MS: f64 = 86_400_000.0;
/// Most characters of a name for people.
const MOST_NAME: usize = 200;
/// Most characters of a failure's sentence.
const MOST_DETAIL: usize = 4_000;
/// Most characters of a worker's class: with the stage it makes a queue's name, which may have 255 bytes.
const MOST_CLASS: usize = 64;

/// A stopwatch: finite, not negative, at most a day.
pub fn gpu_ms(said: f64) -> f64 {
    // written so that NaN is zero
    if said > 0.0 { said.min(MOST_GPU_MS) } else { 0.0 }
}

/// A part done: 0 to 1.
pub fn done(said: f32) -> f32 {
    if said > 0.0 { said.min(1.0) } else { 0.0 }
}

/// A GPU's memory: of what there is no more is taken, and one that has none is not told.
pub fn device_memory(said: wire::broker::v1::DeviceMemory) -> Option<store::DeviceMemory> {
    let bytes = |said: u64| i64::try_from(said).unwrap_or(i64::MAX);
    let (used_bytes, total_bytes) = (bytes(said.used_bytes.min(said.total_bytes)), bytes(said.total_bytes));
    (total_bytes > 0).then_some(store::DeviceMemory { used_bytes, total_bytes })
}

/// A name for people: short, and without what Postgres cannot store.
pub fn name(said: &str) -> String {
    text(said, MOST_NAME)
}

/// A sentence for people.
pub fn detail(said: &str) -> String {
    text(said, MOST_DETAIL)
}

fn text(said: &str, most: usize) -> String {
    said.chars().filter(|c| *c != '\0').take(most).collect()
}

/// Whether a class can be part of a queue's name, by the rule of the worker's own settings.
pub fn is_class(said: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !said.is_empty() && said.len() <= MOST_CLASS && said.bytes().all(fits)
}

/// An edited image whose record is its own: it hashes to the digest it is kept under, and it speaks of this task.
pub fn edited(row: EditedRow) -> OutcomeRow {
    let (fence, gpu_ms) = (row.fence, row.gpu_ms);
    match row.record.under(row.record_digest) {
        Err(why) => refused(fence, gpu_ms, &why.to_string()),
        Ok(record) if record.links.task != fence.task => refused(fence, gpu_ms, "its record speaks of another task"),
        Ok(record) => OutcomeRow::Edited(Box::new(EditedRow { record, ..row })),
    }
}

fn refused(fence: Fence, gpu_ms: f64, why: &str) -> OutcomeRow {
    metrics::counter!("cfx_outcomes_not_believed_total").increment(1);
    tracing::error!(task = %fence.task, epoch = fence.epoch, why, "an outcome is not believed; its task fails");
    OutcomeRow::Failed {
        fence,
        reason: Reason::Internal,
        detail: format!("the outcome was not believed: {why}"),
        gpu_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_brought_into_their_range() {
        for (said, believed) in
            [(f64::NAN, 0.0), (f64::INFINITY, MOST_GPU_MS), (-5.0, 0.0), (1e300, MOST_GPU_MS), (7.5, 7.5)]
        {
            assert_eq!(gpu_ms(said), believed, "{said}");
        }
        for (said, believed) in [(f32::NAN, 0.0), (f32::INFINITY, 1.0), (-1.0, 0.0), (0.25, 0.25)] {
            assert_eq!(done(said), believed, "{said}");
        }
    }

    #[test]
    fn no_more_of_a_gpu_is_taken_than_it_has() {
        for (used, total, believed) in
            [(3, 8, Some((3, 8))), (9, 8, Some((8, 8))), (5, 0, None), (1, u64::MAX, Some((1, i64::MAX)))]
        {
            let said = wire::broker::v1::DeviceMemory { used_bytes: used, total_bytes: total };
            assert_eq!(device_memory(said).map(|m| (m.used_bytes, m.total_bytes)), believed, "{said:?}");
        }
    }

    #[test]
    fn texts_are_cut_and_lose_what_cannot_be_stored() {
        assert_eq!(name("a\0b"), "ab");
        assert_eq!(name(&"ü".repeat(1000)).chars().count(), MOST_NAME);
        assert!(is_class("cpu-1") && is_class("h100"));
        for class in ["", "A", "a b", "a.b", "a\0", &"a".repeat(65)] {
            assert!(!is_class(class), "{class:?}");
        }
    }
}
