#!/usr/bin/env bash
# make quality: computes what is missing of tests/bench/quality.toml, or of tests/bench/$PLAN.toml, with one single-threaded process
# a core, then writes the report. It may be stopped at any time, and goes on where it was; what is computed lies in .local/quality.
# Arguments go to `quality run`, for example: tests/bench/quality.sh --texts green-hair --only cf-mapper
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo build --package quality --bins
quality=target/debug/quality
plan=(--plan "tests/bench/${PLAN:-quality}.toml")
out=tests/bench${PLAN:+/$PLAN}
# One process's memory is about 1.5 GB.
memory=$(awk '/MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
cores=$(nproc)
# After nproc, which would obey it.
export OMP_NUM_THREADS=1
processes=$((memory < 1 ? 1 : memory < cores ? memory : cores))
echo "==> quality: $processes processes"

running=()
trap 'kill "${running[@]}" 2>/dev/null || true' EXIT
for _ in $(seq "$processes"); do
    nice -n 5 "$quality" run "${plan[@]}" "$@" &
    running+=("$!")
done
failed=0
for process in "${running[@]}"; do
    wait "$process" || failed=1
done
running=()

"$quality" report "${plan[@]}" --out "$out"
exit "$failed"
