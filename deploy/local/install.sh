#!/usr/bin/env bash
# Installs the system packages that are missing, and nothing when none is. Root or sudo does it; without either it says what an
# administrator must run.
source "$(dirname "${BASH_SOURCE[0]}")/needs.sh"

# The packages of PostgreSQL and RabbitMQ start servers of their own on the default ports. Nobody asked for those: while apt
# works, a policy says no (https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt). One that is there is kept.
# shellcheck disable=SC2016 # root's shell expands it, not this one
as_root='
set -eu
policy=/usr/sbin/policy-rc.d
mark="counterfactory: no services while packages are installed"
# One of ours that an interrupted run left behind does not count as there.
if [ -e "$policy" ] && grep -q "$mark" "$policy"; then rm -f "$policy"; fi
if [ ! -e "$policy" ]; then
    trap "rm -f $policy" EXIT
    trap "exit 130" INT TERM HUP
    printf "#!/bin/sh\n# %s\nexit 101\n" "$mark" >"$policy"
    chmod 755 "$policy"
fi
# An apt-get that was interrupted leaves packages half configured, and the next one refuses to work.
dpkg --configure -a
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends "$@"
'

require_toolchain
mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -eq 0 ]; then
    say "system packages: all there"
    exit 0
fi

say "system packages missing: ${packages[*]}"
by_hand="apt-get update && apt-get install --no-install-recommends ${packages[*]}"
command -v apt-get >/dev/null ||
    fail "this is not a Debian system, and make cannot install packages here" "install what corresponds to: ${packages[*]}"
if [ "$(id -u)" -eq 0 ]; then
    sh -c "$as_root" install "${packages[@]}" || fail "apt-get failed; its words are above" "after mending the cause, run make again, or run: $by_hand"
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    note "sudo may ask for your password"
    sudo sh -c "$as_root" install "${packages[@]}" || fail "apt-get failed; its words are above" "ask an administrator to run: $by_hand"
else
    fail "packages are missing, and this account may not install them" "ask an administrator to run: $by_hand"
fi

mapfile -t packages < <(missing_packages)
[ "${#packages[@]}" -eq 0 ] || fail "still missing after the installation: ${packages[*]}" "see what apt-get said above"
