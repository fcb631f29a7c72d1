#!/usr/bin/env bash
# A backup of a running installation: backup.sh TARGET
# TARGET is a folder, or a remote of rclone's (remote:path) for the objects with BACKUP_FOLDER for the dump. It takes the coordinator's
# own settings (CFX_DATABASE_URL, CFX_S3_*). Run again into the same TARGET, only new objects are copied, and a dump is added.
#
# The database first, the bucket after it: artifacts are named by their contents and never change, so whatever a row of the dump names
# is in the copy. Rows that came later are missing from the dump and not from the bucket; restore.sh says what becomes of them.
# The bucket's own versioning or replication does the same without this script, as long as it is not behind the dump.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ $# -eq 1 ] || fail "usage: $0 TARGET"
target=$1
folder=${BACKUP_FOLDER:-$target}
case $folder in *:*) fail "the dump of the database needs a folder: set BACKUP_FOLDER" ;; esac
mkdir -p "$folder"

name=database-$(date -u +%Y%m%dT%H%M%SZ).dump
say "the database into $folder/$name"
# One snapshot of everything, while work goes on.
pg_dump --format=custom --no-owner --no-privileges --file="$folder/$name.part" "$database" || fail "pg_dump failed; its words are above"
pg_restore --list "$folder/$name.part" >/dev/null || fail "the dump cannot be read back"
mv "$folder/$name.part" "$folder/$name"
count() { remote size --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["count"])'; }
# A store that lists wrongly would give a backup of nothing: what is there is counted on both sides.
there=$(count "cfx:$bucket") || fail "the bucket's objects cannot be counted; rclone's words are above"
[ "$there" -gt 0 ] || fail "the bucket $bucket lists no objects; an installation that has a pack has some"
say "the bucket into $target/bucket"
copy "cfx:$bucket" "$target/bucket" || fail "rclone failed; its words are above; the dump is kept, and this may be run again"
copied=$(count "$target/bucket") || fail "the copy cannot be counted; rclone's words are above"
[ "$copied" -ge "$there" ] || fail "$copied of $there objects are in the copy; run this again"
say "done: $(du -h "$folder/$name" | cut -f1) of database, $copied objects"
