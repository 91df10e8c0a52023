"""The table of MACs in memory that the eBPF program reads: two-choice hashing, buckets of four.

This module does no I/O; it works on a memoryview of 64-bit words. A key has two buckets and is in
one of them. Each word is written in one store, so the program reads a row as it was before or after
a change, never a mixture; a new row gets its value first and its key last. Rows never move, and a
removed row leaves no marker behind, so a look-up takes at most eight comparisons at any size. If
both buckets are full the row is not entered, and the agent forwards for that MAC.
"""

from __future__ import annotations

from vtep.fastpath.layout import SLOT_WORDS, SLOTS

_WORD = 0xFFFFFFFFFFFFFFFF
_BUCKET = SLOTS * SLOT_WORDS


class Table:
    """Keys and values have 64 bits; key 0 marks a free slot."""

    def __init__(self, words: memoryview, multipliers: tuple[int, int]) -> None:
        """words: format "Q", zeroed, a power of two of buckets; multipliers: odd and secret."""
        buckets = len(words) // _BUCKET
        self._words = words
        self.multipliers = multipliers
        self.shift = 64 - (buckets.bit_length() - 1)
        self.rows = 0

    def _buckets(self, key: int) -> tuple[int, int]:
        """The indices of the first words of a key's two buckets."""
        one, two = self.multipliers
        return self._bucket(key, one), self._bucket(key, two)

    def _bucket(self, key: int, multiplier: int) -> int:
        """Multiply, fold, multiply. The second multiplication spreads consecutive MACs, too."""
        mixed = key * multiplier & _WORD
        mixed = (mixed ^ mixed >> 32) * multiplier & _WORD
        return (mixed >> self.shift) * _BUCKET

    def _find(self, key: int) -> int:
        words = self._words
        for bucket in self._buckets(key):
            for at in range(bucket, bucket + _BUCKET, SLOT_WORDS):
                if words[at] == key:
                    return at
        return -1

    def get(self, key: int) -> int | None:
        """The value of a key, or None."""
        at = self._find(key)
        return None if at < 0 else self._words[at + 1]

    def set(self, key: int, value: int) -> bool:
        """Enter or change a row. Returns False if there is no room."""
        at = self._find(key)
        if at < 0:
            at = self._free_slot(key)
            if at < 0:
                return False
            self._words[at + 1] = value
            self._words[at] = key
            self.rows += 1
        else:
            self._words[at + 1] = value
        return True

    def _free_slot(self, key: int) -> int:
        """A free slot in the emptier of the two buckets; -1 if both are full."""
        words, best, most = self._words, -1, 0
        for bucket in self._buckets(key):
            free = [at for at in range(bucket, bucket + _BUCKET, SLOT_WORDS) if not words[at]]
            if len(free) > most:
                best, most = free[0], len(free)
        return best

    def remove(self, key: int) -> int | None:
        """Remove a row and return its value; None if there was no such row."""
        at = self._find(key)
        if at < 0:
            return None
        self._words[at] = 0
        self.rows -= 1
        return int(self._words[at + 1])
