#!/usr/bin/env bash
# Makes the secrets of an installation, once, out of the kernel's randomness: secrets.sh compose | kubernetes
# What is there stays, so it is safe to run again; what is made of other secrets (addresses with a password in them) is written anew.
#   compose      deploy/compose/secrets, which docker-compose.yml mounts as files
#   kubernetes   deploy/k8s/overlays/dev/secrets, which the overlay `dev` makes its Secrets of
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# Letters and digits only, since some become part of an address.
random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# once FILE BYTES: a random value, unless the file is there.
once() {
    [ -s "$folder/$1" ] || write "$1" "$(random "$2")"
}

# write FILE TEXT: whole or not at all.
write() {
    printf '%s\n' "$2" >"$folder/$1.part"
    chmod "$mode" "$folder/$1.part"
    mv "$folder/$1.part" "$folder/$1"
}

value() { cat "$folder/$1"; }

# A folder of one's own first, then what is in it.
make_folder() {
    mkdir -p "$folder"
    chmod 0700 "$folder"
    [ -O "$folder" ] || fail "$folder belongs to somebody else"
}

compose() {
    folder=deploy/compose/secrets
    # The folder keeps others out. The files themselves must be readable for the containers' users, whose numbers are not this user's:
    # Compose mounts them as they are, and cannot change owner or mode.
    mode=0444
    make_folder
    once postgres_password 24
    once rabbitmq_password 24
    once dash_password 24
    once grafana_password 16
    once s3_access_key 10
    once s3_secret_key 24
    # The form of an API key: 32 digits that name it, 64 that are the secret.
    [ -s "$folder/admin_key" ] || write admin_key "cfx_$(random 16)_$(random 32)"
    write database_url "postgres://counterfactory:$(value postgres_password)@postgres:5432/counterfactory"
    write broker_url "amqp://counterfactory:$(value rabbitmq_password)@rabbitmq:5672/%2f"
    write rabbitmq_login "default_user = counterfactory
default_pass = $(value rabbitmq_password)"
    write s3_config "{\"identities\": [{\"name\": \"counterfactory\", \"actions\": [\"Admin\", \"Read\", \"List\", \"Tagging\", \"Write\"],
  \"credentials\": [{\"accessKey\": \"$(value s3_access_key)\", \"secretKey\": \"$(value s3_secret_key)\"}]}]}"
    echo "the secrets are in $folder; copy .env.example to .env, then: docker compose up --build --detach"
}

kubernetes() {
    folder=deploy/k8s/overlays/dev/secrets
    mode=0600
    make_folder
    [ ! -s "$folder/database.env" ] || { echo "the secrets are in $folder already"; return; }
    local database broker access secret
    database=$(random 24) broker=$(random 24) access=$(random 10) secret=$(random 24)
    write broker.env "password=$broker
url=amqp://counterfactory:$broker@rabbitmq:5672/%2f"
    write bucket.env "access-key=$access
secret-key=$secret"
    write admin.env "admin.key=cfx_$(random 16)_$(random 32)"
    # last: it says that all are there
    write database.env "password=$database
url=postgres://counterfactory:$database@postgres:5432/counterfactory"
    echo "the secrets are in $folder; then: kubectl apply --kustomize deploy/k8s/overlays/dev"
}

case ${1:-} in
compose) compose ;;
kubernetes) kubernetes ;;
*) fail "usage: deploy/secrets.sh compose|kubernetes" ;;
esac
