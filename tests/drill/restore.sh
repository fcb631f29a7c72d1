#!/usr/bin/env bash
# The restore drill (`make drill`): an installation of its own on the private stack makes images; it is backed up while it works; more
# is made; then its database and its bucket are lost. It is restored twice, from the dump and from the bucket alone, and each time every
# result is fetched and held against its record, its credential, its source and the pack's weights by `cfx verify`.
source "$(dirname "${BASH_SOURCE[0]}")/../../deploy/local/stack.sh"

bin=${CFX_BIN:-$root/target/debug}
demo=$root/deploy/demo
work=$state/drill
steps=${DRILL_STEPS:-5}
sources=${DRILL_SOURCES:-6}

for program in coordinator worker cfx local-s3; do
    [ -x "$bin/$program" ] || fail "$(shown "$bin/$program") is not built" "build it with: make build"
done
[ -s "$state/stack.env" ] || fail "the private stack is not running" "start it with: make up"
command -v rclone >/dev/null || fail "rclone is missing" "install it with: apt-get install rclone"
rm -rf "$work"
mkdir -p "$work"

# shellcheck disable=SC1091 # made by make up
source "$state/stack.env"
server_url=$CFX_DATABASE_URL
export CFX_BROKER_URL
id=drill_$$
pids=()
finish() {
    status=$?
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    for no in 1 2 3; do psql --no-psqlrc -q -c "DROP DATABASE IF EXISTS ${id}_$no WITH (FORCE)" "$server_url" >/dev/null 2>&1 || true; done
    "$root/deploy/local/broker.sh" ctl "$state/rabbit" delete_vhost "$id" >/dev/null 2>&1 || true
    [ "$status" -eq 0 ] || printf 'what the processes wrote: %s\n' "$(shown "$work")" >&2
}
trap finish EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
started() { # started WHAT LOG URL: waits until it answers
    for _ in $(seq 300); do
        if python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "$3" 2>/dev/null; then return; fi
        sleep 0.2
    done
    tail -n 20 "$2" >&2
    fail "$1 does not answer"
}

# A database, a bucket and no processes: what an administrator makes before anything else.
fresh() {
    local no=$1 port
    psql --no-psqlrc -q -c "CREATE DATABASE ${id}_$no" "$server_url"
    export CFX_DATABASE_URL=${server_url%/*}/${id}_$no
    port=$(free_port)
    "$bin/local-s3" --root "$work/s3-$no" --port "$port" --bucket counterfactory >"$work/s3-$no.log" 2>&1 &
    pids+=($!)
    export CFX_S3_ENDPOINT=http://127.0.0.1:$port CFX_S3_BUCKET=counterfactory CFX_S3_PATH_STYLE=true
    until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
}
export CFX_S3_ACCESS_KEY=drill CFX_S3_SECRET_KEY=drill-secret-of-this-run
export COORDINATOR=$bin/coordinator

serve() {
    local port
    port=$(free_port)
    export CFX_SERVER=http://127.0.0.1:$port
    CFX_ADMIN_KEY_FILE=$work/admin.key "$bin/coordinator" serve --listen "127.0.0.1:$port" >>"$work/coordinator.log" 2>&1 &
    coordinator=$!
    pids+=("$coordinator")
    started "the coordinator" "$work/coordinator.log" "$CFX_SERVER/readyz"
    CFX_CACHE_DIR=$work/cache CFX_THREADS=1 "$bin/worker" run >>"$work/worker.log" 2>&1 &
    worker=$!
    pids+=("$worker")
}
end() {
    if ! { kill -s TERM "$worker" && wait "$worker"; }; then fail "the worker did not end in good order"; fi
    if ! { kill -s TERM "$coordinator" && wait "$coordinator"; }; then fail "the coordinator did not end in good order"; fi
}
job() { # job NAME TEXT: makes images, waits for them and prints the job's id
    local id
    printf 'name = "%s"\ndataset = "faces"\npack = "facesjs-64"\n\n[[edits]]\ntext = "%s"\nmethod = { kind = "clip-nce", steps = %s }\n' \
        "$1" "$2" "$steps" >"$work/$1.toml"
    id=$("$bin/cfx" job submit "$work/$1.toml" --idempotency-key "$1")
    "$bin/cfx" job watch "$id" >/dev/null || fail "the job $1 did not end well"
    printf '%s' "$id"
}
verified() { # verified FOLDER JOB...: every result of these jobs is whole; prints how many
    local folder=$1 one
    shift
    for one in "$@"; do "$bin/cfx" result fetch "$one" --to "$folder/$one" >/dev/null; done
    "$bin/cfx" verify "$folder"/*/*/ --pack "$demo/pack" --source "$demo/faces/source" --json >"$folder.json" ||
        fail "a result does not match its record" "see $(shown "$folder.json")"
    find "$folder" -name '*.png' | wc -l
}

say "an installation that makes images"
"$root/deploy/local/broker.sh" ctl "$state/rabbit" add_vhost "$id" >/dev/null
"$root/deploy/local/broker.sh" ctl "$state/rabbit" set_permissions --vhost "$id" cfx '.*' '.*' '.*' >/dev/null
export CFX_BROKER_URL=${CFX_BROKER_URL%/*}/$id
fresh 1
"$bin/coordinator" migrate >>"$work/coordinator.log" 2>&1 || fail "the schema cannot be made" "see $(shown "$work/coordinator.log")"
serve
mkdir "$work/sources"
find "$demo/faces/source" -name '*.png' | sort | head -n "$sources" | xargs cp --target-directory="$work/sources"
"$bin/cfx" pack add "$demo/pack" >/dev/null
"$bin/cfx" dataset add faces "$work/sources" >/dev/null
first=$(job first "a face with green hair")

say "a backup while it works"
sed 's/green hair/blue skin/; s/"first"/"second"/' "$work/first.toml" >"$work/second.toml"
begun=$("$bin/cfx" job submit "$work/second.toml" --idempotency-key second)
"$root/deploy/backup/backup.sh" "$work/backup" >"$work/backup.log" 2>&1 || fail "the backup failed" "see $(shown "$work/backup.log")"
"$bin/cfx" job watch "$begun" >/dev/null || fail "the second job did not end well"
after=$(job third "a face with red hair")
# What the dump does not know of is in the bucket's copy all the same where the copy is newer, as a replicated bucket is.
"$root/deploy/backup/backup.sh" "$work/newer" >"$work/newer.log" 2>&1 || fail "the second backup failed" "see $(shown "$work/newer.log")"
before=$(verified "$work/before" "$first" "$begun" "$after")
note "$before images of three jobs, all whole"
"$bin/cfx" keys export "$work/anchors.pem" >/dev/null
end

say "everything is lost; back from the dump"
fresh 2
"$root/deploy/backup/restore.sh" "$work/backup" >"$work/restore.log" 2>&1 || fail "the restore failed" "see $(shown "$work/restore.log")"
serve
# The job that was under way goes on; what was made of it after the dump is made again.
"$bin/cfx" job watch "$begun" >/dev/null || fail "the job that was under way did not end well after the restore"
count=$(verified "$work/from-dump" "$first" "$begun")
[ "$count" = $((2 * sources)) ] || fail "$count images came back, not $((2 * sources))"
if "$bin/cfx" job status "$after" >/dev/null 2>&1; then fail "the dump knows of a job that came after it"; fi
again=$(job third "a face with red hair")
count=$(verified "$work/again" "$again")
[ "$count" = "$sources" ] || fail "$count images were made again, not $sources"
note "$((3 * sources)) images, all whole; the job that came after the dump was submitted again"
end

say "everything is lost; back from the bucket alone"
fresh 3
"$root/deploy/backup/restore.sh" "$work/newer" none >"$work/rebuild.log" 2>&1 || fail "the restore failed" "see $(shown "$work/rebuild.log")"
serve
count=$(verified "$work/from-bucket" "$first" "$begun" "$after")
[ "$count" = "$before" ] || fail "$count images came back, not $before"
for one in "$first" "$begun" "$after"; do
    diff -r --exclude=results.jsonl "$work/before/$one" "$work/from-bucket/$one" >/dev/null || fail "job $one came back otherwise than it was"
done
note "$count images, all whole and the same files as before"
end
say "the drill is passed: $(shown "$work")"
