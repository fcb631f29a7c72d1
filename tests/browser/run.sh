#!/usr/bin/env bash
# The dashboard in a real browser: every page and action, in both themes and on a narrow screen, with axe-core. Needs the private
# services (`make up`) and built binaries; installs Chromium (a system package) and two packages of npm under .local/browser.
# BROWSER_KEEP=1 puts the screenshots, made small, into deploy/screenshots.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

missing=()
[ -x "${CFX_CHROMIUM:-/usr/bin/chromium}" ] || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "==> system packages: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        echo "error: an administrator installs them with: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
fi

modules=$PWD/.local/browser
if ! cmp --silent tests/browser/package-lock.json "$modules/installed.json"; then
    echo "==> packages of npm"
    mkdir -p "$modules"
    cp tests/browser/package.json tests/browser/package-lock.json "$modules/"
    (cd "$modules" && npm ci --no-audit --no-fund)
    cp tests/browser/package-lock.json "$modules/installed.json"
fi

echo "==> a cluster with a running job, and a browser"
shots=$modules/pages
rm -rf "$shots"
CFX_BROWSER_MODULES="$modules" CFX_BROWSER_TO="$shots" OMP_NUM_THREADS=1 \
    cargo test --workspace --test stories -- --ignored --exact browser::every_page_and_action_in_a_browser --nocapture

if [ -n "${BROWSER_KEEP:-}" ]; then
    python3 -m venv "$modules/venv"
    "$modules/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0
    "$modules/venv/bin/python" tests/browser/keep.py "$shots" deploy/screenshots
fi
