# shellcheck shell=bash
# Sourced, from the root of the workspace: `packages NAME` sees to it that $venv, .local/NAME/venv, has what tests/NAME/requirements.txt
# lists. Where the registry of packages cannot be reached, the script ends with 77, which test runners take for "skipped".

packages() {
    local wanted=tests/$1/requirements.txt
    venv=.local/$1/venv
    # The interpreter is asked, not only looked for: it is a link into a Python that may have gone since.
    if cmp --silent "$wanted" "$venv/installed.txt" && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    echo "==> Python packages"
    python3 -m venv --clear "$venv"
    if ! pip install --requirement "$wanted"; then
        # a pin that is wrong is a fault; a registry that is away is not one of what is tested
        if pip download --no-deps --dest "$venv/probe" tqdm 2>/dev/null; then
            exit 1
        fi
        echo "skipped: the packages of $wanted cannot be had here" >&2
        exit 77
    fi
    cp "$wanted" "$venv/installed.txt"
}

pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
