#!/usr/bin/env bash
# Says what this machine has and lacks, and what of the stack runs. Changes nothing. Ends with 1 when something is to be done.
source "$(dirname "${BASH_SOURCE[0]}")/needs.sh"

bad=0
todo() {
    printf '  --  %-14s %s\n' "$1" "$2"
    bad=1
}
good() { printf '  ok  %-14s %s\n' "$1" "$2"; }

if problem=$( (require_toolchain) 2>&1); then good toolchain "$(rustc --version), $(python3 --version)"; else todo toolchain "$problem"; fi
mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -eq 0 ]; then good packages "all there"; else todo packages "missing: ${packages[*]} (make install)"; fi
free=$(df --output=avail -BG "$root" | tail -n 1 | tr -dc 0-9)
if [ "$free" -ge 12 ]; then good disk "$free GB free"; else todo disk "$free GB free; a build with libtorch takes about 12"; fi
if [ -d "$state/libtorch/torch/lib" ]; then good libtorch ".local/libtorch"; else todo libtorch "not there (make libtorch)"; fi
if [ -e "$state" ] && [ ! -w "$state" ]; then todo .local "belongs to $(stat -c %U "$state"), not to $(id -un)"; fi

for server in postgres:PG_PORT:PostgreSQL rabbitmq:RABBIT_PORT:RabbitMQ s3:S3_PORT:S3; do
    IFS=: read -r pid_name port_name title <<<"$server"
    if pid=$(own_pid "$run/$pid_name.pid"); then
        number=$(sed -n "s/^$port_name=//p" "$ports_file")
        if port_answers "$number"; then good "$title" "port $number, pid $pid"; else todo "$title" "pid $pid does not answer on port $number (make down up)"; fi
    else
        todo "$title" "does not run (make up)"
    fi
done
exit "$bad"
