#!/usr/bin/env bash
# The coordinator and the workers of this project on the private stack: services.sh start WORKERS | stop | server
# A process whose binary was built anew since it started is replaced.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

bin=${CFX_BIN:-$root/target/debug}

# Every value is one word, so that the lines can be read as they are.
settings() { xargs -d '\n' -a "$state/stack.env" printf '%s\n'; }

# current PIDFILE BINARY: the process runs, and runs the binary that is on disk.
current() {
    own_pid "$1" >/dev/null && [ ! "$2" -nt "$1" ]
}

server() { printf 'http://127.0.0.1:%s' "$(port HTTP_PORT)"; }

ready() { python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$(server)/readyz"; }

start_coordinator() {
    local pid_file=$run/coordinator.pid port environment
    if current "$pid_file" "$bin/coordinator"; then
        say "the coordinator runs already at $(server)"
        return
    fi
    stop "the coordinator" "$pid_file" TERM 30
    port=$(usable_port HTTP_PORT)
    mapfile -t environment < <(settings)
    env "${environment[@]}" "$bin/coordinator" migrate >>"$log/coordinator.log" 2>&1 || {
        tail -n 5 "$log/coordinator.log" >&2
        fail "the database cannot be migrated; the reason is above" "whole log: .local/log/coordinator.log"
    }
    say "starting the coordinator at $(server)"
    spawn "$pid_file" "$log/coordinator.log" env "${environment[@]}" CFX_ADMIN_KEY_FILE="$state/admin.key" \
        "$bin/coordinator" serve --listen "127.0.0.1:$port"
    await "the coordinator" "$pid_file" "$log/coordinator.log" 60 ready
}

start_worker() {
    local name=worker-$1 pid_file=$run/worker-$1.pid environment
    if current "$pid_file" "$bin/worker"; then
        say "$name runs already"
        return
    fi
    stop "$name" "$pid_file" TERM 60
    mapfile -t environment < <(settings)
    say "starting $name"
    # One thread each: two workers with one thread do more than one worker with two (deploy/demo/pack/MODEL_CARD.md).
    spawn "$pid_file" "$log/$name.log" env "${environment[@]}" CFX_CACHE_DIR="$state/cache" CFX_THREADS=1 "$bin/worker" run
}

case ${1:-} in
start)
    take_lock
    [ -s "$state/stack.env" ] || fail "the private stack is not running" "start it with: make up"
    for binary in coordinator worker; do
        [ -x "$bin/$binary" ] || fail "$(shown "$bin/$binary") is not built" "build it with: make build"
    done
    start_coordinator
    for number in $(seq 1 "${2:-1}"); do start_worker "$number"; done
    ;;
stop)
    # workers first: they hand back what they hold while the coordinator still listens
    for pid_file in "$run"/worker-*.pid; do
        [ -e "$pid_file" ] || continue
        stop "$(basename "$pid_file" .pid)" "$pid_file" TERM 60
    done
    stop "the coordinator" "$run/coordinator.pid" TERM 30
    ;;
server) server ;;
*) fail "usage: services.sh start WORKERS | stop | server" ;;
esac
