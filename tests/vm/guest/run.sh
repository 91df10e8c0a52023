#!/usr/bin/env bash
# Runs in the guest, once: the command that was asked for, its status as the last line.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1
export HOME=/root LANG=C.UTF-8 PYTHONUNBUFFERED=1

echo "vxlab-check: $(uname -sr), up for $(cut -d ' ' -f 1 /proc/uptime) s"
bash -c "$(cat tests/vm/guest/command)" </dev/null 2>&1 | cat
echo "vxlab-check: exit ${PIPESTATUS[0]}"
sync
