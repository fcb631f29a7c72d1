#!/usr/bin/env bash
# An installation from a backup: restore.sh TARGET [DUMP]
# Into an empty database (CFX_DATABASE_URL) and a bucket that is there (CFX_S3_*), with no coordinator running. DUMP is the newest of
# TARGET's (or BACKUP_FOLDER's) unless named; `none` leaves the database to be written again from the bucket (`coordinator rebuild`).
#
# What happened after the dump: its images are in the bucket, and tasks that make them again find them there by their stage key, so
# that nothing is computed twice. Jobs that were submitted after the dump are not in it; submit them again with the same idempotency
# key, or choose `none`, which brings back every job and result, but no failures, no audit log, no API keys and not the private signing key.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -ge 1 ] && [ $# -le 2 ] || fail "usage: $0 TARGET [DUMP|none]"
target=$1
folder=${BACKUP_FOLDER:-$target}
dump=${2:-$(find "$folder" -maxdepth 1 -name 'database-*.dump' | sort | tail -n 1)}
[ -n "$dump" ] || fail "there is no database-*.dump in $folder; name one, or none"
tables=$(psql --no-psqlrc --tuples-only --no-align --command \
    "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')" "$database") ||
    fail "the database does not answer"
[ "$tables" = 0 ] || fail "the database has $tables tables already; a restore goes into an empty one (createdb)"

say "the bucket from $target/bucket"
copy "$target/bucket" "cfx:$bucket" || fail "rclone failed; its words are above; this may be run again"
if [ "$dump" = none ]; then
    say "the database from the bucket"
    "${COORDINATOR:-coordinator}" rebuild || fail "the database cannot be written again; the reason is above"
else
    say "the database from $dump"
    # All or nothing: a restore that broke off leaves an empty database behind.
    pg_restore --single-transaction --exit-on-error --no-owner --no-privileges --dbname="$database" "$dump" ||
        fail "pg_restore failed; its words are above, and nothing was written"
    # Estimates of sizes, without which plans are poor until autovacuum comes by.
    psql --no-psqlrc --quiet --command ANALYZE "$database"
    "${COORDINATOR:-coordinator}" migrate || fail "the schema cannot be brought forward; the reason is above"
fi
say "done: start the coordinators, then the workers"
