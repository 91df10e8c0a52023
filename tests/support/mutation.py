"""Damage bytes at random, and check that memory does not grow while they are processed."""

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
    """Samples what this process has allocated: the last third of a run must not need more.

    The first third is ignored, since tables fill up then. Expired rows make the memory fluctuate,
    so the maximum of the middle third is compared with that of the last. Both Python's own blocks
    and the pages of the process are sampled, since large objects are only in the latter.
    """

    BLOCKS, PAGES = 4000, 512  # tolerated random growth

    def __enter__(self) -> Memory:
        self._blocks: list[int] = []
        self._pages: list[int] = []
        gc.freeze()  # existing objects need not be counted in each sample
        return self

    def __exit__(self, *_: object) -> None:
        gc.unfreeze()

    def look(self) -> None:
        """Take a sample."""
        gc.collect()
        self._blocks.append(sys.getallocatedblocks())
        self._pages.append(int(Path("/proc/self/statm").read_text().split()[1]))

    def has_grown(self) -> bool:
        """Whether the last third needed more memory than the middle one."""
        return _growth(self._blocks) > self.BLOCKS or _growth(self._pages) > self.PAGES


def _growth(seen: list[int]) -> int:
    third = len(seen) // 3
    assert third >= 3, "too few looks to tell"
    return max(seen[-third:]) - max(seen[third:-third])
