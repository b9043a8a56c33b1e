"""Rhythm of a tablature: stems beside the staff, with flags, beams, dots and tuplet numbers."""

from __future__ import annotations

from collections.abc import Sequence

from cadenza.formats.sheet.prepare import Chord
from cadenza.formats.sheet.shapes import Pen, number

#: Where it stands (None: nothing is drawn there), the chord, its beams, its tuplet, whether it is new, tremolo.
Placed = tuple[float | None, Chord, list[str], str, bool, bool]
_STEM, _BEAM, _GAP = 2.0, 0.36, 0.62  # length, thickness and distance of beams, in spaces


def draw_stems(pen: Pen, placed: Sequence[Placed], edge: float, space: float) -> None:
    """Draw one voice of one bar.

    Args:
        edge: height at which stems begin.
        space: between two strings; negative for stems that go up.
    """
    size, tip = abs(space), edge + _STEM * space
    for x, chord, beams, _, new, slashes in placed:
        if x is None:
            continue
        pen.is_new = new
        if chord.value > 1:
            start = edge + (0.95 * space if chord.value == 2 else 0)
            pen.line((x, start), (x, tip), 0.11 * size)
        if chord.value >= 8 and not beams:
            for flag in range(chord.value.bit_length() - 3):
                _flag(pen, x, tip - flag * 0.55 * space, space)
        for dot in range(chord.dots):
            pen.dot((x + (0.4 + 0.3 * dot) * size, tip - 0.15 * space), 0.11 * size)
        if slashes:
            for slash in range(3):
                y = edge + (0.35 + 0.3 * slash) * space
                pen.line((x - 0.35 * size, y + 0.12 * size), (x + 0.35 * size, y - 0.12 * size), 0.13 * size)
    _beams(pen, placed, tip, space)
    _tuplets(pen, placed, tip, space)


def _flag(pen: Pen, x: float, y: float, space: float) -> None:
    size = abs(space)
    points = [(x + 0.1 * size, y - 0.5 * space), (x + 0.85 * size, y - 0.6 * space), (x + 0.6 * size, y - 1.35 * space)]
    curve = " ".join(f"{number(a)} {number(b)}" for a, b in points)
    pen.path(f"M{number(x)} {number(y)} C{curve}", 0.14 * size)


def _beams(pen: Pen, placed: Sequence[Placed], tip: float, space: float) -> None:
    size = abs(space)
    for level in range(6):
        start: float | None = None
        news: list[bool] = []
        y = tip - level * _GAP * space
        for x, _, beams, _, new, _ in placed:
            said = beams[level] if level < len(beams) else ""
            if x is None or not said:
                continue
            pen.is_new = new
            if said == "begin":
                start, news = x, [new]
            elif said in ("continue", "end"):
                news.append(new)
                if said == "end" and start is not None:
                    pen.is_new = all(news)
                    _bar(pen, start, x, y, space)
                    start = None
            elif said == "forward hook":
                _bar(pen, x, x + 0.8 * size, y, space)
            else:
                _bar(pen, x - 0.8 * size, x, y, space)


def _bar(pen: Pen, left: float, right: float, y: float, space: float) -> None:
    edge = 0.055 * abs(space)
    top = y - _BEAM * space
    pen.fill([(left - edge, y), (right + edge, y), (right + edge, top), (left - edge, top)], "beam")


def _tuplets(pen: Pen, placed: Sequence[Placed], tip: float, space: float) -> None:
    size = abs(space)
    run: list[tuple[float, bool]] = []
    y = tip + 0.55 * space
    for x, chord, _, tuplet, new, _ in placed:
        if tuplet in ("start", "both"):
            run = []
        if x is not None:
            run.append((x, new))
        if tuplet in ("stop", "both") and run:
            pen.is_new = all(one for _, one in run)
            left, right = run[0][0], run[-1][0]
            middle, gap = (left + right) / 2, 0.4 * size
            for start, stop in ((left - 0.2 * size, middle - gap), (middle + gap, right + 0.2 * size)):
                if stop > start:
                    pen.line((start, y), (stop, y), 0.07 * size)
            pen.words(str(chord.enters), (middle, y + 0.33 * size), size, "tuplet", italic=True)
            run = []
