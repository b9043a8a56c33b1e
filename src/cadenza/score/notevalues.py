"""Stretches of a bar → written note values, exactly, at any resolution.

:mod:`cadenza.score.rhythm` spells what Guitar Pro can hold (960 ticks, 64ths, single dots). This is the general case,
for scores in common notation: whole notes to 256ths, up to two dots, tuplets of 3 to 15, any resolution.

A bar of one voice is given as the ticks at which something begins or ends. It is cut into

* *plain* stretches, where every point lies on halves of halves of a whole note,
* *tuplets*: spans of a power of two within which all points lie on one division by 3, 5, 6, 7, 9, 11, 13 or 15,
* *free* stretches (times as performed): what lies there has a note value only where its length happens to be one.

Plain stretches are written as a notation program would: a value may not hide the bar's strong places (the middle of
4/4, the beats of 6/8) unless it fills them, syncopations of one level are kept, everything else is tied.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import gcd

LEAST = 256
LEAST_OF_TUPLET = 64
_TUPLETS = ((3, 2), (5, 4), (6, 4), (7, 4), (9, 8), (11, 8), (13, 8), (15, 8))


@dataclass(frozen=True, slots=True)
class Value:
    """A written length from ``start_ticks`` to ``stop_ticks``: 1/``value`` with ``dots``, ``enters`` in ``times``.

    ``value`` 0: a free stretch, which no note value says.
    """

    start_ticks: int
    stop_ticks: int
    value: int
    dots: int = 0
    enters: int = 1
    times: int = 1


def ticks_of(value: int, dots: int, enters: int, times: int, ticks_per_quarter: int) -> tuple[int, int]:
    """The length of a note value in ticks, as a fraction (numerator, denominator)."""
    top = 4 * ticks_per_quarter * ((2 << dots) - 1) * times
    bottom = value * (1 << dots) * enters
    shared = gcd(top, bottom)
    return top // shared, bottom // shared


@dataclass(frozen=True)
class Bar:
    """The measure of a bar: its metre at a resolution."""

    numerator: int
    denominator: int
    ticks_per_quarter: int

    @property
    def whole(self) -> int:
        """Ticks of a whole note."""
        return 4 * self.ticks_per_quarter

    @property
    def is_compound(self) -> bool:
        """Whether three units make a beat (6/8, 9/8, 12/8, 3/8)."""
        return self.numerator % 3 == 0 and self.denominator >= 8

    @property
    def beat(self) -> int:
        """Ticks of a beat (at least 1)."""
        unit = max(1, self.whole // self.denominator)
        return 3 * unit if self.is_compound else unit


@lru_cache(maxsize=4096)
def _coins(whole: int) -> dict[int, tuple[int, int]]:
    """Length in ticks → (value, dots), for plain values that are whole ticks."""
    out: dict[int, tuple[int, int]] = {}
    for dots in (0, 1, 2):
        value = 1
        while value <= LEAST:
            top, bottom = whole * ((2 << dots) - 1), value * (1 << dots)
            if top % bottom == 0 and value << dots <= LEAST:
                out.setdefault(top // bottom, (value, dots))
            value *= 2
    return out


@lru_cache(maxsize=4096)
def _grid(whole: int) -> int:
    """The finest halving of a whole note that is whole ticks, down to 1/256."""
    step = whole
    while step % 2 == 0 and whole // step < LEAST:
        step //= 2
    return step


def spell(points: Sequence[int], bar_start: int, bar_stop: int, bar: Bar) -> list[Value]:
    """Values that fill the bar with a boundary at every one of ``points`` (sorted ticks)."""
    inside = [point - bar_start for point in points if bar_start < point < bar_stop]
    length = bar_stop - bar_start
    out: list[Value] = []
    at = 0
    for start, stop, enters, times in _spans(inside, length, bar):
        if start > at:
            out += _plain(inside, at, start, bar)
        if enters:
            out += _tuplet(inside, start, stop, enters, times, bar)
        else:
            edges = [start, *(p for p in inside if start < p < stop), stop]
            coins = _coins(bar.whole)
            out += [Value(a, b, *coins.get(b - a, (0, 0))) for a, b in pairwise(edges)]
        at = stop
    if at < length:
        out += _plain(inside, at, length, bar)
    return [Value(v.start_ticks + bar_start, v.stop_ticks + bar_start, v.value, v.dots, v.enters, v.times) for v in out]


def _spans(inside: list[int], length: int, bar: Bar) -> list[tuple[int, int, int, int]]:
    """Tuplets and free stretches (enters 0) of a bar, in order: (start, stop, enters, times)."""
    whole, step = bar.whole, _grid(bar.whole)
    edges = [0, *inside, length]
    out: list[tuple[int, int, int, int]] = []
    at = 0
    for point in edges[1:]:
        if point <= at or point % step == 0:
            continue
        found = _tuplet_around(edges, point, at, length, whole, step)
        if found is None:
            beat = max(bar.beat, 1)
            start = max(point // beat * beat, at)
            stop = min(-(-(point + 1) // beat) * beat, length)
            found = (start, stop, 0, 0)
            if out and out[-1][2] == 0 and out[-1][1] == start:
                out[-1] = (out[-1][0], stop, 0, 0)
                at = stop
                continue
        out.append(found)
        at = found[1]
    return out


def _tuplet_around(
    edges: list[int], point: int, at: int, length: int, whole: int, step: int
) -> tuple[int, int, int, int] | None:
    """The best span of a power of two around ``point`` whose points lie on one odd division.

    The shortest one wins whose border no note crosses that ends (or begins) off the plain grid again.
    """
    fallback = None
    span = max(whole // 32, 1)
    while span <= 2 * whole:
        start = point // span * span
        stop = start + span
        if span % step == 0 and start >= at and stop <= length:
            kind = _division(edges, start, stop, whole)
            if kind:
                before = edges[bisect_right(edges, start) - 1]
                after = edges[bisect_left(edges, stop)]
                if before % step == 0 and after % step == 0:
                    return start, stop, *kind
                fallback = fallback or (start, stop, *kind)
        span *= 2
    return fallback


def _division(edges: list[int], start: int, stop: int, whole: int) -> tuple[int, int] | None:
    """The first tuplet that all points between ``start`` and ``stop`` lie on, its unit a 64th at least.

    Tuplets of nine and more need three points to be believed.
    """
    low, high = bisect_right(edges, start), bisect_left(edges, stop)
    span = stop - start
    for enters, times in _TUPLETS:
        if enters > 7 and high - low < 3:
            return None
        for halved in (1, 2, 4, 8):
            if span % (enters * halved) == 0 and whole * times * halved <= LEAST_OF_TUPLET * span:
                unit = span // (enters * halved)
                if all((edge - start) % unit == 0 for edge in edges[low:high]):
                    return enters, times
    return None


def _tuplet(inside: list[int], start: int, stop: int, enters: int, times: int, bar: Bar) -> list[Value]:
    span = stop - start
    edges = [start, *(p for p in inside if start < p < stop), stop]
    halved = next(
        h for h in (1, 2, 4, 8)
        if span % (enters * h) == 0 and all((e - start) % (span // (enters * h)) == 0 for e in edges)
    )  # fmt: skip
    unit = span // (enters * halved)
    of_unit = bar.whole * times * halved // span  # the unit's note value
    out = []
    for low, high in pairwise(edges):
        at, left = low, (high - low) // unit
        while left:
            size = 1 << (left.bit_length() - 1)
            while size > 1 and of_unit % size:
                size //= 2
            dots = 0
            if size > 1 and left == size + size // 2:
                dots = 1
            value = of_unit // size
            count = size + (size // 2 if dots else 0)
            out.append(Value(at, at + count * unit, value if value <= LEAST else 0, dots, enters, times))
            at += count * unit
            left -= count
    return out


def _plain(inside: list[int], start: int, stop: int, bar: Bar) -> list[Value]:
    edges = [start, *(p for p in inside if start < p < stop), stop]
    out: list[Value] = []
    for low, high in pairwise(edges):
        out += _metric(low, high, bar)
    return out


def _metric(low: int, high: int, bar: Bar) -> list[Value]:
    """A stretch of a bar in values that show the metre."""
    coins = _coins(bar.whole)
    out: list[Value] = []
    stack = [(low, high)]
    while stack:
        low, high = stack.pop()
        coin = coins.get(high - low)
        if coin and _is_clear(low, high, coin, bar):
            out.append(Value(low, high, *coin))
            continue
        cut = _strongest(low, high, bar)
        if cut is None:
            out.append(Value(low, high, *(coin or (0, 0))))
            continue
        stack += [(cut, high), (low, cut)]
    return out


def _is_clear(low: int, high: int, coin: tuple[int, int], bar: Bar) -> bool:
    """Whether one value from ``low`` to ``high`` leaves the metre to be seen."""
    value, dots = coin
    plain = bar.whole // value
    if bar.is_compound:
        beat = bar.beat
        if low // beat != (high - 1) // beat:
            return low % beat == 0 and high % beat == 0
        if dots == 0 and plain * 3 > beat * 2:
            return False
        return low % max(plain // 2, 1) == 0
    if dots == 2:
        return low % (2 * plain) == 0
    if low % max(plain // 2, 1):
        return False
    middle = bar.whole // 2
    if bar.numerator == 4 and low < middle < high and low % max(bar.beat, 1):
        return False
    return not (dots and low % plain and high % plain)


def _strongest(low: int, high: int, bar: Bar) -> int | None:
    """The metrically strongest place strictly between two ticks; None where there is none on the grid."""
    if bar.is_compound:
        place = (low // bar.beat + 1) * bar.beat
        if place < high:
            last = (high - 1) // bar.beat * bar.beat
            return place if low % bar.beat else last
    size, least = bar.whole * 4, _grid(bar.whole)
    while size >= least:
        place = (low // size + 1) * size
        if place < high:
            return place
        if size % 2:
            break
        size //= 2
    return None
