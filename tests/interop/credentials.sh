#!/usr/bin/env bash
# What small jobs prove, held against programs that know nothing of this project: credentials, records, seals, metadata, pixels.
# Needs the private services (`make up`), built binaries, and exiftool, which is installed where that is allowed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=../venv.sh
source tests/venv.sh
packages interop

package=libimage-exiftool-perl
install=(apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends "$package")
if ! command -v exiftool >/dev/null; then
    echo "==> $package"
    if ! command -v apt-get >/dev/null; then
        :
    elif [ "$(id -u)" -eq 0 ]; then
        apt-get --quiet=2 update && DEBIAN_FRONTEND=noninteractive "${install[@]}" >/dev/null || true
    elif sudo -n true 2>/dev/null; then
        sudo apt-get --quiet=2 update && sudo DEBIAN_FRONTEND=noninteractive "${install[@]}" >/dev/null || true
    fi
    if ! command -v exiftool >/dev/null; then
        echo "error: exiftool is missing, and could not be installed here" >&2
        echo "hint: an administrator installs it with: apt-get install $package" >&2
        exit 1
    fi
fi

echo "==> outputs, records and seals of small jobs"
kept=$(mktemp --directory)
trap 'rm -rf "$kept"' EXIT
CFX_PROOF_TO="$kept" OMP_NUM_THREADS=1 cargo test --workspace --test stories -- an_output_that_is_edited_again --quiet

echo "==> read by others"
"$venv/bin/python" tests/interop/credentials.py "$kept"
