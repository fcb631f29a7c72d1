#!/usr/bin/env bash
# Prints the settings of the running stack as NAME=value lines:  set -a; source <(deploy/local/env.sh); set +a
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

[ -s "$ports_file" ] || fail "the stack was never started here" "start it with: make up"
pg_password=$(cat "$state/pg/password")
rabbit_password=$(cat "$state/rabbit/password")
cat <<ENV
CFX_DATABASE_URL=postgres://cfx:$pg_password@127.0.0.1:$(port PG_PORT)/counterfactory
CFX_BROKER_URL=amqp://cfx:$rabbit_password@127.0.0.1:$(port RABBIT_PORT)/%2f
CFX_BROKER_API=http://cfx:$rabbit_password@127.0.0.1:$(port RABBIT_API_PORT)
CFX_S3_ENDPOINT=http://127.0.0.1:$(port S3_PORT)
CFX_S3_REGION=us-east-1
CFX_S3_BUCKET=counterfactory
CFX_S3_ACCESS_KEY=counterfactory
CFX_S3_SECRET_KEY=$(cat "$state/s3/secret-key")
CFX_S3_PATH_STYLE=true
ENV
