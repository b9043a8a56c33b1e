"""What becomes of the engraver's SVG: words that every renderer reads, colours, tablature.

Verovio nests its words in spans with positions and glyphs of a music font, which few renderers besides browsers take;
they are written anew as plain words, the note of a metronome mark as its outline.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cadenza.formats.coloured import Coloured
from cadenza.formats.sheet.prepare import Place, Sheet
from cadenza.formats.sheet.shapes import Box, Pen, number
from cadenza.formats.sheet.tablature import Staff, draw_tablature

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
GENERATED = "#d1540f"
LARGEST_WORDS = 370.0  # of tempo marks and section names
FONT = "Libertinus Serif, Times New Roman, Times, serif"
_HEAD = {"cx": "155", "cy": "-35", "rx": "165", "ry": "115", "transform": "rotate(-28 155 -35)"}
_STEM = {"x": "281", "y": "-668", "width": "24", "height": "600"}
_FLAG = "M285 -668h22c8 150 150 170 150 310c0 60 -20 110 -40 150c60 -220 -100 -200 -132 -260z"  # on an em of 1000
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def tag(name: str) -> str:
    """The element's name in the SVG namespace."""
    return f"{{{SVG}}}{name}"


@dataclass(frozen=True)
class Page:
    """One finished page: its SVG and its size in millimetres."""

    svg: str
    width_mm: float
    height_mm: float


def finish(svg: str, sheet: Sheet, coloured: Coloured | None, width_mm: float, is_first: bool = False) -> Page:
    """The engraver's page, made whole.

    Args:
        coloured: what is new, in ticks of ``sheet.score`` and tracks of the score that it was made of.
        width_mm: of the paper.
        is_first: the composer stands on this page.
    """
    root = ElementTree.fromstring(svg)
    inner = next(root.iter(tag("svg")), root)
    inner = next((e for e in root.iter(tag("svg")) if e.get("class") == "definition-scale"), inner)
    _, _, width, height = map(float, (inner.get("viewBox") or "0 0 1 1").split())
    height_mm = width_mm * height / width
    for text in list(root.iter(tag("text"))):
        _plain_words(text)
    _even_words(root)
    if is_first and sheet.score.composer:
        _composer(root, sheet.score.composer)
    margin = next(e for e in inner.iter(tag("g")) if e.get("class") == "page-margin")
    boxes = dict(_noted(margin, sheet.places))
    _clear_tablature(margin, sheet)

    def is_new(place: Place) -> bool:
        return coloured is not None and coloured.holds(sheet.track_of[place.part], place.start_ticks)

    draw_tablature(Pen(margin, FONT, GENERATED), sheet, boxes, list(_staves(margin, sheet)), is_new)
    if coloured is not None:
        _colour(margin, {**sheet.places, **sheet.rests}, is_new)
    paper = ElementTree.Element(tag("rect"), {"width": number(width), "height": number(height), "fill": "white"})
    paper.set("style", "stroke:none")
    inner.insert(0, paper)
    root.set("width", f"{number(width_mm)}mm")
    root.set("height", f"{number(height_mm)}mm")
    return Page(ElementTree.tostring(root, "unicode"), width_mm, height_mm)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Words:
    """A run of words at a place, or going on after the one before (x is None)."""

    x: str | None
    y: str | None
    anchor: str
    runs: list[tuple[str, float, dict[str, str]]]


def _plain_words(text: ElementTree.Element) -> None:
    """Replace the nested spans of a text by plain ones, one for each place and size."""
    groups = [_Words(text.get("x"), text.get("y"), text.get("text-anchor", "start"), [])]
    _collect(text, 0.0, {}, groups)
    for child in list(text):
        text.remove(child)
    text.text = None
    groups = [group for group in groups if any(said.strip() for said, _, _ in group.runs)]
    text.tag = tag("g")
    for name in ("x", "y", "text-anchor", "font-size"):
        text.attrib.pop(name, None)
    for group in groups:
        _write_words(text, group)


def _collect(element: ElementTree.Element, size: float, style: dict[str, str], groups: list[_Words]) -> None:
    if element.tag == tag("title"):
        return
    own = element.get("font-size")
    size = float(own.removesuffix("px")) if own else size
    style = {**style, **{k: v for k, v in element.items() if k in ("font-family", "font-style", "font-weight")}}
    if element.tag == tag("tspan") and element.get("x") is not None:
        anchor = element.get("text-anchor", groups[-1].anchor)
        groups.append(_Words(element.get("x"), element.get("y") or groups[-1].y, anchor, []))
    if element.text and size and element.text.strip("\n\t "):
        groups[-1].runs.append((element.text, size, style))
    elif element.text and size and groups[-1].runs and " " in element.text and "\n" not in element.text:
        groups[-1].runs.append((" ", size, style))
    for child in element:
        _collect(child, size, style, groups)


def _write_words(parent: ElementTree.Element, group: _Words) -> None:
    """One text element; where it begins with a music glyph, that as an outline before it."""
    x, y = float(group.x or 0), float(group.y or 0)
    while group.runs and _is_glyph(group.runs[0][0]):
        glyph, size, _ = group.runs.pop(0)
        scale, has_flag = size / 1000, "\ueca7" in glyph
        note = ElementTree.SubElement(parent, tag("g"), {"fill": "currentColor"})
        note.set("transform", f"translate({number(x)}, {number(y)}) scale({scale:.4f})")
        ElementTree.SubElement(note, tag("ellipse"), dict(_HEAD))
        ElementTree.SubElement(note, tag("rect"), dict(_STEM))
        if has_flag:
            ElementTree.SubElement(note, tag("path"), {"d": _FLAG})
        x += (360 + 160 * has_flag) * scale
        dots = glyph.count("\uecb7")
        for dot in range(dots):
            at = {"cx": number(x + 100 * scale * dot), "cy": number(y - 40 * scale), "r": number(45 * scale)}
            ElementTree.SubElement(parent, tag("circle"), {**at, "fill": "currentColor"})
        x += 160 * scale * dots
    runs = [(said, size, style) for said, size, style in group.runs if not _is_glyph(said)]
    if not runs:
        return
    runs[0] = (runs[0][0].lstrip("\n\t") if len(runs[0][0].strip()) else runs[0][0], *runs[0][1:])
    words = ElementTree.SubElement(
        parent, tag("text"), {"x": number(x), "y": number(y), "font-size": number(runs[0][1]), "font-family": FONT}
    )
    words.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    if group.anchor != "start":
        words.set("text-anchor", group.anchor)
    style = {k: v for k, v in runs[0][2].items() if k != "font-family"}
    words.attrib.update(style)
    words.text = "".join(said for said, _, _ in runs)


def _is_glyph(said: str) -> bool:
    """Whether it is of a music font: all in the private use area."""
    stripped = said.strip()
    return bool(stripped) and all("\ue000" <= c <= "\uf8ff" for c in stripped.replace(" ", ""))


def _composer(root: ElementTree.Element, name: str) -> None:
    """The composer's name at the right, below the title."""
    head = next((g for g in root.iter(tag("g")) if (g.get("class") or "").startswith("pgHead")), None)
    system = next((g for g in root.iter(tag("g")) if g.get("class") == "system"), None)
    if system is None:
        return
    title = next(head.iter(tag("text")), None) if head is not None else None
    size = 0.6 * float(title.get("font-size", 470)) if title is not None else 300.0
    y = (float(title.get("y", 0)) if title is not None else 0.0) + 1.5 * size
    edges = [e.get("d", "").split() for e in system.iter(tag("path"))]
    right = max((float(p[2][1:]) for p in edges if len(p) == 4 and p[1] == p[3]), default=0.0)
    words = ElementTree.SubElement(
        system, tag("text"), {"x": number(right), "y": number(y), "font-size": number(size), "font-family": FONT}
    )
    words.set("text-anchor", "end")
    words.set("class", "composer")
    words.text = name


def _even_words(root: ElementTree.Element) -> None:
    """Words over a tablature are set as large as its wider lines; bring them to the size that others have."""
    for group in root.iter(tag("g")):
        words = next(group.iter(tag("text")), None) if group.get("class") in ("tempo", "reh", "dir") else None
        if words is None:
            continue
        size = float(words.get("font-size", 0))
        if size > LARGEST_WORDS:
            k = LARGEST_WORDS / size
            x, y = (float(words.get(axis, 0)) * (1 - k) for axis in "xy")
            y -= LARGEST_WORDS / 2  # and leave room for what tablature has above its lines
            group.set("transform", f"translate({number(x)}, {number(y)}) scale({k:.4f})")


# ── places ───────────────────────────────────────────────────────────────────────────────────────────────


def _noted(margin: ElementTree.Element, places: dict[str, Place]) -> Iterator[tuple[str, Box]]:
    """Where each drawn note is: its identity, and the middle of its head or number."""
    for group in margin.iter(tag("g")):
        name = group.get("id", "")
        if group.get("class") != "note" or name not in places:
            continue
        words = next(group.iter(tag("text")), None)
        if words is not None:
            size = float(words.get("font-size", "324"))
            yield name, Box(float(words.get("x", 0)), float(words.get("y", 0)) - 0.36 * size, size, group)
            continue
        head = next((e for e in group.iter(tag("use"))), None)
        if head is not None:
            x, y = head.get("transform", "translate(0, 0)").split("translate(")[1].split(")")[0].split(",")
            yield name, Box(float(x), float(y), 0.0, group)


def _clear_tablature(margin: ElementTree.Element, sheet: Sheet) -> None:
    """Take away what the engraver draws on tablatures and is drawn better or not at all: rhythm signs, brackets of
    tuplets, ledger lines of rests, rests beside the staff or said by the notation above."""
    parents = {child: parent for parent in margin.iter() for child in parent}
    for staff in [g for g in margin.iter(tag("g")) if g.get("class") == "staff"]:
        groups = [(g, g.get("class") or "") for g in staff.iter(tag("g"))]
        if not any(kind == "tabGrp" for _, kind in groups):
            continue
        heights = _line_heights(staff)
        known = (sheet.places.get(g.get("id", "")) for g, _ in groups)
        part = next((place.part for place in known if place), None)
        is_said = part is not None and sheet.has_notation[part]
        for group, kind in groups:
            if kind in ("tupletNum", "tupletBracket", "ledgerLines"):
                if group in list(parents[group]):  # what held it may be cleared
                    parents[group].remove(group)
            elif kind == "tabDurSym" or (kind == "rest" and (is_said or not _is_within(group, heights))):
                for child in list(group):
                    group.remove(child)
            elif kind == "beam":
                for child in [c for c in group if c.tag in (tag("polygon"), tag("path"))]:
                    group.remove(child)


def _line_heights(staff: ElementTree.Element) -> list[float]:
    lines = [e.get("d", "").split() for e in staff if e.tag == tag("path")]
    return sorted({float(parts[1]) for parts in lines if len(parts) == 4 and parts[1] == parts[3]})


def _is_within(group: ElementTree.Element, heights: list[float]) -> bool:
    """Whether the sign stands on the lines of a staff."""
    sign = next(group.iter(tag("use")), None)
    if sign is None or not heights:
        return True
    y = float((sign.get("transform") or "translate(0, 0)").split("translate(")[1].split(")")[0].split(",")[1])
    return heights[0] <= y <= heights[-1]


def _staves(margin: ElementTree.Element, sheet: Sheet) -> Iterator[Staff]:
    """The tablature staves of each bar: their lines and where the bar begins and ends."""
    for system, group in enumerate(g for g in margin.iter(tag("g")) if g.get("class") == "system"):
        for measure in (g for g in group.iter(tag("g")) if g.get("class") == "measure"):
            for staff in (g for g in measure.iter(tag("g")) if g.get("class") == "staff"):
                names = [g.get("id", "") for g in staff.iter(tag("g")) if g.get("id", "") in sheet.places]
                if not names or not sheet.is_tab[sheet.places[names[0]].part]:
                    continue
                lines = [e.get("d", "").split() for e in staff if e.tag == tag("path")]
                heights = _line_heights(staff)
                left = min(float(parts[0][1:]) for parts in lines)
                right = max(float(parts[2][1:]) for parts in lines)
                part, bar = (int(number) for number in names[0][1:].split("-")[:2])
                yield Staff(part, bar, system, left, right, heights)


# ── colour ───────────────────────────────────────────────────────────────────────────────────────────────


def _colour(margin: ElementTree.Element, places: dict[str, Place], is_new: Callable[[Place], bool]) -> None:
    """Colour each group all of whose notes and rests are new: notes with their stems, chords, beams."""

    def visit(group: ElementTree.Element) -> tuple[bool, bool]:
        """Whether it holds notes, and whether all of them are new."""
        name = group.get("id", "")
        place = places.get(name)
        if place is not None:
            held, new = True, is_new(place)
        else:
            seen = [visit(child) for child in group]
            held = any(has for has, _ in seen)
            new = held and all(every for has, every in seen if has)
        if new and group.get("class") in ("note", "rest", "mRest", "chord", "beam", "tuplet", "tabGrp", "layer"):
            group.set("fill", GENERATED)
            group.set("color", GENERATED)
            group.set("stroke", "none")
        return held, new

    visit(margin)
