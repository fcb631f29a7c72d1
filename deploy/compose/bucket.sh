#!/bin/sh
# Runs in the container `bucket`: makes the bucket unless it is there. Five minutes are enough for a store that starts beside it, and
# one that is not there then, or keys that it does not take, are a failure that somebody has to see.
set -eu

AWS_ACCESS_KEY_ID=$(cat "$CFX_S3_ACCESS_KEY_FILE")
AWS_SECRET_ACCESS_KEY=$(cat "$CFX_S3_SECRET_KEY_FILE")
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
export AWS_DEFAULT_REGION="$CFX_S3_REGION" AWS_ENDPOINT_URL="$CFX_S3_ENDPOINT" HOME=/tmp

tries=60
until aws s3api head-bucket --bucket "$CFX_S3_BUCKET" || aws s3api create-bucket --bucket "$CFX_S3_BUCKET"; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
        echo "error: the bucket $CFX_S3_BUCKET is not at $CFX_S3_ENDPOINT, and cannot be made there" >&2
        exit 1
    fi
    sleep 5
done
