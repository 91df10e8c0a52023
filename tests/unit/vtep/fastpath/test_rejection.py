"""A program that the kernel's verifier rejects: the reason and the end of the verifier's log."""

from __future__ import annotations

import errno
import mmap
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.prog_run import compile_bpf, needs_prog_run
from vtep.config import parse
from vtep.errors import StartError
from vtep.fastpath import choice
from vtep.fastpath.libbpf import Program, Rejected, log_end

# The second program reads the packet without a bounds check, so the verifier rejects it.
WRONG = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("tc") int harmless(struct __sk_buff *skb) { return skb->len > 100; }
SEC("tc") int unchecked(struct __sk_buff *skb) { return *(int *)(long)skb->data; }
"""
REASON = "R1 offset is outside of the packet"
LOG = ("5: (61) r0 = *(u32 *)(r1 +0)", REASON)
CONFIG = """
datapath = "{datapath}"
[underlay]
interface = "eth0"
local = "192.0.2.1"
[[port]]
interface = "trunk0"
"""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled object with one program that no verifier accepts."""
    source = tmp_path_factory.mktemp("wrong") / "wrong.bpf.c"
    source.write_text(WRONG)
    return compile_bpf(source, source.with_suffix(".o"))


@needs_prog_run
def test_the_rejected_program_is_named_with_the_reason(wrong: Path) -> None:
    with pytest.raises(Rejected) as raised:
        Program(wrong, {})
    error = raised.value
    assert error.errno == errno.EACCES
    assert error.strerror == f"the verifier rejects the eBPF program unchecked: {REASON}"
    assert error.log[-1] == REASON
    assert "(61) r0 = *(u32 *)(r1 +0)" in error.log[-3]  # the instruction that led there


@needs_prog_run
def test_a_trial_answers_one_reason_and_then_the_log(wrong: Path) -> None:
    reason, *log = choice.trial([wrong])
    assert reason.endswith(f"program unchecked: {REASON}") and "\n" not in reason
    assert log[-1] == REASON and 1 < len(log) <= 12


@needs_prog_run
def test_the_projects_own_programs_are_accepted() -> None:
    assert choice.trial() == []


@needs_prog_run
def test_an_error_before_the_verifier_is_no_rejection(wrong: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="map absent") as raised:
        Program(wrong, {"absent": 1})
    assert not isinstance(raised.value, Rejected)
    damaged = tmp_path / "damaged.bpf.o"
    damaged.write_bytes(wrong.read_bytes()[:200])
    with pytest.raises(OSError, match=r"open damaged\.bpf\.o"):
        Program(damaged, {})


def rejecting(*arguments: object) -> None:
    """In place of attaching: what the verifier would answer."""
    raise Rejected(errno.EACCES, "from_port", LOG)


@pytest.fixture
def rejected(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine that has everything but a verifier that accepts the program."""
    monkeypatch.setattr(choice, "machine_lacks", lambda: None)
    monkeypatch.setattr(choice, "_attached", rejecting)
    monkeypatch.setattr(choice, "detach_leftovers", lambda indices: None)
    return SimpleNamespace(index=1)


def test_the_agents_log_has_the_reason_once_and_the_end_of_the_log(
    rejected: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse(CONFIG.format(datapath="auto"))
    path, chosen = choice.open_fast_path(config, None, rejected, [])  # type: ignore[arg-type]
    assert path is None
    assert chosen == ("python", f"the verifier rejects the eBPF program from_port: {REASON}")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("verifier: ")[2] for line in lines] == list(LOG)


def test_where_ebpf_is_required_the_log_precedes_the_error(
    rejected: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse(CONFIG.format(datapath="ebpf"))
    with pytest.raises(StartError, match=f"datapath = 'ebpf': the verifier .*: {REASON}$"):
        choice.open_fast_path(config, None, rejected, [])  # type: ignore[arg-type]
    assert capsys.readouterr().err.count("verifier: ") == len(LOG)


def buffer(text: str) -> mmap.mmap:
    """A log buffer that the kernel has filled."""
    made = mmap.mmap(-1, mmap.PAGESIZE)
    made.write(text.encode())
    return made


def test_the_statistics_behind_the_reason_are_left_out() -> None:
    instructions = "".join(f"{number}: (b7) r0 = 0\n" for number in range(40))
    log = log_end(
        buffer(
            f"{instructions}{REASON}\nverification time 12 usec\nstack depth 8\n"
            "processed 41 insns (limit 1000000) max_states_per_insn 0\n\n"
        )
    )
    assert log[-1] == REASON and log[0] == "29: (b7) r0 = 0" and len(log) == 12


def test_an_empty_log_has_no_lines() -> None:
    assert log_end(buffer("")) == ()
