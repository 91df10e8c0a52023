#!/usr/bin/env bash
# Runs in the guest: the demo and labs, on Open vSwitch's kernel datapath and the VTEPs' eBPF data
# path. All of these tests must run here, so a skipped test is a failure. A failed step does not end
# the run, because each boot is expensive; the steps that failed are listed at the end.
set -uo pipefail

no_skips="-p tests.support.no_skips"
failed=()

say() { printf 'vxlab-check: %s\n' "$*"; }

step() { # NAME COMMAND...
    local name=$1 began=$SECONDS
    shift
    if (set -e && "$@"); then
        say "step $name: passed in $((SECONDS - began)) s"
    else
        say "step $name: FAILED after $((SECONDS - began)) s"
        failed+=("$name")
    fi
}

# ovs-dpctl lists datapaths of the kernel only: a bridge port in its output is forwarded there.
switches_are_in_the_kernel() {
    vxlab exec --lab vmcheck s1 -- ovs-dpctl show >/tmp/ovs-datapath && cat /tmp/ovs-datapath &&
        grep -q 'system@ovs-system' /tmp/ovs-datapath && grep -q 's1-eth1' /tmp/ovs-datapath
}

vteps_run_on_ebpf() {
    vxlab ps --json >/tmp/labs.json && python3 - /tmp/labs.json <<'PYTHON'
import json, sys

labs = json.load(open(sys.argv[1]))
paths = {name: vtep["datapath"] for lab in labs for name, vtep in lab["forwarding"].items()}
print("data paths:", paths)
sys.exit(0 if set(paths.values()) == {"ebpf"} else "not every VTEP runs on eBPF")
PYTHON
}

step "openvswitch module" modprobe openvswitch
step doctor vxlab doctor
step "unit tests of the eBPF program" make unit ARGS="tests/unit/vtep/fastpath tests/unit/setup $no_skips"
step demo make demo
step "lab up" vxlab up three_vteps --name vmcheck -d
step "kernel Open vSwitch datapath" switches_are_in_the_kernel
step "eBPF data path" vteps_run_on_ebpf
step ping vxlab exec --lab vmcheck A -- ping -c 3 10.0.0.2
step "lab down" vxlab down vmcheck
step "fast path" make net ARGS="tests/net/test_fast_path.py $no_skips"
step "same outcome on both data paths" make net ARGS="tests/net/test_data_paths.py -k random $no_skips"
step labs make net ARGS="tests/net/test_three_vteps.py tests/net/test_two_tenants.py \
    tests/net/test_interop.py tests/net/test_side_by_side.py tests/net/test_demo.py $no_skips"

[ "${#failed[@]}" -eq 0 ] || { say "failed steps: $(printf '%s; ' "${failed[@]}")" && exit 1; }
say "all steps passed"
