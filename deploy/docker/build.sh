#!/usr/bin/env bash
# Runs while an image is built, in /src: build.sh PACKAGE... builds the programs of these packages by PROFILE, and puts them, without
# debugging symbols, into /out/bin.
set -euo pipefail

# The lock file is of the whole workspace, so cargo wants to see every member. Those that no image needs come as manifests alone.
for manifest in deploy/demo/report/Cargo.toml tests/Cargo.toml tests/*/Cargo.toml; do
    mkdir -p "${manifest%/*}/src"
    touch "${manifest%/*}/src/lib.rs"
done

# cargo tells new from old by time, and a checkout's times may lie before those of what the cache holds of another revision. Now they
# do not: our own crates are compiled again, those of others are not.
find services shared migrations -type f -exec touch {} +

case $PROFILE in
dev) folder=target/debug ;;
*) folder=target/$PROFILE ;;
esac
# "auditable" writes the list of crates that were compiled in into each program, where the SBOM is read from.
cargo auditable build --locked --profile "$PROFILE" --bins "${@/#/--package=}"
mkdir -p /out/bin
for package in "$@"; do
    [ "$package" = cli ] && program=cfx || program=$package
    strip --strip-debug -o "/out/bin/$program" "$folder/$program"
done
