# shellcheck shell=bash
# Sourced, from the root of the workspace: $venv has the Python package of this checkout, its extras and what it is tested with.
# Where the registry of packages cannot be reached, this ends with 77, which test runners take for "skipped".

venv=.local/python/venv
wanted=tests/python/requirements.txt
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }

# The interpreter is asked, not only looked for: it is a link into a Python that may have gone since.
if ! cmp --silent "$wanted" "$venv/installed.txt" || ! "$venv/bin/python" -c '' 2>/dev/null; then
    echo "==> Python packages"
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "skipped: the package needs Python 3.11" >&2
        exit 77
    fi
    mkdir -p .local/python
    python3 -m venv --clear "$venv"
    if ! pip install --requirement "$wanted"; then
        # a pin that is wrong is a fault; a registry that is away is not one of the package
        if pip download --no-deps --dest .local/python/probe tqdm 2>/dev/null; then
            exit 1
        fi
        echo "skipped: Python packages cannot be had here" >&2
        exit 77
    fi
    cp "$wanted" "$venv/installed.txt"
fi
# as its users install it, not as a link into the checkout
pip install --no-deps --no-build-isolation --force-reinstall ./deploy/python
