"""A note's pitch curve as a guitarist's bend: up to a height, held, released."""

from __future__ import annotations

from itertools import pairwise

from cadenza.score.model import Note

LEAST_CENTS = 25  # less is intonation, not a bend
MAX_SEGMENTS = 6
_FRACTIONS = ("", "¼", "½", "¾")


def bend_segments(note: Note) -> list[tuple[int, int]]:
    """The curve as (cents at the start, cents at the end), one for each rise, fall and long hold; empty for no bend.

    Heights are rounded to quarter-tones; what wavers less is one height.
    """
    points = [(bend.offset_ticks, 50 * round(bend.cents / 50)) for bend in note.bends]
    if not points or max(abs(bend.cents) for bend in note.bends) < LEAST_CENTS:
        return []
    if points[0][0] > 0:
        points.insert(0, (0, points[0][1]))
    points.append((max(note.duration_ticks, points[-1][0]), points[-1][1]))
    turns = [points[0]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        turns_round = (here[1] - before[1]) * (after[1] - here[1]) <= 0 and here[1] != turns[-1][1]
        leaves_a_hold = here[1] == turns[-1][1] != after[1]
        if turns_round or leaves_a_hold:
            turns.append(here)
    turns.append(points[-1])
    out: list[tuple[int, int]] = []
    for (start, low), (stop, high) in pairwise(turns):
        is_long = 4 * (stop - start) >= note.duration_ticks
        last = stop == turns[-1][0]
        if low != high or (low and is_long and not (last and not out)):
            out.append((low, high))
    if not out and points[0][1]:
        out.append((points[0][1], points[0][1]))
    return out[:MAX_SEGMENTS]


def height_name(cents: int) -> str:
    """How far a bend goes, in whole tones: ½, full, 1½."""
    quarters = round(cents / 50)
    if quarters == 4:
        return "full"
    return f"{quarters // 4 or ''}{_FRACTIONS[quarters % 4]}"
