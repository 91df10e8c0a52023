"""The control socket: its file, its protocol, and slow or misbehaving clients."""

from __future__ import annotations

import os
import selectors
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.vtep.control_client import Peer, Server
from vtep import control
from vtep.control import Client, Commands, Control, Refused
from vtep.errors import StartError

watchers: list[Client] = []


def watch(client: Client) -> None:
    watchers.append(client)
    client.on_close = lambda: watchers.remove(client)
    client.send({"ok": True, "result": {}})


def refuse(_client: Client) -> None:
    raise Refused("not today")


def double(_client: Client, number: int, sign: int = 1) -> int:
    return number * 2 * sign


def much(_client: Client) -> str:
    return "x" * 100_000


COMMANDS: Commands = {"double": double, "refuse": refuse, "watch": watch, "much": much}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "hv1.sock", COMMANDS)
    yield running
    running.close()
    assert watchers == []


# -- requests and answers


def test_a_request_has_an_answer(server: Server) -> None:
    assert Peer(server).ask("double", number=4) == {"ok": True, "result": 8}


def test_requests_on_one_connection_may_arrive_in_any_pieces(server: Server) -> None:
    client = Peer(server)
    lines = b'{"do": "double", "number": 1}\n{"do": "double", "number": 2}\n'
    client.send(lines * 2)
    assert [each["result"] for each in client.receive()] == [2, 4, 2, 4]
    for byte in lines:
        client.send(bytes((byte,)))
    assert [each["result"] for each in client.receive()] == [2, 4]


def test_each_client_gets_its_own_answers(server: Server) -> None:
    first, second = Peer(server), Peer(server)
    first.send(b'{"do": "double", "number"')
    assert second.ask("double", number=9)["result"] == 18
    first.send(b': 1, "sign": -1}\n')
    assert first.receive() == [{"ok": True, "result": -2}]


FORM = 'a request must be {"do": COMMAND, ...} on one line'


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", FORM),
        (b"fdb", FORM),
        (b"\xff\xfe\x00", FORM),
        (b"[]", FORM),
        (b'["do"]', FORM),
        (b'"do"', FORM),
        (b"7", FORM),
        (b"null", FORM),
        (b"{}", FORM),
        (b"[" * 100_000, FORM),
        (b'{"do": "fly"}', "do = 'fly': must be one of double, refuse, watch, much"),
        (b'{"do": ["double"]}', "do = ['double']: must be one of double, refuse, watch, much"),
        (b'{"do": {}}', "do = {}: must be one of double, refuse, watch, much"),
        (b'{"do": null}', "do = None: must be one of double, refuse, watch, much"),
        (b'{"do": "refuse"}', "not today"),
        (b'{"do": "double"}', "arguments []: missing a required argument: 'number'"),
        (
            b'{"do": "double", "number": 1, "nr": 2}',
            "arguments ['nr', 'number']: got an unexpected keyword argument 'nr'",
        ),
        (b'{"do": "double", "_client": 1, "number": 1}',
         "arguments ['_client', 'number']: multiple values for argument '_client'"),
    ],
)  # fmt: skip
def test_a_bad_request_is_refused_in_one_line_and_the_next_is_answered(
    line: bytes, words: str, server: Server
) -> None:
    client = Peer(server)
    client.send(line + b"\n")
    assert client.receive() == [{"ok": False, "error": words}]
    assert client.ask("double", number=1)["result"] == 2


def test_a_request_without_an_end_is_refused_when_it_gets_too_long(server: Server) -> None:
    client = Peer(server)
    try:
        client.send(b"x" * (control._LONGEST_REQUEST + 70_000))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert server.clients() == []


def test_a_client_that_closes_within_a_request_is_removed(server: Server) -> None:
    client = Peer(server)
    client.send(b'{"do": "dou')
    assert len(server.clients()) == 1
    client.close()
    assert server.clients() == []


def test_a_client_that_closes_before_its_answer_does_not_disturb_others(server: Server) -> None:
    client = Peer(server)
    client.socket.send(b'{"do": "much"}\n{"do": "watch"}\n' * 20)
    client.close()
    assert server.clients() == [] and watchers == []
    assert Peer(server).ask("double", number=1)["ok"]


def test_a_slow_client_gets_all_answers_and_no_request_is_read_meanwhile(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BACKLOG", 300_000)
    client = Peer(server)
    client.send(b'{"do": "much"}\n' * 200)
    (connection,) = server.clients()
    assert len(connection._waiting) < 300_000 + 100_100
    assert [len(each["result"]) for each in client.receive()] == [100_000] * 200
    assert client.ask("double", number=1)["result"] == 2


# -- streams


def stream(client: Client, numbers: range) -> None:
    for number in numbers:
        client.stream(partial(dict, n=number, pad="x" * 1000))


def test_a_stream_reaches_a_reader_line_by_line(server: Server) -> None:
    client = Peer(server)
    assert client.ask("watch") == {"ok": True, "result": {}}
    stream(watchers[0], range(3))
    assert [each["n"] for each in client.receive()] == [0, 1, 2]


def test_a_slow_reader_blocks_no_other_client_and_gets_the_number_of_lost_records(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BACKLOG", 100_000)
    slow, quick = Peer(server), Peer(server)
    slow.ask("watch")
    quick.ask("watch")
    received = []
    for start in range(0, 2000, 50):
        for watcher in watchers:
            stream(watcher, range(start, start + 50))
        received += [each["n"] for each in quick.receive()]
    assert received == list(range(2000))
    assert max(len(watcher._waiting) for watcher in watchers) < 102_000
    *came, lost = slow.receive()
    assert [each["n"] for each in came] == list(range(len(came)))
    assert lost == {"decision": "lost", "count": 2000 - len(came)}
    stream(watchers[0], range(2000, 2002))
    assert [each["n"] for each in slow.receive()] == [2000, 2001]


def test_the_lost_record_is_in_the_place_of_the_lost_records(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BACKLOG", 1000)
    client = Peer(server)
    client.ask("watch")
    stream(watchers[0], range(2000))
    first = client.receive()
    stream(watchers[0], range(5000, 5001))
    order = [each.get("n", each.get("decision")) for each in first + client.receive()]
    place = order.index("lost")
    assert order == [*range(place), "lost", 5000]


def test_records_for_a_reader_that_is_too_slow_are_not_built(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Peer(server)
    client.ask("watch")
    monkeypatch.setattr(control, "_BACKLOG", -1)

    def made() -> Any:
        raise AssertionError("a record was made")

    watchers[0].stream(made)
    assert client.receive() == []


def test_on_close_is_called_when_a_client_closes(server: Server) -> None:
    client = Peer(server)
    client.ask("watch")
    assert len(watchers) == 1
    client.close()
    assert watchers == []


# -- the file


def test_the_socket_has_mode_0600_and_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "hv1.sock"
    before = os.umask(0)
    try:
        server = Server(path, COMMANDS)
        assert os.umask(0) == 0, "the process's mask is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = Peer(server)
    server.close()
    assert client.is_closed() and not path.exists()


def test_a_socket_that_is_already_removed_does_not_disturb_close(tmp_path: Path) -> None:
    server = Server(tmp_path / "hv1.sock", COMMANDS)
    server.path.unlink()
    server.close()


def listen(path: Path) -> Control:
    return Control(str(path), selectors.DefaultSelector(), COMMANDS)


def test_the_socket_of_a_dead_agent_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hv1.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = Server(path, COMMANDS)
    assert Peer(server).ask("double", number=1)["ok"]
    server.close()


def test_the_socket_of_a_running_agent_is_an_error(tmp_path: Path, server: Server) -> None:
    with pytest.raises(StartError, match=r"hv1\.sock: another agent listens there$"):
        listen(server.path)
    assert Peer(server).ask("double", number=1)["ok"], "and the living one is unharmed"


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(StartError, match=r"notes\.txt: Address already in use$"):
        listen(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "words"), [("no/such/hv1.sock", "No such file"), ("x" * 200, "path too long")]
)
def test_an_impossible_path_is_a_start_error(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=words):
        listen(tmp_path / name)
