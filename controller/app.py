"""The controller as an app of Ryu, or of os-ken: the only file that touches a framework.

Which one is told by VXLAB_CONTROLLER_FRAMEWORK (`ryu` or `os-ken`) when this file is imported.
Here messages become calls of `Pipeline` and its effects become messages; nothing is decided.
One worker does all of it, in the order in which things come: messages of switches, questions of the
control socket, and the pipeline's deadline. An exception there ends the process: a controller
that went on with a broken state would be worse than none, since the switches keep their flows.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from . import openflow, views
from .control import Commands
from .flows import DeleteFlow, Effect, Notice, SendFrame, SetFlow
from .pipeline import Pipeline, Port
from .snooping import Settings

FRAMEWORK = os.environ.get("VXLAB_CONTROLLER_FRAMEWORK") or "ryu"
PACKAGES = {"ryu": "ryu", "os-ken": "os_ken"}


def _prepare() -> str:
    """Make the framework importable, green threads in place; answers its package's name."""
    package = PACKAGES[FRAMEWORK]
    hub_type = os.environ.get("OSKEN_HUB_TYPE", "native") if package == "os_ken" else "eventlet"
    if hub_type == "eventlet":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
            eventlet = import_module("eventlet")
            wsgi = import_module("eventlet.wsgi")
        if not hasattr(wsgi, "ALREADY_HANDLED"):  # Ryu 4.34 wants a name that eventlet has dropped
            wsgi.ALREADY_HANDLED = b""  # type: ignore[attr-defined]
        eventlet.monkey_patch()
    return package


_PACKAGE = _prepare()
_app_manager = import_module(f"{_PACKAGE}.base.app_manager")
_connections = import_module(f"{_PACKAGE}.controller.controller")
_events = import_module(f"{_PACKAGE}.controller.ofp_event")
_handler = import_module(f"{_PACKAGE}.controller.handler")
_ofp_handler = import_module(f"{_PACKAGE}.controller.ofp_handler")
_hub = import_module(f"{_PACKAGE}.lib.hub")
_ofproto = import_module(f"{_PACKAGE}.ofproto.ofproto_v1_3")
_App: Any = _app_manager.RyuApp if _PACKAGE == "ryu" else _app_manager.OSKenApp

LOG = logging.getLogger("controller")
_BACKLOG = 4096  # what waits for the worker; a full one holds the switches back


_Handler = TypeVar("_Handler", bound=Callable[..., None])


def _on(event: Any, *states: str) -> Callable[[_Handler], _Handler]:
    """Mark a method as the handler of an event of connected switches, or in further states."""
    mark: Callable[[_Handler], _Handler]
    mark = _handler.set_ev_cls(event, [_handler.MAIN_DISPATCHER, *states])
    return mark


class _Arrival:
    """A switch on its way in: what it has told so far."""

    def __init__(self, datapath: Any) -> None:
        self.datapath = datapath
        self.ports: dict[int, Port] = {}
        self.flows: list[Any] = []


class Controller(_App):
    """Carries messages between the switches and the pipeline."""

    OFP_VERSIONS: ClassVar[list[int]] = [_ofproto.OFP_VERSION]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.pipeline = Pipeline(settings, time.monotonic())
        self._arrivals: dict[int, _Arrival] = {}
        self._datapaths: dict[int, Any] = {}
        self._ready: set[int] = set()
        self._work: Any = _hub.Queue(_BACKLOG)

    # --- the worker

    def work(self) -> None:
        """Do what comes, for ever, and what is due in between."""
        while True:
            delay_s = self.pipeline.next_deadline() - time.monotonic()
            try:
                task, argument = self._work.get(timeout=max(delay_s, 0.001))
            except _hub.QueueEmpty:
                task, argument = self._serve_deadline, None
            task(argument)

    def commands(self) -> Commands:
        """What the control socket may ask, each answered by the worker."""
        questions: Commands = {
            "ready": self._describe,
            "groups": lambda: views.groups(self.pipeline),
            "ports": lambda: views.ports(self.pipeline),
            "hosts": lambda: views.hosts(self.pipeline),
        }
        return {name: self._asked(question) for name, question in questions.items()}

    def _serve_deadline(self, _: None) -> None:
        self._carry_out(self.pipeline.expire(time.monotonic()))

    def _describe(self) -> dict[str, Any]:
        return {"ready": True, "framework": FRAMEWORK, "switches": sorted(self._ready)}

    def _asked(self, question: Callable[[], Any]) -> Callable[[], Any]:
        def ask() -> Any:
            reply: Any = _hub.Queue(1)
            self._work.put((lambda _: reply.put(question()), None))
            return reply.get()

        return ask

    # --- from the switches; these run in the framework's own threads

    @_on(_events.EventOFPStateChange, _handler.DEAD_DISPATCHER)
    def _state_changed(self, event: Any) -> None:
        arrived = event.state == _handler.MAIN_DISPATCHER
        self._work.put((self._arrive if arrived else self._depart, event.datapath))

    @_on(_events.EventOFPPortDescStatsReply)
    def _ports_told(self, event: Any) -> None:
        self._work.put((self._take_ports, event.msg))

    @_on(_events.EventOFPFlowStatsReply)
    def _flows_told(self, event: Any) -> None:
        self._work.put((self._take_flows, event.msg))

    @_on(_events.EventOFPBarrierReply)
    def _barrier_passed(self, event: Any) -> None:
        self._work.put((self._confirm, event.msg.datapath))

    @_on(_events.EventOFPPacketIn)
    def _frame_shown(self, event: Any) -> None:
        self._work.put((self._take_frame, event.msg))

    @_on(_events.EventOFPPortStatus)
    def _port_told(self, event: Any) -> None:
        self._work.put((self._take_port, event.msg))

    @_on(_events.EventOFPFlowRemoved)
    def _flow_gone(self, event: Any) -> None:
        self._work.put((self._take_removal, event.msg))

    @_on(_events.EventOFPErrorMsg)
    def _refused(self, event: Any) -> None:
        message = event.msg
        what = (message.datapath.id, message.type, message.code)
        LOG.error("switch %s refuses a message: OpenFlow error type %s code %s", *what)

    # --- by the worker

    def _arrive(self, datapath: Any) -> None:
        self._arrivals[datapath.id] = _Arrival(datapath)
        self._ready.discard(datapath.id)
        parser = datapath.ofproto_parser
        datapath.send_msg(parser.OFPPortDescStatsRequest(datapath))
        datapath.send_msg(parser.OFPFlowStatsRequest(datapath))

    def _depart(self, datapath: Any) -> None:
        arrival = self._arrivals.get(datapath.id)
        if arrival is not None and arrival.datapath is datapath:
            del self._arrivals[datapath.id]
        if self._is_current(datapath):
            del self._datapaths[datapath.id]
            self._ready.discard(datapath.id)
            self._carry_out(self.pipeline.switch_down(datapath.id))

    def _arrival_of(self, message: Any) -> _Arrival | None:
        arrival = self._arrivals.get(message.datapath.id)
        return arrival if arrival and arrival.datapath is message.datapath else None

    def _take_ports(self, message: Any) -> None:
        arrival = self._arrival_of(message)
        if arrival is not None:
            arrival.ports.update((port.port_no, _port_of(message, port)) for port in message.body)

    def _take_flows(self, message: Any) -> None:
        arrival = self._arrival_of(message)
        if arrival is None:
            return
        arrival.flows.extend(message.body)
        if message.flags & message.datapath.ofproto.OFPMPF_REPLY_MORE:
            return
        del self._arrivals[message.datapath.id]
        self._welcome(arrival)

    def _welcome(self, arrival: _Arrival) -> None:
        datapath, ofproto = arrival.datapath, arrival.datapath.ofproto
        foreign = [flow for flow in arrival.flows if openflow.is_foreign(flow)]
        ours = [
            openflow.flow_of(ofproto, flow)
            for flow in arrival.flows
            if not openflow.is_foreign(flow)
        ]
        self._datapaths[datapath.id] = datapath
        now = time.monotonic()
        self._carry_out(self.pipeline.switch_up(datapath.id, arrival.ports, ours, now))
        for flow in foreign:
            datapath.send_msg(openflow.delete_foreign(datapath, flow))
        datapath.send_msg(datapath.ofproto_parser.OFPBarrierRequest(datapath))

    def _confirm(self, datapath: Any) -> None:
        if self._is_current(datapath):
            self._ready.add(datapath.id)
            LOG.info("switch %s has its flows", datapath.id)

    def _take_frame(self, message: Any) -> None:
        if self._is_current(message.datapath):
            number = message.match["in_port"]
            now = time.monotonic()
            frame = bytes(message.data)
            self._carry_out(self.pipeline.packet_in(message.datapath.id, number, frame, now))

    def _take_port(self, message: Any) -> None:
        is_gone = message.reason == message.datapath.ofproto.OFPPR_DELETE
        port = None if is_gone else _port_of(message, message.desc)
        arrival = self._arrival_of(message)
        if arrival is not None and port is not None:
            arrival.ports[message.desc.port_no] = port
        elif arrival is not None:
            arrival.ports.pop(message.desc.port_no, None)
        elif self._is_current(message.datapath):
            dpid, number, now = message.datapath.id, message.desc.port_no, time.monotonic()
            self._carry_out(self.pipeline.port_changed(dpid, number, port, now))

    def _take_removal(self, message: Any) -> None:
        ofproto = message.datapath.ofproto
        if self._is_current(message.datapath) and message.reason == ofproto.OFPRR_IDLE_TIMEOUT:
            flow = openflow.flow_of(ofproto, message)
            self._carry_out(self.pipeline.flow_removed(message.datapath.id, flow))

    def _is_current(self, datapath: Any) -> bool:
        """False for a connection that has been replaced or was never welcomed."""
        return self._datapaths.get(datapath.id) is datapath

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, (SetFlow, DeleteFlow, SendFrame)):
                datapath = self._datapaths[effect.dpid]
                datapath.send_msg(openflow.message(datapath, effect))
            elif isinstance(effect, Notice):
                LOG.info("%s", effect.text)


def _port_of(message: Any, description: Any) -> Port:
    ofproto = message.datapath.ofproto
    is_down = description.state & ofproto.OFPPS_LINK_DOWN
    is_down |= description.config & ofproto.OFPPC_PORT_DOWN
    return Port(description.name.decode(errors="replace"), not is_down)


def start(host: str, port: int, settings: Settings, fail: Callable[[], None]) -> Controller:
    """Listen for switches and begin to work; OSError when the address cannot be bound.

    `fail` is called when work has ended on an exception, which has been logged then.
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
    """Run a job that has no end; its exception is logged and ends the process."""
    try:
        job()
    except Exception:
        LOG.exception("the controller ends on an error of its own")
        fail()


def _accept(listener: socket.socket) -> None:
    """Take in switches; the framework's own server would share its port with another process."""
    while True:
        connection, address = listener.accept()
        _hub.spawn(_connections.datapath_connection_factory, connection, address)
