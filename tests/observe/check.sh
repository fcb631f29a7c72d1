#!/usr/bin/env bash
# What Prometheus's own tool says of the rules, of what the boards ask, and of what coordinator and worker tell: check.sh [METRICS FILE...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=promtool.sh
source tests/observe/promtool.sh

"$promtool" check rules --lint=all --lint-fatal deploy/prometheus/rules.yml
"$promtool" check config --lint=all deploy/prometheus/prometheus.yml
"$promtool" test rules tests/observe/rules_test.yml

# Each question of a board, as a rule of its own: promtool reads expressions nowhere else.
asked=$(mktemp --suffix=.yml)
trap 'rm -f "$asked"' EXIT
python3 - deploy/grafana/boards/*.json >"$asked" <<'PYTHON'
import json, sys
expressions = [
    target["expr"]
    for path in sys.argv[1:]
    for panel in json.load(open(path))["panels"]
    for target in panel["targets"]
    if "expr" in target
]
assert len(expressions) > 20, len(expressions)
rules = [{"record": f"board:question:{number}", "expr": expr} for number, expr in enumerate(expressions)]
print(json.dumps({"groups": [{"name": "boards", "rules": rules}]}))
PYTHON
"$promtool" check rules "$asked"

for metrics in "$@"; do
    echo "Checking $metrics"
    # names with a unit in the middle of them are what they are called; everything else counts
    "$promtool" check metrics <"$metrics"
done
