"""Many small choices from one draw: what makes drawing a score cheap.

Hypothesis pays about a tenth of a millisecond for each draw, whatever its size, and a score takes a thousand
choices. A :class:`Tape` draws bytes by the block and makes the choices from them, a byte or a few for each, so that
a score takes some thirty draws. Everything still comes from Hypothesis: examples replay, and shrink, since a byte of
nought stands for the simplest choice everywhere (the first of a list, the lowest number, no).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Tape:
    """Choices read from blocks of bytes, which are drawn as they are needed.

    Begin a tape for each part that may be left out by itself (a note, a beat), so that shrinking one part moves
    no byte of another.
    """

    def __init__(self, draw: st.DrawFn, block_bytes: int = 32) -> None:
        self.draw = draw
        self._blocks = _block(block_bytes)
        self._bytes = iter(b"")

    def byte(self) -> int:
        """A number from 0 to 255."""
        for byte in self._bytes:
            return byte
        self._bytes = iter(self.draw(self._blocks))
        return next(self._bytes)

    def below(self, n: int) -> int:
        """A number from 0 to ``n - 1``, all about as likely."""
        raw, reach = self.byte(), 256
        while reach < n or (256 % n and reach < 8 * n):  # so that no number is an eighth likelier than another
            raw, reach = raw << 8 | self.byte(), reach << 8
        return raw % n

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, one in 16 times at or beside an end; simplest is the one nearest 0."""
        simplest = min(max(low, 0), high)
        if high - low > 16:
            edge = self.byte() - 240
            if edge >= 0:
                return (low, high, low + 1, high - 1)[edge % 4]
        found = simplest + self.below(high - low + 1)
        return found if found <= high else high - found + simplest

    def pick(self, listed: Sequence[T]) -> T:
        """One of the ``listed``."""
        return listed[self.below(len(listed))]

    def one_in(self, n: int) -> bool:
        """True once in ``n`` times."""
        return self.below(n) == n - 1

    def some(self, most: int, make: Callable[[], T]) -> list[T]:
        """A list of none to ``most`` of what ``make`` makes."""
        return [make() for _ in range(self.below(most + 1))]


_BLOCKS: dict[int, st.SearchStrategy[bytes]] = {}


def _block(size: int) -> st.SearchStrategy[bytes]:
    """Bytes of one size; a strategy kept, as making one costs more than drawing from it."""
    if size not in _BLOCKS:
        _BLOCKS[size] = st.binary(min_size=size, max_size=size)
    return _BLOCKS[size]
