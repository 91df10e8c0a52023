#!/usr/bin/env bash
# What the lab VM promises, checked inside of it: the scene, and labs on the kernel's datapath.
set -euo pipefail

modprobe openvswitch
make demo

# A lab's switches must be the kernel's: ovs-dpctl sees no others.
vxlab up three_vteps --name vmcheck -d
vxlab exec --lab vmcheck s1 -- ovs-dpctl show | tee /tmp/datapath
vxlab exec --lab vmcheck A -- ping -c 3 10.0.0.2
vxlab down vmcheck
grep -q 'system@ovs-system' /tmp/datapath
grep -q 's1-eth1' /tmp/datapath
echo "vxlab-check: the labs ran on the kernel's datapath"

make net ARGS="tests/net/test_three_vteps.py tests/net/test_two_tenants.py tests/net/test_interop.py \
    tests/net/test_side_by_side.py tests/net/test_demo.py tests/net/test_fast_path.py"
make net ARGS="tests/net/test_datapaths.py -k random"
