#!/usr/bin/env bash
# RabbitMQ 4 beside the system's 3.10: rabbitmq4.sh install | start | stop | test [NEXTEST ARGUMENT...]
# The newer Debian's packages need its C library and Erlang, so they get a root file system of their own under .local/rabbitmq4.
# `test` runs the tests that speak to RabbitMQ against it: the ones on the shared node, and those that start nodes of their own.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

here=$root/deploy/local
home=$state/rabbitmq4
suite=trixie
mirror=${CFX_DEBIAN_MIRROR:-http://deb.debian.org/debian}
export CFX_RABBITMQ_ROOT=$home/root

install_root() {
    [ -x "$CFX_RABBITMQ_ROOT/usr/lib/rabbitmq/bin/rabbitmq-server" ] && return
    [ "$(id -u)" = 0 ] || fail "only root can make another root file system" "run it as root"
    command -v debootstrap >/dev/null || apt-get install --yes --no-install-recommends debootstrap >/dev/null
    say "installing Debian $suite with RabbitMQ 4 under .local/rabbitmq4 (600 MB)"
    rm -rf "$CFX_RABBITMQ_ROOT.part"
    mkdir -p "$home"
    debootstrap --variant=minbase "$suite" "$CFX_RABBITMQ_ROOT.part" "$mirror" >"$home/install.log" 2>&1 ||
        fail "debootstrap failed" "its log: $(shown "$home/install.log")"
    # nothing is started in there by its packages
    printf '#!/bin/sh\nexit 101\n' >"$CFX_RABBITMQ_ROOT.part/usr/sbin/policy-rc.d"
    chmod +x "$CFX_RABBITMQ_ROOT.part/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$CFX_RABBITMQ_ROOT.part/etc/resolv.conf"
    chroot "$CFX_RABBITMQ_ROOT.part" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends rabbitmq-server >>"$home/install.log" 2>&1 ||
        fail "RabbitMQ 4 could not be installed" "the log: $(shown "$home/install.log")"
    mv "$CFX_RABBITMQ_ROOT.part" "$CFX_RABBITMQ_ROOT"
}

run_tests() {
    local password ports address
    "$here/broker.sh" start "$home/node"
    trap '"$here/broker.sh" stop "$home/node"' EXIT
    password=$(cat "$home/node/password")
    ports=$home/node/ports.env
    say "the node is RabbitMQ $("$here/broker.sh" ctl "$home/node" --quiet version)"
    cd "$root"
    address=cfx:$password@127.0.0.1
    CFX_TEST_BROKER_URL=amqp://$address:$(port RABBIT_PORT "$ports")/%2f
    CFX_TEST_BROKER_API=http://$address:$(port RABBIT_API_PORT "$ports")
    export CFX_TEST_BROKER_URL CFX_TEST_BROKER_API
    export OMP_NUM_THREADS=1
    [ "$#" -gt 0 ] || set -- -E 'package(broker) + package(coordinator) + package(stories) + (package(worker) & binary(run)) + package(testkit)'
    cargo nextest run --workspace --no-fail-fast "$@"
}

case ${1:-} in
install) install_root ;;
start)
    install_root
    "$here/broker.sh" start "$home/node"
    ;;
stop) "$here/broker.sh" stop "$home/node" ;;
test)
    shift
    install_root
    run_tests "$@"
    ;;
*) fail "usage: rabbitmq4.sh install|start|stop|test [NEXTEST ARGUMENT...]" ;;
esac
