#!/usr/bin/env bash
# Requests made up from the OpenAPI document, against the coordinator at CFX_SERVER, where the things of CFX_API_* are there:
# tests/stories/fuzzed.rs prepares them, and `make api` that. CFX_API_PHASES are schemathesis's,
# CFX_API_EXAMPLES is the number of cases of each operation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "${CFX_SERVER:-}" ]; then
    echo "error: CFX_SERVER is not set" >&2
    echo "hint: make api starts a coordinator and runs this" >&2
    exit 2
fi

# shellcheck source=../venv.sh
source tests/venv.sh
packages api

echo "==> requests that are made up"
export SCHEMATHESIS_HOOKS=hooks
report=$PWD/.local/api/report
rm -rf "$report"
cd tests/api
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. "../../$venv/bin/schemathesis" --config-file schemathesis.toml run "$CFX_SERVER/openapi.json" \
    --checks all --phases "${CFX_API_PHASES:-examples,fuzzing,stateful}" --max-examples "${CFX_API_EXAMPLES:-5}" --seed "${CFX_API_SEED:-1}" \
    --exclude-path /metrics --suppress-health-check all --continue-on-failure --no-color \
    --request-timeout 40 --report json --report-dir "$report"
