"""The controller as an application of Ryu or os-ken.

This module translates OpenFlow messages to calls of `Pipeline`, and its effects to messages. It
makes no decisions. The framework is selected when the module is imported (see `framework`).

One worker handles messages of the switches, requests of the control socket and the pipeline's
deadlines, in the order of their arrival. An exception in the worker ends the process: the switches
keep their flows and continue to forward, whereas a controller with inconsistent state could install
wrong flows.

A `datapath` here is the framework's object for one connection of a switch.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from . import framework, openflow, views
from .control import Commands
from .flows import DeleteFlow, Effect, Notice, SendFrame, SetFlow
from .pipeline import Pipeline
from .snooping import Settings
from .underlay import PortState

FRAMEWORK = framework.load(os.environ.get(framework.VARIABLE))
_app_manager = FRAMEWORK.module("base.app_manager")
_connections = FRAMEWORK.module("controller.controller")
_events = FRAMEWORK.module("controller.ofp_event")
_handler = FRAMEWORK.module("controller.handler")
_ofp_handler = FRAMEWORK.module("controller.ofp_handler")
_hub = FRAMEWORK.module("lib.hub")
_ofproto = FRAMEWORK.module("ofproto.ofproto_v1_3")
FRAMEWORK_VERSION = FRAMEWORK.version
_App: Any = getattr(_app_manager, FRAMEWORK.app_class)

LOG = logging.getLogger("controller")
_QUEUE_LENGTH = 4096  # tasks; when the queue is full, the connections of the switches wait

_Handler = TypeVar("_Handler", bound=Callable[..., None])


def _handles(event: Any, *states: str) -> Callable[[_Handler], _Handler]:
    """Register a method for an event of connected switches, and of those in further states."""
    mark: Callable[[_Handler], _Handler]
    mark = _handler.set_ev_cls(event, [_handler.MAIN_DISPATCHER, *states])
    return mark


class _Handshake:
    """A switch that has connected and has not yet reported all its ports and flows."""

    def __init__(self, datapath: Any) -> None:
        self.datapath = datapath
        self.ports: dict[int, PortState] = {}
        self.flows: list[Any] = []


class Controller(_App):
    """Connects the switches with the pipeline."""

    OFP_VERSIONS: ClassVar[list[int]] = [_ofproto.OFP_VERSION]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.pipeline = Pipeline(settings, time.monotonic())
        self._handshakes: dict[int, _Handshake] = {}
        self._datapaths: dict[int, Any] = {}
        self._ready: set[int] = set()
        self._tasks: Any = _hub.Queue(_QUEUE_LENGTH)

    # --- the worker

    def work(self) -> None:
        """Execute tasks and serve deadlines until the process ends."""
        while True:
            delay_s = self.pipeline.next_deadline() - time.monotonic()
            try:
                task, argument = self._tasks.get(timeout=max(delay_s, 0.001))
            except _hub.QueueEmpty:
                task, argument = self._serve_deadline, None
            task(argument)

    def commands(self) -> Commands:
        """The commands of the control socket; the worker answers each of them."""
        underlay = self.pipeline.underlay
        answers: Commands = {
            "ready": self._status,
            "groups": lambda: views.groups(underlay),
            "ports": lambda: views.ports(underlay),
            "hosts": lambda: views.hosts(underlay),
        }
        return {name: self._by_worker(answer) for name, answer in answers.items()}

    def _serve_deadline(self, _: None) -> None:
        self._execute(self.pipeline.expire(time.monotonic()))

    def _status(self) -> dict[str, Any]:
        return {
            "ready": True,
            "framework": FRAMEWORK.name,
            "framework_version": FRAMEWORK_VERSION,
            "switches": sorted(self._ready),
        }

    def _by_worker(self, answer: Callable[[], Any]) -> Callable[[], Any]:
        """A function that lets the worker compute the answer and waits for it."""

        def wait_for_answer() -> Any:
            reply: Any = _hub.Queue(1)
            self._tasks.put((lambda _: reply.put(answer()), None))
            return reply.get()

        return wait_for_answer

    # --- messages of the switches; these methods run in the framework's own threads

    @_handles(_events.EventOFPStateChange, _handler.DEAD_DISPATCHER)
    def _on_state_change(self, event: Any) -> None:
        is_connected = event.state == _handler.MAIN_DISPATCHER
        self._tasks.put((self._connected if is_connected else self._disconnected, event.datapath))

    @_handles(_events.EventOFPPortDescStatsReply)
    def _on_ports(self, event: Any) -> None:
        self._tasks.put((self._ports_reported, event.msg))

    @_handles(_events.EventOFPFlowStatsReply)
    def _on_flows(self, event: Any) -> None:
        self._tasks.put((self._flows_reported, event.msg))

    @_handles(_events.EventOFPBarrierReply)
    def _on_barrier_reply(self, event: Any) -> None:
        self._tasks.put((self._flows_installed, event.msg.datapath))

    @_handles(_events.EventOFPPacketIn)
    def _on_packet_in(self, event: Any) -> None:
        self._tasks.put((self._packet_in, event.msg))

    @_handles(_events.EventOFPPortStatus)
    def _on_port_status(self, event: Any) -> None:
        self._tasks.put((self._port_changed, event.msg))

    @_handles(_events.EventOFPFlowRemoved)
    def _on_flow_removed(self, event: Any) -> None:
        self._tasks.put((self._flow_removed, event.msg))

    @_handles(_events.EventOFPErrorMsg)
    def _on_error(self, event: Any) -> None:
        message = event.msg
        error = (message.datapath.id, message.type, message.code)
        LOG.error("switch %s rejected a message: OpenFlow error type %s code %s", *error)

    # --- tasks of the worker

    def _connected(self, datapath: Any) -> None:
        self._handshakes[datapath.id] = _Handshake(datapath)
        self._ready.discard(datapath.id)
        parser = datapath.ofproto_parser
        datapath.send_msg(parser.OFPPortDescStatsRequest(datapath))
        datapath.send_msg(parser.OFPFlowStatsRequest(datapath))

    def _disconnected(self, datapath: Any) -> None:
        handshake = self._handshakes.get(datapath.id)
        if handshake is not None and handshake.datapath is datapath:
            del self._handshakes[datapath.id]
        if self._is_current(datapath):
            del self._datapaths[datapath.id]
            self._ready.discard(datapath.id)
            self._execute(self.pipeline.switch_down(datapath.id))

    def _handshake_of(self, message: Any) -> _Handshake | None:
        handshake = self._handshakes.get(message.datapath.id)
        return handshake if handshake and handshake.datapath is message.datapath else None

    def _ports_reported(self, message: Any) -> None:
        handshake = self._handshake_of(message)
        if handshake is not None:
            for port in message.body:
                handshake.ports[port.port_no] = _port_state(message, port)

    def _flows_reported(self, message: Any) -> None:
        handshake = self._handshake_of(message)
        if handshake is None:
            return
        handshake.flows.extend(message.body)
        if message.flags & message.datapath.ofproto.OFPMPF_REPLY_MORE:
            return  # the switch sends its flows in several messages
        del self._handshakes[message.datapath.id]
        self._complete(handshake)

    def _complete(self, handshake: _Handshake) -> None:
        """Bring the flows of a switch up to date; the barrier reply confirms it."""
        datapath, ofproto = handshake.datapath, handshake.datapath.ofproto
        foreign = [flow for flow in handshake.flows if openflow.is_foreign(flow)]
        own = [
            openflow.flow_of(ofproto, flow)
            for flow in handshake.flows
            if not openflow.is_foreign(flow)
        ]
        self._datapaths[datapath.id] = datapath
        now = time.monotonic()
        self._execute(self.pipeline.switch_up(datapath.id, handshake.ports, own, now))
        for flow in foreign:
            datapath.send_msg(openflow.delete_foreign(datapath, flow))
        datapath.send_msg(datapath.ofproto_parser.OFPBarrierRequest(datapath))

    def _flows_installed(self, datapath: Any) -> None:
        if self._is_current(datapath):
            self._ready.add(datapath.id)
            LOG.info("switch %s is ready: its flows are installed", datapath.id)

    def _packet_in(self, message: Any) -> None:
        if self._is_current(message.datapath):
            number = message.match["in_port"]
            now = time.monotonic()
            frame = bytes(message.data)
            self._execute(self.pipeline.packet_in(message.datapath.id, number, frame, now))

    def _port_changed(self, message: Any) -> None:
        is_gone = message.reason == message.datapath.ofproto.OFPPR_DELETE
        state = None if is_gone else _port_state(message, message.desc)
        handshake = self._handshake_of(message)
        if handshake is not None and state is not None:
            handshake.ports[message.desc.port_no] = state
        elif handshake is not None:
            handshake.ports.pop(message.desc.port_no, None)
        elif self._is_current(message.datapath):
            dpid, number, now = message.datapath.id, message.desc.port_no, time.monotonic()
            self._execute(self.pipeline.port_changed(dpid, number, state, now))

    def _flow_removed(self, message: Any) -> None:
        ofproto = message.datapath.ofproto
        if self._is_current(message.datapath) and message.reason == ofproto.OFPRR_IDLE_TIMEOUT:
            flow = openflow.flow_of(ofproto, message)
            self._execute(self.pipeline.flow_removed(message.datapath.id, flow))

    def _is_current(self, datapath: Any) -> bool:
        """False for a connection that was replaced, or whose handshake is not complete.

        A switch that reconnects can have a new connection before the end of the old one is seen.
        """
        return self._datapaths.get(datapath.id) is datapath

    def _execute(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, (SetFlow, DeleteFlow, SendFrame)):
                datapath = self._datapaths[effect.dpid]
                datapath.send_msg(openflow.message(datapath, effect))
            elif isinstance(effect, Notice):
                LOG.info("%s", effect.text)


def _port_state(message: Any, description: Any) -> PortState:
    ofproto = message.datapath.ofproto
    is_down = description.state & ofproto.OFPPS_LINK_DOWN
    is_down |= description.config & ofproto.OFPPC_PORT_DOWN
    return PortState(description.name.decode(errors="replace"), not is_down)


def start(host: str, port: int, settings: Settings, fail: Callable[[], None]) -> Controller:
    """Listen for switches and start the worker; OSError if the address cannot be bound.

    `fail` is called after an exception has ended the worker and was logged.
    """
    _app_manager.cfg.CONF([], project="vxlab", default_config_files=[])
    manager = _app_manager.AppManager.get_instance()
    manager.instantiate(_ofp_handler.OFPHandler)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    app: Controller = manager.instantiate(Controller, settings)
    app.start()
    for job in (app.work, lambda: _accept(listener)):
        threading.Thread(target=_run, args=(job, fail), daemon=True).start()
    return app


def _run(job: Callable[[], None], fail: Callable[[], None]) -> None:
    """Run a job that never returns; an exception in it is logged and ends the process."""
    try:
        job()
    except Exception:
        LOG.exception("the controller stops because of an internal error")
        fail()


def _accept(listener: socket.socket) -> None:
    """Accept connections of switches.

    The framework's own server sets SO_REUSEPORT, so that a second controller on the same port would
    start and receive some of the connections.
    """
    while True:
        connection, address = listener.accept()
        _hub.spawn(_connections.datapath_connection_factory, connection, address)
