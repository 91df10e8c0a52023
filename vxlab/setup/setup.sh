#!/usr/bin/env bash
# Installs everything vxlab needs on Debian 12/13 or Ubuntu 22.04/24.04: the distribution packages,
# .venv with the locked dependencies and the project itself, and the compiled eBPF program.
# Prints nothing if everything is already installed and up to date.
#
#   vxlab/setup/setup.sh [--link]     --link: also put vxlab on PATH (/usr/local/bin)
#
# Exit status: 0 installed, 1 something failed (the message says what and where the log is), 2 usage error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(cd "$here/../.." && pwd -P)
venv=$checkout/.venv
state=$checkout/.cache
log=$state/setup.log
python=/usr/bin/python3
link=/usr/local/bin/vxlab
fast_path=$checkout/vtep/fastpath
want_link=no

say() { printf 'setup: %s\n' "$*"; }

die() {
    say "$*" >&2
    exit 1
}

# Run a command with its output in the log; on failure print the end of the log and exit.
# Descriptor 9 holds the lock. It is closed for the command, because a service that a package
# starts would otherwise inherit the lock and hold it for ever.
logged() {
    local what=$1
    shift
    printf '\n$ %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null 9>&- && return
    tail -n 15 "$log" >&2
    die "$what failed; its full output is in $log"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_be_root() { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }

# --- distribution packages -------------------------------------------------------------------

missing_packages() {
    local name status
    local -A installed=()
    while read -r status name; do
        [ "$status" != installed ] || installed[$name]=yes
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null)
    while read -r name _; do
        [[ -z $name || $name == \#* || -n ${installed[$name]:-} ]] || echo "$name"
    done <"$here/packages.txt"
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

install_packages() {
    local missing=("$@")
    command -v apt-get >/dev/null || die "this system has no apt-get; install these packages yourself: ${missing[*]}"
    may_be_root || die "packages are missing; run: sudo sh -c" \
        "'apt-get update && apt-get install -y --no-install-recommends ${missing[*]}'"
    say "installing ${#missing[@]} packages: ${missing[*]}"
    apt update >>"$log" 2>&1 </dev/null 9>&- ||
        say "apt-get update reported errors (see $log); continuing with the package lists at hand"
    logged "apt-get install" apt install --no-install-recommends "${missing[@]}"
}

# --- the project's Python environment --------------------------------------------------------

environment_key() {
    sha256sum "$here/setup.sh" "$here/build.lock" "$here/requirements.lock" "$(readlink -f "$python")" |
        cut -d ' ' -f 1 | tr '\n' ' '
    echo "$venv"
}

# An editable install lists the top-level packages by name, so a new package needs a new install.
project_key() { (cd "$checkout" && { cat pyproject.toml && ls -d ./*/__init__.py; } | sha256sum); }

holds() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/$1" 2>/dev/null)" = "$2" ]; }

pip() {
    env -u PYTHONPATH -u PYTHONHOME -u PIP_TARGET -u PIP_PREFIX PIP_USER=0 PIP_NO_INPUT=1 \
        PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off \
        "$venv/bin/python" -m pip "$@"
}

# Mininet's module comes from the distribution. Only this module is linked into .venv: with all of the
# distribution's modules visible, its old pyOpenSSL meets our newer cryptography, and eventlet fails to import.
link_mininet() {
    local module packages
    module=$("$python" -I -c 'import mininet; print(*mininet.__path__)' 2>>"$log") ||
        die "$python cannot import mininet, though the package is installed"
    packages=$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    ln -sfn "$module" "$packages/mininet"
}

# Ryu's setup.py needs the old setuptools of build.lock, hence --no-build-isolation.
make_environment() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$python is older than 3.10; Debian 12 or Ubuntu 22.04 or newer is required"
    say "making .venv with the locked Python dependencies"
    rm -rf "$venv" || die "cannot replace $venv; remove it as the user who owns it"
    logged "python3 -m venv" "$python" -m venv "$venv"
    link_mininet
    logged "pip install" pip install --require-hashes -r "$here/build.lock"
    logged "pip install" pip install --require-hashes --no-build-isolation \
        -r "$here/requirements.lock"
    environment_key >"$venv/.environment"
}

install_project() {
    logged "pip install -e" pip install --no-deps --no-build-isolation -e "$checkout"
    project_key >"$venv/.project"
}

# --- the eBPF program of the fast path --------------------------------------------------------

objects=("$fast_path"/vxlan{4,6}.bpf.o)

# The sources and the compiled objects. A missing or changed object changes the key, too.
fast_path_key() {
    sha256sum "$fast_path"/*.[ch] "$here/setup.sh" "${objects[@]}" 2>/dev/null | cut -d ' ' -f 1 | tr '\n' ' ' || true
}

compile() { # FAMILY OBJECT
    # The packet's headers are packed structures whose members may be unaligned. The eBPF program
    # reads them in place: x86 and arm64 support unaligned access.
    clang -O2 -g -Wall -Wno-address-of-packed-member -target bpf \
        -I "/usr/include/$(uname -m)-linux-gnu" -D "UNDERLAY=$1" \
        -c "$fast_path/vxlan.bpf.c" -o "$2" >>"$log" 2>&1 </dev/null 9>&-
}

# Without the objects agents forward in Python. A failed compilation is therefore reported, but is
# not an error. No key is written then, so the next run compiles and reports again.
build_fast_path() {
    rm -f "${objects[@]}" "$venv/.fast_path"
    if compile 4 "${objects[0]}" && compile 6 "${objects[1]}"; then
        fast_path_key >"$venv/.fast_path"
    else
        rm -f "${objects[@]}"
        say "clang cannot compile the eBPF program here (see $log); agents will forward in Python"
    fi
}

# --- what to do ------------------------------------------------------------------------------

linked() { [ "$want_link" = no ] || [ "$(readlink "$link")" = "$venv/bin/vxlab" ]; }

complete() {
    [ -z "$(missing_packages)" ] && linked &&
        holds .environment "$(environment_key)" && holds .project "$(project_key)" &&
        holds .fast_path "$(fast_path_key)"
}

bring_up_to_date() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
    holds .environment "$(environment_key)" || make_environment
    holds .project "$(project_key)" || install_project
    holds .fast_path "$(fast_path_key)" || build_fast_path
    linked || {
        may_be_root || die "--link needs root; run: sudo ln -sfn '$venv/bin/vxlab' $link"
        as_root ln -sfn "$venv/bin/vxlab" "$link"
    }
}

main() {
    case ${1:-} in
    --link) want_link=yes ;;
    '') ;;
    *) say "unknown argument '$1'; the only option is --link" >&2 && exit 2 ;;
    esac
    ! complete || return 0
    mkdir -p "$state" 2>/dev/null && : >>"$log" || die "cannot write to $state; run as the user who owns it"
    exec 9>"$state/setup.lock"
    flock 9
    ! complete || return 0 # another run finished while this one waited for the lock
    : >"$log"
    bring_up_to_date
    say "done in $SECONDS s"
}

# Tests source this file to call single functions.
[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
