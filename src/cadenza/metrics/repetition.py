"""How much a piece repeats itself, in bars: features of one piece, and the functions for any sequence.

Models loop; music repeats on purpose. So every figure here stands beside that of human music (``reference``), and the
ratio to it is what counts, never zero.

**Definitions.**

- ``rep-n``: 1 − different n-grams / all n-grams (Welleck et al., "Neural Text Generation with Unlikelihood Training",
  ICLR 2020, as seq-rep-n). :func:`rep_n`; for 1, 2 and 4 bars here, for 1–4 tokens in
  :mod:`cadenza.metrics.repetition_tokens`.
- ``rep-w``: share of elements that are among the previous 16 (Fu et al., "A Theoretical Analysis of the Repetition
  Problem in Text Generation", AAAI 2021). The first element counts as not seen. :func:`rep_w`.
- ``rep-r``: share of elements that lie in a bigram which occurs more than once (the same). :func:`rep_r`.
- a **loop** (ours): a group of bars at once followed by its exact copy, again and again. ``loop_bars`` is the longest
  such stretch, all copies counted; ``ends_in_loop`` whether the piece ends in at least four copies of a group
  (incomplete ones aside), which, averaged over outputs that were stopped at a length limit, is the **loop rate**.

**Equal windows.** rep-n grows with length by itself: the longer a text, the fewer n-grams are new. So ``…_in_16`` are
means over windows of 16 bars, half overlapping; pieces shorter than that do not have them. Compare these; the whole
piece's figures are for pieces of equal length. For rep-w no window is needed, its own is 16.

Two bars are the same if all tracks' notes are (place, length, pitch), velocity aside
(:func:`cadenza.metrics.view.bar_keys`). Silent bars are equal to each other, so a piece that falls silent "loops": that
is meant.

**Self-reinforcement** (Xu et al., "Learning to Break the Loop", NeurIPS 2022): a unit repeated N times is fed
teacher-forced; :func:`self_reinforcement` takes the probabilities that the model gave and returns TP, IP and WR for
each copy. It needs a model, so it is a function, not a metric; ``cadenza model diagnose`` calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadenza.base.errors import RangeError
from cadenza.metrics.base import Column, Metric, defined
from cadenza.metrics.view import bar_keys
from cadenza.score.model import Score

BAR_GRAMS = (1, 2, 4)
WINDOW_BARS = 16
RECENT = 16
LOOP_COPIES = 4
MAX_LOOP_BARS = 8  # of one copy


def compute(*, est: Score) -> dict[str, float]:
    """The columns of one piece; see the module's prose."""
    bars = numbered(bar_keys(est))
    values: dict[str, float | None] = {}
    for n in BAR_GRAMS:
        values[f"rep_{n}_bars"] = rep_n(bars, n)
        values[f"rep_{n}_bars_in_{WINDOW_BARS}"] = in_windows(partial(rep_n, n=n), bars, WINDOW_BARS)
    values["rep_w_bars"] = rep_w(bars)
    values["rep_r_bars"] = rep_r(bars)
    loop = longest_loop(bars, MAX_LOOP_BARS)
    values["loop_bars"] = float(loop.length)
    values["ends_in_loop"] = float(ends_in_loop(bars, MAX_LOOP_BARS))
    return defined(values)


def numbered(items: Sequence[Hashable]) -> NDArray[np.int64]:
    """The items as whole numbers, equal where they are; shape (n,)."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(item, len(seen)) for item in items], np.int64)


def grams(sequence: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """A number for the n-gram that begins at each place, equal where they are; shape (len − n + 1,)."""
    out = np.unique(sequence, return_inverse=True)[1]
    for step in range(1, n):
        pair = out[:-1] * (len(sequence) + 1) + np.unique(sequence, return_inverse=True)[1][step:]
        out = np.unique(pair, return_inverse=True)[1]
    return out


def rep_n(sequence: NDArray[np.int64], n: int) -> float | None:
    """1 − different n-grams / n-grams; None where there is no n-gram."""
    if len(sequence) < n:
        return None
    found = grams(sequence, n)
    return 1 - len(np.unique(found)) / len(found)


def rep_w(sequence: NDArray[np.int64], window: int = RECENT) -> float | None:
    """Share of elements that equal one of the ``window`` before them; None for an empty sequence."""
    if not len(sequence):
        return None
    at = np.arange(len(sequence))
    order = np.lexsort([at, sequence])
    same = sequence[order][1:] == sequence[order][:-1]
    near = np.diff(at[order]) <= window
    return float((same & near).sum() / len(sequence))


def rep_r(sequence: NDArray[np.int64]) -> float | None:
    """Share of elements inside a bigram that occurs more than once; None for an empty sequence."""
    if not len(sequence):
        return None
    inside = np.zeros(len(sequence), bool)
    if len(sequence) > 1:
        found = grams(sequence, 2)
        again = np.bincount(found)[found] > 1
        inside[:-1] |= again
        inside[1:] |= again
    return float(inside.mean())


def in_windows(
    function: Callable[[NDArray[np.int64]], float | None], sequence: NDArray[np.int64], window: int
) -> float | None:
    """The mean of a figure over windows of equal length, half overlapping; None for a shorter sequence.

    The last window ends with the sequence, so that every element is in one.
    """
    if len(sequence) < window:
        return None
    starts = sorted({*range(0, len(sequence) - window + 1, max(window // 2, 1)), len(sequence) - window})
    found = [function(sequence[start : start + window]) for start in starts]
    numbers = [value for value in found if value is not None]
    return float(np.mean(numbers)) if numbers else None


@dataclass(frozen=True)
class Loop:
    """A stretch of a sequence that is one group again and again.

    Args:
        start: its first element.
        period: elements of the group.
        length: elements in all, whole copies only; 0 where nothing loops.
    """

    start: int = 0
    period: int = 0
    length: int = 0

    @property
    def copies(self) -> int:
        """How often the group stands there."""
        return self.length // self.period if self.period else 0


def longest_loop(sequence: NDArray[np.int64], max_period: int) -> Loop:
    """The longest stretch of at least two copies of a group of up to ``max_period``; the shortest group, the first."""
    best = Loop()
    for period in range(1, min(max_period, len(sequence) // 2) + 1):
        same = np.concatenate([[False], sequence[period:] == sequence[:-period], [False]])
        edges = np.flatnonzero(np.diff(same.astype(np.int8)))
        starts, stops = edges[::2], edges[1::2]
        lengths = ((stops - starts + period) // period) * period
        if len(lengths) and lengths.max() > max(best.length, period):
            longest = int(np.argmax(lengths))
            best = Loop(int(starts[longest]), period, int(lengths[longest]))
    return best


def ends_in_loop(sequence: NDArray[np.int64], max_period: int, copies: int = LOOP_COPIES) -> bool:
    """Whether the sequence ends in ``copies`` copies of a group, or more; the last may be cut off."""
    for period in range(1, min(max_period, len(sequence) // copies) + 1):
        differs = np.flatnonzero(sequence[period:] != sequence[:-period])
        run = len(sequence) - period - (int(differs[-1]) + 1 if len(differs) else 0)
        if run + period >= copies * period:
            return True
    return False


@dataclass(frozen=True)
class SelfReinforcement:
    """What becomes of a unit's probability as it is repeated; every column of shape (N,), copy after copy.

    Args:
        tp: mean probability of its tokens.
        ip: share of tokens that are likelier than in the first copy (0 there).
        wr: share of tokens that are likelier than in the first copy and the likeliest of all.
    """

    tp: NDArray[np.float64]
    ip: NDArray[np.float64]
    wr: NDArray[np.float64]


def self_reinforcement(probability: ArrayLike, is_likeliest: ArrayLike) -> SelfReinforcement:
    """TP, IP and WR of Xu et al. 2022.

    Args:
        probability: P(token) of each token of each copy, shape (N, L).
        is_likeliest: whether it was the argmax, shape (N, L).

    Raises:
        RangeError: shapes differ or hold nothing.
    """
    p, top = np.asarray(probability, np.float64), np.asarray(is_likeliest, bool)
    if p.ndim != 2 or p.shape != top.shape or not p.size:
        raise RangeError("two arrays of one shape (copies, tokens)", f"{p.shape} and {top.shape}")
    higher = p > p[:1]
    return SelfReinforcement(p.mean(1), higher.mean(1), (higher & top).mean(1))


def _rep(n: int) -> tuple[Column, Column]:
    what = f"groups of {n} bars" if n > 1 else "bars"
    return (
        Column(f"rep_{n}_bars", 0, 1, "reference", "share", f"{what.capitalize()} that are not new (rep-{n})."),
        Column(
            f"rep_{n}_bars_in_{WINDOW_BARS}", 0, 1, "reference", "share", f"The same in windows of {WINDOW_BARS} bars."
        ),
    )


METRIC = Metric(
    name="repetition",
    summary="Repeated bars and loops.",
    source="Welleck et al., ICLR 2020; Fu et al., AAAI 2021; loops are ours",
    needs="est",
    compute=compute,
    columns=(
        *(column for n in BAR_GRAMS for column in _rep(n)),
        Column("rep_w_bars", 0, 1, "reference", "share", f"Bars that are among the {RECENT} before them (rep-w)."),
        Column("rep_r_bars", 0, 1, "reference", "share", "Bars inside a pair that occurs more than once (rep-r)."),
        Column("loop_bars", 0, float("inf"), "reference", "bars", "Longest stretch of one group of bars repeated."),
        Column("ends_in_loop", 0, 1, "reference", "share", "Whether it ends in four copies of a group; the loop rate."),
    ),
)
