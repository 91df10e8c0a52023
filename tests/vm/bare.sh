#!/usr/bin/env bash
# Runs the set-up script, the unit tests and the demo in minimal Debian trees, and prints the times of
# the set-up. Usage: tests/vm/bare.sh [RELEASE...]; default: bookworm and trixie. Needs root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tree.sh"

[ "$(id -u)" -eq 0 ] || die "needs root; run: sudo tests/vm/bare.sh"
host_packages debootstrap
[ $# -gt 0 ] || set -- bookworm trixie

for suite in "$@"; do
    tree=$checkout/.cache/bare/$suite
    make_tree "$suite" "$tree"
    chown --reference="$checkout" "$checkout/.cache"
    copy_checkout "$tree"
    for round in first again; do
        SECONDS=0
        in_tree "$tree" "$inside/$setup_directory/setup.sh" --link
        say "$suite: set-up, $round: $SECONDS s"
    done
    in_tree "$tree" vxlab doctor
    in_tree "$tree" make --no-print-directory -C "$inside" unit demo
done
