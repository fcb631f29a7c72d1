#!/usr/bin/env bash
# A promtool under .local/tools, out of Debian's package: nothing is installed, and no Prometheus is started.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
promtool=$root/.local/tools/promtool

if ! "$promtool" --version >/dev/null 2>&1; then
    echo "==> fetching promtool"
    folder=$(mktemp --directory)
    # apt fetches as a user of its own
    chmod 755 "$folder"
    fetch() { (cd "$folder" && apt-get --quiet=2 --option=APT::Sandbox::User=root download prometheus); }
    fetch || { [ "$(id -u)" -eq 0 ] && apt-get --quiet=2 update && fetch; } || {
        echo "error: Debian's package prometheus, which has promtool, cannot be fetched" >&2
        exit 1
    }
    dpkg-deb --extract "$folder"/prometheus_*.deb "$folder"
    install -D "$folder/usr/bin/promtool" "$promtool"
    rm -rf "$folder"
fi
