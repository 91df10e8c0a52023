"""The control socket: its file, its lines, its patience with clients."""

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

from tests.unit.vtep.dialogue import Asker, Server
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
    assert Asker(server).ask("double", number=4) == {"ok": True, "result": 8}


def test_several_requests_follow_on_one_connection_in_whatever_pieces(server: Server) -> None:
    asker = Asker(server)
    lines = b'{"do": "double", "number": 1}\n{"do": "double", "number": 2}\n'
    asker.say(lines * 2)
    assert [each["result"] for each in asker.hear()] == [2, 4, 2, 4]
    for byte in lines:
        asker.say(bytes((byte,)))
    assert [each["result"] for each in asker.hear()] == [2, 4]


def test_clients_do_not_mix(server: Server) -> None:
    first, second = Asker(server), Asker(server)
    first.say(b'{"do": "double", "number"')
    assert second.ask("double", number=9)["result"] == 18
    first.say(b': 1, "sign": -1}\n')
    assert first.hear() == [{"ok": True, "result": -2}]


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
    asker = Asker(server)
    asker.say(line + b"\n")
    assert asker.hear() == [{"ok": False, "error": words}]
    assert asker.ask("double", number=1)["result"] == 2


def test_a_request_without_an_end_is_refused_when_it_gets_too_long(server: Server) -> None:
    asker = Asker(server)
    try:
        asker.say(b"x" * (control._LONGEST_REQUEST + 70_000))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert server.clients() == []


def test_a_client_that_goes_in_the_middle_is_forgotten(server: Server) -> None:
    asker = Asker(server)
    asker.say(b'{"do": "dou')
    assert len(server.clients()) == 1
    asker.close()
    assert server.clients() == []


def test_a_client_that_goes_before_its_answer_harms_nobody(server: Server) -> None:
    asker = Asker(server)
    asker.socket.send(b'{"do": "much"}\n{"do": "watch"}\n' * 20)
    asker.close()
    assert server.clients() == [] and watchers == []
    assert Asker(server).ask("double", number=1)["ok"]


def test_answers_wait_for_a_slow_asker_and_requests_wait_for_answers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BACKLOG", 300_000)
    asker = Asker(server)
    asker.say(b'{"do": "much"}\n' * 200)
    (client,) = server.clients()
    assert len(client._waiting) < 300_000 + 100_100
    assert [len(each["result"]) for each in asker.hear()] == [100_000] * 200
    assert asker.ask("double", number=1)["result"] == 2


# -- streams


def stream(client: Client, numbers: range) -> None:
    for number in numbers:
        client.stream(partial(dict, n=number, pad="x" * 1000))


def test_a_stream_reaches_a_reader_line_by_line(server: Server) -> None:
    asker = Asker(server)
    assert asker.ask("watch") == {"ok": True, "result": {}}
    stream(watchers[0], range(3))
    assert [each["n"] for each in asker.hear()] == [0, 1, 2]


def test_a_slow_reader_blocks_nobody_and_is_told_how_much_it_lost(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BACKLOG", 100_000)
    slow, quick = Asker(server), Asker(server)
    slow.ask("watch")
    quick.ask("watch")
    heard = []
    for start in range(0, 2000, 50):
        for watcher in watchers:
            stream(watcher, range(start, start + 50))
        heard += [each["n"] for each in quick.hear()]
    assert heard == list(range(2000))
    assert max(len(watcher._waiting) for watcher in watchers) < 102_000
    *came, lost = slow.hear()
    assert [each["n"] for each in came] == list(range(len(came)))
    assert lost == {"decision": "lost", "count": 2000 - len(came)}
    stream(watchers[0], range(2000, 2002))
    assert [each["n"] for each in slow.hear()] == [2000, 2001]


def test_what_was_lost_is_told_in_its_place(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_BACKLOG", 1000)
    asker = Asker(server)
    asker.ask("watch")
    stream(watchers[0], range(2000))
    first = asker.hear()
    stream(watchers[0], range(5000, 5001))
    order = [each.get("n", each.get("decision")) for each in first + asker.hear()]
    place = order.index("lost")
    assert order == [*range(place), "lost", 5000]


def test_records_are_not_even_made_for_a_reader_that_is_too_slow(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = Asker(server)
    asker.ask("watch")
    monkeypatch.setattr(control, "_BACKLOG", -1)

    def made() -> Any:
        raise AssertionError("a record was made")

    watchers[0].stream(made)
    assert asker.hear() == []


def test_a_watcher_that_leaves_is_told_of(server: Server) -> None:
    asker = Asker(server)
    asker.ask("watch")
    assert len(watchers) == 1
    asker.close()
    assert watchers == []


# -- the file


def test_the_socket_is_its_owners_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "hv1.sock"
    before = os.umask(0)
    try:
        server = Server(path, COMMANDS)
        assert os.umask(0) == 0, "the process's mask is as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    asker = Asker(server)
    server.close()
    assert asker.has_been_left() and not path.exists()


def test_a_socket_that_somebody_removed_is_no_trouble_at_the_end(tmp_path: Path) -> None:
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
    assert Asker(server).ask("double", number=1)["ok"]
    server.close()


def test_the_socket_of_a_living_agent_is_an_error(tmp_path: Path, server: Server) -> None:
    with pytest.raises(StartError, match=r"hv1\.sock: another agent listens there$"):
        listen(server.path)
    assert Asker(server).ask("double", number=1)["ok"], "and the living one is unharmed"


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(StartError, match=r"notes\.txt: Address already in use$"):
        listen(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "words"), [("no/such/hv1.sock", "No such file"), ("x" * 200, "path too long")]
)
def test_a_path_that_cannot_be_is_a_start_error(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=words):
        listen(tmp_path / name)
