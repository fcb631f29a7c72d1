//! How much memory this process can still take, and what becomes of what it has freed. A CPU's memory runs out without an error: the
//! system kills the process. So what will not fit must not be begun.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Keeps freed memory for the next tensor of the process. A layer's map of a large image is bigger than what glibc keeps by itself, so
/// every tensor would be new pages of the system, to be cleared at the first touch: at 1024 px that is 40 % of a pass. Call it
/// first in `main`: it is for the whole process, and for one heap, because only one can grow so far. Elsewhere than on glibc it does
/// nothing.
///
/// More stays resident between passes (a third more at the peak, for holes); [`release_freed`] gives it back.
pub fn keep_freed() {
    #[cfg(target_env = "gnu")]
    allocator::keep_freed();
}

/// Gives the memory that is kept for the next tensor back to the system. The next pass is slower for it.
pub fn release_freed() {
    #[cfg(target_env = "gnu")]
    allocator::release_freed();
}

/// Bytes that are kept for the next tensor.
fn kept() -> u64 {
    #[cfg(target_env = "gnu")]
    return allocator::kept();
    #[cfg(not(target_env = "gnu"))]
    0
}

#[cfg(target_env = "gnu")]
mod allocator {
    use std::ffi::c_int;

    #[expect(unsafe_code, reason = "glibc's allocator is set by a C function")]
    pub(super) fn keep_freed() {
        // SAFETY: mallopt takes two integers, knows these three parameters (mallopt(3)), and may be called at any time.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_THRESHOLD, c_int::MAX);
            libc::mallopt(libc::M_TRIM_THRESHOLD, c_int::MAX);
        }
    }

    #[expect(unsafe_code, reason = "glibc's allocator is asked by a C function")]
    pub(super) fn release_freed() {
        // SAFETY: malloc_trim(3) takes a number and may be called at any time, from any thread.
        unsafe { libc::malloc_trim(0) };
    }

    #[expect(unsafe_code, reason = "glibc's allocator is asked by a C function")]
    pub(super) fn kept() -> u64 {
        // SAFETY: mallinfo2(3) takes nothing and returns numbers.
        let free = unsafe { libc::mallinfo2() }.fordblks;
        free as u64
    }
}

/// Bytes that this process can still take before the machine, or the control group that it runs in (a container), has none left.
/// What the system keeps of files counts as free, and so does what the process keeps of its own. `None` where the system does not tell.
pub fn available() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let most = machine.into_iter().chain(folders(&groups).iter().filter_map(|folder| of_group(folder))).min()?;
    Some(most.saturating_add(kept()))
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Where the limits of this process's groups may lie: its own and all above it, of both versions; in a container only the root.
fn folders(groups: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let root = match controllers {
            Some("") => Path::new("/sys/fs/cgroup"),
            Some(names) if names.split(',').any(|name| name == "memory") => Path::new("/sys/fs/cgroup/memory"),
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        found.extend(own.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned));
    }
    found
}

/// What a group may still take; `None` without a limit.
fn of_group(folder: &Path) -> Option<u64> {
    let number = |name: &str| read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?),
        None => (number("memory.limit_in_bytes")?, number("memory.usage_in_bytes")?),
    };
    let stat = read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let of = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let files = of("total_inactive_file ").or_else(|| of("inactive_file ")).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tells_what_is_available() {
        assert_eq!(of_machine("MemTotal:  24 kB\nMemAvailable:   20 kB\nBuffers: 1 kB\n"), Some(20 * 1024));
        assert_eq!(of_machine("MemTotal:  24 kB\n"), None);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20), "this machine");
    }

    #[test]
    fn a_group_of_either_version_counts_what_it_keeps_of_files_as_free() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(of_group(folder.path()), None);
        write("memory.limit_in_bytes", "1000\n");
        write("memory.usage_in_bytes", "900\n");
        write("memory.stat", "inactive_file 1\ntotal_inactive_file 300\n");
        assert_eq!(of_group(folder.path()), Some(400));
        write("memory.max", "2000\n");
        write("memory.current", "2500\n");
        write("memory.stat", "anon 5\ninactive_file 100\n");
        assert_eq!(of_group(folder.path()), Some(0));
        write("memory.max", "max\n");
        std::fs::remove_file(folder.path().join("memory.limit_in_bytes")).unwrap();
        assert_eq!(of_group(folder.path()), None);
    }

    #[test]
    fn the_groups_above_limit_too() {
        let found = folders("9:name=systemd:/\n4:memory:/a/b\n0::/c\n");
        let wanted = ["memory/a/b", "memory/a", "memory", "c", ""].map(|path| Path::new("/sys/fs/cgroup").join(path));
        assert_eq!(found, wanted.map(|path| path.components().collect::<PathBuf>()));
    }
}
