"""Lines, curves and words in SVG, in the engraver's units."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

SVG = "http://www.w3.org/2000/svg"
Point = tuple[float, float]


def number(value: float) -> str:
    """A number as short as it may be."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Box:
    """A drawn note: the middle of its head or number, the size of the number (0: a head), its group."""

    x: float
    y: float
    size: float
    group: ElementTree.Element


class Pen:
    """Draws into a group of an SVG document.

    Args:
        margin: the group.
        font: family of words.
        colour: of what is new.
    """

    def __init__(self, margin: ElementTree.Element, font: str, colour: str) -> None:
        self.into = ElementTree.SubElement(margin, f"{{{SVG}}}g", {"class": "tablature"})
        self.font, self.colour = font, colour
        self.is_new = False

    def _add(self, name: str, **attributes: str) -> ElementTree.Element:
        cleaned = {key.replace("_", "-"): value for key, value in attributes.items()}
        return ElementTree.SubElement(self.into, f"{{{SVG}}}{name}", cleaned)

    @property
    def ink(self) -> str:
        """Black, or the colour of what is new."""
        return self.colour if self.is_new else "black"

    def path(self, d: str, width: float, dash: str = "") -> None:
        """An open path."""
        element = self._add("path", d=d, fill="none", style=f"stroke:{self.ink}", stroke_width=number(width))
        if dash:
            element.set("stroke-dasharray", dash)

    def line(self, start: Point, stop: Point, width: float, dash: str = "") -> None:
        """A straight line."""
        self.path(f"M{_xy(start)} L{_xy(stop)}", width, dash)

    def polyline(self, points: Sequence[Point], width: float) -> None:
        """Straight lines from point to point."""
        self.path("M" + " L".join(_xy(point) for point in points), width)

    def fill(self, points: Sequence[Point], kind: str) -> None:
        """A filled polygon."""
        corners = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._add("polygon", points=corners, fill=self.ink, style="stroke:none").set("class", kind)

    def dot(self, at: Point, radius: float) -> None:
        """A filled circle."""
        self._add(
            "ellipse", cx=number(at[0]), cy=number(at[1]), rx=number(radius), ry=number(radius),
            fill=self.ink, style="stroke:none",
        )  # fmt: skip

    def arc(self, start: Point, stop: Point, height: float, width: float) -> None:
        """A slur from ``start`` to ``stop``, ``height`` above them: thick in the middle."""
        (x0, y0), (x1, y1) = start, stop
        lift, third = height * 4 / 3, (x1 - x0) / 4
        upper = f"M{_xy(start)} C{_xy((x0 + third, y0 - lift))} {_xy((x1 - third, y1 - lift))} {_xy(stop)}"
        inner = lift - 2.2 * width
        lower = f"C{_xy((x1 - third, y1 - inner))} {_xy((x0 + third, y0 - inner))} {_xy(start)} Z"
        element = self._add("path", d=f"{upper} {lower}", fill=self.ink, stroke_width=number(width / 4))
        element.set("style", f"stroke:{self.ink}")

    def arrow(self, tip: Point, up: bool, size: float) -> None:
        """A head that points up or down."""
        x, y = tip
        back = size * (1 if up else -1)
        self.fill([(x, y), (x - 0.42 * size, y + back), (x + 0.42 * size, y + back)], "arrow")

    def words(
        self, text: str, at: Point, size: float, kind: str, anchor: str = "middle", italic: bool = False
    ) -> ElementTree.Element:
        """Words whose baseline is at ``at``."""
        element = self._add(
            "text", x=number(at[0]), y=number(at[1]), font_size=number(size), font_family=self.font, fill=self.ink
        )
        element.set("class", kind)
        element.set("text-anchor", anchor)
        if italic:
            element.set("font-style", "italic")
        element.text = text
        return element

    def wave(self, start: Point, stop_x: float, size: float, width: float) -> None:
        """A wavy line to the right."""
        x, y = start
        d = [f"M{_xy(start)}"]
        step, up = 0.55 * size, True
        while x + step <= stop_x or len(d) < 4:
            d.append(f"Q{_xy((x + step / 2, y + (-size if up else size) * 0.5))} {_xy((x + step, y))}")
            x, up = x + step, not up
            if len(d) > 200:
                break
        self.path(" ".join(d), width)


def _xy(point: Point) -> str:
    return f"{number(point[0])} {number(point[1])}"
