"""The only place where a frame's fate is decided.

Rules of this file:
- bytes and `now` go in, effects come out: no sockets, no clock, no threads;
- no bytes, however broken, raise here; exceptions are for the operator's mistakes and for bugs;
- input is distrusted in a ladder of early returns, one check, one DropReason;
- a frame from a port goes to a port or into a tunnel; a frame from a tunnel never goes into one
  again, so two VTEPs cannot loop it (split horizon);
- learning comes before delivery, and from received frames only (RFC 7348 section 4.1);
- every decision is one event, told to the observer if there is one; that a frame was sent or
  handed over is told when its edge has done it (`done`, `failed`): each frame has one fate.
What this file must not know: how a frame is read or sent, who asks for a table, what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from vtep import arp_suppression, ecn, events
from vtep.constants import DEFAULT_TTL, LARGEST_PACKET, VXLAN_HEADER_LENGTH
from vtep.drops import FLOOD, UNICAST, Counters, DropReason, count
from vtep.effects import Effect, JoinGroup, LeaveGroup, PortId, ToPort, ToUnderlay
from vtep.ethernet import (
    HEADER_LENGTH,
    flood_reason,
    flow_hash,
    is_learnable,
    is_tagged,
    network_offset,
    tag,
    without_tags,
)
from vtep.events import Event
from vtep.fdb import Fdb, Outcome, Row, Wheel
from vtep.options import Options
from vtep.segments import Mirror, Segment, Segments, SegmentSpec
from vtep.toobig import too_big
from vtep.wire import (
    check_header,
    encapsulate,
    has_reserved_bits,
    outer_header,
    overhead,
    source_port,
)

Observer = Callable[[Event], None]

_NOTHING: tuple[Effect, ...] = ()
_HEADERS_KEPT = 4096  # a segment; forged senders must not make the cache grow


class Core:
    """One VTEP: its segments, and what becomes of each frame."""

    def __init__(self, options: Options, mirror: Mirror | None = None) -> None:
        """mirror: a faster data path's copy of the tables, if there is one."""
        self.options = options
        self.segments = Segments(mirror)
        self.unassigned_counters = Counters()  # of what can be given to no segment
        self.observer: Observer | None = None
        self._wheel = Wheel(options.ageing_s, mirror)
        self._overhead = overhead(options.local)
        self._largest_frame = min(options.mtu, LARGEST_PACKET) - self._overhead

    # -- set-up, by the operator

    def add_segment(self, carried: SegmentSpec, now: float) -> list[Effect]:
        """Carry a VNI; SegmentTaken if it, or the VLAN of the port, is in use."""
        others = tuple(remote for remote in carried.remotes if remote != self.options.local)
        table = Fdb(carried.vni, self._wheel, self.options.limit)
        segment = Segment(replace(carried, remotes=others), table)
        first = self.segments.add(segment)
        if segment.group is None:
            return []
        self._tell(now, events.JOINED, "vni_added", vni=segment.vni, group=segment.group)
        return [JoinGroup(segment.group)] if first else []

    def remove_segment(self, vni: int, now: float, why: str = "vni_removed") -> list[Effect]:
        """Carry a VNI no more; KeyError if it is not carried."""
        segment, last = self.segments.remove(vni)
        if segment.group is None:
            return []
        self._tell(now, events.LEFT, why, vni=vni, group=segment.group)
        return [LeaveGroup(segment.group)] if last else []

    def set_static(self, vni: int, mac: bytes, remote: str, now: float, add: bool = False) -> None:
        """A row that stands until taken back; KeyError if the VNI is not carried.

        add: one remote more for the MAC; each flow keeps to one of them.
        """
        self.segments.by_vni[vni].fdb.set_static(mac, remote, now, add)

    def flush(self, vni: int | None, mac: bytes | None, now: float) -> int:
        """Forget learned rows, of one VNI or all, of one MAC or all; returns how many."""
        chosen = self.segments.by_vni.values() if vni is None else [self.segments.by_vni[vni]]
        gone = [(segment, row) for segment in chosen for row in segment.fdb.flush(mac)]
        for segment, (mac_, row) in gone:
            self._tell(
                now, events.FLUSHED, "operator", vni=segment.vni, mac=mac_, remote=row.remote
            )
        return len(gone)

    # -- from the VM side

    def frame_from_port(
        self, port: PortId, vlan: int | None, frame: bytes, now: float
    ) -> Iterable[Effect]:
        """A frame came in at a port; `vlan` is the tag it bore, which is no more in `frame`."""
        if len(frame) < HEADER_LENGTH:
            return self._drop(None, DropReason.RUNT_FRAME, now, frame)
        segment = self.segments.of_frame(port, vlan)
        if segment is None:
            return self._drop(None, DropReason.UNKNOWN_VLAN, now, frame, vlan=vlan)
        if not segment.carry_tags:
            frame = without_tags(frame)  # section 6.1: an inner tag is stripped
            if len(frame) < HEADER_LENGTH:
                return self._drop(segment, DropReason.RUNT_FRAME, now, frame)
        elif vlan is not None and segment.vlan is None:
            frame = frame[:12] + tag(vlan) + frame[12:]  # the VM's own tag, of an access port
        if not self._learn(segment, frame[6:12], None, port, now):
            return self._drop(segment, DropReason.STATIC_CONFLICT, now, frame)
        if segment.suppress_arp and (answered := self._answer(segment, frame, now)):
            return answered
        row = segment.fdb.lookup(frame[:6])
        if row is None:
            return self._flood(segment, frame, now)
        if row.remote is None:
            # A segment has one port: the virtual switch flooded what it does not know yet.
            return self._drop(segment, DropReason.LOCAL_DESTINATION, now, frame)
        return self._send(segment, row, frame, now)

    def _answer(self, segment: Segment, frame: bytes, now: float) -> Iterable[Effect]:
        """Resolve an address for a VM if it is known to be remote; nothing if it is not."""
        segment.neighbours.learn(frame)
        mac = segment.neighbours.lookup_target(frame)
        row = None if mac is None else segment.fdb.lookup(mac)
        if mac is None or row is None or row.remote is None:
            return _NOTHING
        self._tell(now, events.ANSWERED, "arp_suppressed", vni=segment.vni, vlan=segment.vlan,
                   mac=mac, remote=row.remote, frame=frame)  # fmt: skip
        answer = arp_suppression.reply(frame, mac)
        return (_local_reply(segment, answer),)

    def _send(self, segment: Segment, row: Row, frame: bytes, now: float) -> Iterable[Effect]:
        assert row.remote is not None
        if len(frame) > self._largest_frame:
            return self._refuse_too_big(segment, frame, now)
        remote = row.remote
        if row.static:
            remotes = segment.fdb.static_remotes[frame[:6]]
            remote = remotes[flow_hash(frame) % len(remotes)]
        count(segment.counters.encapsulated, UNICAST, len(frame))
        packet, sport = self._encapsulate(segment, remote, frame)
        told = None
        if self.observer is not None:
            why = "static" if row.static else "known_unicast"
            told = Event(now, events.SENT, why, segment.vni, segment.vlan, remote=remote,
                         sport=sport, frame=frame)  # fmt: skip
        return (ToUnderlay(remote, packet, segment.vni, False, told),)

    def _flood(self, segment: Segment, frame: bytes, now: float) -> Iterable[Effect]:
        """Broadcast, multicast, unknown unicast: one packet to the group (section 4.2).

        Without a group, one to each remote of the segment (head-end replication).
        """
        if len(frame) > self._largest_frame:
            return self._refuse_too_big(segment, frame, now)
        effects = []
        told = self._flood_event(segment, frame, now) if self.observer is not None else None
        for to in segment.flood_to:
            count(segment.counters.encapsulated, FLOOD, len(frame))
            packet, _ = self._encapsulate(segment, to, frame)
            effects.append(ToUnderlay(to, packet, segment.vni, True, told))
            told = None  # one frame, one event
        return effects

    def _flood_event(self, segment: Segment, frame: bytes, now: float) -> Event:
        why = flood_reason(frame)
        remotes = None if segment.group else " ".join(segment.flood_to)
        sport = source_port(flow_hash(frame), *self.options.source_ports)
        return Event(now, events.FLOODED, why, segment.vni, segment.vlan, remote=remotes,
                     group=segment.group, sport=sport, frame=frame)  # fmt: skip

    def _encapsulate(
        self, segment: Segment, destination: str, frame: bytes
    ) -> tuple[bytearray, int]:
        """The packet that carries a frame to a destination, and its source port."""
        options = self.options
        header = segment.headers.get(destination)
        if header is None:
            if len(segment.headers) >= _HEADERS_KEPT:
                segment.headers.clear()
            ttl = options.ttl or DEFAULT_TTL
            header = segment.headers[destination] = outer_header(
                options.local, destination, segment.vni, ttl, options.port, options.df
            )
        sport = source_port(flow_hash(frame), *options.source_ports)
        octet = ecn.outer_class(ecn.traffic_class(frame), options.dscp)
        inherited = ecn.hop_limit(frame) if options.ttl is None else None
        return encapsulate(header, frame, sport, options.udp_checksum, octet, inherited), sport

    def _refuse_too_big(self, segment: Segment, frame: bytes, now: float) -> Iterable[Effect]:
        """A VTEP never fragments (section 4.3): the frame is dropped, and its sender told why."""
        self._drop(segment, DropReason.TOO_BIG, now, frame)
        if not self.options.icmp_too_big:
            return _NOTHING
        answer = too_big(frame, self.options.mtu - self._overhead - network_offset(frame))
        if answer is None:
            return _NOTHING
        return (_local_reply(segment, answer),)

    # -- from the tunnel side

    def datagram_from_underlay(
        self,
        sender: str,
        sport: int,
        to_group: bool,
        datagram: bytes,
        now: float,
        traffic_class: int = 0,
    ) -> Iterable[Effect]:
        """A UDP datagram came in at the VXLAN port, from a VTEP's address, to a group or to us.

        traffic_class: the octet of the outer header that bears its ECN field.
        """
        vni = check_header(datagram, self.options.strict)
        if isinstance(vni, DropReason):
            return self._drop(None, vni, now, None, remote=sender, sport=sport)
        frame = datagram[VXLAN_HEADER_LENGTH:]
        segment = self.segments.by_vni.get(vni)
        if segment is not None and has_reserved_bits(datagram):
            segment.counters.reserved_bits_ignored += 1
        reason = self._distrust(sender, segment, frame)
        if reason is not None:
            return self._drop(segment, reason, now, frame, remote=sender, sport=sport, vni=vni)
        assert segment is not None
        marked = ecn.decapsulated(frame, traffic_class)
        if marked is None:
            return self._drop(
                segment, DropReason.ECN_NOT_ECT, now, frame, remote=sender, sport=sport
            )
        frame = marked
        if not self._learn(segment, frame[6:12], sender, None, now):
            return self._drop(
                segment, DropReason.STATIC_CONFLICT, now, frame, remote=sender, sport=sport
            )
        if segment.suppress_arp:
            segment.neighbours.learn(frame)
        count(segment.counters.decapsulated, FLOOD if to_group else UNICAST, len(frame))
        told = None
        if self.observer is not None:
            why = "flood" if to_group else "unicast"
            told = Event(now, events.DELIVERED, why, vni, segment.vlan, remote=sender, sport=sport,
                         frame=frame)  # fmt: skip
        return (ToPort(segment.port, segment.vlan, frame, vni, to_group, told),)

    def _distrust(self, sender: str, segment: Segment | None, frame: bytes) -> DropReason | None:
        """Why a decapsulated frame must not go on, if it must not."""
        if sender == self.options.local:
            return DropReason.OWN_ADDRESS  # our own flood, come back
        if self.options.trusted and sender not in self.options.trusted:
            return DropReason.UNTRUSTED_REMOTE  # section 7
        if segment is None:
            return DropReason.UNKNOWN_VNI  # section 4.1: the VNI must be valid here
        if len(frame) < HEADER_LENGTH:
            return DropReason.SHORT_INNER
        if is_tagged(frame) and not segment.carry_tags:
            return DropReason.INNER_TAG  # section 6.1
        return None

    # -- learning and ageing

    def _learn(
        self, segment: Segment, mac: bytes, remote: str | None, port: PortId | None, now: float
    ) -> bool:
        """Note where a source MAC is; False if a static row contradicts it."""
        if not is_learnable(mac):
            return True
        was_local = False
        if self.observer is not None:
            row = segment.fdb.lookup(mac)
            was_local = row is not None and row.remote is None
        outcome = segment.fdb.learn(mac, remote, port, now)
        if outcome is Outcome.CONFLICT:
            return False
        if outcome is Outcome.MOVED:
            segment.counters.moves += 1
        if self.observer is not None and outcome in (Outcome.LEARNED, Outcome.MOVED):
            self._tell_place(segment, mac, remote, outcome, was_local, now)
        if outcome is Outcome.FULL:
            segment.counters.not_learned += 1
        return True

    def _tell_place(
        self, segment: Segment, mac: bytes, remote: str | None, outcome: Outcome, was_local: bool,
        now: float,
    ) -> None:  # fmt: skip
        here = "local" if remote is None else "remote"
        if outcome is Outcome.LEARNED:
            self._tell(now, events.LEARNED, here, vni=segment.vni, mac=mac, remote=remote)
        else:
            before = "local" if was_local else "remote"
            why = f"{before}_to_{here}"
            self._tell(now, events.MOVED, why, vni=segment.vni, mac=mac, remote=remote)

    def expire(self, now: float) -> None:
        """Let go of the rows that are due; `next_deadline` says when to call again."""
        for fdb, mac, row in self._wheel.expire(now):
            self._tell(now, events.AGED, "idle", vni=fdb.vni, mac=mac, remote=row.remote)

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next, in seconds of `now`; None for never."""
        return self._wheel.next_due_s()

    def watch(self, observer: Observer | None) -> None:
        """Tell every decision to someone, or to nobody any more.

        A faster data path stands still meanwhile: it would forward without a word.
        """
        self.observer = observer
        self.segments.pause(observer is not None)

    # -- what the edges report back

    def done(self, effect: ToPort | ToUnderlay) -> None:
        """An edge has carried out an effect."""
        if effect.told is not None and self.observer is not None:
            self.observer(effect.told)

    def failed(self, effect: ToPort | ToUnderlay, reason: DropReason, now: float) -> None:
        """An edge could not carry out an effect: the frame was dropped after all."""
        segment = self.segments.by_vni.get(effect.vni)
        if segment is not None:
            counters, kind = segment.counters, FLOOD if effect.flood else UNICAST
            if isinstance(effect, ToPort):
                if effect.counted:
                    count(counters.decapsulated, kind, len(effect.frame), -1)
            else:
                count(counters.encapsulated, kind, len(effect.packet) - self._overhead, -1)
        (segment.counters if segment else self.unassigned_counters).drops[reason] += 1
        if effect.told is not None and self.observer is not None:
            self.observer(replace(effect.told, now=now, decision=events.DROPPED, why=reason.label))

    def lost(self, vni: int | None, reason: DropReason, now: float, times: int = 1) -> None:
        """An edge lost what it should have read."""
        segment = self.segments.by_vni.get(vni) if vni is not None else None
        counters = segment.counters if segment else self.unassigned_counters
        counters.drops[reason] += times
        self._tell(now, events.DROPPED, reason.label, vni=vni)

    def _drop(
        self,
        segment: Segment | None,
        reason: DropReason,
        now: float,
        frame: bytes | None,
        vlan: int | None = None,
        remote: str | None = None,
        sport: int | None = None,
        vni: int | None = None,
    ) -> Iterable[Effect]:
        """Count and tell; the only way out of the ladders without an effect."""
        counters = segment.counters if segment else self.unassigned_counters
        counters.drops[reason] += 1
        if self.observer is not None:
            vni, vlan = (segment.vni, segment.vlan) if segment else (vni, vlan)
            self._tell(now, events.DROPPED, reason.label, vni=vni, vlan=vlan, remote=remote,
                       sport=sport, frame=frame)  # fmt: skip
        return _NOTHING

    def _tell(self, now: float, decision: str, why: str, **details: object) -> None:
        if self.observer is not None:
            self.observer(Event(now, decision, why, **details))  # type: ignore[arg-type]


def _local_reply(segment: Segment, frame: bytes) -> ToPort:
    """What the VTEP itself says to a VM: it came out of no tunnel, and is not counted there."""
    return ToPort(segment.port, segment.vlan, frame, segment.vni, False, None, counted=False)
