"""Phrases said again, as often as music says its own again.

A small model under a loop guard hardly ever repeats a phrase of two bars or more as it is, where people do so now and
then, from right before or from further back (``benchmarks/loops.py`` with ``--no-recall``). So at a bar line a writer
sometimes decides, by the corpus's own rates (``returns`` of :class:`~cadenza.infer.loops.LoopTable`), to say a phrase
once more: the tokens of its bars are made likely one after another, until the model goes a way of its own, a rule
forbids it, or the guard objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cadenza.infer.loops import LoopTable

NATS = 6.0  # for the token that comes next in what is said again


class Recall:
    """Decides at bar lines whether a phrase is said again.

    Args:
        table: how often a corpus does so.
        rng: decides; the draws of tokens are another's.
    """

    def __init__(self, table: LoopTable, rng: np.random.Generator) -> None:
        self._phrases = list(table.returns)
        self._up_to = table.recall_factor * np.cumsum(list(table.returns.values()), dtype=np.float64)
        self._rng = rng

    def begins(self, bars: Sequence[list[int]], n_left: int) -> list[list[int]]:
        """The bars to say again, or none.

        Args:
            bars: all bars so far, in tokens.
            n_left: bars still to be written.
        """
        drawn = self._rng.random()  # always, so that one piece's choices do not depend on its length
        place = int(np.searchsorted(self._up_to, drawn, side="right"))
        if place == len(self._phrases):
            return []
        back, n = self._phrases[place]
        if back > len(bars):
            return []
        return [list(bars[len(bars) - back + number % back]) for number in range(min(n, n_left))]


class Saying:
    """One bar that is said again, token by token.

    Args:
        bar: its tokens, the bar line first.
        end: the token that ends it.
        may_skip: whether a token may be left out where it is not allowed (velocities are said when they are news).
    """

    def __init__(self, bar: Sequence[int], end: int, may_skip: Callable[[int], bool]) -> None:
        self._left, self._may_skip = [*bar[1:], end], may_skip

    def next(self, allowed: np.ndarray) -> int | None:
        """The token that goes on as the bar did; None where it cannot or no longer does."""
        while self._left and self._may_skip(self._left[0]) and not (allowed == self._left[0]).any():
            self._left.pop(0)
        return self._left[0] if self._left and (allowed == self._left[0]).any() else None

    def drawn(self, token: int) -> None:
        """Follow what was drawn."""
        if self._left and token == self._left[0]:
            self._left.pop(0)
        elif not self._may_skip(token):
            self._left.clear()
