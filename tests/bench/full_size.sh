#!/usr/bin/env bash
# make full-size: a pack of true size (StyleGAN2 of 1024 px, e4e, ViT-B/32; random weights) goes the whole way on this machine's CPU,
# and memory and time of each stage are written to tests/bench/FULL_SIZE.md. Takes 10 GB of disk under .local/full-size (or
# FULL_SIZE_WORK), 8 GB of memory and some minutes. CFX_BIN names binaries that are built already.
source "$(dirname "${BASH_SOURCE[0]}")/../../deploy/local/stack.sh"

work=${FULL_SIZE_WORK:-$state/full-size}
report=${FULL_SIZE_REPORT:-$root/tests/bench/FULL_SIZE.md}
bin=${CFX_BIN:-$root/target/release}

[ -s "$state/stack.env" ] || fail "the private stack is not running" "start it with: make up"
if [ -z "${CFX_BIN:-}" ]; then
    (cd "$root" && cargo build --release -p worker -p coordinator -p cli)
fi
# Other workers would take part of the work.
"$root/deploy/local/services.sh" stop

mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ]; then
    say "a Python of its own with numpy"
    python3 -m venv "$work/venv.part"
    mv "$work/venv.part" "$work/venv"
fi
"$work/venv/bin/python" -m pip install --quiet numpy
merges=bpe_simple_vocab_16e6.txt.gz
if [ ! -s "$work/$merges" ]; then
    say "CLIP's merges, out of the package open_clip_torch"
    "$work/venv/bin/python" -m pip download --quiet --no-deps --dest "$work/wheel" open_clip_torch
    "$work/venv/bin/python" -m zipfile --extract "$work"/wheel/open_clip_torch-*.whl "$work/wheel"
    mv "$work/wheel/open_clip/$merges" "$work/$merges"
    rm -r "$work/wheel"
fi
"$work/venv/bin/python" -B "$root/tests/bench/full_size/run.py" "$bin" "$work" "$report"
