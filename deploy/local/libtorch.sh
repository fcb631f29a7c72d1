#!/usr/bin/env bash
# Puts libtorch 2.11.0 (CPU and CUDA in one) under .local/libtorch, from the wheel of PyTorch and its two small companions.
# .cargo/config.toml names .local/libtorch/torch. The folder appears under that name only when it is whole.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

wheels=$state/wheels
target=$state/libtorch
part=$target.part
requirements=(torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)

# Every wheel lists its files with their sizes; whole is where all are there in that size.
whole() {
    python3 - "$1" <<'PY'
import csv, os, sys
root = sys.argv[1]
for name in ("torch-2.11.0", "nvidia_cuda_runtime-13.0.96", "nvidia_cuda_cupti-13.0.85"):
    try:
        rows = csv.reader(open(os.path.join(root, name + ".dist-info", "RECORD"), newline=""))
    except OSError:
        sys.exit(f"{name} is not there")
    for path, _, size in rows:
        try:
            found = os.path.getsize(os.path.join(root, path))
        except OSError:
            sys.exit(f"{path} is missing")
        if size and found != int(size):
            sys.exit(f"{path} has {found} bytes instead of {size}")
PY
}

if whole "$target" 2>/dev/null; then
    say "libtorch 2.11.0: there"
    exit 0
fi
take_lock
if whole "$target" 2>/dev/null; then # another make brought it while this one waited
    say "libtorch 2.11.0: there"
    exit 0
fi
[ "$(uname -sm)" = "Linux x86_64" ] || fail "the libtorch that make fetches is for Linux on x86_64, and this is $(uname -sm)" \
    "put a libtorch 2.11.0 for this machine at .local/libtorch/torch and build with cargo"
free=$(df --output=avail -BM "$state" | tail -n 1 | tr -dc 0-9)
[ "$free" -ge 4000 ] || fail "libtorch needs 4 GB of disk while it is unpacked, and there are $free MB" "free some space and run make again"

"$root/deploy/local/tools.sh" pip
mkdir -p "$wheels"
say "fetching libtorch 2.11.0 (0.5 GB, once)"
# pip names a wheel as finished only when its hash is right, and fetches a finished one no second time.
"$state/tools/bin/python" -m pip download --disable-pip-version-check --no-cache-dir --no-deps --dest "$wheels" \
    --python-version 3.11 --implementation cp --abi cp311 --abi none --only-binary=:all: \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any \
    "${requirements[@]}" 9>&- ||
    fail "the download failed; pip's words are above" "check the network (or PIP_INDEX_URL) and run make again: finished files are kept"

say "unpacking libtorch"
rm -rf "$part"
mkdir -p "$part"
for wheel in "$wheels"/*.whl; do
    note "$(basename "$wheel")"
    python3 -m zipfile -e "$wheel" "$part"
done
whole "$part" || fail "the unpacked libtorch is not whole (see above)" "remove .local/wheels and run make again"
rm -rf "$target"
mv "$part" "$target"
rm -rf "$wheels"
say "libtorch 2.11.0 is in .local/libtorch"
