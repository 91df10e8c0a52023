"""Options of `python -m controller`: defaults, environment, errors of one line."""

from __future__ import annotations

import pytest

from controller.__main__ import _parser, _settings


def test_defaults_are_those_of_the_standards() -> None:
    options = _parser().parse_args([])
    assert (options.listen, options.framework) == (("127.0.0.1", 6653), "ryu")
    settings = _settings(options)
    assert (settings.query_interval_s, settings.membership_s) == (125, 260)
    assert settings.other_querier_s == 255 and settings.querier_address == "0.0.0.0"
    assert settings.mld_querier_address == "fe80::ffff:ffff:ffff:ff7f"


def test_each_protocol_s_querier_has_an_address_of_its_own() -> None:
    arguments = ["--querier-address", "192.0.2.9", "--mld-querier-address", "FE80:0::9"]
    settings = _settings(_parser().parse_args(arguments))
    assert (settings.querier_address, settings.mld_querier_address) == ("192.0.2.9", "fe80::9")


def test_every_flag_has_a_variable_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VXLAB_CONTROLLER_QUERY_INTERVAL", "30")
    monkeypatch.setenv("VXLAB_CONTROLLER_LISTEN", "[::1]:6700")
    options = _parser().parse_args(["--listen", "127.0.0.2:6701"])
    assert (options.query_interval, options.listen) == (30, ("127.0.0.2", 6701))


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--listen", "6653", "ADDRESS:PORT"),
        ("--listen", "localhost:6653", "ADDRESS:PORT"),
        ("--listen", "127.0.0.1:70000", "ADDRESS:PORT"),
        ("--framework", "pox", "allowed are ryu, os-ken"),
        ("--query-interval", "0", "seconds from"),
        ("--ageing", "soon", "seconds from"),
        ("--querier-address", "239.1.1.1", "unicast"),
        ("--querier-address", "::1", "unicast"),
        ("--mld-querier-address", "2001:db8::1", "link-local"),
        ("--mld-querier-address", "::", "link-local"),
        ("--mld-querier-address", "192.0.2.9", "link-local"),
    ],
)
def test_a_wrong_value_ends_with_2_and_says_what_is_allowed(
    flag: str, value: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        _parser().parse_args([flag, value])
    last = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and flag in last and word in last
