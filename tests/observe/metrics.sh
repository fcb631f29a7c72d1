#!/usr/bin/env bash
# The metrics of a real coordinator and worker, the rules and the boards, by promtool.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

echo "==> metrics of a small job"
kept=$(mktemp --directory)
trap 'rm -rf "$kept"' EXIT
CFX_METRICS_TO="$kept" OMP_NUM_THREADS=1 cargo test --workspace --test stories -- metrics_and_sql_tell_the_same --quiet

echo "==> read by promtool"
tests/observe/check.sh "$kept/coordinator.prom" "$kept/worker.prom"
