# shellcheck shell=bash
# Sourced by backup.sh and restore.sh: what both need, and how rclone is told where the installation's bucket is.
set -euo pipefail
umask 077

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}
say() { printf '==> %s\n' "$*"; }

for program in pg_dump pg_restore psql rclone; do
    command -v "$program" >/dev/null || fail "$program is missing; install postgresql-client and rclone"
done

# The value of a setting, or of the file that its *_FILE names, as the coordinator takes it.
setting() {
    local name=$1 file=$1_FILE
    if [ -n "${!name:-}" ]; then
        printf '%s' "${!name}"
    elif [ -n "${!file:-}" ]; then
        tr -d '\r\n' <"${!file}"
    else
        fail "$name is not set; these scripts take the coordinator's own settings"
    fi
}

# shellcheck disable=SC2034 # for who sources this
database=$(setting CFX_DATABASE_URL)
# shellcheck disable=SC2034 # for who sources this
bucket=$(setting CFX_S3_BUCKET)
# A remote of rclone's by the environment alone: no file that could be left behind holds a key.
export RCLONE_CONFIG_CFX_TYPE=s3 RCLONE_CONFIG_CFX_PROVIDER=Other RCLONE_CONFIG_CFX_REGION="${CFX_S3_REGION:-us-east-1}"
RCLONE_CONFIG_CFX_ACCESS_KEY_ID=$(setting CFX_S3_ACCESS_KEY)
RCLONE_CONFIG_CFX_SECRET_ACCESS_KEY=$(setting CFX_S3_SECRET_KEY)
export RCLONE_CONFIG_CFX_ACCESS_KEY_ID RCLONE_CONFIG_CFX_SECRET_ACCESS_KEY
export RCLONE_CONFIG_CFX_FORCE_PATH_STYLE="${CFX_S3_PATH_STYLE:-false}"
if [ -n "${CFX_S3_ENDPOINT:-}" ]; then
    export RCLONE_CONFIG_CFX_ENDPOINT=$CFX_S3_ENDPOINT
else
    export RCLONE_CONFIG_CFX_PROVIDER=AWS
fi
# The bucket is there; a key that may not make buckets is enough.
export RCLONE_CONFIG_CFX_NO_CHECK_BUCKET=true
# Of a CA bundle for Amazon's tools rclone makes an error; it takes one by a flag.
bundle=${AWS_CA_BUNDLE:-${SSL_CERT_FILE:-}}
remote() { env -u AWS_CA_BUNDLE rclone --config /dev/null ${bundle:+--ca-cert "$bundle"} "$@"; }
copy() { remote copy --fast-list --transfers "${TRANSFERS:-16}" --checkers 32 --retries 3 --stats-one-line "$@"; }
