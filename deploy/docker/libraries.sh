#!/usr/bin/env bash
# Runs while an image is built: libraries.sh FROM TO PATTERN... copies these libraries of unpacked wheels, and those that they need of the
# same wheels, from the folder FROM to TO, in the same places to each other: they find one another by paths relative to their own. Each
# wheel's name, version and licence comes along, for the SBOM and because the licences ask for it.
set -euo pipefail

from=$(readlink -f "$1")
to=$2
shift 2
cd "$from"
shopt -s failglob
# shellcheck disable=SC2206 # patterns, to be expanded here
roots=($@)

# ldd leaves out what is not found; the driver's libraries never are, and anything else is noticed by prove.sh.
mapfile -t files < <(
    printf '%s\n' "${roots[@]}"
    ldd "${roots[@]}" | sed -n 's/.* => \(.*\) (0x[0-9a-f]*)$/\1/p' | xargs -n 1 readlink -f | sed -n "s|^$from/||p"
)
mapfile -t files < <(printf '%s\n' "${files[@]}" | sort -u)
mkdir -p "$to"
cp --parents --preserve=mode,timestamps -t "$to" "${files[@]}"

listed() { cut -d , -f 1 "$1"; }
for record in *.dist-info/RECORD; do
    wheel=${record%/RECORD}
    grep --quiet --line-regexp --fixed-strings "$(printf '%s\n' "${files[@]}")" <(listed "$record") || continue
    grep --ignore-case --extended-regexp "^(nvidia|$wheel)/(.*/)?(licen[cs]e|notice)[^/]*$" <(listed "$record") |
        xargs --no-run-if-empty cp --parents -t "$to"
    cp --parents -t "$to" "$wheel/METADATA"
done
