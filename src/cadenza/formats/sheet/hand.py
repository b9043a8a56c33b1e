"""Signs over a tablature that are said of a whole beat: strokes, pick strokes, the whammy bar."""

from __future__ import annotations

from cadenza.formats.sheet.bends import LEAST_CENTS, height_name
from cadenza.formats.sheet.shapes import Pen, Point
from cadenza.score.written import Mark

UP, DOWN = 1, 2
POSITIONS = 60.0  # of a whammy curve over its beat
_CENTS = 50  # of one unit of its height


def draw_pick_stroke(pen: Pen, mark: Mark, at: Point, space: float) -> None:
    """⊓ for a stroke down, V for one up."""
    x, y = at
    half, high = 0.32 * space, 0.62 * space
    if mark.values[:1] == (DOWN,):
        pen.polyline([(x - half, y), (x - half, y - high), (x + half, y - high), (x + half, y)], 0.11 * space)
        pen.line((x - half, y - high), (x + half, y - high), 0.26 * space)
    elif mark.values[:1] == (UP,):
        pen.polyline([(x - half, y - high), (x, y), (x + half, y - high)], 0.11 * space)


def draw_stroke(pen: Pen, mark: Mark, x: float, top: float, bottom: float, space: float) -> None:
    """An arrow across the strings: a hand that moves down goes from the low strings to the high ones, upwards here."""
    if bottom - top < 0.5 * space or mark.values[:1] not in ((UP,), (DOWN,)):
        return
    upwards = mark.values[0] == DOWN
    pen.line((x, top - 0.3 * space), (x, bottom + 0.3 * space), 0.1 * space)
    pen.arrow((x, top - 0.45 * space if upwards else bottom + 0.45 * space), upwards, 0.5 * space)


def whammy_curve(mark: Mark) -> list[tuple[int, int]]:
    """Position and height of each point; none where the bar hardly moves."""
    # Type and height come first, then position, height and vibrato of each point.
    points = list(zip(mark.values[2::3], mark.values[3::3], strict=False))
    return points if max((abs(_CENTS * height) for _, height in points), default=0) >= LEAST_CENTS else []


def draw_whammy(pen: Pen, mark: Mark, start: Point, stop_x: float, space: float) -> None:
    """The curve of the whammy bar over its beat, with its furthest height; ``start`` is where it rests."""
    points = whammy_curve(mark)
    x, y = start
    room = max(stop_x - x, space)
    drawn = [
        (x + room * min(max(at, 0), POSITIONS) / POSITIONS, y - max(-0.9, min(0.9, height * 0.12)) * space)
        for at, height in points
    ]
    pen.polyline(drawn, 0.1 * space)
    heights = [height for _, height in points]
    furthest = max(heights, key=abs)
    place = drawn[heights.index(furthest)]
    said = ("-" if furthest < 0 else "") + height_name(abs(_CENTS * furthest))
    pen.words(said, (place[0], place[1] + (0.85 if furthest < 0 else -0.25) * space), 0.8 * space, "whammy")
