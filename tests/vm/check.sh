#!/usr/bin/env bash
# Boots the software of the lab VM in QEMU and runs labs there on the kernel's data paths, both
# eBPF's and Open vSwitch's. Each guest is a minimal Debian tree that the project's own set-up
# script brought to working order, with the kernel of that Debian release.
#
#   tests/vm/check.sh [--run COMMAND] [--fresh] [RELEASE...]
#       RELEASE   bookworm (Debian 12, Linux 6.1) or trixie (Debian 13, Linux 6.12); default: both
#       --run     run this command in the guest's checkout instead of tests/vm/guest/check.sh
#       --fresh   build the Debian tree again, even if the tree of the last run is still valid
#
# Needs root, and the network for Debian and Python packages. Missing host packages (debootstrap,
# qemu-system-x86, e2fsprogs) are installed by apt. Environment:
#   VXLAB_VM_MIRROR     Debian mirror (default: the mirror in this machine's apt sources)
#   VXLAB_VM_ACCEL      kvm or tcg (default: kvm if a guest boots with it, else tcg)
#   VXLAB_VM_TIMEOUT_S  limit for one guest, boot included (default: 2400)
#
# Exit status: 0 all checks passed in every release, 1 a check failed, 2 usage error.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/tree.sh"

releases=(bookworm trixie)
limit_s=${VXLAB_VM_TIMEOUT_S:-2400}
cache=$checkout/.cache/vm
guest=$checkout/tests/vm/guest
command=$inside/tests/vm/guest/check.sh
fresh=no
guest_packages=(linux-image-amd64 initramfs-tools systemd-sysv udev)

usage_error() {
    say "$*" >&2
    exit 2
}

# A tree is valid as long as it was made from the same release and package lists.
tree_key() {
    printf '%s\n' "$release" "${guest_packages[@]}"
    cat "$checkout/$setup_directory/packages.txt"
}

base_tree() {
    if [ "$fresh" = no ] && [ "$(cat "$tree.key" 2>/dev/null)" = "$(tree_key)" ]; then
        say "$release: using the Debian tree of an earlier run"
        return
    fi
    rm -f "$tree.key"
    make_tree "$release" "$tree"
    say "$release: installing the Debian kernel and init system"
    in_tree "$tree" sh -c 'apt-get update && apt-get install -y --no-install-recommends "$@"' \
        sh "${guest_packages[@]}" >"$tree.log" 2>&1 || die "apt-get failed in the $release tree, see $tree.log"
    tree_key >"$tree.key"
}

provision() {
    copy_checkout "$tree"
    in_tree "$tree" "$inside/$setup_directory/setup.sh" --link
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

# boot SECONDS IMAGE KERNEL-ARGUMENTS: the guest's console goes to standard output.
boot() {
    local kernel initrd
    kernel=$(printf '%s\n' "$tree"/boot/vmlinuz-* | tail -n 1)
    initrd=$(printf '%s\n' "$tree"/boot/initrd.img-* | tail -n 1)
    timeout --foreground "$1" qemu-system-x86_64 "${accelerator[@]}" -smp 2 -m 2048 \
        -display none -monitor none -serial stdio -no-reboot -nic none \
        -kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 quiet panic=-1 $3" \
        -drive "file=$2,format=raw,if=virtio,cache=unsafe" </dev/null
}

# /dev/kvm may exist and still not run a guest (nested virtualisation), so a trial boot decides:
# without a root file system the guest panics within seconds, and QEMU exits with status 0.
choose_accelerator() {
    accelerator=(-accel kvm -cpu host)
    case ${VXLAB_VM_ACCEL:-} in
    kvm) return ;;
    '') [ -w /dev/kvm ] && boot 15 "$image" "root=/dev/none rootwait=1 init=/none" >/dev/null 2>&1 && return ;;
    esac
    accelerator=(-accel "tcg,thread=multi" -cpu max)
}

# The exit status that guest/run.sh printed as its last line; empty if the guest did not get there.
verdict() { tr -d '\r' <"$console" | sed -n 's/^vxlab-check: exit //p' | tail -n 1; }

report() {
    local status=$1 artefacts=$cache/$release-artefacts
    [ "$status" = 0 ] && say "$release: passed in $SECONDS s" && return 0
    mkdir -p "$artefacts"
    debugfs -R "rdump $inside/tests/artefacts $artefacts" "$image" >/dev/null 2>&1 || true
    if [ -z "$status" ]; then
        say "$release: the guest did not finish within $limit_s s, or crashed" >&2
    else
        say "$release: the guest's command ended with status $status" >&2
    fi
    die "$release: FAILED; console output in $console, artefacts of failed tests (if any) in $artefacts"
}

check_release() {
    release=$1
    tree=$cache/$release
    image=$cache/$release.ext4
    console=$cache/$release-console.log
    mkdir -p "$cache"
    chown --reference="$checkout" "$checkout/.cache" # set-up writes there as an ordinary user
    exec 8>"$cache/lock"
    flock -n 8 || die "another vm-check is running in this checkout"
    base_tree
    provision
    say "$release: making the disk image"
    make_image
    choose_accelerator
    say "$release: booting (${accelerator[*]}); preparation took $SECONDS s"
    rm -rf "$cache/$release-artefacts"
    boot "$limit_s" "$image" "root=/dev/vda rw" 2>&1 | tee "$console" || true
    report "$(verdict)"
}

main() {
    local options=() chosen=() failed=() each
    while [ $# -gt 0 ]; do
        case $1 in
        --run)
            [ -n "${2:-}" ] || usage_error "--run needs a command"
            command=$2
            options+=("$1" "$2")
            shift 2
            ;;
        --fresh) fresh=yes && options+=("$1") && shift ;;
        bookworm | trixie) chosen+=("$1") && shift ;;
        *) usage_error "unknown argument '$1'; must be --run COMMAND, --fresh or a release: ${releases[*]}" ;;
        esac
    done
    [ "$(id -u)" -eq 0 ] || die "needs root, to mount and to build the disk image; run: sudo make vm-check"
    [ "${#chosen[@]}" -gt 0 ] || chosen=("${releases[@]}")
    host_packages debootstrap qemu-system-x86 e2fsprogs
    if [ "${#chosen[@]}" -eq 1 ]; then
        check_release "${chosen[0]}"
        return
    fi
    # One process for each release, so that a failure does not prevent the other check.
    for each in "${chosen[@]}"; do
        "${BASH_SOURCE[0]}" "${options[@]}" "$each" || failed+=("$each")
    done
    [ "${#failed[@]}" -eq 0 ] || die "failed: ${failed[*]}"
    say "passed: ${chosen[*]}"
}

main "$@"
