#!/usr/bin/env bash
# The private PostgreSQL of this project: postgres.sh start | stop
# It speaks TCP on 127.0.0.1 with a password and opens no Unix socket: a socket's path may have 107 bytes, a checkout's path more.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

pg=$state/pg
pid_file=$run/postgres.pid
log_file=$log/postgres.log

bin_dir() {
    local dir
    dir=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$dir" ] || dir=$(command -v initdb || true)
    [ -n "$dir" ] || fail "the PostgreSQL server binaries are missing" "install them with: make install"
    dirname "$dir"
}

# PostgreSQL refuses to run as root. Root hands it to the account of the package; where the checkout lies in a folder closed to
# that account (such as /root), the server alone gets the right to walk through folders.
set_account() {
    as=()
    [ "$(id -u)" -eq 0 ] || return 0
    id postgres >/dev/null 2>&1 || fail "PostgreSQL does not run as root, and the account 'postgres' is missing" "install the package again: make install"
    chown -R postgres:postgres "$pg"
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    # Entered rather than tested with -x: access(2), behind -x, does not count capabilities.
    # shellcheck disable=SC2016 # the inner shell expands it
    local enter=(sh -c 'cd "$1"' sh "$pg")
    if ! "${as[@]}" "${enter[@]}" 2>/dev/null; then
        as+=(--inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
        "${as[@]}" "${enter[@]}" 2>/dev/null ||
            fail "the account 'postgres' cannot reach $(shown "$pg")" "check out the project outside a closed folder, or run make as an ordinary user"
    fi
}

start() {
    local bin port
    bin=$(bin_dir)
    make_state
    mkdir -p "$pg"
    if own_pid "$pid_file" >/dev/null; then
        say "PostgreSQL runs already on port $(port PG_PORT)"
    else
        secret "$pg/password" >/dev/null
        set_account
        cd "$pg"
        if [ ! -d "$pg/data" ]; then
            say "creating a database cluster in $(shown "$pg")"
            rm -rf "$pg/data.part"
            "${as[@]}" "$bin/initdb" --pgdata="$pg/data.part" --username=cfx --pwfile="$pg/password" --auth=scram-sha-256 \
                --encoding=UTF8 --locale=C.UTF-8 >"$log/initdb.log" 2>&1 ||
                { tail -n 15 "$log/initdb.log" >&2; fail "initdb failed; its words are above" "whole log: $(shown "$log/initdb.log")"; }
            mv "$pg/data.part" "$pg/data"
        fi
        await_burial
        port=$(usable_port PG_PORT)
        say "starting PostgreSQL on port $port"
        spawn "$pid_file" "$log_file" "${as[@]}" "$bin/postgres" -D "$pg/data" -p "$port" \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 -c shared_buffers=256MB \
            -c fsync=on -c max_wal_size=2GB
        await PostgreSQL "$pid_file" "$log_file" 60 "$bin/pg_isready" -h 127.0.0.1 -p "$port" -U cfx -d postgres
    fi
    make_database "$bin"
}

# A killed server stays a zombie until init collects it, which some containers' init does late; PostgreSQL would take it for alive.
await_burial() {
    local old tries=300
    old=$(head -n 1 "$pg/data/postmaster.pid" 2>/dev/null || true)
    while [ -n "$old" ] && [ -d "/proc/$old" ] && ! started_at "$old" >/dev/null && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
}

make_database() {
    local exists
    export PGPASSWORD PGHOST=127.0.0.1 PGPORT PGUSER=cfx
    PGPASSWORD=$(secret "$pg/password")
    PGPORT=$(port PG_PORT)
    exists=$("$1/psql" -XAtd postgres -c "select 1 from pg_database where datname = 'counterfactory'")
    [ "$exists" = 1 ] || "$1/createdb" counterfactory
}

case ${1:-} in
start) start ;;
# SIGINT is PostgreSQL's fast shutdown: sessions are ended, the checkpoint is written.
stop) stop PostgreSQL "$pid_file" INT 60 ;;
*) fail "usage: postgres.sh start|stop" ;;
esac
