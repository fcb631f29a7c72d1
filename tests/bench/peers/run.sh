#!/usr/bin/env bash
# make peers: builds and installs what is measured, then measures it. PEERS_PROFILE=debug spares the release build.
source "$(dirname "${BASH_SOURCE[0]}")/../../../deploy/local/stack.sh"

[ -s "$state/stack.env" ] || fail "the private stack is not running" "start it with: make up"
profile=${PEERS_PROFILE:-release}
say "building the services and their rig ($profile profile)"
case $profile in
release) (cd "$root" && cargo build --release --workspace --bins) ;;
debug) (cd "$root" && cargo build --workspace --bins) ;;
*) fail "PEERS_PROFILE is '$profile'; it is release or debug" ;;
esac
"$root/tests/bench/peers/install.sh"
[ -x "$state/peers/python/bin/python" ] || fail "the driver needs the Python peers' environment" "see .local/peers/python.log"
(cd "$root/tests/bench/peers" && "$state/peers/python/bin/python" -B -m unittest --quiet test_evaluate)
PEERS_PROFILE=$profile "$state/peers/python/bin/python" -B "$root/tests/bench/peers/run.py"
