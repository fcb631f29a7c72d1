#!/usr/bin/env bash
# A private RabbitMQ node: broker.sh start | stop | kill [FOLDER], and broker.sh ctl FOLDER ARGUMENT... (rabbitmqctl on it)
# FOLDER (default .local/rabbit) holds all of a node, so a test can have one of its own to stop and start.
# CFX_RABBITMQ_ROOT is a root file system with another RabbitMQ, as rabbitmq4.sh makes one: the node then runs in it.
# Debian's own start script refuses accounts other than root and rabbitmq; the server's script below it does not.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

verb=${1:-}
make_state
dir=${2:-$state/rabbit}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)
if [ "$dir" = "$state/rabbit" ]; then
    ports=$ports_file
    logs=$log
    pids=$run
else
    ports=$dir/ports.env
    logs=$dir/log
    pids=$dir/run
fi
node_pid=$pids/rabbitmq.pid
epmd_pid=$pids/epmd.pid
node_log=$logs/rabbitmq.log

# inside COMMAND...: what runs COMMAND where RabbitMQ is installed. In a root of its own it sees its folder at the same path; the
# mounts are in a namespace of its own, so that none stays behind.
inside=()
if [ -n "${CFX_RABBITMQ_ROOT:-}" ]; then
    # shellcheck disable=SC2016 # expanded by the inner shell
    inside=(unshare --mount sh -euc '
        root=$1 dir=$2
        shift 2
        mkdir -p "$root$dir"
        mount -t proc proc "$root/proc"
        mount --bind "$dir" "$root$dir"
        exec chroot "$root" "$@"' sh "$CFX_RABBITMQ_ROOT" "$dir")
fi

server() {
    local path
    if [ -n "${CFX_RABBITMQ_ROOT:-}" ]; then
        [ -x "$CFX_RABBITMQ_ROOT/usr/lib/rabbitmq/bin/rabbitmq-server" ] ||
            fail "there is no RabbitMQ in $CFX_RABBITMQ_ROOT" "make one with: deploy/local/rabbitmq4.sh"
        [ "$dir" != "$state/rabbit" ] || fail "the stack's own node is the system's RabbitMQ" "give another folder"
        printf /usr/lib/rabbitmq/bin/rabbitmq-server
        return
    fi
    for path in /usr/lib/rabbitmq/bin/rabbitmq-server /opt/rabbitmq/sbin/rabbitmq-server; do
        if [ -x "$path" ]; then
            printf '%s' "$path"
            return
        fi
    done
    fail "RabbitMQ is missing" "install it with: make install"
}

start() {
    local server amqp dist epmd api password
    server=$(server)
    if own_pid "$node_pid" >/dev/null; then
        say "RabbitMQ runs already on port $(port RABBIT_PORT "$ports")"
        return
    fi
    mkdir -p "$logs" "$pids"
    password=$(secret "$dir/password")

    # The port mapper is started here rather than by Erlang, which would leave it behind with no pid written down.
    own_pid "$epmd_pid" >/dev/null || stop_mapper
    if own_pid "$epmd_pid" >/dev/null; then
        epmd=$(port RABBIT_EPMD_PORT "$ports")
    else
        epmd=$(usable_port RABBIT_EPMD_PORT "$ports")
        spawn "$epmd_pid" "$logs/epmd.log" epmd -port "$epmd" -address 127.0.0.1
        await "Erlang's port mapper" "$epmd_pid" "$logs/epmd.log" 20 port_answers "$epmd"
    fi

    amqp=$(usable_port RABBIT_PORT "$ports")
    dist=$(usable_port RABBIT_DIST_PORT "$ports")
    api=$(usable_port RABBIT_API_PORT "$ports")
    (
        umask 077
        cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.local = 127.0.0.1:$amqp
management.tcp.ip = 127.0.0.1
management.tcp.port = $api
default_user = cfx
default_pass = $password
disk_free_limit.absolute = 200MB
log.console = true
log.console.level = info
log.file = false
CONF
        echo '[rabbitmq_management].' >"$dir/enabled_plugins"
    )
    say "starting RabbitMQ on port $amqp"
    # `detached` makes the server's script replace itself by Erlang, so that the pid noted is the node's own.
    spawn "$node_pid" "$node_log" "${inside[@]}" env -i PATH="$PATH" LANG=C.UTF-8 HOME="$dir" detached=true \
        RABBITMQ_NODENAME=cfx@localhost RABBITMQ_DIST_PORT="$dist" ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_CONF_ENV_FILE="$dir/rabbitmq-env.conf" RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$dir/advanced.config" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_SCHEMA_DIR="$dir/schema" RABBITMQ_GENERATED_CONFIG_DIR="$dir/config" \
        RABBITMQ_LOG_BASE="$logs" RABBITMQ_PID_FILE="$dir/node.pid" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        "$server"
    # The AMQP port is opened last of all, after plugins and recovery.
    await RabbitMQ "$node_pid" "$node_log" 120 port_answers "$amqp"
}

# A node whose port mapper dies starts another, whose pid nobody wrote down. It is told to end on the port that is ours alone;
# a mapper with living nodes refuses.
stop_mapper() {
    stop "Erlang's port mapper" "$epmd_pid" TERM 10
    local epmd
    epmd=$(sed -n 's/^RABBIT_EPMD_PORT=//p' "$ports" 2>/dev/null || true)
    if [ -n "$epmd" ] && port_answers "$epmd"; then
        epmd -port "$epmd" -kill >/dev/null 2>&1 || true
    fi
}

# What rabbitmqctl needs to find a node that is not the system's: its cookie, and the port mapper that knows it.
ctl() {
    local tool
    for tool in /usr/lib/rabbitmq/bin/rabbitmqctl /opt/rabbitmq/sbin/rabbitmqctl; do
        [ -x "${CFX_RABBITMQ_ROOT:-}$tool" ] && break
    done
    [ -x "${CFX_RABBITMQ_ROOT:-}$tool" ] || fail "rabbitmqctl is missing" "install it with: make install"
    "${inside[@]}" env -i PATH="$PATH" LANG=C.UTF-8 HOME="$dir" ERL_EPMD_PORT="$(port RABBIT_EPMD_PORT "$ports")" \
        RABBITMQ_CONF_ENV_FILE="$dir/rabbitmq-env.conf" "$tool" --node cfx@localhost "$@" ||
        fail "rabbitmqctl $* failed"
}

case $verb in
start) start ;;
stop)
    stop RabbitMQ "$node_pid" TERM 60
    stop_mapper
    ;;
kill) stop RabbitMQ "$node_pid" KILL 10 ;;
ctl)
    shift 2
    ctl "$@"
    ;;
*) fail "usage: broker.sh start|stop|kill [FOLDER], broker.sh ctl FOLDER ARGUMENT..." ;;
esac
