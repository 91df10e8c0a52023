#!/usr/bin/env bash
# Compiles the eBPF program for both address families.
#
#   compile_fast_path.sh DIRECTORY     DIRECTORY: vtep/fastpath; the objects are written there
#
# Exit status 1 if clang or a header is missing, or the program does not compile; stderr has the
# reason, and no object is left.
set -euo pipefail

directory=$1
rm -f "$directory"/*.bpf.o
command -v clang >/dev/null || {
    echo "clang is not installed (Debian packages: clang libbpf-dev)" >&2
    exit 1
}
for family in 4 6; do
    # The packet's headers are packed structures whose members may be unaligned. The eBPF program
    # reads them in place: x86 and arm64 support unaligned access.
    clang -O2 -g -Wall -Wno-address-of-packed-member -target bpf \
        -I "/usr/include/$(uname -m)-linux-gnu" -D "UNDERLAY=$family" \
        -c "$directory/vxlan.bpf.c" -o "$directory/vxlan$family.bpf.o" || {
        rm -f "$directory"/*.bpf.o
        exit 1
    }
done
