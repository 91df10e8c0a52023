"""Mutates bytes, and checks that memory does not grow while they are parsed."""

from __future__ import annotations

import gc
import random
import sys
from pathlib import Path


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The data with some bytes changed, removed, repeated or inserted."""
    made = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        at = chance.randrange(len(made) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            made[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del made[at:]
        elif kind == 2:
            made[at:at] = chance.randbytes(chance.randrange(8))
        elif kind == 3:
            made[at:at] = made[at : at + 40]
        elif made:
            made[at % len(made)] ^= 1 << chance.randrange(8)
    return bytes(made)


class Memory:
    """Measures the memory of this process: the last third of a run must not need more.

    Tables fill up first, and expired entries come and go. So the maximum of the middle third is
    compared with the maximum of the last third. It counts Python's blocks and the pages of the
    process, since large objects have pages of their own.
    """

    BLOCKS, PAGES = 4000, 512  # what may be added by chance

    def __enter__(self) -> Memory:
        self._blocks: list[int] = []
        self._pages: list[int] = []
        gc.freeze()  # older objects need not be examined each time
        return self

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()

    def look(self) -> None:
        """Record the current sizes."""
        gc.collect()
        self._blocks.append(sys.getallocatedblocks())
        self._pages.append(int(Path("/proc/self/statm").read_text().split()[1]))

    def has_grown(self) -> bool:
        """Whether the last third needed more memory than the middle third."""
        return _growth(self._blocks) > self.BLOCKS or _growth(self._pages) > self.PAGES


def _growth(seen: list[int]) -> int:
    third = len(seen) // 3
    assert third >= 3, "too few measurements"
    return max(seen[-third:]) - max(seen[third:-third])
