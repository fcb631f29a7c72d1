#!/usr/bin/env bash
# A machine with GPUs as part of the fleet: gpu-node.sh check | install [WORKERS_A_GPU]
# check      driver, libtorch's CUDA half, free memory and speed of every GPU or MIG slice, and what is wrong with each; changes nothing.
#            Exit code 1 if a device cannot be used.
# install    check, then a file per worker in /etc/counterfactory/workers and a systemd service for it (root), of the class that the
#            device's name and memory give: workers of one class are interchangeable, and the coordinators learn from their first
#            heartbeats that there is such a class. MIG slices get one worker each; a GPU gets WORKERS_A_GPU (1).
# WORKER names the worker's binary (the one on the PATH), ROOT is put before /etc (empty), LEAST_DRIVER is the oldest driver (580, the
# first for CUDA 13), LEAST_FREE_MIB the memory that a worker needs (6000: networks of 1024 px and a batch of one), BENCH=0 leaves the
# speed out. A speed far below that of the machine's other devices of the same class is told: heat, power limits and PCIe lanes show so.
set -euo pipefail

verb=${1:-} workers_a_gpu=${2:-1}
worker=${WORKER:-worker}
etc=${ROOT:-}/etc/counterfactory
least_driver=${LEAST_DRIVER:-580}
least_free=${LEAST_FREE_MIB:-6000}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}
say() { printf '==> %s\n' "$*"; }
wrong=0
bad() {
    printf '    WRONG  %s\n' "$1"
    shift
    local line
    for line in "$@"; do printf '           %s\n' "$line"; done
    wrong=1
}
good() { printf '    ok     %s\n' "$*"; }

case $verb in check | install) ;; *) fail "usage: $0 check | install [WORKERS_A_GPU]" ;; esac
case $workers_a_gpu in '' | *[!0-9]* | 0) fail "'$workers_a_gpu' is no number of workers for a GPU" ;; esac
command -v "$worker" >/dev/null || fail "there is no '$worker'" "put the worker's binary on the PATH, or name it: WORKER=/path/to/worker $0 $verb"
command -v nvidia-smi >/dev/null || fail "nvidia-smi is missing, so there is no NVIDIA driver" \
    "install the driver, $least_driver or newer, for this kernel, and start the machine again"

say "driver"
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1) ||
    fail "nvidia-smi does not reach the driver" "is the kernel module loaded (lsmod | grep nvidia)? dmesg says why not"
if [ "${driver%%.*}" -ge "$least_driver" ] 2>/dev/null; then
    good "driver $driver"
else
    bad "driver $driver is older than $least_driver, which libtorch's CUDA 13 needs" "install a newer one; nothing else is to be changed"
fi

# uuid TAB name TAB total MiB TAB free MiB: whole GPUs as nvidia-smi tells them, or the slices of those that are cut.
devices() {
    local index uuid name total free mig
    while IFS=, read -r index uuid name total free mig; do
        uuid=${uuid// /} total=${total// /} free=${free// /} mig=${mig// /}
        name=$(sed 's/^ *//; s/ *$//' <<<"$name")
        if [ "$mig" = Enabled ]; then
            # `  MIG 1g.10gb     Device  0: (UUID: MIG-…)`; what a slice has is in its name
            nvidia-smi --list-gpus --id="${index// /}" | sed -n 's/^ *MIG \([^ ]*\) *Device.*(UUID: \(MIG-[^)]*\)).*/\2 \1/p' |
                while read -r slice profile; do
                    gib=${profile##*.} gib=${gib%%gb*}
                    printf '%s\t%s MIG %s\t%s\t%s\n' "$slice" "$name" "$profile" $((gib * 1024)) $((gib * 1024))
                done
        else
            printf '%s\t%s\t%s\t%s\n' "$uuid" "$name" "$total" "$free"
        fi
    done < <(nvidia-smi --query-gpu=index,uuid,name,memory.total,memory.free,mig.mode.current --format=csv,noheader,nounits)
}
mapfile -t found < <(devices)
[ "${#found[@]}" -gt 0 ] || fail "the driver knows no device" "MIG is on and no slice is made? nvidia-smi mig -lgi"

# The class of a device: its model and size as a queue's name takes them. NVIDIA H100 80GB HBM3 is h100-80gb-hbm3.
class_of() { tr '[:upper:]' '[:lower:]' <<<"$1" | sed 's/nvidia//; s/[^a-z0-9]\{1,\}/-/g; s/^-//; s/-$//' | cut -c1-60; }

# The median time of a step, in ms, on one device; what went wrong otherwise.
step_ms() {
    local told
    told=$(mktemp)
    if CUDA_VISIBLE_DEVICES=$1 "$worker" bench --device "${DEVICE:-cuda}" --quick --stage optimise --json "$told" >"$told.log" 2>&1; then
        python3 - "$told" <<'PY'
import json, sys
cells = json.load(open(sys.argv[1]))["cells"]
print(round(min(cell["milliseconds"]["median"] for cell in cells), 1))
PY
    else
        tail -n 3 "$told.log" >&2
        rm -f "$told" "$told.log"
        return 1
    fi
    rm -f "$told" "$told.log"
}

declare -A fastest=()
lines=()
for device in "${found[@]}"; do
    IFS=$'\t' read -r uuid name total free <<<"$device"
    class=$(class_of "$name")
    say "$name ($uuid), class $class"
    if [ "$free" -ge "$least_free" ]; then
        good "$free of $total MiB are free"
    else
        bad "$free of $total MiB are free, and a worker needs $least_free" "somebody else is on it: nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv"
    fi
    ms=
    if [ "${BENCH:-1}" = 1 ]; then
        if ms=$(step_ms "$uuid" 2>/tmp/gpu-node.$$); then
            good "libtorch's CUDA half computes there: $ms ms for a step of clip-nce at 64 px"
            if [ -z "${fastest[$class]:-}" ] || python3 -c "import sys; sys.exit(not $ms < ${fastest[$class]})"; then fastest[$class]=$ms; fi
        else
            bad "libtorch does not compute there: $(tail -n 1 /tmp/gpu-node.$$)" \
                "are CUDA 13's libraries beside libtorch_cuda.so (cuBLAS, cuDNN, ...)? The image worker-cuda has them"
        fi
        rm -f /tmp/gpu-node.$$
    fi
    # not tabs: of several between words `read` makes one, and the time may be missing
    lines+=("$uuid|$class|$ms|$name")
done
for line in "${lines[@]}"; do
    IFS='|' read -r uuid class ms name <<<"$line"
    if [ -n "$ms" ] && python3 -c "import sys; sys.exit(not $ms > 1.3 * ${fastest[$class]})"; then
        bad "$uuid takes $ms ms, and the fastest $class here ${fastest[$class]}" "look at heat, power limit and PCIe lanes: nvidia-smi -q -d PERFORMANCE,POWER"
    fi
done
[ "$wrong" -eq 0 ] || fail "not all devices can be used; what is wrong with them stands above"
[ "$verb" = install ] || exit 0

[ -s "$etc/worker.env" ] || fail "$etc/worker.env is missing" \
    "write what all workers share there: CFX_BROKER_URL_FILE, CFX_S3_BUCKET, CFX_S3_ENDPOINT, CFX_S3_ACCESS_KEY_FILE, CFX_S3_SECRET_KEY_FILE"
install -d -m 755 "$etc/workers"
units=()
number=0
port=9464
for line in "${lines[@]}"; do
    IFS='|' read -r uuid class _ name <<<"$line"
    count=$workers_a_gpu
    case $uuid in MIG-*) count=1 ;; esac
    for _ in $(seq "$count"); do
        file=$etc/workers/gpu$number.env
        printf '# %s\nCUDA_VISIBLE_DEVICES=%s\nCFX_DEVICE=cuda:0\nCFX_CLASS=%s\nCFX_METRICS_LISTEN=127.0.0.1:%s\n' \
            "$name" "$uuid" "$class" "$port" >"$file.part"
        mv "$file.part" "$file"
        units+=("counterfactory-worker@gpu$number.service")
        number=$((number + 1)) port=$((port + 1))
    done
done
# A device that is gone since the last time leaves no worker behind.
for file in "$etc"/workers/gpu*.env; do
    name=$(basename "$file" .env)
    if [ "${name#gpu}" -ge "$number" ]; then
        if [ -z "${ROOT:-}" ]; then systemctl disable --now "counterfactory-worker@$name.service"; fi
        rm -f "$file"
    fi
done
say "$number workers in $etc/workers"
if [ -n "${ROOT:-}" ]; then
    say "not started, because ROOT is set: ${units[*]}"
    exit 0
fi
install -m 644 "$here/counterfactory-worker@.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable --now "${units[@]}"
say "started; cfx doctor and the page of workers show them within seconds"
