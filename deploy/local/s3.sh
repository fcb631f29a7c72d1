#!/usr/bin/env bash
# The S3 endpoint of this project, s3s-fs over the folder .local/s3: s3.sh start | stop
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

pid_file=$run/s3.pid
log_file=$log/s3.log
bucket=counterfactory

start() {
    local binary=${CFX_LOCAL_S3:-$root/target/debug/local-s3} port
    make_state
    if own_pid "$pid_file" >/dev/null; then
        say "S3 runs already on port $(port S3_PORT)"
        return
    fi
    if [ ! -x "$binary" ]; then
        say "building the local S3 server"
        (cd "$root" && cargo build --locked -p testkit --bin local-s3 9>&-) || fail "the local S3 server does not build" "the compiler's words are above"
    fi
    port=$(usable_port S3_PORT)
    say "starting S3 on port $port"
    mkdir -p "$state/s3/data"
    spawn "$pid_file" "$log_file" env CFX_S3_SECRET_KEY="$(secret "$state/s3/secret-key")" \
        "$binary" --root "$state/s3/data" --port "$port" --access-key counterfactory --bucket "$bucket"
    await S3 "$pid_file" "$log_file" 20 port_answers "$port"
}

case ${1:-} in
start) start ;;
stop) stop S3 "$pid_file" TERM 15 ;;
*) fail "usage: s3.sh start|stop" ;;
esac
