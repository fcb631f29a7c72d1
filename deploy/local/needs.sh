# shellcheck shell=bash
# Sourced: which system packages (names of Debian 12) this project needs and this machine lacks, judged by what they bring
# rather than by the package database, so that servers and compilers installed by other means count.

# shellcheck source=stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

missing_packages() {
    has_server initdb /usr/lib/postgresql/*/bin/initdb || echo postgresql
    has_server rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server /opt/rabbitmq/sbin/rabbitmq-server || echo rabbitmq-server
    command -v c++ >/dev/null || echo build-essential
    command -v pkg-config >/dev/null || echo pkg-config
    command -v curl >/dev/null || echo curl
    command -v flock >/dev/null || echo util-linux
    # hosts in namespaces of their own (tests/hosts)
    command -v ip >/dev/null || echo iproute2
    [ -s /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    # Tools from PyPI go into a virtual environment under .local; Debian cuts that out of Python.
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

# has_server COMMAND PATH...: on the PATH of the shell, or at one of the places where packages put servers.
has_server() {
    local path
    command -v "$1" >/dev/null && return
    shift
    for path in "$@"; do [ -x "$path" ] && return; done
    return 1
}

# What make cannot install: says how to, and fails.
require_toolchain() {
    command -v python3 >/dev/null || fail "python3 is missing" "an administrator installs it with: apt-get install python3"
    command -v cargo >/dev/null || fail "the Rust toolchain is missing" "install it from https://rustup.rs, open a new shell, and run make again"
    local have want
    have=$(rustc --version | cut -d ' ' -f 2)
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
        fail "Rust $have is too old: this project needs $want" "bring it up to date with: rustup update stable"
}
