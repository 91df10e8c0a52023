"""Which configurations the eBPF data path can serve."""

from __future__ import annotations

import pytest

from vtep.config import parse
from vtep.fastpath.choice import hindrance

FILE = """
[underlay]
interface = "eth0"
local = "{local}"
{more}
[[port]]
interface = "trunk0"
"""


@pytest.mark.parametrize(
    ("local", "more"),
    [("192.0.2.11", ""), ("192.0.2.11", "udp_checksum = false"),
     ("2001:db8::11", "udp_checksum = false")],
)  # fmt: skip
def test_ebpf_can_serve_a_configuration_without_udp_checksums(local: str, more: str) -> None:
    assert hindrance(parse(FILE.format(local=local, more=more))) is None


@pytest.mark.parametrize(
    ("local", "more", "reason"),
    [("192.0.2.11", "udp_checksum = true", "udp_checksum is on"),
     ("2001:db8::11", "", "unless udp_checksum = false"),
     ("2001:db8::11", "udp_checksum = true", "unless udp_checksum = false")],
)  # fmt: skip
def test_udp_checksums_need_python(local: str, more: str, reason: str) -> None:
    assert reason in str(hindrance(parse(FILE.format(local=local, more=more))))
