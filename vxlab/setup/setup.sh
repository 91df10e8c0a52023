#!/usr/bin/env bash
# Brings a bare Debian 12/13 or Ubuntu 22.04/24.04 to working order: distribution packages,
# then .venv with the locked dependencies and the project itself, and the eBPF program. Says nothing when all is there.
#
#   vxlab/setup/setup.sh [--link]     --link: vxlab on PATH, too (/usr/local/bin)
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

# Run a command into the log; on failure show its end and name it. Whatever the command leaves
# running (a package may start a service) must not inherit the lock, descriptor 9.
logged() {
    local what=$1
    shift
    printf '\n$ %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null 9>&- && return
    tail -n 15 "$log" >&2
    die "$what failed; everything it said is in $log"
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
    command -v apt-get >/dev/null || die "no apt-get here; install these yourself: ${missing[*]}"
    may_be_root || die "packages are missing; run: sudo sh -c" \
        "'apt-get update && apt-get install -y --no-install-recommends ${missing[*]}'"
    say "installing ${#missing[@]} packages: ${missing[*]}"
    apt update >>"$log" 2>&1 </dev/null 9>&- || say "apt-get update had errors (see $log), going on"
    logged "apt-get install" apt install --no-install-recommends "${missing[@]}"
}

# --- the project's Python environment --------------------------------------------------------

environment_key() {
    sha256sum "$here/setup.sh" "$here/build.lock" "$here/requirements.lock" "$(readlink -f "$python")" |
        cut -d ' ' -f 1 | tr '\n' ' '
    echo "$venv"
}

# An editable install knows the top-level packages by name, so a new one counts.
project_key() { (cd "$checkout" && { cat pyproject.toml && ls -d ./*/__init__.py; } | sha256sum); }

holds() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/$1" 2>/dev/null)" = "$2" ]; }

pip() {
    env -u PYTHONPATH -u PYTHONHOME -u PIP_TARGET -u PIP_PREFIX PIP_USER=0 PIP_NO_INPUT=1 \
        PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off \
        "$venv/bin/python" -m pip "$@"
}

# Ryu builds only with the setuptools of build.lock.
make_environment() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "$python is older than 3.10: Debian 12 or Ubuntu 22.04 is the oldest that will do"
    say "making .venv with the locked Python dependencies"
    rm -rf "$venv" || die "cannot replace $venv: remove it as its owner"
    logged "python3 -m venv" "$python" -m venv "$venv"
    logged "pip install" pip install --require-hashes -r "$here/build.lock"
    logged "pip install" pip install --require-hashes --no-build-isolation \
        -r "$here/requirements.lock"
    environment_key >"$venv/.environment"
}

install_project() {
    logged "pip install -e" pip install --no-deps --no-build-isolation -e "$checkout"
    project_key >"$venv/.project"
}

# --- the fast path's eBPF program -------------------------------------------------------------

fast_path_key() { sha256sum "$fast_path"/*.[ch] "$here/compile_fast_path.sh" | cut -d ' ' -f 1 | tr '\n' ' '; }

# Without it agents use the Python data path, so a compiler error is reported and stops nothing.
build_fast_path() {
    "$here/compile_fast_path.sh" "$fast_path" >>"$log" 2>&1 </dev/null 9>&- ||
        say "the eBPF program does not compile here (see $log): agents will forward in Python"
    fast_path_key >"$venv/.fast_path"
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
        may_be_root || die "root is needed for --link; run: sudo ln -sfn '$venv/bin/vxlab' $link"
        as_root ln -sfn "$venv/bin/vxlab" "$link"
    }
}

main() {
    case ${1:-} in
    --link) want_link=yes ;;
    '') ;;
    *) say "unknown argument '$1': only --link is known" >&2 && exit 2 ;;
    esac
    ! complete || return 0
    mkdir -p "$state" 2>/dev/null && : >>"$log" || die "cannot write in $state: run as its owner"
    exec 9>"$state/setup.lock"
    flock 9
    ! complete || return 0 # another set-up did it meanwhile
    : >"$log"
    bring_up_to_date
    say "done in $SECONDS s"
}

main "$@"
