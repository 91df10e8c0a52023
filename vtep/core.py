"""The forwarding decisions, all of them: where each frame goes, or why it is dropped.

Rules of this file:
- bytes and `now` go in; effects and events come out. No sockets, no clock, no threads.
- No input bytes, however malformed, raise an exception. Exceptions are for wrong commands of the
  operator and for bugs.
- Input is checked step by step; each check that fails returns early with one DropReason.
- A frame from a port goes to a port or into a tunnel. A frame from a tunnel never goes into a
  tunnel, so that two VTEPs cannot loop it (split horizon).
- A source MAC is learned before its frame is forwarded, and only from received frames (RFC 7348
  section 4.1).
- Each decision is one event. Events are made only while `watched` is true, because most of the time
  nobody reads them. The agent reports them; `failed` corrects the counters if an effect fails.
This file does not know how frames are read or sent, who asks for a table, or what time it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vtep import arp_suppression, ecn, events
from vtep.constants import DEFAULT_TTL, LARGEST_PACKET, VXLAN_HEADER_LENGTH
from vtep.drops import FLOOD, UNICAST, Counters, DropReason, count
from vtep.effects import Decision, Effect, JoinGroup, LeaveGroup, PortId, ToPort, ToUnderlay
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

_NO_EVENTS: Sequence[Event] = ()
_NOTHING: Decision = ((), _NO_EVENTS)
_HEADERS_KEPT = 4096  # per segment; packets with forged senders must not make the cache grow


class Core:
    """One VTEP: its segments, and the decision about each frame."""

    def __init__(self, options: Options, mirror: Mirror | None = None) -> None:
        """mirror: the eBPF data path's copy of the tables, if that data path runs."""
        self.options = options
        self.segments = Segments(mirror)
        self.unassigned_counters = Counters()  # of frames that belong to no segment
        self.watched = False  # whether events are made
        self._events: list[Event] = []  # of the call in progress
        self._wheel = Wheel(options.ageing_s, mirror)
        self._overhead = overhead(options.local)
        self._largest_frame = min(options.mtu, LARGEST_PACKET) - self._overhead

    # -- configuration, by the operator

    def add_segment(self, spec: SegmentSpec, now: float) -> Decision:
        """Add a VNI; SegmentTaken if it, or its VLAN of the port, is in use."""
        others = tuple(remote for remote in spec.remotes if remote != self.options.local)
        table = Fdb(spec.vni, self._wheel, self.options.limit)
        segment = Segment(replace(spec, remotes=others), table)
        first = self.segments.add(segment)
        if segment.group is None:
            return _NOTHING
        self._record(now, events.JOINED, "vni_added", vni=segment.vni, group=segment.group)
        effects: tuple[Effect, ...] = (JoinGroup(segment.group),) if first else ()
        return effects, self._recorded()

    def remove_segment(self, vni: int, now: float, why: str = "vni_removed") -> Decision:
        """Remove a VNI; KeyError if there is no such segment."""
        segment, last = self.segments.remove(vni)
        if segment.group is None:
            return _NOTHING
        self._record(now, events.LEFT, why, vni=vni, group=segment.group)
        effects: tuple[Effect, ...] = (LeaveGroup(segment.group),) if last else ()
        return effects, self._recorded()

    def set_static(self, vni: int, mac: bytes, remote: str, now: float, add: bool = False) -> None:
        """Add a static row; KeyError if the VNI is unknown.

        add: keep the MAC's other static remotes. Each flow then uses one of them.
        """
        self.segments.by_vni[vni].fdb.set_static(mac, remote, now, add)

    def flush(self, vni: int | None, mac: bytes | None, now: float) -> tuple[int, Sequence[Event]]:
        """Remove learned rows of one VNI or all, of one MAC or all; return how many, and events."""
        chosen = self.segments.by_vni.values() if vni is None else [self.segments.by_vni[vni]]
        gone = [(segment, row) for segment in chosen for row in segment.fdb.flush(mac)]
        for segment, (mac_, row) in gone:
            self._record(
                now, events.FLUSHED, "operator", vni=segment.vni, mac=mac_, remote=row.remote
            )
        return len(gone), self._recorded()

    # -- from the VM side

    def frame_from_port(self, port: PortId, vlan: int | None, frame: bytes, now: float) -> Decision:
        """A frame was received at a port. Its 802.1Q tag is in `vlan` and no longer in `frame`."""
        if len(frame) < HEADER_LENGTH:
            return self._drop(None, DropReason.RUNT_FRAME, now, frame)
        segment = self.segments.of_frame(port, vlan)
        if segment is None:
            return self._drop(None, DropReason.UNKNOWN_VLAN, now, frame, vlan=vlan)
        if not segment.carry_tags:
            frame = without_tags(frame)  # section 6.1: strip inner tags
            if len(frame) < HEADER_LENGTH:
                return self._drop(segment, DropReason.RUNT_FRAME, now, frame)
        elif vlan is not None and segment.vlan is None:
            frame = frame[:12] + tag(vlan) + frame[12:]  # access port: the tag is the VM's own
        if not self._learn(segment, frame[6:12], None, port, now):
            return self._drop(segment, DropReason.STATIC_CONFLICT, now, frame)
        if segment.suppress_arp and (answered := self._answer(segment, frame, now)):
            return answered
        row = segment.fdb.lookup(frame[:6])
        if row is None:
            return self._flood(segment, frame, now)
        if row.remote is None:
            # The virtual switch has flooded a frame whose destination it has not learned yet. A
            # segment has one port, so the destination has received the frame already.
            return self._drop(segment, DropReason.LOCAL_DESTINATION, now, frame)
        return self._send(segment, row, frame, now)

    def _answer(self, segment: Segment, frame: bytes, now: float) -> Decision | None:
        """Reply to an address request for a VM that is behind a remote; None for other frames."""
        segment.neighbours.learn(frame)
        mac = segment.neighbours.lookup_target(frame)
        row = None if mac is None else segment.fdb.lookup(mac)
        if mac is None or row is None or row.remote is None:
            return None
        self._record(now, events.ANSWERED, "arp_suppressed", vni=segment.vni, vlan=segment.vlan,
                     mac=mac, remote=row.remote, frame=frame)  # fmt: skip
        reply = _local_reply(segment, arp_suppression.reply(frame, mac))
        return (reply,), self._recorded()

    def _send(self, segment: Segment, row: Row, frame: bytes, now: float) -> Decision:
        """Known unicast: one packet to the row's remote."""
        assert row.remote is not None
        if len(frame) > self._largest_frame:
            return self._refuse_too_big(segment, frame, now)
        remote = row.remote
        if row.static:
            remotes = segment.fdb.static_remotes[frame[:6]]
            remote = remotes[flow_hash(frame) % len(remotes)]
        count(segment.counters.encapsulated, UNICAST, len(frame))
        packet, sport = self._encapsulate(segment, remote, frame)
        effects = (ToUnderlay(remote, packet, segment.vni, False),)
        if not self.watched:
            return effects, _NO_EVENTS
        why = "static" if row.static else "known_unicast"
        self._record(now, events.SENT, why, vni=segment.vni, vlan=segment.vlan, remote=remote,
                     sport=sport, frame=frame)  # fmt: skip
        return effects, self._recorded()

    def _flood(self, segment: Segment, frame: bytes, now: float) -> Decision:
        """Broadcast, multicast, unknown unicast: one packet to the group (section 4.2).

        A segment without a group floods one packet to each of its remotes (head-end replication).
        """
        if len(frame) > self._largest_frame:
            return self._refuse_too_big(segment, frame, now)
        effects = []
        for to in segment.flood_to:
            count(segment.counters.encapsulated, FLOOD, len(frame))
            packet, _ = self._encapsulate(segment, to, frame)
            effects.append(ToUnderlay(to, packet, segment.vni, True))
        if not self.watched:
            return effects, _NO_EVENTS
        remotes = None if segment.group else " ".join(segment.flood_to) or None
        sport = source_port(flow_hash(frame), *self.options.source_ports)
        self._record(now, events.FLOODED, flood_reason(frame), vni=segment.vni, vlan=segment.vlan,
                     remote=remotes, group=segment.group, sport=sport, frame=frame)  # fmt: skip
        return effects, self._recorded()

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

    def _refuse_too_big(self, segment: Segment, frame: bytes, now: float) -> Decision:
        """Drop a frame, because a VTEP never fragments (section 4.3); tell its sender the MTU."""
        dropped = self._drop(segment, DropReason.TOO_BIG, now, frame)
        if not self.options.icmp_too_big:
            return dropped
        message = too_big(frame, self.options.mtu - self._overhead - network_offset(frame))
        if message is None:
            return dropped
        return (_local_reply(segment, message),), dropped[1]

    # -- from the tunnel side

    def datagram_from_underlay(
        self,
        sender: str,
        sport: int,
        to_group: bool,
        datagram: bytes,
        now: float,
        traffic_class: int = 0,
    ) -> Decision:
        """A UDP datagram was received at the VXLAN port, addressed to a group or to this VTEP.

        sender: the outer source address. traffic_class: the octet of the outer header that has the
        ECN field.
        """
        vni = check_header(datagram, self.options.strict)
        if isinstance(vni, DropReason):
            return self._drop(None, vni, now, None, remote=sender, sport=sport)
        frame = datagram[VXLAN_HEADER_LENGTH:]
        segment = self.segments.by_vni.get(vni)
        if segment is not None and has_reserved_bits(datagram):
            segment.counters.reserved_bits_ignored += 1
        reason = self._rejection(sender, segment, frame)
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
        effects = (ToPort(segment.port, segment.vlan, frame, vni, to_group),)
        if not self.watched:
            return effects, _NO_EVENTS
        self._record(now, events.DELIVERED, "flood" if to_group else "unicast", vni=vni,
                     vlan=segment.vlan, remote=sender, sport=sport, frame=frame)  # fmt: skip
        return effects, self._recorded()

    def _rejection(self, sender: str, segment: Segment | None, frame: bytes) -> DropReason | None:
        """Why a decapsulated frame must be dropped; None if it may be delivered."""
        if sender == self.options.local:
            return DropReason.OWN_ADDRESS  # this VTEP's own flood, looped back
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
        """Learn where a source MAC is; False if a static row contradicts it."""
        if not is_learnable(mac):
            return True
        was_local = False
        if self.watched:
            row = segment.fdb.lookup(mac)
            was_local = row is not None and row.remote is None
        outcome = segment.fdb.learn(mac, remote, port, now)
        if outcome is Outcome.REFRESHED:  # nearly always
            return True
        if outcome is Outcome.CONFLICT:
            return False
        if outcome is Outcome.MOVED:
            segment.counters.moves += 1
        if self.watched and outcome in (Outcome.LEARNED, Outcome.MOVED):
            self._record_location(segment, mac, remote, outcome, was_local, now)
        if outcome is Outcome.FULL:
            segment.counters.not_learned += 1
        return True

    def _record_location(
        self, segment: Segment, mac: bytes, remote: str | None, outcome: Outcome, was_local: bool,
        now: float,
    ) -> None:  # fmt: skip
        here = "local" if remote is None else "remote"
        if outcome is Outcome.LEARNED:
            self._record(now, events.LEARNED, here, vni=segment.vni, mac=mac, remote=remote)
        else:
            before = "local" if was_local else "remote"
            why = f"{before}_to_{here}"
            self._record(now, events.MOVED, why, vni=segment.vni, mac=mac, remote=remote)

    def expire(self, now: float) -> Sequence[Event]:
        """Remove the rows whose ageing time is over; `next_deadline` says when to call again."""
        for fdb, mac, row in self._wheel.expire(now):
            self._record(now, events.AGED, "idle", vni=fdb.vni, mac=mac, remote=row.remote)
        return self._recorded()

    def next_deadline(self) -> float | None:
        """When `expire` has to be called next, on the clock of `now`; None if not at all."""
        return self._wheel.next_due_s()

    def watch(self, watched: bool) -> None:
        """Make events from now on, or none any more.

        Meanwhile the eBPF data path is paused: it forwards without making events.
        """
        self.watched = watched
        self.segments.pause(watched)

    # -- what the edges report back

    def failed(self, effect: ToPort | ToUnderlay, reason: DropReason) -> None:
        """An effect could not be carried out: count the frame, or this copy of it, as dropped."""
        segment = self.segments.by_vni.get(effect.vni)
        if segment is not None:
            counters, kind = segment.counters, FLOOD if effect.flood else UNICAST
            if isinstance(effect, ToPort):
                if effect.counted:
                    count(counters.decapsulated, kind, len(effect.frame), -1)
            else:
                count(counters.encapsulated, kind, len(effect.packet) - self._overhead, -1)
        (segment.counters if segment else self.unassigned_counters).drops[reason] += 1

    def lost(
        self, vni: int | None, reason: DropReason, now: float, times: int = 1
    ) -> Sequence[Event]:
        """Frames or packets were lost before the agent could read them; count them."""
        segment = self.segments.by_vni.get(vni) if vni is not None else None
        (segment.counters if segment else self.unassigned_counters).drops[reason] += times
        self._record(now, events.DROPPED, reason.label, vni=vni)
        return self._recorded()

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
    ) -> Decision:
        """Count a drop; the result of every check that fails."""
        counters = segment.counters if segment else self.unassigned_counters
        counters.drops[reason] += 1
        if not self.watched:
            return _NOTHING
        vni, vlan = (segment.vni, segment.vlan) if segment else (vni, vlan)
        self._record(now, events.DROPPED, reason.label, vni=vni, vlan=vlan, remote=remote,
                     sport=sport, frame=frame)  # fmt: skip
        return (), self._recorded()

    # -- events

    def _record(self, now: float, decision: str, why: str, **details: object) -> None:
        if self.watched:
            self._events.append(Event(now, decision, why, **details))  # type: ignore[arg-type]

    def _recorded(self) -> Sequence[Event]:
        """The events of this call, in order."""
        if not self._events:
            return _NO_EVENTS
        recorded, self._events = self._events, []
        return recorded


def _local_reply(segment: Segment, frame: bytes) -> ToPort:
    """A frame that the VTEP itself sends to a VM; it came out of no tunnel and is not counted."""
    return ToPort(segment.port, segment.vlan, frame, segment.vni, False, counted=False)
