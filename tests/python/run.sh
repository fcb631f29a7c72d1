#!/usr/bin/env bash
# The Python package against a coordinator and a worker of its own. Needs the private services (`make up`) and built binaries; the
# packages that it is tested with are installed under .local/python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=venv.sh
source tests/python/venv.sh

echo "==> a coordinator, a worker and the package"
CFX_PYTHON_MUST=1 OMP_NUM_THREADS=1 cargo test --workspace --test stories -- --exact python::the_package_does_what_it_says --nocapture
