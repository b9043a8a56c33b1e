"""Curves of four points: GPIF's bends and tremolo-bar dives.

An origin, a middle of one height that lasts from one offset to another, a destination. A polyline that has another
shape keeps its ends and the point that lies farthest from the line between them.
"""

from __future__ import annotations

from cadenza.formats.gpif.records import Curve, distinct

FULL = 100.0
CENTS_PER_VALUE = 2

Point = tuple[float, float]


def fitted(points: list[Point]) -> list[Point]:
    """One to four points of the shape that GPIF can say."""
    if len(points) <= 3 or (len(points) == 4 and points[1][1] == points[2][1]):
        return points
    (x0, y0), (x1, y1) = points[0], points[-1]

    def distance(point: Point) -> float:
        return abs(point[1] - y0 - (y1 - y0) * (point[0] - x0) / max(x1 - x0, 1e-9))

    return [points[0], max(points[1:-1], key=distance), points[-1]]


def four_points(curve: Curve) -> tuple[Point, Point, Point, Point]:
    """A curve of one to four points as the file's four; where it has no middle, half way on the line."""
    if len(curve) <= 2:
        (x0, y0), (x1, y1) = curve[0], curve[-1]
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        return (curve[0], middle, middle, curve[-1])
    return (curve[0], curve[1], curve[-2], curve[-1])


def dive_of(points: list[Point]) -> Curve:
    """A dive of the tremolo bar as the file will say it."""
    return distinct(list(four_points(tuple(fitted(points))))) if points else ()


def bend_of(points: list[tuple[int, int]], low: int, high: int, last: bool, held: bool = False) -> Curve:
    """The part of a bend from ``low`` to ``high`` (ticks after the onset), points in ticks and cents.

    The point at ``high`` itself belongs to what follows, unless the curve has to climb there. ``held``: the part says
    that it keeps its height up to there.
    """
    inside = [point for point in points if low <= point[0] < high or (last and point[0] == high)]
    at_end = [point for point in points if point[0] == high]
    if not last and at_end and inside and inside[-1][0] != high - 1 and (inside[-1][1] != at_end[0][1] or held):
        inside += at_end
    if not inside:
        return ()
    span = max(high - low, 1)
    return distinct(list(fitted([(FULL * (tick - low) / span, cents / CENTS_PER_VALUE) for tick, cents in inside])))
