#!/usr/bin/env bash
# Boots what the lab VM is made of, in QEMU, and runs the laboratory on the kernel's own datapath:
# a bare Debian tree, set up by the same script as every machine, with Debian's own kernel.
#
#   tests/vm/check.sh [--run COMMAND] [--fresh]
#       --run     instead of guest/check.sh: run this in the guest's checkout
#       --fresh   make the tree anew, even if the one of the last run will do
#
# VXLAB_VM_SUITE, VXLAB_VM_MIRROR, VXLAB_VM_ACCEL, VXLAB_VM_TIMEOUT_S change the defaults. Needs root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tree.sh"

suite=${VXLAB_VM_SUITE:-bookworm}
limit_s=${VXLAB_VM_TIMEOUT_S:-1500}
cache=$checkout/.cache/vm
tree=$cache/$suite
image=$cache/$suite.ext4
console=$cache/console.log
guest=$checkout/tests/vm/guest
command=$inside/tests/vm/guest/check.sh
fresh=no

guest_packages=(linux-image-amd64 initramfs-tools systemd-sysv udev)

tree_key() {
    printf '%s\n' "$suite" "${guest_packages[@]}"
    cat "$checkout/vxlab/setup/packages.txt"
}

base_tree() {
    if [ "$fresh" = no ] && [ "$(cat "$tree.key" 2>/dev/null)" = "$(tree_key)" ]; then
        say "the $suite tree of an earlier run will do"
        return
    fi
    rm -f "$tree.key"
    make_tree "$suite" "$tree"
    say "Debian's kernel and init"
    in_tree "$tree" sh -c 'apt-get update && apt-get install -y --no-install-recommends "$@"' \
        sh "${guest_packages[@]}" >"$tree.log" 2>&1 || die "apt-get failed, see $tree.log"
    tree_key >"$tree.key"
}

provision() {
    copy_checkout "$tree"
    in_tree "$tree" "$inside/vxlab/setup/setup.sh" --link
    printf '%s\n' "$command" >"$tree$inside/tests/vm/guest/command"
    install -m 644 "$guest/vxlab-check.service" "$tree/etc/systemd/system/"
    ln -sfn /etc/systemd/system/vxlab-check.service \
        "$tree/etc/systemd/system/multi-user.target.wants/vxlab-check.service"
    ln -sfn /dev/null "$tree/etc/systemd/system/serial-getty@ttyS0.service"
    echo lab >"$tree/etc/hostname"
}

make_image() {
    local size_mib
    size_mib=$(($(du -sm "$tree" | cut -f 1) + 2048))
    rm -f "$image"
    mke2fs -q -F -t ext4 -E lazy_itable_init=1 -d "$tree" "$image" "${size_mib}M" >/dev/null
}

boot() {
    local kernel initrd
    kernel=$(printf '%s\n' "$tree"/boot/vmlinuz-* | tail -n 1)
    initrd=$(printf '%s\n' "$tree"/boot/initrd.img-* | tail -n 1)
    timeout --foreground "$1" qemu-system-x86_64 "${accelerator[@]}" -smp 2 -m 2048 \
        -display none -monitor none -serial stdio -no-reboot -nic none \
        -kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 quiet panic=-1 $3" \
        -drive "file=$2,format=raw,if=virtio,cache=unsafe" </dev/null
}

# KVM where a guest really runs on it: a kernel without a root file system must get to its panic.
choose_accelerator() {
    accelerator=(-accel kvm -cpu host)
    case ${VXLAB_VM_ACCEL:-} in
    kvm) return ;;
    '') [ -w /dev/kvm ] && boot 15 "$image" "root=/dev/none rootwait=1 init=/none" >/dev/null 2>&1 && return ;;
    esac
    accelerator=(-accel "tcg,thread=multi" -cpu max)
}

verdict() { tr -d '\r' <"$console" | sed -n 's/^vxlab-check: exit //p' | tail -n 1; }

report() {
    local status=$1
    [ "$status" = 0 ] && say "passed in $SECONDS s" && return 0
    debugfs -R "rdump $inside/tests/artefacts $cache" "$image" >/dev/null 2>&1 || true
    if [ -z "$status" ]; then
        say "the guest gave no verdict within $limit_s s" >&2
    else
        say "the guest's command ended with status $status" >&2
    fi
    die "its console is in $console, its artefacts, if any, in $cache/artefacts"
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
        --run) command=${2:?--run needs a command} && shift 2 ;;
        --fresh) fresh=yes && shift ;;
        *) say "unknown argument '$1': --run COMMAND and --fresh are known" >&2 && exit 2 ;;
        esac
    done
    [ "$(id -u)" -eq 0 ] || die "needs root: sudo make vm-check"
    mkdir -p "$cache"
    chown --reference="$checkout" "$checkout/.cache" # set-up writes there as an ordinary user
    exec 8>"$cache/lock"
    flock -n 8 || die "another vm-check is running"
    host_packages debootstrap qemu-system-x86 e2fsprogs
    base_tree
    provision
    say "disk image"
    make_image
    choose_accelerator
    say "booting (${accelerator[*]}); set-up so far: $SECONDS s"
    rm -rf "$cache/artefacts"
    boot "$limit_s" "$image" "root=/dev/vda rw" 2>&1 | tee "$console" || true
    report "$(verdict)"
}

main "$@"
