//! `deploy/gpu-node/gpu-node.sh` with a stand-in for `nvidia-smi`, which tells of two GPUs, one of them cut into two slices.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// Answers what the script asks, as the driver's tool does; `$DRIVER` and `$FREE` choose.
const NVIDIA_SMI: &str = r#"#!/bin/sh
case "$*" in
--query-gpu=driver_version*) echo "${DRIVER:-580.65.06}" ;;
--query-gpu=index*)
    echo "0, GPU-11111111-aaaa, NVIDIA H100 80GB HBM3, 81559, ${FREE:-81000}, Disabled"
    echo "1, GPU-22222222-bbbb, NVIDIA A100-SXM4-40GB, 40960, 40000, Enabled" ;;
"--list-gpus --id=1")
    echo "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22222222-bbbb)"
    echo "  MIG 3g.20gb     Device  0: (UUID: MIG-33333333-cccc)"
    echo "  MIG 1g.10gb     Device  1: (UUID: MIG-44444444-dddd)" ;;
*) echo "unexpected: $*" >&2; exit 2 ;;
esac
"#;

fn script(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    std::fs::write(bin.join("nvidia-smi"), NVIDIA_SMI).expect("a file");
    std::fs::set_permissions(bin.join("nvidia-smi"), Permissions::from_mode(0o755)).expect("a mode");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/gpu-node/gpu-node.sh"));
    command.args(arguments).env("PATH", path).env("ROOT", folder).env("WORKER", env!("CARGO_BIN_EXE_worker"));
    command.env("DEVICE", "cpu").env("BENCH", "0").envs(settings.iter().copied()).output().expect("bash starts")
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_worker_for_each_gpu_and_slice_is_set_up_and_one_that_is_gone_removed() {
    let folder = TempDir::new().expect("a folder");
    let etc = folder.path().join("etc/counterfactory");
    let refused = script(folder.path(), &["install"], &[]);
    assert!(!refused.status.success() && said(&refused).contains("worker.env is missing"), "{}", said(&refused));

    std::fs::create_dir_all(&etc).expect("a folder");
    std::fs::write(etc.join("worker.env"), "CFX_S3_BUCKET=faces\n").expect("a file");
    let done = script(folder.path(), &["install", "2"], &[]);
    assert!(done.status.success(), "{}", said(&done));
    let read = |name: &str| std::fs::read_to_string(etc.join("workers").join(name)).unwrap_or_default();
    for (name, device, class) in [
        ("gpu0.env", "GPU-11111111-aaaa", "h100-80gb-hbm3"),
        ("gpu1.env", "GPU-11111111-aaaa", "h100-80gb-hbm3"),
        ("gpu2.env", "MIG-33333333-cccc", "a100-sxm4-40gb-mig-3g-20gb"),
        ("gpu3.env", "MIG-44444444-dddd", "a100-sxm4-40gb-mig-1g-10gb"),
    ] {
        let text = read(name);
        assert!(text.contains(&format!("CUDA_VISIBLE_DEVICES={device}\n")), "{name}: {text}");
        assert!(text.contains(&format!("CFX_CLASS={class}\n")), "{name}: {text}");
    }
    assert!(read("gpu0.env").contains(":9464\n") && read("gpu3.env").contains(":9467\n"), "each has its own port");

    let fewer = script(folder.path(), &["install"], &[]);
    assert!(fewer.status.success(), "{}", said(&fewer));
    assert!(read("gpu1.env").contains("MIG-33333333-cccc") && read("gpu3.env").is_empty(), "three workers are left");
}

#[test]
fn what_is_wrong_with_a_device_is_told_and_nothing_is_set_up() {
    let folder = TempDir::new().expect("a folder");
    for (settings, wanted) in [
        (("DRIVER", "535.104.05"), "driver 535.104.05 is older than 580"),
        (("FREE", "120"), "120 of 81559 MiB are free, and a worker needs 6000"),
    ] {
        let output = script(folder.path(), &["check"], &[settings]);
        assert!(!output.status.success() && said(&output).contains(wanted), "{}", said(&output));
    }
    let useless = script(folder.path(), &["check"], &[("WORKER", "no-such-worker")]);
    assert!(said(&useless).contains("there is no 'no-such-worker'"), "{}", said(&useless));
    assert!(!folder.path().join("etc").exists());
}

#[test]
fn the_speed_of_every_device_is_measured_with_the_worker_itself() {
    let folder = TempDir::new().expect("a folder");
    let measured = script(folder.path(), &["check"], &[("BENCH", "1")]);
    assert!(said(&measured).matches("ms for a step of clip-nce").count() == 3, "{}", said(&measured));
    let broken = folder.path().join("broken");
    std::fs::write(&broken, "#!/bin/sh\necho 'error: a GPU was asked for' >&2\nexit 1\n").expect("a file");
    std::fs::set_permissions(&broken, Permissions::from_mode(0o755)).expect("a mode");
    let broken = script(folder.path(), &["check"], &[("BENCH", "1"), ("WORKER", broken.to_str().expect("a path"))]);
    assert!(!broken.status.success(), "{}", said(&broken));
    assert!(said(&broken).contains("libtorch does not compute there: error: a GPU was asked for"), "{}", said(&broken));
}
