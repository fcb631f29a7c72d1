# shellcheck shell=bash
# Sourced by every verb in this folder: where the private stack lives, which ports it holds, and which processes are its own.
# Everything is under .local/ of the project; nothing outside it is written, and no process that is not in .local/run is signalled.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# where it really is: a server tells its folders so, and they are compared
state=$(readlink -f "$root/.local")
run=$state/run
log=$state/log
umask 022

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }

# fail WHAT [WHAT TO DO]...
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# A path as a person in the project's root would type it.
shown() { printf '%s' "${1#"$root"/}"; }

# Two makes at once would both start a server on one data folder: one waits for the other. The lock is a kernel lock, so a
# killed make never leaves it behind.
take_lock() {
    make_state
    exec 9>"$state/lock"
    if ! flock --nonblock 9; then
        say "another make works on this stack: waiting for it"
        flock --timeout 1800 9 || fail "the lock .local/lock was not given free in 30 minutes" "see who holds it: fuser -v .local/lock"
    fi
}

make_state() {
    if [ -e "$state" ] && [ ! -w "$state" ]; then
        fail ".local belongs to $(stat -c %U "$state"), and this is $(id -un)" \
            "run make as that user, or as that user: make clean-local"
    fi
    mkdir -p "$state" "$run" "$log"
}

# A password for a server of ours, made once and kept beside its data (losing one means losing the other).
secret() {
    local file=$1
    if [ ! -s "$file" ]; then
        (
            umask 077
            python3 -c 'import secrets; print(secrets.token_hex(16))' >"$file.part"
        )
        mv "$file.part" "$file"
    fi
    cat "$file"
}

# --- ports -------------------------------------------------------------------------------------------------------------

ports_file=$state/ports.env

# Free ports below the ephemeral range, so that no outgoing connection of anyone takes one while the stack is down.
free_ports() {
    python3 - "$1" <<'PY'
import random, socket, sys
held = []
for port in random.sample(range(20000, 32000), 12000):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        s.close()
        continue
    held.append(s)
    print(port)
    if len(held) == int(sys.argv[1]):
        break
else:
    sys.exit("no free port between 20000 and 32000")
PY
}

# SO_REUSEADDR as servers use it: connections of a server that has stopped linger for a minute and take nobody's port.
port_is_free() {
    python3 - "$1" 2>/dev/null <<'PY'
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
PY
}

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port NAME FILE: the port kept under NAME, chosen on first use.
port() {
    local name=$1 file=${2:-$ports_file} value
    value=$(sed -n "s/^$name=//p" "$file" 2>/dev/null || true)
    if [ -z "$value" ]; then
        value=$(free_ports 1)
        printf '%s=%s\n' "$name" "$value" >>"$file"
    fi
    printf '%s' "$value"
}

# usable_port NAME [FILE]: as `port`, but a port that a stranger took while we were down is given up for a new one.
usable_port() {
    local name=$1 file=${2:-$ports_file} value
    value=$(port "$name" "$file")
    # A server of ours that stopped a moment ago may hold the port for a moment more.
    local tries=20
    while ! port_is_free "$value"; do
        tries=$((tries - 1))
        if [ "$tries" -le 0 ]; then
            note "port $value ($name) is taken by another program; choosing a new one" >&2
            sed -i "/^$name=/d" "$file"
            value=$(port "$name" "$file")
            break
        fi
        sleep 0.1
    done
    printf '%s' "$value"
}

# --- processes ---------------------------------------------------------------------------------------------------------

# When a process began, in clock ticks since boot. A pid alone may have gone to a stranger; pid, start and boot may not.
started_at() {
    local stat
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The second field is the command in brackets and may hold spaces: count from the last bracket.
    stat=${stat##*) }
    # shellcheck disable=SC2086 # the fields are numbers
    set -- $stat
    [ "$1" != Z ] || return 1
    printf '%s' "${20}"
}

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# own_pid FILE: prints the pid in FILE if that very process still runs.
own_pid() {
    local pid start boot
    [ -s "$1" ] || return 1
    read -r pid start boot <"$1" || return 1
    [ "$boot" = "$(boot_id)" ] && [ "$(started_at "$pid")" = "$start" ] || return 1
    printf '%s' "$pid"
}

# spawn PIDFILE LOGFILE COMMAND...: in a session of its own, so that Ctrl-C in a terminal does not reach it; without our lock.
spawn() {
    local pidfile=$1 logfile=$2
    shift 2
    mkdir -p "$(dirname "$pidfile")" "$(dirname "$logfile")"
    setsid "$@" </dev/null >>"$logfile" 2>&1 9>&- &
    local pid=$!
    printf '%s %s %s\n' "$pid" "$(started_at "$pid" || echo gone)" "$(boot_id)" >"$pidfile"
}

# await NAME PIDFILE LOGFILE SECONDS COMMAND...: until COMMAND is true; a server that died, or is late, is reported with its log.
await() {
    local name=$1 pidfile=$2 logfile=$3 seconds=$4
    shift 4
    local deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if ! own_pid "$pidfile" >/dev/null; then
            tail -n 15 "$logfile" >&2 || true
            fail "$name stopped while it started; the end of its log is above" \
                "whole log: $(shown "$logfile")" "after mending the cause: make up"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            tail -n 15 "$logfile" >&2 || true
            fail "$name is not ready after $seconds s; the end of its log is above" \
                "whole log: $(shown "$logfile")" "stop it with: make down"
        fi
        sleep 0.1
    done
}

# stop NAME PIDFILE SIGNAL SECONDS: asks, waits, and kills only after SECONDS.
stop() {
    local name=$1 pidfile=$2 signal=$3 seconds=$4 pid
    if ! pid=$(own_pid "$pidfile"); then
        rm -f "$pidfile"
        return 0
    fi
    say "stopping $name (pid $pid)"
    kill -s "$signal" "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + seconds))
    while own_pid "$pidfile" >/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            note "$name did not stop in $seconds s: killing it"
            kill -s KILL "$pid" 2>/dev/null || true
            deadline=$((SECONDS + 10))
            signal=KILL
        fi
        sleep 0.1
    done
    rm -f "$pidfile"
}
