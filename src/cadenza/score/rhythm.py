"""Stretches of time → Guitar Pro durations, exactly.

A duration is a whole … 64th note, dotted or not, plain or in a tuplet. A bar of one voice is given as the
ticks at which something begins or ends (960 to a quarter); :func:`spell` fills it with durations that meet every
one of them, or says that it cannot; :func:`snap` then moves them to where it can.

Tuplets of 3 and 5 are exact at 960 ticks. Those of 7, 9, 11 and 13 are not: there durations lose their fraction
(:func:`whole_ticks`), and the whole tuplet must fit. Points that are rounded instead can be spelled too, and moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

QUARTER = 960
SIXTY_FOURTH = QUARTER // 16
WHOLE = 4 * QUARTER


@dataclass(frozen=True, slots=True)
class Length:
    """``value`` 1 = whole … 64; a tuplet plays ``enters`` notes in the time of ``times``."""

    value: int
    dotted: bool = False
    enters: int = 1
    times: int = 1

    @property
    def ticks(self) -> Fraction:
        plain = WHOLE // self.value
        return Fraction((plain + plain // 2 if self.dotted else plain) * self.times, self.enters)


def whole_ticks(exact: Fraction | int, counted: int) -> int:
    """The tick of a place: its own, or within an odd tuplet what whole durations up to it have ``counted``."""
    return int(exact) if exact.denominator == 1 else counted


@dataclass(frozen=True, slots=True)
class Piece:
    """One duration at its exact place."""

    start: Fraction
    length: Length

    @property
    def end(self) -> Fraction:
        return self.start + self.length.ticks


_VALUES = (1, 2, 4, 8, 16, 32, 64)
_EVEN = ((1, 1), (3, 2), (5, 4))
_ODD = ((7, 4), (9, 8), (11, 8), (13, 8))
_COINS = {
    kind: sorted(
        ((int(length.ticks), length) for value in _VALUES for dotted in (False, True)
         for length in [Length(value, dotted, *kind)] if length.ticks.denominator == 1),
        key=lambda coin: (-coin[0], coin[1].dotted),
    )
    for kind in _EVEN
}  # fmt: skip


def _single_kind(ticks: int) -> list[Length] | None:
    """Durations of one kind that add up to ``ticks``, longest first; plain before triplet before quintuplet."""
    for halves in (1, 2):  # dotted 64ths only where nothing else helps
        for kind in _EVEN:
            unit = SIXTY_FOURTH * kind[1] // kind[0]
            if ticks >= unit and (ticks * halves) % unit == 0:
                return _change(ticks, kind, unit // halves, unit)
    return None


def _change(ticks: int, kind: tuple[int, int], step: int, least: int) -> list[Length]:
    out = []
    while ticks:
        for coin, length in _COINS[kind]:
            rest = ticks - coin
            if rest == 0 or (rest >= least and rest % step == 0):
                out.append(length)
                ticks = rest
                break
    return out


def _gap(start: int, stop: int, bar_start: int) -> list[Length] | None:
    """Durations from ``start`` to ``stop``: of one kind, or changing kind on quarter notes of the bar."""
    whole = _single_kind(stop - start)
    if whole is not None:
        return whole
    first = bar_start + -(-(start - bar_start) // QUARTER) * QUARTER
    last = bar_start + (stop - bar_start) // QUARTER * QUARTER
    if first > last:
        return None
    out: list[Length] = []
    for low, high in pairwise((start, first, last, stop)):
        if low < high:
            part = _single_kind(high - low)
            if part is None:
                return None
            out += part
    return out


# (units of a tuplet, the same without its dot): what one duration can span
_SIZES = ((8, 8), (6, 4), (4, 4), (3, 2), (2, 2), (1, 1))


@dataclass(frozen=True, slots=True)
class _Tuplet:
    """A tuplet of ``enters`` units, its longest plain note ``value`` of them."""

    unit: Fraction
    enters: int
    value: int

    def sizes(self, low: int, high: int) -> list[tuple[int, int]]:
        """Sizes from one unit to another, longest first."""
        out = []
        while low < high:
            out.append(next(size for size in _SIZES if size[0] <= high - low and size[1] <= self.value))
            low += out[-1][0]
        return out

    def through(self, points: Sequence[int]) -> list[tuple[int, int]] | None:
        """Sizes that, counted without their fractions, meet all ``points`` (ticks from the tuplet's start)."""
        dead: set[tuple[int, int]] = set()

        def walk(low: int, tick: int, met: int) -> list[tuple[int, int]] | None:
            if met == len(points):
                return self.sizes(low, self.enters)
            for size in _SIZES:
                units = low + size[0]
                if units >= self.enters or size[1] > self.value:
                    continue
                at = whole_ticks(units * self.unit, tick + int(size[0] * self.unit))
                if at > points[met] or (units, at) in dead:
                    continue
                rest = walk(units, at, met + (at == points[met]))
                if rest is not None:
                    return [size, *rest]
                dead.add((units, at))
            return None

        return walk(0, 0, 0)


def _tuplet(points: Sequence[int], at: int, bar_stop: int, rounded: bool) -> list[Piece] | None:
    """A whole 7-, 9-, 11- or 13-tuplet from ``at`` that meets every point within it (two at least)."""
    for value in _VALUES[1:6]:
        for enters, times in _ODD:
            stop = at + WHOLE // value * times
            if stop > bar_stop:
                continue
            unit = Fraction(WHOLE * times, value * enters)
            tuplet = _Tuplet(unit, enters, value)
            inside = [point for point in points if at < point < stop]
            if len(inside) < 2:
                continue
            if rounded:
                places = [round((point - at) / unit) for point in inside]
                if any(round(at + m * unit) != p for m, p in zip(places, inside, strict=True)):
                    continue
                sizes = [size for low, high in pairwise([0, *places, enters]) for size in tuplet.sizes(low, high)]
            else:
                exact = tuplet.through([point - at for point in inside])
                if exact is None:
                    continue
                sizes = exact
            out: list[Piece] = []
            low = 0
            for size, plain in sizes:
                out.append(Piece(at + low * unit, Length(value // plain, size != plain, enters, times)))
                low += size
            return out
    return None


def _to_a_tuplet(
    points: Sequence[int], at: int, target: int, bar_start: int, bar_stop: int, rounded: bool
) -> list[Piece] | None:
    """A tuplet that begins at ``at``, or durations up to a later quarter of the bar and a tuplet there."""
    later = range(bar_start + (-(-(at - bar_start) // QUARTER)) * QUARTER, target, QUARTER)
    for begin in (at, *(quarter for quarter in reversed(later) if quarter > at)):
        lead = _gap(at, begin, bar_start) if begin > at else []
        tuplet = _tuplet(points, begin, bar_stop, rounded)
        if lead is None or tuplet is None:
            continue
        out: list[Piece] = []
        for length in lead:
            out.append(Piece(Fraction(at), length))
            at += int(length.ticks)
        return out + tuplet
    return None


def spell(points: Sequence[int], bar_start: int, bar_stop: int, rounded: bool = False) -> list[Piece] | None:
    """Durations that fill the bar with a boundary at every one of ``points`` (sorted ticks within it).

    None where that is impossible. With ``rounded`` the places within odd tuplets are rounded: not where the pieces are
    played, but near enough to know them.
    """
    out: list[Piece] = []
    at = bar_start
    ahead = [point for point in points if bar_start < point < bar_stop] + [bar_stop]
    while at < bar_stop:
        target = next(point for point in ahead if point > at)
        lengths = _gap(at, target, bar_start)
        if lengths is not None:
            for length in lengths:
                out.append(Piece(Fraction(at), length))
                at += int(length.ticks)
            continue
        filled = _to_a_tuplet(ahead[:-1], at, target, bar_start, bar_stop, rounded)
        if filled is None:
            return None
        out += filled
        at = int(out[-1].end)
    return out


@dataclass(frozen=True, slots=True)
class Snapped:
    """``places``: point → where it went; ``steps``: start of a quarter of the bar → its grid step."""

    places: dict[int, int]
    steps: dict[int, int]


def snap(points: Sequence[int], bar_start: int, bar_stop: int) -> Snapped:
    """Move ``points`` to the nearest places that :func:`spell` can meet.

    Every quarter of the bar takes the one grid (24, 16 or 20 places a quarter) that moves its points least.
    """
    out = Snapped({}, {})
    for start in range(bar_start, bar_stop, QUARTER):
        stop = min(start + QUARTER, bar_stop)
        inside = [point for point in points if start <= point < stop]
        options = []
        for rank, step in enumerate((40, 60, 48)):
            if (stop - start) % step == 0:
                moved = {p: start + (2 * (p - start) + step) // (2 * step) * step for p in inside}
                options.append((sum(abs(p - q) for p, q in moved.items()), rank, step, moved))
        _, _, out.steps[start], moved = min(options, key=lambda option: option[:2])
        out.places.update(moved)
    return out


def truncated(pieces: Sequence[Piece], points: Sequence[int]) -> Snapped:
    """Move ``points``, which :func:`spell` met with ``rounded``, to where the pieces are played."""
    places = {round(piece.start): start for piece, (start, _) in zip(pieces, clock(pieces), strict=True)}
    return Snapped({point: places[point] for point in points}, {})


def clock(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """(start, end) of each piece in ticks, as a reader counts them."""
    out = []
    at = 0
    for piece in pieces:
        start = whole_ticks(piece.start, at)
        at = start + int(piece.length.ticks)
        out.append((start, whole_ticks(piece.end, at)))
    return out
