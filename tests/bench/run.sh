#!/usr/bin/env bash
# make bench: what each stage takes on this machine's CPU, some twenty minutes; tests/bench/RESULTS.md and results.json. Other cells are
# asked for one by one: RESULTS.md says how. BENCH_PROFILE=debug takes what `make build` has built: libtorch, where nearly all of the
# time goes, is the same in both. BENCH_PYTHON, a Python with torch and safetensors, runs torch_loop.py and torch_training.py, too, another
# twenty minutes; without it their last results stand. BENCH_THREADS=1 is for a machine that does other work as well. The last part goes through coordinator, broker and
# bucket (end_to_end.json): BENCH_END_TO_END=0 leaves it out, and its last results stand; it alone is `target/release/end-to-end`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

profile=${BENCH_PROFILE:-release}
case $profile in
release) cargo build --release --workspace --bins ;;
debug) cargo build --workspace --bins ;;
*)
    printf "error: BENCH_PROFILE is '%s'; it is release or debug\n" "$profile" >&2
    exit 1
    ;;
esac
worker=target/$profile/worker
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# libtorch takes it for its own limit.
unset OMP_NUM_THREADS
cores=$(nproc)
threads=1
[ "$cores" -eq 1 ] || threads=1,$cores
# Threads that wait for each other lose far more to other work on the machine than one alone.
threads=${BENCH_THREADS:-$threads}
most=${threads##*,}

# cells NAME ARGUMENTS...: measures, and keeps the table and the JSON.
cells() {
    local name=$1
    shift
    echo "==> worker bench $*"
    "$worker" bench "$@" --json "$folder/$name.json" >"$folder/$name.md"
    cat "$folder/$name.md"
    printf 'worker bench %s\n' "$*" >"$folder/$name.command"
}

began=$(date +%s)
load=$(cut -d' ' -f1 /proc/loadavg)
cells 1-small --resolution 64 --batch 1,4 --threads "$threads" --repeats 3
cells 2-batch --stage invert,optimise,apply --resolution 64 --batch 16 --threads "$most" --repeats 2
cells 3-middle --resolution 256 --batch 1,4 --threads "$most" --repeats 2
cells 4-clips --stage optimise --resolution 64 --batch 1 --threads "$most" --clip vit-b-16,vit-l-14 --repeats 2
cells 5-large --stage picture,apply,optimise --resolution 512,1024 --batch 1 --threads "$threads" --repeats 2
cells 6-direct --stage apply,optimise --resolution 64,256 --batch 1 --threads 1 --repeats 3 --convolutions direct
if [ -n "${BENCH_PYTHON:-}" ]; then
    # aside SIDE STEPS THREADS
    aside() {
        echo "==> StyleCLIP's loop at $1 px, here and in PyTorch"
        "$worker" bench --aside "$folder/aside-$1" --resolution "$1" --steps "$2" --threads "$3"
        "$BENCH_PYTHON" -B tests/bench/torch_loop.py "$folder/aside-$1"
    }
    aside 64 3 "$threads"
    # One step of the published loop takes half a minute here.
    aside 256 2 1
    # training SIDE BATCHES STEPS THREADS
    training() {
        echo "==> CF-CLIP's training at $1 px, here and in PyTorch"
        "$worker" bench --aside "$folder/training-$1" --stage train --resolution "$1" --batch "$2" --steps "$3" --threads "$4"
        "$BENCH_PYTHON" -B tests/bench/torch_training.py "$folder/training-$1"
    }
    training 64 1,2,4 5 "$threads"
    training 256 2 4 "$most"
fi
if [ "${BENCH_END_TO_END:-1}" != 0 ]; then
    echo "==> end-to-end"
    "target/$profile/end-to-end"
fi
minutes=$((($(date +%s) - began + 30) / 60))

python3 -B tests/bench/results.py "$folder" \
    "how=$profile build, $minutes minutes, load $load before and $(cut -d' ' -f1 /proc/loadavg) after"
