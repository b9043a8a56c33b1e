"""Which lengths fit where a bar has so many steps (128ths) left, within a tuplet or without."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

from cadenza.notation.grammar import Span

Tuplet = tuple[int, int, int, int]  # enters, times, elements left, its steps so far


def fits(steps: int, left: int, tuplet: Tuplet | None) -> bool:
    """Whether an element of so many steps (before its tuplet's scaling) may stand where ``left`` steps are left."""
    if tuplet is None:
        return 1 <= steps <= left
    enters, times, owed, done = tuplet
    most = left // times * enters
    if owed > 1:
        return 1 <= steps <= most - done - (owed - 1)
    return steps >= 1 and (done + steps) % enters == 0 and done + steps <= most


@lru_cache(maxsize=1 << 15)
def denominators(numerator: int, steps_a_unit: int, left: int, tuplet: Tuplet | None) -> tuple[int, ...]:
    """What may stand under ``numerator``, 1 for nothing; in lowest terms only."""
    out = []
    denominator = 1
    while denominator <= steps_a_unit:
        if gcd(numerator, denominator) == 1 and fits(numerator * steps_a_unit // denominator, left, tuplet):
            out.append(denominator)
        denominator *= 2
    return tuple(out)


@lru_cache(maxsize=1 << 12)
def length_spans(steps_a_unit: int, left: int, tuplet: Tuplet | None) -> tuple[Span, ...]:
    """Beginnings of lengths other than that of one unit."""
    out = [Span("/", d, d) for d in denominators(1, steps_a_unit, left, tuplet) if d > 1]
    most = left if tuplet is None else left * 4
    low = None
    for numerator in range(2, most + 1):
        fits = bool(denominators(numerator, steps_a_unit, left, tuplet))
        if fits and low is None:
            low = numerator
        if low is not None and not fits:
            out.append(Span("", low, numerator - 1))
            low = None
    if low is not None:
        out.append(Span("", low, most))
    return tuple(out)
