"""The table of MACs in memory that the kernel reads: two-choice hashing into buckets of four.

Pure: a memoryview of 64-bit words, shared or not. A key has two buckets and lies in either. A word
is written in one store: the kernel sees a row before or after a change, never a mixture; a new row
gets its value first and its key last. There are no deletions to clean up and nothing ever moves,
so a look-up costs at most eight comparisons at any size. Where both buckets are full the row is
not taken, and the agent goes on forwarding by itself.
"""

from __future__ import annotations

from vtep.fastpath.layout import SLOT_WORDS, SLOTS

_WORD = 0xFFFFFFFFFFFFFFFF
_BUCKET = SLOTS * SLOT_WORDS


class Table:
    """Keys and values of 64 bits; key 0 is a free slot."""

    def __init__(self, words: memoryview, multipliers: tuple[int, int]) -> None:
        """words: of format "Q", a power of two of buckets, zeroed; multipliers: odd, secret."""
        buckets = len(words) // _BUCKET
        self._words = words
        self.multipliers = multipliers
        self.shift = 64 - (buckets.bit_length() - 1)
        self.rows = 0

    def _buckets(self, key: int) -> tuple[int, int]:
        """Where the two buckets of a key begin."""
        one, two = self.multipliers
        return self._bucket(key, one), self._bucket(key, two)

    def _bucket(self, key: int, multiplier: int) -> int:
        """Multiply, fold, multiply: MACs that are counted up spread as well as any."""
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
        """Enter a row, or change it; False if there is no room."""
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
        """Take a row out; its value, or None if there was none."""
        at = self._find(key)
        if at < 0:
            return None
        self._words[at] = 0
        self.rows -= 1
        return int(self._words[at + 1])
