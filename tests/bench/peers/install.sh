#!/usr/bin/env bash
# Installs the peers under .local/peers, each in the versions that its files here pin. One that cannot be installed is no failure of
# this script: its reason goes to .local/peers/NAME.failed, which the report tells.
source "$(dirname "${BASH_SOURCE[0]}")/../../../deploy/local/stack.sh"

here=$root/tests/bench/peers
peers=$state/peers
make_state
mkdir -p "$peers"

# whole NAME FILE...: NAME was installed from these files as they are now.
whole() { [ "$(cat "$peers/$1.installed" 2>/dev/null)" = "$(cat "${@:2}" | sha256sum)" ]; }

# attempt NAME FUNCTION FILE...
attempt() {
    local name=$1 function=$2
    shift 2
    if whole "$name" "$@"; then
        say "peers in $name: there"
        return
    fi
    say "installing the peers in $name (log: .local/peers/$name.log)"
    rm -f "$peers/$name.installed" "$peers/$name.failed"
    if (set -e; "$function") >"$peers/$name.log" 2>&1; then
        cat "$@" | sha256sum >"$peers/$name.installed"
    else
        tail -n 5 "$peers/$name.log" >"$peers/$name.failed"
        note "the peers in $name cannot be installed; they will be listed with this reason:"
        sed 's/^/    /' "$peers/$name.failed"
    fi
}

in_python() {
    rm -rf "$peers/python"
    python3 -m venv "$peers/python" &&
        "$peers/python/bin/python" -m pip install --disable-pip-version-check --quiet --only-binary=:all: -r "$here/requirements.txt"
}

in_node() {
    command -v npm || { echo "npm is missing"; return 1; }
    mkdir -p "$peers/node" &&
        cp "$here/node/package.json" "$here/node/package-lock.json" "$peers/node/" &&
        (cd "$peers/node" && npm ci --no-audit --no-fund)
}

in_rust() {
    CARGO_TARGET_DIR=$peers/rust nice -n 5 cargo build --release --locked --manifest-path "$here/rust/Cargo.toml"
}

attempt python in_python "$here/requirements.txt"
attempt node in_node "$here/node/package-lock.json"
attempt rust in_rust "$here/rust/Cargo.lock" "$here/rust/Cargo.toml" "$here"/rust/src/*.rs
