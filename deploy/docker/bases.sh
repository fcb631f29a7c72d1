# shellcheck shell=bash
# Sourced by prove.sh: the two images that the Dockerfiles begin with, made here of Debian's packages and this machine's own Rust, under
# the names that the Dockerfiles say. A machine that reaches a registry of images takes theirs instead.

# shellcheck source=../local/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../local/stack.sh"

# Everything lies in one folder that may be removed: storage, caches, and how this machine reaches its registries.
images=${CFX_IMAGES:-$state/images}
passed=$images/passed

buildah_() {
    BUILDAH_ISOLATION=chroot TMPDIR=$images/tmp buildah --root "$images/storage" --runroot "$images/run" \
        --storage-driver overlay "$@"
}

# apt's sources, as far as they are Debian's own, its proxies, pip's settings, cargo's, and the certificates that this machine trusts. Builds
# see them as volumes and secrets; no layer keeps them.
pass_settings() {
    rm -rf "$passed"
    mkdir -p "$passed/apt/apt.conf.d" "$passed/apt/preferences.d" "$passed/apt/trusted.gpg.d"
    # shellcheck disable=SC2016 # apt's own fields
    apt-get indextargets --format '$(ORIGIN) deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Identifier: Packages' | sed -n 's/^Debian //p' | sort -u >"$passed/apt/sources.list"
    [ -s "$passed/apt/sources.list" ] || fail "apt has no lists of Debian's packages" "run: apt-get update"
    apt-config dump | grep -iE '^Acquire::(https?::Proxy|Check-(Valid-Until|Date))' >"$passed/apt/apt.conf.d/99machine" || true
    cp /etc/ssl/certs/ca-certificates.crt "$passed/ca.pem"
    cat "${CARGO_HOME:-$HOME/.cargo}/config.toml" >"$passed/cargo.toml" 2>/dev/null || true
    {
        echo '[global]'
        echo 'cert = /etc/ssl/certs/ca-certificates.crt'
        python3 -m pip config list 2>/dev/null | sed -nE "s/^(global|:env:)\.(index-url|extra-index-url|trusted-host|timeout|default-timeout)='(.*)'$/\2 = \3/p" || true
    } >"$passed/pip.conf"
}

# has IMAGE: it is in our storage.
has() { buildah_ inspect --type image "$1" >/dev/null 2>&1; }

# What Debian's own "slim" leaves out, so that sizes are alike.
slim() {
    printf 'path-exclude /usr/share/%s/*\n' doc man locale info lintian >"$1/etc/dpkg/dpkg.cfg.d/slim"
    printf 'path-include /usr/share/doc/*/copyright\n' >>"$1/etc/dpkg/dpkg.cfg.d/slim"
    find "$1/usr/share/doc" -type f ! -name copyright -delete
    rm -rf "$1"/usr/share/{man,locale,info,lintian}/* "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*
}

# Debian 12, the packages without which there is none.
base_debian() {
    local name=docker.io/library/debian:bookworm-slim container mount mirror
    if has "$name"; then return; fi
    say "making debian:bookworm-slim"
    mirror=$(awk '/ bookworm main$/ {print $(NF - 2); exit}' "$passed/apt/sources.list")
    [ -n "$mirror" ] || fail "apt's sources name no Debian 12 (bookworm)"
    container=$(buildah_ from scratch)
    mount=$(buildah_ mount "$container")
    debootstrap --variant=minbase bookworm "$mount" "$mirror" >"$images/debootstrap.log" 2>&1 ||
        fail "debootstrap failed" "its words: $images/debootstrap.log"
    echo "deb http://deb.debian.org/debian bookworm main" >"$mount/etc/apt/sources.list"
    slim "$mount"
    buildah_ config --cmd bash "$container"
    buildah_ commit --quiet --rm "$container" "$name" >/dev/null
}

# The same with compilers and Rust, in the places where Rust's own image has them.
base_rust() {
    local name=docker.io/library/rust:1.95-bookworm container mount toolchain
    if has "$name"; then return; fi
    say "making rust:1.95-bookworm"
    toolchain=$(rustc +1.95.0 --print sysroot 2>/dev/null || rustc --print sysroot)
    "$toolchain/bin/rustc" --version | grep -q '^rustc 1\.95\.' || fail "this machine has no Rust 1.95, but $("$toolchain/bin/rustc" --version)"
    container=$(buildah_ from --pull-never debian:bookworm-slim)
    buildah_ run --volume "$passed/apt:/etc/apt:ro" "$container" -- sh -euc '
        apt-get update
        apt-get install --yes --no-install-recommends ca-certificates build-essential pkg-config git curl
        rm -rf /var/lib/apt/lists/*' >"$images/apt.log" 2>&1 || fail "the compilers cannot be installed" "apt's words: $images/apt.log"
    mount=$(buildah_ mount "$container")
    mkdir -p "$mount/usr/local/cargo/registry" "$mount/usr/local/rust"
    cp -a "$toolchain"/{bin,lib,libexec} "$mount/usr/local/rust/"
    ln -s /usr/local/rust/bin "$mount/usr/local/cargo/bin"
    buildah_ config --env CARGO_HOME=/usr/local/cargo --env RUST_VERSION=1.95.0 \
        --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah_ commit --quiet --rm "$container" "$name" >/dev/null
}
