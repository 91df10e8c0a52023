#!/usr/bin/env bash
# Tries the set-up on bare Debian trees: tests/vm/bare.sh [SUITE...]. Prints the time each takes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tree.sh"

[ "$(id -u)" -eq 0 ] || die "needs root"
host_packages debootstrap
[ $# -gt 0 ] || set -- bookworm trixie

for suite in "$@"; do
    tree=$checkout/.cache/bare/$suite
    make_tree "$suite" "$tree"
    chown --reference="$checkout" "$checkout/.cache"
    copy_checkout "$tree"
    for round in first again; do
        SECONDS=0
        in_tree "$tree" "$inside/vxlab/setup/setup.sh" --link
        say "$suite: set-up, $round: $SECONDS s"
    done
    in_tree "$tree" vxlab doctor
    in_tree "$tree" make --no-print-directory -C "$inside" unit demo
done
