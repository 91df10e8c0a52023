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
    ],
)
def test_a_wrong_value_ends_with_2_and_says_what_is_allowed(
    flag: str, value: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        _parser().parse_args([flag, value])
    last = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and flag in last and word in last
