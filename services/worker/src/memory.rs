//! What memory this process takes, as the system tells it.

/// Bytes; each is absent where the system does not tell it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// In memory now.
    pub resident: Option<u64>,
    /// The most that was ever.
    pub peak: Option<u64>,
}

/// Of this process, now.
pub fn of_process() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |field: &str| {
        let told = status.lines().find_map(|line| line.strip_prefix(field))?;
        told.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    };
    Memory { resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
}

/// Begins the peak anew, at what is in memory now; false where the system does not allow it.
pub fn forget_peak() -> bool {
    // proc(5): 5 resets the peak of the resident set.
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_has_had_at_least_what_it_has() {
        let memory = super::of_process();
        assert!(memory.resident.is_some_and(|now| now > 0 && memory.peak >= Some(now)), "{memory:?}");
    }

    #[test]
    fn a_peak_is_forgotten() {
        let much = vec![1_u8; 256 << 20];
        let with = super::of_process().peak;
        assert!(with.is_some_and(|bytes| bytes > much.len() as u64), "{with:?}");
        drop(much);
        assert!(super::forget_peak());
        let after = super::of_process().peak;
        assert!(after.is_some() && after < with, "{after:?} after {with:?}");
    }
}
