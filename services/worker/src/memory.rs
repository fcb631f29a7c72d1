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

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_has_had_at_least_what_it_has() {
        let memory = super::of_process();
        assert!(memory.resident.is_some_and(|now| now > 0 && memory.peak >= Some(now)), "{memory:?}");
    }
}
