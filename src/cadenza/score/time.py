"""Ticks ↔ quarters ↔ seconds ↔ bars. The only place where they are converted.

Before the first map entry the Standard MIDI File defaults hold: 120 quarter notes a minute, 4/4.
A new bar starts at every metre change and every bar mark, so the bar before it may be short.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadenza.base.errors import LimitError, RangeError
from cadenza.score.model import BarMark, Key, Metre, Score, Tempo

DEFAULT_QUARTERS_PER_MINUTE = 120.0
DEFAULT_METRE = (4, 4)
MAX_BARS = 200_000


def ticks_to_quarters(ticks: int, ticks_per_quarter: int) -> Fraction:
    """Exact quarter notes."""
    return Fraction(ticks, ticks_per_quarter)


def bar_ticks(metre: Metre, ticks_per_quarter: int) -> int:
    """Length of a full bar of ``metre`` in ticks, at least 1 (rounded down where the resolution is too coarse)."""
    return max(1, ticks_per_quarter * 4 * metre.numerator // metre.denominator)


def tempo_at(score: Score, tick: int) -> Tempo:
    """The tempo that holds at ``tick``."""
    return _at(score.tempos, tick) or Tempo(0, DEFAULT_QUARTERS_PER_MINUTE)


def metre_at(score: Score, tick: int) -> Metre:
    """The metre that holds at ``tick``."""
    return _at(score.metres, tick) or Metre(0, *DEFAULT_METRE)


def key_at(score: Score, tick: int) -> Key | None:
    """The key signature that holds at ``tick``, if any was given."""
    return _at(score.keys, tick)


def _at(entries, tick):  # type: ignore[no-untyped-def]
    found = None
    for entry in entries:
        if entry.onset_ticks > tick:
            break
        found = entry
    return found


def ticks_to_seconds(score: Score, ticks: ArrayLike) -> NDArray[np.float64]:
    """Seconds from the start of the score; same shape as ``ticks``."""
    starts, seconds, seconds_per_tick = _tempo_segments(score)
    at = np.asarray(ticks, np.float64)
    row = np.clip(np.searchsorted(starts, at, side="right") - 1, 0, None)
    return seconds[row] + (at - starts[row]) * seconds_per_tick[row]


def seconds_to_ticks(score: Score, seconds: ArrayLike) -> NDArray[np.float64]:
    """Ticks (not rounded) at ``seconds`` from the start of the score; same shape as ``seconds``."""
    starts, starts_seconds, seconds_per_tick = _tempo_segments(score)
    at = np.asarray(seconds, np.float64)
    row = np.clip(np.searchsorted(starts_seconds, at, side="right") - 1, 0, None)
    return starts[row] + (at - starts_seconds[row]) / seconds_per_tick[row]


def _tempo_segments(score: Score) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    tempos = list(score.tempos)
    if not tempos or tempos[0].onset_ticks > 0:
        tempos.insert(0, Tempo(0, DEFAULT_QUARTERS_PER_MINUTE))
    starts = np.array([t.onset_ticks for t in tempos], np.float64)
    per_tick = np.array([60.0 / t.quarters_per_minute / score.ticks_per_quarter for t in tempos])
    seconds = np.concatenate([[0.0], np.cumsum(np.diff(starts) * per_tick[:-1])])
    return starts, seconds, per_tick


@dataclass(frozen=True)
class BarTable:
    """The bars of a score.

    Args:
        starts_ticks: shape (n,), first tick of each bar, rising, from 0.
        ends_ticks: shape (n,), first tick after each bar.
        metres: the metre of each bar.
        marks: the bar's mark, or None.
    """

    starts_ticks: NDArray[np.int64]
    ends_ticks: NDArray[np.int64]
    metres: tuple[Metre, ...]
    marks: tuple[BarMark | None, ...]

    def __len__(self) -> int:
        return len(self.starts_ticks)

    def index_of(self, ticks: ArrayLike) -> NDArray[np.int64]:
        """The bar (counted from 0) in which each tick lies."""
        return np.searchsorted(self.starts_ticks, np.asarray(ticks), side="right") - 1


def bar_table(score: Score, until_ticks: int | None = None, max_bars: int = MAX_BARS) -> BarTable:
    """All bars up to ``until_ticks`` (default: the score's length), at least one.

    Raises:
        LimitError: there are more than ``max_bars``.
    """
    end = max(score.length_ticks if until_ticks is None else until_ticks, 1)
    marks = {mark.onset_ticks: mark for mark in score.bars}
    metres = {metre.onset_ticks: metre for metre in score.metres}
    anchors = sorted({0, *(t for t in (*marks, *metres) if t < end)})
    starts: list[int] = []
    ends: list[int] = []
    held: list[Metre] = []
    metre = Metre(0, *DEFAULT_METRE)
    for anchor, stop in zip(anchors, [*anchors[1:], None], strict=True):
        metre = metres.get(anchor, metre)
        length = bar_ticks(metre, score.ticks_per_quarter)
        limit = end if stop is None else stop
        count = -(-(limit - anchor) // length)
        if len(starts) + count > max_bars:
            raise LimitError(
                f"at most {max_bars} bars", f"{len(starts) + count}", hint="Raise the limit or cut the piece."
            )
        begun = [anchor + length * i for i in range(count)]
        starts += begun
        ends += [b + length for b in begun]
        if stop is not None:
            ends[-1] = stop
        held += [metre] * count
    later = min((t for t in (*marks, *metres) if t >= end), default=ends[-1])
    ends[-1] = min(ends[-1], later)  # a bar line beyond the end still cuts the last bar
    return BarTable(
        np.array(starts, np.int64), np.array(ends, np.int64), tuple(held), tuple(marks.get(s) for s in starts)
    )


def rescaled(ticks: int, old: int, new: int) -> int:
    """``ticks`` at resolution ``old`` → nearest tick at resolution ``new`` (halves away from zero)."""
    if old <= 0 or new <= 0:
        raise RangeError("positive resolutions", f"{old} and {new}")
    return (2 * ticks * new + old) // (2 * old) if ticks >= 0 else -rescaled(-ticks, old, new)
