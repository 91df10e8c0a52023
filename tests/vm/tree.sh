# Functions that make a minimal Debian tree and run commands in it. To be sourced; needs root.
# The mirror and the certificates are those of this machine, read at run time. They are copied into
# the tree only while a command runs in it, and are removed afterwards.

# shellcheck shell=bash

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
inside=/opt/vxlab # path of the checkout inside a tree
setup_directory=$(dirname "$(sed -n 's/^SETUP := //p' "$checkout/Makefile")") # of setup.sh, in the checkout

say() { printf 'vm-check: %s\n' "$*"; }

die() {
    say "$*" >&2
    exit 1
}

host_packages() {
    local name missing=()
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    say "installing on this machine: ${missing[*]}"
    apt-get update -q >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get install ${missing[*]} failed"
}

# The Debian mirror in this machine's apt sources; VXLAB_VM_MIRROR overrides it.
mirror() {
    local found=${VXLAB_VM_MIRROR:-}
    [ -n "$found" ] || found=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
        'Created-By: Packages' | awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    [ -n "$found" ] || die "apt's sources have no Debian mirror; run apt-get update, or set VXLAB_VM_MIRROR to a mirror's URL"
    echo "$found"
}

# make_tree SUITE TREE
make_tree() {
    local suite=$1 tree=$2
    say "debootstrap $suite"
    rm -rf "$tree"
    mkdir -p "$tree"
    debootstrap --variant=minbase "$suite" "$tree" "$(mirror)" >"$tree.log" 2>&1 ||
        die "debootstrap failed, see $tree.log"
}

# copy_checkout TREE: all tracked files and all untracked ones that are not ignored. .venv and .cache,
# which set-up built in the tree, are kept.
copy_checkout() {
    local tree=$1
    mkdir -p "$tree$inside"
    find "$tree$inside" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .cache -exec rm -rf {} +
    (cd "$checkout" && git -c safe.directory="$checkout" ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
        tar --null --files-from=- -cf -) | tar -C "$tree$inside" --no-same-owner -xf -
    git -C "$tree$inside" init -q 2>/dev/null || true
}

# in_tree TREE COMMAND...: run a command in the tree, with this machine's network and certificates.
in_tree() {
    local tree=$1
    shift
    lend "$tree"
    local status=0
    env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${lent_certificates:+PIP_CERT=/run/lent/certificates.pem} PIP_CONFIG_FILE=/run/lent/pip.conf \
        PIP_DEFAULT_TIMEOUT="${PIP_DEFAULT_TIMEOUT:-60}" \
        unshare --mount --pid --fork --kill-child bash -c '
            tree=$1; shift
            mount --bind "$tree" "$tree" # pivot_root needs a mount point
            mount -t proc proc "$tree/proc"; mount --rbind /dev "$tree/dev"; mount --bind /sys "$tree/sys"
            cd "$tree"
            pivot_root . mnt # not chroot: setns() into a mount namespace would leave a chroot
            umount -l /mnt
            exec "$@"' bash "$tree" "$@" || status=$?
    take_back "$tree"
    return "$status"
}

lend() {
    local tree=$1
    lent_certificates=${PIP_CERT:-${SSL_CERT_FILE:-}}
    mkdir -p "$tree/run/lent"
    cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
    [ -z "$lent_certificates" ] || cp -L "$lent_certificates" "$tree/run/lent/certificates.pem"
    : >"$tree/run/lent/pip.conf"
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d" # packages must not start services in the tree
    chmod +x "$tree/usr/sbin/policy-rc.d"
}

take_back() {
    rm -rf "$1/run/lent" "$1/usr/sbin/policy-rc.d" "$1/etc/resolv.conf"
}
