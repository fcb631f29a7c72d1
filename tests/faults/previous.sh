#!/usr/bin/env bash
# Builds the last version with another schema than this one into .local/previous/bin, for the fault of a rolling upgrade.
# REVISION chooses another. The build takes minutes and two gigabytes beside the usual ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD

schema=$(git log -1 --diff-filter=A --format=%H -- migrations)
revision=${REVISION:-$schema^}
folder=$root/.local/previous
rm -rf "$folder/src"
mkdir -p "$folder/bin"
git archive --format=tar --prefix=src/ "$revision" | tar -x -C "$folder"
mkdir -p "$folder/src/.local"
ln -sfn "$root/.local/libtorch" "$folder/src/.local/libtorch"
# one set of flags: cargo would add those of this checkout to those of the older one
libraries="-C link-arg=-Wl,-rpath,\$ORIGIN/../../libtorch/torch/lib"
cd "$folder/src"
CFX_COMMIT=$(git -C "$root" rev-parse "$revision") CARGO_TARGET_DIR=$folder/target \
    RUSTFLAGS="-C link-arg=-Wl,--as-needed $libraries" cargo build --workspace --bin coordinator --bin worker
cp -f "$folder/target/debug/coordinator" "$folder/target/debug/worker" "$folder/bin/"
echo "built $(git -C "$root" log -1 --format='%h %s' "$revision") into $folder/bin"
