#!/usr/bin/env bash
# The Python package of this checkout: formats, lints, types, generated code, tests and the example notebook. Needs a coordinator with a
# worker and the demo pack at CFX_SERVER, and its cfx as CFX_CLI: tests/stories/python.rs starts them, and `make python` that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "${CFX_SERVER:-}" ] || [ ! -x "${CFX_CLI:-}" ]; then
    echo "error: CFX_SERVER or CFX_CLI is not set" >&2
    echo "hint: make python starts a coordinator and runs this" >&2
    exit 2
fi

# shellcheck source=venv.sh
source tests/python/venv.sh

# nothing is written into the checkout, and nothing but the coordinator is asked
scratch=$(mktemp --directory)
trap 'rm -rf "$scratch"' EXIT
export PYTHONDONTWRITEBYTECODE=1 RUFF_NO_CACHE=true MYPY_CACHE_DIR="$PWD/.local/python/mypy"
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME="$scratch/huggingface" XDG_CONFIG_HOME="$scratch"
unset CFX_PROJECT CFX_PROFILE CFX_CONFIG CFX_API_KEY CFX_API_KEY_FILE
python=$PWD/$venv/bin/python

echo "==> format, lints and types"
"$python" -m ruff format --check --quiet deploy/python tests/python
"$python" -m ruff check --quiet deploy/python tests/python
(cd deploy/python && "$python" -m mypy --no-error-summary src/counterfactory generate.py ../../tests/python)

echo "==> tests and the notebook"
"$python" -m pytest --quiet -p no:cacheprovider tests/python "$@"
