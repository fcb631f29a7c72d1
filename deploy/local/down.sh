#!/usr/bin/env bash
# Stops what up.sh and services.sh started, and only that: a process is signalled only if pid, start time and boot are those written down.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

if [ ! -d "$state/run" ]; then
    say "nothing was started here"
    exit 0
fi
here=$root/deploy/local
take_lock
"$here/services.sh" stop
# Brokers of tests that were killed before they could stop them.
for folder in "$state"/test-broker-*/; do
    [ -d "$folder" ] || continue
    "$here/broker.sh" stop "$folder"
    rm -rf "$folder"
done
if [ -d "$state/rabbitmq4/node" ]; then
    "$here/rabbitmq4.sh" stop
fi
"$here/s3.sh" stop
"$here/broker.sh" stop
"$here/postgres.sh" stop
rm -f "$state/stack.env"
say "the stack is down; its data stays in .local (make clean-local removes it)"
