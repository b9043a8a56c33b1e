"""Curves over steps and bars of importance as inline SVG, and the page around them: nothing to load, light or dark.

:func:`drawing` makes an SVG file that stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 250, 52, 14, 12, 30  # pixels
MAX_NAMED = 8  # more lines than that are told apart by hovering alone
COLOURS = ("#3b6fb6", "#d1603d", "#2f9e6e", "#8a5cc2", "#b58a00", "#c2417e", "#4f8a8b", "#7a7a7a")
STYLE = """
:root { --ink: #1d2433; --quiet: #5b6577; --paper: #ffffff; --line: #dde2ea; color-scheme: light dark }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --quiet: #9aa5b8; --paper: #14181f; --line: #2c3442 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 1000px; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 0 1rem } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 1.6rem 2rem }
figure { margin: 0 } figcaption { font-weight: 600 } figcaption span, p small { font-weight: 400; color: var(--quiet) }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif } svg text { fill: var(--quiet) }
svg .axis { stroke: var(--line) } svg path { fill: none; stroke-width: 1.8 }
img { width: 100%; max-width: 900px; display: block; border: 1px solid var(--line) }
audio { display: block; margin: .3rem 0 } pre { white-space: pre-wrap; color: var(--quiet) }
table { border-collapse: collapse; width: 100% } .table { overflow-x: auto }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left; padding-left: 0 } tr.best td { font-weight: 700 }
@media (max-width: 480px) { .plots { grid-template-columns: 1fr } }
""".strip()


def document(title: str, parts: Sequence[str]) -> str:
    """A page of HTML."""
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
    ]
    return "\n".join([*head, *parts, "</body></html>", ""])


def figure(title: str, said: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines over steps.

    Args:
        said: what the values are.
        lines: name → (step, value), in order; empty ones are left out.
    """
    lines = {name: points for name, points in lines.items() if points}
    caption = f"<figcaption>{escape(title)} <span>{escape(said)}</span></figcaption>"
    if not lines:
        return f"<figure>{caption}<p><small>nothing measured yet</small></p></figure>"
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points if math.isfinite(y)] or [0.0]
    low_x, high_x = min(xs), max(max(xs), min(xs) + 1)
    ticks = nice(min(ys), max(ys))
    low_y, high_y = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (x - low_x) / (high_x - low_x)
        up = (min(max(y, low_y), high_y) - low_y) / (high_y - low_y)
        return across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up

    drawn = []
    for tick in ticks:
        _, y = place(low_x, tick)
        drawn.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    drawn.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">{low_x:,.0f}</text>')
    drawn.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">step {high_x:,.0f}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(x, y) for x, y in points if math.isfinite(y)]
        way = " ".join(f"{'L' if at else 'M'}{x:.1f},{y:.1f}" for at, (x, y) in enumerate(places))
        drawn.append(f'<path d="{way}" stroke="{colour}"><title>{escape(name)}</title></path>')
        if places:
            x, y = places[-1]
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>')
    names = "".join(
        f'<span style="color:{COLOURS[number % len(COLOURS)]}"> ● {escape(name)}</span>'
        for number, name in enumerate(lines)
        if len(lines) > 1 and len(lines) <= MAX_NAMED
    )
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'
    return f"<figure>{caption}{picture}<p><small>{names}</small></p></figure>"


@dataclass(frozen=True)
class Panel:
    """One of the plots of a :func:`drawing`.

    Args:
        title: above it.
        below: what the horizontal axis counts.
        lines: name → (x, y), in order.
        ticks: values on the vertical axis, from its lower to its upper end.
    """

    title: str
    below: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    ticks: Sequence[float]


def drawing(panels: Sequence[Panel], width: int = 900, height: int = 320) -> str:
    """Plots side by side, with one legend, as an SVG file of its own (a page of docs cannot style what it shows)."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    a_row = max(1, width // 220)
    rows = -(-len(names) // a_row)
    across, left, top, bottom = width / len(panels), 42, 34, 44
    whole = height + 18 * (rows - 1)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" width="{width}" height="{whole}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{whole}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        x0, x1 = number * across + left, (number + 1) * across - 12
        y0, y1 = height - bottom - 14, top
        points = [point for line in panel.lines.values() for point in line]
        low_x, high_x = min((x for x, _ in points), default=0.0), max((x for x, _ in points), default=1.0)
        low_y, high_y = panel.ticks[0], panel.ticks[-1]

        def place(x: float, y: float) -> tuple[float, float]:
            within = min(max(y, low_y), high_y)  # noqa: B023  # called before the next turn
            right = (x - low_x) / ((high_x - low_x) or 1)  # noqa: B023
            return x0 + (x1 - x0) * right, y0 + (y1 - y0) * (within - low_y) / (high_y - low_y)  # noqa: B023

        out.append(f'<text x="{x0:.1f}" y="{top - 14}" font-size="12">{escape(panel.title)}</text>')
        for tick in panel.ticks:
            _, y = place(low_x, tick)
            out.append(f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="#dddddd"/>')
            out.append(f'<text x="{x0 - 6:.1f}" y="{y + 4:.1f}" text-anchor="end" fill="#555555">{tick:g}</text>')
        out.append(f'<text x="{x0:.1f}" y="{y0 + 16:.1f}" fill="#555555">{low_x:,.0f}</text>')
        out.append(f'<text x="{x1:.1f}" y="{y0 + 16:.1f}" text-anchor="end" fill="#555555">{high_x:,.0f}</text>')
        middle = (x0 + x1) / 2
        out.append(
            f'<text x="{middle:.1f}" y="{y0 + 16:.1f}" text-anchor="middle" fill="#555555">{escape(panel.below)}</text>'
        )
        for name, line in panel.lines.items():
            way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
            colour = COLOURS[names.index(name) % len(COLOURS)]
            dashed = ' stroke-dasharray="5 3"' if names.index(name) >= len(COLOURS) else ""
            out.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
    for place_of, name in enumerate(names):
        x, y = left + place_of % a_row * 216, height - 12 + 18 * (place_of // a_row)
        dashed = ' stroke-dasharray="5 3"' if place_of >= len(COLOURS) else ""
        colour = COLOURS[place_of % len(COLOURS)]
        out.append(f'<path d="M{x} {y}h18" stroke="{colour}" stroke-width="3"{dashed}/>')
        out.append(f'<text x="{x + 24}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>"])


def nice(low: float, high: float) -> list[float]:
    """Four to seven round values that span low to high."""
    if high <= low:
        high = low + (abs(low) * 0.1 or 1.0)
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    first = math.floor(low / step)
    last = math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def bars(title: str, said: str, values: Mapping[str, float]) -> str:
    """Horizontal bars of shares in 0–1, the longest first."""
    rows = sorted(values.items(), key=lambda row: -row[1])
    height = 24 * max(1, len(rows))
    most = max((value for _, value in rows), default=0) or 1.0
    drawn = []
    for number, (name, value) in enumerate(rows):
        middle = 24 * number + 12
        length = max(1.0, 210 * value / most)
        drawn.append(f'<text x="180" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        drawn.append(
            f'<rect x="188" y="{middle - 7}" width="{length:.1f}" height="14" rx="2" fill="{COLOURS[0]}"/>'
            f'<text x="{194 + length:.1f}" y="{middle + 4}">{value:.2f}</text>'
        )
    picture = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{"".join(drawn)}</svg>'
    return f"<figure><figcaption>{escape(title)} <span>{escape(said)}</span></figcaption>{picture}</figure>"
