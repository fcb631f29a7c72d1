#!/usr/bin/env bash
# What a machine with a GPU has to tell, in one command and one folder: numbers and pictures beside the CPU's, determinism, memory, speed.
# It needs a worker, the demo pack and Python 3.10 (standard library), no toolchain and no network; tests/gpu/README.md says how to get there.
#
#   WORKER      the program             [target/release/worker]
#   DEVICE      cuda, cuda:N or cpu     [cuda]
#   OUT         folder of the report    [target/gpu-report]; what is in it already is removed
#   BUDGET      seconds for everything  [600]; a part that is cut or left out is told in the report
#   PARTS       which parts  [parity edit determinism memory throughput aside precisions clips]
#   QUICK=1     a tiny set, to try the script itself
#   TORCH       a Python with torch and safetensors, for the side-by-side with PyTorch  [python3, if it has them]
#   LIBTORCH    libtorch 2.11.0, or the folder with its libraries  [that of TORCH, if it has this version; else what the worker was built with]
#
# Exit code 1 if a part failed or what it found does not hold; a part that is cut or left out is no failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

worker=${WORKER:-target/release/worker}
device=${DEVICE:-cuda}
out=${OUT:-target/gpu-report}
budget=${BUDGET:-600}
parts=${PARTS:-parity edit determinism memory throughput aside precisions clips}
torch=${TORCH:-python3}
pack=deploy/demo/pack
face=deploy/demo/faces/source/000.png
text="a face with green hair"

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
[ -x "$worker" ] || fail "there is no program $worker; name the worker with WORKER, or build it: cargo build --release --workspace --bins"
python3 -c '' 2>/dev/null || fail "there is no python3; install it"
[ -f "$pack/pack.toml" ] && [ -f "$face" ] || fail "$pack or $face is missing; unpack the whole of what tests/gpu/pack.sh made"
case $budget in '' | *[!0-9]*) fail "BUDGET is '$budget'; it is a number of seconds" ;; esac

# Whether that Python has these modules, and where torch's libraries are, without importing it.
has() { "$torch" -c 'import importlib.util, sys; sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))' "$@" 2>/dev/null; }
libraries=${LIBTORCH:-}
# As builds take it, the folder above.
[ ! -f "$libraries/lib/libtorch_cpu.so" ] || libraries=$libraries/lib
if [ -z "$libraries" ] && has torch; then
    libraries=$("$torch" -c 'import importlib.util; print(importlib.util.find_spec("torch").submodule_search_locations[0])')/lib
    # another version has other symbols
    grep -q "'2\.11\.0" "${libraries%/lib}/version.py" 2>/dev/null || libraries=
fi
if [ -n "$libraries" ]; then
    [ -f "$libraries/libtorch_cpu.so" ] || fail "$libraries has no libtorch_cpu.so; name the folder that has libtorch's libraries with LIBTORCH"
    # cuBLAS, cuDNN and the rest lie in packages beside torch's.
    beside=$(find "$libraries/../.." -maxdepth 4 -path '*/nvidia/*/lib' -type d 2>/dev/null | paste -sd: || true)
    export LD_LIBRARY_PATH=$libraries${beside:+:$beside}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
fi
said=$("$worker" --version 2>&1) || fail "the worker does not start: $said; name the folder with libtorch 2.11.0's libraries with LIBTORCH"
# The user's own settings would change what is measured; libtorch takes OMP_NUM_THREADS for its own limit.
unset OMP_NUM_THREADS
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep '^CFX_' || true)

mkdir -p "$out"
rm -rf "${out:?}"/{parts.tsv,report.md,report.json,parity,edit,determinism,memory,throughput,aside}
began=$(date +%s)
say() { printf '==> %s\n' "$*"; }

# part NAME LIMIT COMMAND...: runs a command within its limit and what is left of the budget. Its output is kept in NAME.out and NAME.err,
# what became of it in parts.tsv. Gives false unless it went well.
part() {
    local name=$1 limit=$2 left code=0 start
    shift 2
    left=$((began + budget - $(date +%s)))
    [ "$limit" -le "$left" ] || limit=$left
    if [ "$limit" -lt 2 ]; then
        printf '%s\tleft out: the budget was spent\t0\n' "$name" >>"$out/parts.tsv"
        return 1
    fi
    mkdir -p "$out/${name%/*}"
    say "$name"
    start=$(date +%s)
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.out" 2>"$out/$name.err" || code=$?
    case $code in
    0) result="done" ;;
    124 | 137) result="cut after $limit s" ;;
    *) result="failed ($code)" ;;
    esac
    printf '%s\t%s\t%s\n' "$name" "$result" $(($(date +%s) - start)) >>"$out/parts.tsv"
    [ "$code" -eq 0 ] || tail -n 3 "$out/$name.err" | sed 's/^/    /' >&2
    return "$code"
}
wanted() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }

# Numbers of each network, and its gradients, on both devices and in double precision.
parity() {
    local folder=$out/parity
    part parity/inputs 60 python3 -B tests/gpu/parity.py make "$pack" "$folder/in.safetensors" || return 0
    compute() { part "parity/$1" 60 "$worker" compute --pack "$pack" --inputs "$folder/in.safetensors" --out "$folder/$1.safetensors" "${@:2}"; }
    compute double --device cpu --double && compute cpu --device cpu && compute device --device "$device" || return 0
    part parity/compare 60 python3 -B tests/gpu/parity.py compare "$folder"/{double,cpu,device}.safetensors || true
    rm -f "$folder"/*.safetensors
}

edit() { part "$1" 120 "$worker" edit --pack "$pack" --image "$face" --text "$text" --unsigned --seed 11 --device "$device" --out "$out/$1.png" "${@:2}"; }
replay() { part "$1" 120 "$worker" replay "$2" --pack "$pack" --source "$face" --json --device "${@:3}"; }

# The same edit on the device, and rendered again on the CPU from its record: after one step, which tells rounding, and after all, which tells
# how far a descent carries it. Then in other precisions, and again in fp32.
pictures() {
    local steps precision
    for steps in "${edits[@]}"; do
        edit "edit/$steps-steps" --method clip-nce --steps "$steps" || continue
        # a picture that differs is what is measured, so any level is within the tolerance
        replay "edit/$steps-steps-on-cpu" "$out/edit/$steps-steps.png" cpu --tolerance 255 || true
    done
    for precision in "${precisions[@]}"; do
        edit "edit/$precision" --method clip-nce --steps "${edits[-1]}" --precision "$precision" || continue
        replay "edit/$precision-in-fp32" "$out/edit/$precision.png" "$device" --precision fp32 --tolerance 255 || true
    done
}

# Twice in two processes, and once more from the record, which has to be exact.
twice() {
    local run
    for run in first second; do edit "determinism/$run" --method clip-nce --steps "${edits[-1]}" || return 0; done
    for run in first second; do replay "determinism/$run-again" "$out/determinism/$run.png" "$device" || true; done
}

# bench NAME LIMIT ARGUMENTS...: the JSON is written after each measurement, so a run that is cut leaves what it had.
bench() {
    mkdir -p "$out/${1%/*}"
    part "$1" "$2" "$worker" bench --device "$device" --json "$out/$1.json" "${@:3}" || true
}

# One process a size, batches growing: what libtorch keeps is then the peak of the last batch.
memory() {
    local side
    for side in "${sides[@]}"; do bench "memory/$side" 60 --stage optimise --resolution "$side" --batch "$growing" --repeats 1; done
}

throughput() {
    local side precision
    for precision in "$@"; do
        for side in "${sides[@]}"; do
            bench "throughput/$side-vit-b-32-$precision" 90 --stage "$stages" --resolution "$side" --batch "$batches" \
                --precision "$precision" --repeats "$repeats"
        done
    done
}

clips() {
    local side clip
    for clip in "${clips[@]}"; do
        for side in "${clip_sides[@]}"; do
            bench "throughput/$side-$clip" 60 --stage optimise --resolution "$side" --batch "$clip_batches" --clip "$clip" --repeats "$repeats"
        done
    done
}

# StyleCLIP's loop, here and in PyTorch, on the same weights.
aside() {
    local side
    if ! has torch safetensors; then
        printf 'aside\tleft out: %s has no torch and safetensors; name one with TORCH\t0\n' "$torch" >>"$out/parts.tsv"
        return
    fi
    for side in "${aside_sides[@]}"; do
        part "aside/$side" 90 "$worker" bench --aside "$out/aside/$side" --resolution "$side" --steps "$aside_steps" --device "$device" || continue
        part "aside/$side-torch" 120 "$torch" -B tests/bench/torch_loop.py "$out/aside/$side" "$device" || true
        rm -f "$out/aside/$side"/*.safetensors
    done
}

if [ -n "${QUICK:-}" ]; then
    edits=(1 3) sides=(64) growing=1,2 stages=apply,optimise batches=1 repeats=1 clips=() clip_sides=() precisions=(bf16) clip_batches=1
    aside_sides=(64) aside_steps=1
else
    edits=(1 40) sides=(64 256 512 1024) growing=1,2,4,8,16,32,64 stages=invert,optimise,train,apply batches=1,8,16,32 repeats=3
    precisions=(tf32 bf16)
    [ "$device" != cpu ] || precisions=(bf16)
    clips=(vit-b-16 vit-l-14) clip_sides=(256 1024) clip_batches=1,8,16,32 aside_sides=(64 256 1024) aside_steps=20
fi

{
    date -u +%FT%TZ
    "$worker" --version
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,uuid,driver_version,memory.used,memory.total,mig.mode.current --format=csv
} >"$out/machine.txt" 2>&1 || true
: >"$out/parts.tsv"
! wanted parity || parity
! wanted edit || pictures
! wanted determinism || twice
! wanted memory || memory
! wanted throughput || throughput fp32
! wanted aside || aside
# last, because they repeat in another way what is known by then
! wanted precisions || throughput "${precisions[@]}"
! wanted clips || clips
python3 -B tests/gpu/report.py "$out" "device=$device" "budget=$budget" "seconds=$(($(date +%s) - began))" "quick=${QUICK:-}"
