#!/usr/bin/env bash
# Starts the private PostgreSQL, RabbitMQ and S3 of this project on ports of their own. What runs already is left running.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

here=$root/deploy/local
take_lock
"$here/postgres.sh" start
"$here/broker.sh" start
"$here/s3.sh" start
"$here/env.sh" >"$state/stack.env.part"
chmod 600 "$state/stack.env.part"
mv "$state/stack.env.part" "$state/stack.env"
say "the stack is up; its settings are in .local/stack.env, its logs in .local/log"
