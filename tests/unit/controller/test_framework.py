"""Selection of the framework: Ryu if it can be imported, os-ken otherwise, or the one requested."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import pytest

from controller.framework import OS_KEN, RYU, Framework, FrameworkError, load

MISSING_RYU = ModuleNotFoundError("No module named 'ryu'", name="ryu")
MISSING_OS_KEN = ModuleNotFoundError("No module named 'os_ken'", name="os_ken")
TOO_OLD = AttributeError("module 'ssl' has no attribute 'wrap_socket'")


def failing(**errors: Exception) -> Callable[[Framework], None]:
    """An import that raises these errors, by package."""

    def import_framework(framework: Framework) -> None:
        if framework.package in errors:
            raise errors[framework.package]

    return import_framework


@pytest.mark.parametrize("name", [None, ""])
def test_ryu_is_preferred(name: str | None) -> None:
    assert load(name, failing()) is RYU


def test_os_ken_is_used_without_ryu(caplog: pytest.LogCaptureFixture) -> None:
    assert load(None, failing(ryu=MISSING_RYU)) is OS_KEN
    assert not caplog.records


@pytest.mark.parametrize(
    "error", [TOO_OLD, ModuleNotFoundError("No module named 'eventlet'", name="eventlet")]
)
def test_a_broken_ryu_is_reported_and_os_ken_is_used(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(None, failing(ryu=error)) is OS_KEN
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"ryu is installed but cannot be imported: {error}" in caplog.text


def test_without_any_framework_the_error_names_both_and_the_command() -> None:
    with pytest.raises(FrameworkError) as raised:
        load(None, failing(ryu=MISSING_RYU, os_ken=MISSING_OS_KEN))
    text = str(raised.value)
    assert "No module named 'ryu'" in text and "No module named 'os_ken'" in text
    assert text.endswith("install one with: pip install os-ken") and "\n" not in text


@pytest.mark.parametrize("framework", [RYU, OS_KEN])
def test_a_requested_framework_is_used(framework: Framework) -> None:
    assert load(framework.name, failing()) is framework


@pytest.mark.parametrize(
    ("name", "error", "command"),
    [("ryu", MISSING_RYU, "make setup"), ("os-ken", MISSING_OS_KEN, "pip install os-ken")],
)
def test_a_requested_framework_that_is_missing_is_an_error(
    name: str, error: ModuleNotFoundError, command: str
) -> None:
    """The other framework is not used instead."""
    with pytest.raises(FrameworkError) as raised:
        load(name, failing(**{str(error.name): error}))
    text = str(raised.value)
    assert f"framework {name} was requested" in text and str(error) in text and command in text


def test_an_unknown_framework_is_an_error() -> None:
    with pytest.raises(FrameworkError, match="framework 'pox': must be ryu or os-ken"):
        load("pox", failing())


@pytest.mark.parametrize("framework", [RYU, OS_KEN], ids=lambda each: str(each.name))
def test_the_version_is_that_of_the_distribution(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.framework.version", {framework.name: "4.99"}.__getitem__)
    assert framework.version == "4.99"


def test_the_version_of_a_framework_that_is_not_a_distribution_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("controller.framework.version", version)
    assert RYU.version == "unknown"
