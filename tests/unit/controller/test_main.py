"""Options of `python -m controller`: defaults, environment, errors of one line."""

from __future__ import annotations

import pytest

from controller.__main__ import OPTIONS, parse_options, settings_of


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the tests must not set options."""
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


def test_defaults_are_those_of_the_standards() -> None:
    options = parse_options([])
    assert (options.listen, options.framework) == (("127.0.0.1", 6653), None)
    settings = settings_of(options)
    assert (settings.query_interval_s, settings.membership_s) == (125, 260)
    assert settings.other_querier_s == 255 and settings.querier_address == "0.0.0.0"
    assert settings.mld_querier_address == "fe80::ffff:ffff:ffff:ff7f"


def test_each_protocol_has_its_own_querier_address() -> None:
    arguments = ["--querier-address", "192.0.2.9", "--mld-querier-address", "FE80:0::9"]
    settings = settings_of(parse_options(arguments))
    assert (settings.querier_address, settings.mld_querier_address) == ("192.0.2.9", "fe80::9")


def test_every_option_has_a_variable_and_the_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VXLAB_CONTROLLER_QUERY_INTERVAL", "30")
    monkeypatch.setenv("VXLAB_CONTROLLER_LISTEN", "[::1]:6700")
    options = parse_options(["--listen", "127.0.0.2:6701"])
    assert (options.query_interval, options.listen) == (30, ("127.0.0.2", 6701))


@pytest.mark.parametrize(("value", "expected"), [("os-ken", "os-ken"), ("ryu", "ryu"), ("", None)])
def test_the_framework_variable_may_be_empty(
    value: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VXLAB_CONTROLLER_FRAMEWORK", value)
    assert parse_options([]).framework == expected


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--listen", "6653", "ADDRESS:PORT"),
        ("--listen", "localhost:6653", "ADDRESS:PORT"),
        ("--listen", "127.0.0.1:70000", "ADDRESS:PORT"),
        ("--framework", "pox", "must be ryu or os-ken"),
        ("--query-interval", "0", "must be a number of seconds from 0.1 to 31744"),
        ("--ageing", "soon", "must be a number of seconds from"),
        ("--querier-address", "239.1.1.1", "unicast"),
        ("--querier-address", "::1", "unicast"),
        ("--mld-querier-address", "2001:db8::1", "link-local"),
        ("--mld-querier-address", "::", "link-local"),
        ("--mld-querier-address", "192.0.2.9", "link-local"),
    ],
)
def test_a_wrong_value_exits_with_2_and_one_line_that_says_what_it_must_be(
    flag: str,
    value: str,
    word: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable = "VXLAB_CONTROLLER_" + flag[2:].replace("-", "_").upper()
    for arguments, origin in (([flag, value], flag), ([], variable)):
        if not arguments:
            monkeypatch.setenv(variable, value)
        with pytest.raises(SystemExit) as end:
            parse_options(arguments)
        lines = capsys.readouterr().err.splitlines()
        assert end.value.code == 2 and len(lines) == 1
        assert origin in lines[0] and repr(value) in lines[0] and word in lines[0]
