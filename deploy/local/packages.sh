#!/usr/bin/env bash
# Installs Debian packages that a target of its own needs: packages.sh PACKAGE:PROGRAM... , each unless its program is there. Root does it;
# without root it says what an administrator must run.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

missing=()
for wanted in "$@"; do
    command -v "${wanted#*:}" >/dev/null || missing+=("${wanted%%:*}")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
say "system packages: ${missing[*]}"
[ "$(id -u)" -eq 0 ] || fail "${missing[*]} are missing" "an administrator installs them with: apt-get install --no-install-recommends ${missing[*]}"
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
