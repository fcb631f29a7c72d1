#!/usr/bin/env bash
# A certificate authority of an installation's own, and certificates for its servers: certificates.sh FOLDER [NAME SAN[,SAN]...]...
# FOLDER/ca.crt is what every program is told to trust (SSL_CERT_FILE; sslrootcert for PostgreSQL); FOLDER/ca.key signs, and belongs on
# the machine where this is run and nowhere else. For each NAME come FOLDER/NAME.crt and NAME.key; each SAN is DNS:host or IP:address.
#   certificates.sh pki postgres DNS:db.lab,IP:10.0.0.10 rabbit-1 DNS:mq1.lab coordinator DNS:cfx.lab
# An authority that is there is used; a certificate that is there is made again, which is how one is renewed. A folder for one server
# gets its pair and ca.crt, never ca.key.
set -euo pipefail

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

[ $# -ge 1 ] && [ $(($# % 2)) -eq 1 ] || fail "usage: $0 FOLDER [NAME DNS:host,IP:address...]..."
command -v openssl >/dev/null || fail "openssl is missing; install the package openssl"
folder=$1
shift
mkdir -p "$folder"
# Keys are their owner's alone; certificates are for all.
umask 077

if [ ! -s "$folder/ca.key" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days "${CA_DAYS:-3650}" \
        -subj "/CN=Counterfactory installation CA" -keyout "$folder/ca.key" -out "$folder/ca.crt" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
    chmod 644 "$folder/ca.crt"
    printf 'authority  %s\n' "$folder/ca.crt"
fi

while [ $# -gt 0 ]; do
    name=$1 sans=$2
    shift 2
    case $name in *[!A-Za-z0-9._-]* | ca | '') fail "'$name' is no name for a file of certificates" ;; esac
    case $sans in DNS:* | IP:*) ;; *) fail "$name: '$sans' is no list of DNS:host and IP:address" ;; esac
    part=$folder/.$name.part
    rm -f "$part".*
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj "/CN=$name" \
        -keyout "$part.key" -out "$part.csr" 2>/dev/null
    # RabbitMQ's nodes and PostgreSQL's standbys also connect, so a certificate serves both sides.
    openssl x509 -req -sha256 -in "$part.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -days "${DAYS:-397}" \
        -out "$part.crt" 2>/dev/null -extfile <(printf '%s\n' "subjectAltName=$sans" "basicConstraints=critical,CA:FALSE" \
        "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth,clientAuth" "authorityKeyIdentifier=keyid" \
        "subjectKeyIdentifier=hash") || fail "$name: openssl does not sign for '$sans'"
    chmod 644 "$part.crt"
    # The key first: who reads the pair in between keeps the one before (the coordinator does).
    mv "$part.key" "$folder/$name.key"
    mv "$part.crt" "$folder/$name.crt"
    rm -f "$part.csr"
    printf 'certificate %s for %s\n' "$folder/$name.crt" "$sans"
done
