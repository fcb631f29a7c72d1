# shellcheck shell=bash
# Sourced, from the root of the workspace: $venv has the Python package of this checkout, its extras and what it is tested with.

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "skipped: the package needs Python 3.11" >&2
    exit 77
fi
# shellcheck source=../venv.sh
source tests/venv.sh
packages python
# as its users install it, not as a link into the checkout
pip install --no-deps --no-build-isolation --force-reinstall ./deploy/python
