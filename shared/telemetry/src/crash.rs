//! Crash points: places where a process can be told to die, to prove that dying there loses nothing. They exist in debug builds
//! alone; in a release build [`crash_point`] is empty.
//!
//! `CFX_CRASH_AT=w.after_put:3` aborts the process (no destructor, no goodbye, as SIGKILL would) the third time it comes by. The
//! workers' points are `w.after_started_confirm`, `w.after_ack`, `w.after_put` and `w.after_publish`; the coordinators'
//! `o.after_commit` (a hand-out is committed, its message not yet published), `o.after_confirm` (published, still in the outbox) and
//! `o.after_apply` (outcomes are committed, the message not yet acknowledged).
//!
//! `CFX_CRASH_ON=NAME` aborts a worker whenever it begins the item of that name, as an image would that its libraries cannot bear;
//! inversions have the SHA-256 of their source for a name.

/// Dies here if this is the place and the time.
pub fn crash_point(place: &str) {
    #[cfg(debug_assertions)]
    armed::pass(place);
    #[cfg(not(debug_assertions))]
    let _ = place;
}

/// Dies here if this is the item that no worker survives.
pub fn crash_on(item: &dyn std::fmt::Display) {
    #[cfg(debug_assertions)]
    armed::begin(item);
    #[cfg(not(debug_assertions))]
    let _ = item;
}

#[cfg(debug_assertions)]
mod armed {
    use std::fmt::Display;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Point {
        place: String,
        left: AtomicU32,
    }

    static POINT: OnceLock<Option<Point>> = OnceLock::new();
    static ITEM: OnceLock<Option<String>> = OnceLock::new();

    pub(super) fn begin(item: &dyn Display) {
        let deadly = ITEM.get_or_init(|| std::env::var("CFX_CRASH_ON").ok());
        if deadly.as_ref().is_some_and(|deadly| *deadly == item.to_string()) {
            tracing::error!(%item, "this item ends the process, as it was told to");
            std::process::abort();
        }
    }

    pub(super) fn pass(place: &str) {
        let point = POINT.get_or_init(|| read(&std::env::var("CFX_CRASH_AT").ok()?));
        let Some(point) = point.as_ref().filter(|point| point.place == place) else { return };
        if point.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tracing::error!(place, "a crash point: the process ends here, as it was told to");
            std::process::abort();
        }
    }

    fn read(text: &str) -> Option<Point> {
        let (place, times) = text.split_once(':').unwrap_or((text, "1"));
        let left = AtomicU32::new(times.parse().ok().filter(|times| *times > 0)?);
        Some(Point { place: place.to_owned(), left })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_point_has_a_place_and_a_time() {
            let read = |text| read(text).map(|p| (p.place, p.left.into_inner()));
            assert_eq!(read("w.after_put:3"), Some(("w.after_put".to_owned(), 3)));
            assert_eq!(read("w.after_put"), Some(("w.after_put".to_owned(), 1)));
            assert_eq!((read("w.after_put:0"), read("w.after_put:x")), (None, None));
        }
    }
}
