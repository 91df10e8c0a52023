"""RFC 6040: explicit congestion notification. Each cell of its figure 4, and encapsulation."""

from __future__ import annotations

from collections.abc import Callable

from vxlab.conformance.catalogue import row
from vxlab.conformance.frames import frame, ip_frame, tagged
from vxlab.conformance.rows.segments import learn
from vxlab.conformance.setups import GREEN
from vxlab.conformance.testbed import TestBed
from vxlab.conformance.verdict import Finding, allowed, conforms

_NAMES = {0: "Not-ECT", 2: "ECT(0)", 1: "ECT(1)", 3: "CE"}
_NOT_ECT, _ECT1, _ECT0, _CE = 0, 1, 2, 3
_DROP = None
_INNER_DSCP, _OUTER_DSCP = 0x28, 0xB8

_FIGURE_4: dict[int, dict[int, int | None]] = {  # inner -> outer -> what is delivered
    _NOT_ECT: {_NOT_ECT: _NOT_ECT, _ECT0: _NOT_ECT, _ECT1: _NOT_ECT, _CE: _DROP},
    _ECT0: {_NOT_ECT: _ECT0, _ECT0: _ECT0, _ECT1: _ECT1, _CE: _CE},
    _ECT1: {_NOT_ECT: _ECT1, _ECT0: _ECT1, _ECT1: _ECT1, _CE: _CE},
    _CE: {_NOT_ECT: _CE, _ECT0: _CE, _ECT1: _CE, _CE: _CE},
}


def _cell(inner: int, outer: int) -> Callable[[TestBed], Finding | None]:
    def judge(bed: TestBed) -> Finding | None:
        return _decapsulated(bed, inner, outer)

    return judge


def _decapsulated(bed: TestBed, inner: int, outer: int) -> Finding | None:
    result = _FIGURE_4[inner][outer]
    text = ""
    for ipv6 in (False, True):
        there, here = bed.packets.remote_mac(), bed.packets.vm_mac()
        made = ip_frame(there, here, tos=_INNER_DSCP | inner, ipv6=ipv6)
        seen = bed.traffic.from_remote(bed.packets.vxlan(made, tos=_OUTER_DSCP | outer), count=True)
        version = "IPv6" if ipv6 else "IPv4"
        if result is _DROP:
            seen.claim(
                not seen.port, f"inner {version}: delivered, and the congestion mark was lost"
            )
            text = f"dropped ({seen.counted or 'not counted'})"
            continue
        expected = ip_frame(there, here, tos=_INNER_DSCP | result, ipv6=ipv6)
        found = [each[18:] for each in seen.port]
        became = f"{_tos_of(found[0], ipv6):#04x}" if found else "nothing"
        seen.claim(
            seen.port == [tagged(expected, GREEN.vlan)],
            f"inner {version} with TOS {_INNER_DSCP | inner:#04x} became {became}, "
            f"not {_INNER_DSCP | result:#04x}, or its checksum is wrong",
        )
    return conforms(text)


def _tos_of(packet: bytes, ipv6: bool) -> int:
    return int.from_bytes(packet[:2], "big") >> 4 & 0xFF if ipv6 else packet[1]


def _register_cells() -> None:
    order = (_NOT_ECT, _ECT0, _ECT1, _CE)
    cells = [(inner, outer) for inner in order for outer in order]
    for number, (inner, outer) in enumerate(cells, start=1):
        result = _FIGURE_4[inner][outer]
        becomes = "dropped" if result is _DROP else _NAMES[result]
        words = f"Decapsulation: inner {_NAMES[inner]}, outer {_NAMES[outer]}: {becomes}"
        row(f"E{number}", "RFC 6040 4.2", "MUST", words)(_cell(inner, outer))


_register_cells()


def _encapsulated(inner: int) -> Callable[[TestBed], Finding | None]:
    def judge(bed: TestBed) -> Finding | None:
        found = set()
        for ipv6 in (False, True):
            here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
            learn(bed, there)
            seen = bed.traffic.from_vm(ip_frame(here, there, tos=_INNER_DSCP | inner, ipv6=ipv6))
            outer = {packet.tos & 3 for packet in seen.tunnel}
            right = {frozenset((inner,))} | ({frozenset((_ECT0,))} if inner == _CE else set())
            names = " ".join(_NAMES[each] for each in outer) or "nothing"
            seen.claim(frozenset(outer) in right, f"outer {names} for inner {_NAMES[inner]}")
            found |= outer
        if inner == _CE and found == {_ECT0}:
            return allowed("reset to ECT(0), as in RFC 3168")
        return None

    return judge


def _register_encapsulation() -> None:
    for number, inner in enumerate((_NOT_ECT, _ECT0, _ECT1, _CE), start=17):
        words = f"Encapsulation: inner {_NAMES[inner]} is copied to the outer header"
        row(f"E{number}", "RFC 6040 4.1", "MUST", words)(_encapsulated(inner))


_register_encapsulation()


@row(
    "E21", "RFC 6040", "plain", "Inner frames that are not IP are not changed, in either direction"
)
def not_ip_is_left_alone(bed: TestBed) -> Finding | None:
    here, there = bed.packets.vm_mac(), bed.packets.remote_mac()
    learn(bed, there)
    seen = bed.traffic.from_vm(frame(here, there, b"\xff" * 46))
    outer = {packet.tos & 3 for packet in seen.tunnel}
    seen.claim(outer == {_NOT_ECT}, f"outer ECN {outer} for a frame that is not IP")
    made = frame(there, here, b"\xff" * 46)
    seen = bed.traffic.from_remote(bed.packets.vxlan(made, tos=_CE))
    seen.claim(seen.port in ([], [tagged(made, GREEN.vlan)]), "a frame that is not IP was changed")
    return conforms("outer CE: delivered" if seen.port else "outer CE: dropped")
