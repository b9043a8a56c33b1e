"""Curves of four points: GPIF's bends and tremolo-bar dives.

An origin, a middle of one height that lasts from one offset to another, a destination. A polyline that has another
shape keeps its ends and the point that lies farthest from the line between them.
"""

from __future__ import annotations

from cadenza.formats.gpif.records import Curve

FULL = 100.0
CENTS_PER_VALUE = 2

Point = tuple[float, float]


def fitted(points: list[Point]) -> list[Point]:
    """Two to four points of the shape that GPIF can say, for one or more."""
    if len(points) == 1:
        return [points[0], points[0]]
    if len(points) <= 3 or (len(points) == 4 and points[1][1] == points[2][1]):
        return points
    (x0, y0), (x1, y1) = points[0], points[-1]

    def distance(point: Point) -> float:
        return abs(point[1] - y0 - (y1 - y0) * (point[0] - x0) / max(x1 - x0, 1e-9))

    return [points[0], max(points[1:-1], key=distance), points[-1]]


def four_points(points: list[Point]) -> Curve:
    """Always four points, as the tremolo bar's element has them: what is missing lies on the line."""
    shape = fitted(points)
    if len(shape) == 2:
        (x0, y0), (x1, y1) = shape
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        shape = [shape[0], middle, middle, shape[1]]
    elif len(shape) == 3:
        shape = [shape[0], shape[1], shape[1], shape[2]]
    return tuple(shape)


def bend_of(points: list[tuple[int, int]], low: int, high: int, last: bool) -> Curve:
    """The part of a bend from ``low`` to ``high`` (ticks after the onset), points in ticks and cents.

    The point at ``high`` itself belongs to what follows, unless the curve has to climb there.
    """
    inside = [point for point in points if low <= point[0] < high or (last and point[0] == high)]
    at_end = [point for point in points if point[0] == high]
    if not last and at_end and inside and inside[-1][1] != at_end[0][1] and inside[-1][0] != high - 1:
        inside += at_end
    if not inside:
        return ()
    span = max(high - low, 1)
    scaled = [(FULL * (tick - low) / span, cents / CENTS_PER_VALUE) for tick, cents in inside]
    shape = fitted(scaled)
    return tuple([shape[0], shape[1], shape[1], shape[2]] if len(shape) == 3 else shape)
