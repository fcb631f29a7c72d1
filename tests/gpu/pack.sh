#!/usr/bin/env bash
# One file for a machine with a GPU and no toolchain: the worker without its debugging symbols, the scripts, the demo pack and a face, in the
# folders that run.sh expects. `tests/gpu/pack.sh [FILE.tar.gz] [--libtorch]`; with --libtorch also the libtorch of `make`, 1.5 GB, for a
# machine that has none (it still needs NVIDIA's libraries).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

file=target/gpu.tar.gz
libtorch=
for word in "$@"; do
    case $word in
    --libtorch) libtorch=1 ;;
    -*)
        printf "error: '%s' is no option; there is --libtorch\n" "$word" >&2
        exit 1
        ;;
    *) file=$word ;;
    esac
done
worker=${WORKER:-target/release/worker}
[ -x "$worker" ] || {
    printf 'error: there is no program %s; cargo build --release --workspace --bins makes it, WORKER names another\n' "$worker" >&2
    exit 1
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/counterfactory
mkdir -p "$root"/{target/release,tests/bench,tests/gpu,deploy/demo/faces/source}
strip --strip-debug -o "$root/target/release/worker" "$worker"
cp tests/gpu/{run.sh,report.py,parity.py,README.md} "$root/tests/gpu/"
cp tests/bench/torch_loop.py "$root/tests/bench/"
cp -r deploy/demo/pack "$root/deploy/demo/"
cp deploy/demo/faces/source/000.png "$root/deploy/demo/faces/source/"
if [ -n "$libtorch" ]; then
    mkdir -p "$root/.local/libtorch/torch"
    # where the program's run path leads
    cp -rL .local/libtorch/torch/lib "$root/.local/libtorch/torch/"
fi
tar --create --gzip --file "$file" --owner=0 --group=0 --directory "$folder" counterfactory
printf '%s: %s MB; unpack it, and run counterfactory/tests/gpu/run.sh\n' "$file" "$(($(stat --format=%s "$file") / 1000000))"
