# shellcheck shell=bash
# Sourced, from the root of the workspace: $venv has the readers of requirements.txt.

venv=.local/interop/venv
wanted=tests/interop/requirements.txt
# The interpreter is asked, not only looked for: it is a link into a Python that may have gone since.
if ! cmp --silent "$wanted" "$venv/installed.txt" || ! "$venv/bin/python" -c '' 2>/dev/null; then
    echo "==> Python packages"
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/installed.txt"
fi
