//! What else results on a GPU depend on, and the one setting that must stand before the process has threads.

use std::collections::BTreeMap;

/// The variable by which cuBLAS is given a workspace of its own, and the value with which its results repeat: without one, kernels that
/// run side by side may share a workspace and sum in another order (cuBLAS library, section 2.1.4, results reproducibility).
pub const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");

/// Variables that change what kernels compute.
const VARIABLES: [&str; 4] =
    [CUBLAS_WORKSPACE.0, "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "ONEDNN_MAX_CPU_ISA"];

/// Gives cuBLAS its workspace unless the variable is set. Call it first in `main`: it does nothing in a process that has more than one
/// thread, or whose threads cannot be counted. Returns whether the variable stands now.
pub fn prepare_process() -> bool {
    let (name, value) = CUBLAS_WORKSPACE;
    if std::env::var_os(name).is_some() {
        return true;
    }
    if std::fs::read_dir("/proc/self/task").map(Iterator::count).ok() != Some(1) {
        return false;
    }
    set(name, value);
    true
}

#[expect(unsafe_code, reason = "the environment is the only way to tell cuBLAS; the caller has counted the threads")]
#[expect(clippy::disallowed_methods, reason = "read by cuBLAS alone; settings of ours do not go this way")]
fn set(name: &str, value: &str) {
    // SAFETY: this is the process's only thread, so nothing reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) }
}

/// The variables that are set.
pub(super) fn variables() -> BTreeMap<String, String> {
    VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

/// `13000` is 13.0; the CPU half of libtorch answers -1 or 0.
pub(super) fn cuda_version(number: i64) -> Option<String> {
    (number > 0).then(|| format!("{}.{}", number / 1000, number % 1000 / 10))
}

/// The driver names a part of a GPU as `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
pub(super) fn mig_profile(device_name: &str) -> Option<String> {
    let (_, profile) = device_name.rsplit_once(" MIG ")?;
    Some(profile.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_parts_are_read() {
        assert_eq!(cuda_version(13_000).as_deref(), Some("13.0"));
        assert_eq!(cuda_version(12_040).as_deref(), Some("12.4"));
        assert_eq!((cuda_version(-1), cuda_version(0)), (None, None));
        assert_eq!(mig_profile("NVIDIA H100 80GB HBM3 MIG 1g.10gb").as_deref(), Some("1g.10gb"));
        assert_eq!(mig_profile("NVIDIA H100 80GB HBM3"), None);
    }

    /// The tests of one binary are threads of one process.
    #[test]
    fn a_process_with_threads_is_left_alone() {
        let before = std::env::var_os(CUBLAS_WORKSPACE.0);
        let stands = std::thread::spawn(prepare_process).join().unwrap();
        assert_eq!(stands, before.is_some());
        assert_eq!(std::env::var_os(CUBLAS_WORKSPACE.0), before);
    }
}
