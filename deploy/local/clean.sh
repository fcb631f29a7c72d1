#!/usr/bin/env bash
# Stops the stack and removes .local with all data, logs, tools and libtorch in it.
source "$(dirname "${BASH_SOURCE[0]}")/stack.sh"

if [ ! -e "$state" ]; then
    say "nothing to remove"
    exit 0
fi
"$root/deploy/local/down.sh"
say "removing .local"
rm -rf "$state"
