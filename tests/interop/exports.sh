#!/usr/bin/env bash
# Exports of a small job, read by the programs they are meant for. Needs the private services (`make up`) and built binaries.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=../venv.sh
source tests/venv.sh
packages interop

echo "==> exports of a small job"
kept=$(mktemp --directory)
trap 'rm -rf "$kept"' EXIT
CFX_EXPORTS_TO="$kept" OMP_NUM_THREADS=1 cargo test --workspace --test stories -- an_ended_job_becomes_a_dataset --quiet

echo "==> read by others"
# nothing is to be looked up in the network
HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME="$kept/cache" "$venv/bin/python" tests/interop/exports.py "$kept"
