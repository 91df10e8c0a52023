"""The shared table of MACs: after any sequence of operations it equals a dict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtep.fastpath import layout
from vtep.fastpath.table import Table

MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)

keys = st.integers(1, 40).map(lambda number: number << 40 | number)
steps = st.lists(st.tuples(st.sampled_from(("set", "remove")), keys, st.integers(0, 2**64 - 1)))


def table(buckets: int) -> tuple[Table, memoryview]:
    words = memoryview(bytearray(buckets * layout.BUCKET_LENGTH)).cast("Q")
    return Table(words, MULTIPLIERS), words


@given(steps)
def test_it_equals_a_dict(done: list[tuple[str, int, int]]) -> None:
    made, _ = table(buckets=32)
    model: dict[int, int] = {}
    for step, key, value in done:
        if step == "set":
            assert made.set(key, value)
            model[key] = value
        else:
            assert made.remove(key) == model.pop(key, None)
        assert made.rows == len(model)
    assert {key: made.get(key) for key in range(1, 41)} == {
        key: model.get(key) for key in range(1, 41)
    }


@pytest.mark.parametrize("step", [1, 256, 1 << 16])
def test_nearly_every_row_fits_until_the_table_is_half_full(step: int) -> None:
    made, _ = table(buckets=1 << 10)
    rows = range(1, (1 << 11) + 1)
    taken = [made.set(layout.key((step * row).to_bytes(6, "big"), 3), row) for row in rows]
    assert made.rows == sum(taken) >= 0.999 * len(rows)


def test_a_row_whose_buckets_are_full_is_refused_and_no_other_row_changes() -> None:
    made, words = table(buckets=2)
    taken = [key for key in range(1, 100) if made.set(key, key + 1000)]
    assert 4 <= len(taken) <= 8 and made.rows == len(taken)
    assert all(made.get(key) == key + 1000 for key in taken)
    assert sum(1 for at in range(0, len(words), 2) if words[at]) == len(taken)


def test_a_removed_row_frees_its_slot() -> None:
    made, _ = table(buckets=1)
    assert all(made.set(key, key) for key in (1, 2, 3, 4)) and not made.set(5, 5)
    assert made.remove(2) == 2 and made.set(5, 5)
    assert [made.get(key) for key in (1, 2, 3, 4, 5)] == [1, None, 3, 4, 5]
