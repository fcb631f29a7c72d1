#!/usr/bin/env bash
# Everything that an installation is made of, read by the tools that know it: check.sh [STEP...], all steps without one.
#   images     Dockerfiles, by hadolint
#   compose    docker-compose.yml: its schema, dclint, and what must hold of it here (compose.py)
#   yaml       how YAML is written, by yamllint
#   manifests  every overlay rendered; each object against its type, strictly; what must hold between them (manifests.py)
#   backlog    what KEDA asks Postgres, asked of a real one with this schema (needs its server: make install)
#   chart      the Helm chart: lint, its values' schema, and that it renders what the overlays render (same.py)
#   rules      the alerts of Kubernetes are those of deploy/prometheus, and the book (deploy/OPERATIONS.md) says what to do for each
#   scripts    shellcheck of the scripts that belong to these files (`make check` reads all there are)
#   secrets    no secret in any file of the repository, by detect-secrets; what only looks like one is in secrets-allowed.tsv
#   proxy      the proxy's configuration, read by Caddy
#   settings   deploy/SETTINGS.md is what the programs say, and every name of a setting is one (needs the binaries; BINARIES is where)
#   starts     the programs understand what Compose and the overlays give them (needs the binaries)
# --write makes what is generated (deploy/SETTINGS.md, the rules of Kubernetes). --self-test breaks each thing, in a copy, and must see
# its step fail. Tools come into .local/deploy-check; no cluster and no Docker is needed, and nothing is started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=tools.sh
source tests/deploy/tools.sh
export PATH="$tools/venv/bin:$PATH"

binaries=${BINARIES:-target/debug}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
chart=deploy/helm/counterfactory
overlays=(dev gpu spot mig keda kueue)
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT

say() { printf '==> %s\n' "$*"; }

# An overlay as kubectl renders it. `dev` makes Secrets of files that are not in the repository: of their examples here.
render() {
    [ -e "$work/deploy-k8s" ] || {
        cp -r deploy/k8s "$work/deploy-k8s"
        rm -rf "$work/deploy-k8s/overlays/dev/secrets"
        cp -r "$work/deploy-k8s/overlays/dev/secrets.example" "$work/deploy-k8s/overlays/dev/secrets"
    }
    case $1 in
    base) "$kubectl" kustomize "$work/deploy-k8s/base" ;;
    all) "$kubectl" kustomize tests/deploy/all ;;
    *) "$kubectl" kustomize "$work/deploy-k8s/overlays/$1" ;;
    esac >"$work/$1.yaml"
}

step_images() {
    hadolint --config tests/deploy/hadolint.yaml deploy/docker/*.Dockerfile
}

step_compose() {
    check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
    node "$tools/node/node_modules/dclint/bin/dclint.cjs" --config tests/deploy/dclint.yml --max-warnings 0 docker-compose.yml
    "$python" tests/deploy/compose.py "$version"
}

step_yaml() {
    git ls-files -z --cached --others --exclude-standard '*.yml' '*.yaml' | grep -z -E '^(docker-compose|deploy/(compose|k8s|helm|prometheus)|tests/deploy)' |
        xargs -0 yamllint --strict --config-file tests/deploy/yamllint.yml
}

step_manifests() {
    local overlay rendered=()
    # a component that nothing renders is one that nobody has checked
    for overlay in deploy/k8s/components/*/; do
        grep -q "components/$(basename "$overlay")\|\.\./$(basename "$overlay")" deploy/k8s/overlays/*/kustomization.yaml \
            deploy/k8s/components/*/kustomization.yaml tests/deploy/all/kustomization.yaml ||
            { echo "error: no overlay has the component $overlay" >&2 && return 1; }
    done
    [ "$(cd deploy/k8s/overlays && echo *)" = "$(printf '%s\n' "${overlays[@]}" | sort | xargs)" ] ||
        { echo "error: deploy/k8s/overlays has others than: ${overlays[*]}" >&2 && return 1; }
    for overlay in base "${overlays[@]}" all; do
        render "$overlay"
        rendered+=("$work/$overlay.yaml")
    done
    # resolved beside the packages that have the types
    "$python" tests/deploy/schemas.py "$tools/node/crds-$$.mts" "${rendered[@]}" deploy/k8s/rabbitmq/cluster.yaml
    (
        cd "$tools/node"
        trap 'rm -f "crds-$$.mts" "crds-$$.mjs"' EXIT
        node node_modules/typescript/bin/tsc --strict --module nodenext --target es2022 --skipLibCheck "crds-$$.mts"
        node "crds-$$.mjs"
    )
    "$python" tests/deploy/manifests.py "$version" "${rendered[@]}"
}

step_backlog() {
    render keda
    "$python" tests/deploy/backlog.py "$work/keda.yaml"
}

step_chart() {
    local values=() overlay
    "$helm" lint --strict --quiet "$chart" 2>&1 | { grep -v 'found symbolic link' || true; }
    for overlay in base gpu keda; do
        [ "$overlay" = base ] || values+=(--values "$chart/values-$overlay.yaml")
        render "$overlay"
        "$helm" template counterfactory "$chart" --namespace counterfactory "${values[@]}" >"$work/chart-$overlay.yaml" 2>"$work/helm.log" ||
            { cat "$work/helm.log" >&2 && return 1; }
        "$python" tests/deploy/same.py "$work/chart-$overlay.yaml" "$work/$overlay.yaml"
    done
    [ "$(sed -n 's/^\(app\)\?[vV]ersion: //p' "$chart/Chart.yaml" | sort -u)" = "$version" ] ||
        { echo "error: $chart/Chart.yaml is not of version $version" >&2 && return 1; }
}

# The alerts of deploy/prometheus as an object for Prometheus's operator: indented, without the comments before them.
rules() {
    cat <<'HEAD'
# Made of deploy/prometheus/rules.yml by `make deploy-settings`; `make deploy-check` holds the two against each other.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: counterfactory
spec:
HEAD
    sed -e '/^#/d' -e 's/^\(.\)/  \1/' deploy/prometheus/rules.yml
}

step_rules() {
    rules | diff --unified deploy/k8s/components/monitoring/rules.yaml - ||
        { echo "error: the alerts of Kubernetes are not those of deploy/prometheus/rules.yml; run: make deploy-settings" >&2 && return 1; }
    # Whoever is woken by an alert finds what to do in the book, and nothing there is about an alert that is gone.
    # shellcheck disable=SC2016 # Markdown's backticks
    diff --unified <(sed -n 's/^ *- alert: *//p' deploy/prometheus/rules.yml | sort) \
        <(sed -n '/^## When an alert fires/,$ s/^| `\([A-Za-z]*\)` |.*/\1/p' deploy/OPERATIONS.md | sort) ||
        { echo "error: deploy/OPERATIONS.md does not tell of the same alerts as deploy/prometheus/rules.yml" >&2 && return 1; }
}

step_scripts() {
    git ls-files -z --cached --others --exclude-standard deploy/secrets.sh 'deploy/compose/*.sh' 'deploy/docker/*.sh' 'tests/deploy/*.sh' | xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR
}

step_secrets() {
    ! git ls-files --error-unmatch .env deploy/compose/secrets deploy/k8s/overlays/dev/secrets >/dev/null 2>&1 ||
        { echo "error: git has the secrets of an installation" >&2 && return 1; }
    # Digests and the like are all over the repository, so long random texts are looked for where settings are.
    git ls-files -z --cached --others --exclude-standard | grep -z -v -E '^services/coordinator/assets/vendor/|\.(lock|snap)$|package-lock\.json$' |
        xargs -0 detect-secrets scan --no-verify --disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString >"$work/anywhere.json"
    git ls-files -z --cached --others --exclude-standard docker-compose.yml .env.example deploy/{compose,docker,grafana/provisioning,helm,k8s,prometheus,secrets.sh} |
        tee "$work/settings.list" | xargs -0 detect-secrets scan --no-verify >"$work/settings.json"
    # Of YAML it reads keys and values, and no comments: once more as plain text (in which every name beside the word is a keyword's secret).
    xargs -0 -I FILE install -D -m 0644 FILE "$work/plain/FILE.plain" <"$work/settings.list"
    (cd "$work/plain" && detect-secrets scan --no-verify --all-files --disable-plugin KeywordDetector .) >"$work/plain.json"
    "$python" tests/deploy/secrets_allowed.py tests/deploy/secrets-allowed.tsv "$work/anywhere.json" "$work/settings.json" "$work/plain.json"
    ! grep -n '"resolved"' tests/deploy/package-lock.json ||
        { echo "error: tests/deploy/package-lock.json says where packages are fetched from" >&2 && return 1; }
}

step_proxy() {
    local address
    fetch_caddy
    for address in http://:8080 cfx.example.org; do
        PUBLIC_ADDRESS=$address HOME=$work "$tools/bin/caddy" validate --adapter caddyfile --config deploy/compose/Caddyfile >"$work/caddy.log" 2>&1 ||
            { tail -n 3 "$work/caddy.log" >&2 && return 1; }
    done
}

built() {
    local program
    for program in coordinator worker cfx; do
        [ -x "$binaries/$program" ] || { echo "error: $binaries/$program is not there; run: make build" >&2 && return 1; }
    done
}

step_settings() {
    built
    "$python" tests/deploy/settings.py "$binaries" "$@"
}

step_starts() {
    local overlay rendered=()
    built
    for overlay in base "${overlays[@]}"; do
        render "$overlay"
        rendered+=("$work/$overlay.yaml")
    done
    "$python" tests/deploy/starts.py "$binaries" "${rendered[@]}"
}

all=(images compose proxy yaml manifests backlog chart rules scripts secrets settings starts)
case ${1:-} in
--write)
    rules >deploy/k8s/components/monitoring/rules.yaml
    step_settings --write
    exit
    ;;
--self-test)
    exec "$python" tests/deploy/self_test.py
    ;;
esac
[ $# -gt 0 ] || set -- "${all[@]}"
for step in "$@"; do
    say "$step"
    "step_$step"
done
