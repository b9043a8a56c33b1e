"""Pictures: a Score as a piano roll in .png.

Time runs to the right with bar lines and bar numbers, pitch upwards with the white and black keys behind it, one
colour a track; a bend is drawn as the curve that it is, drums have a lane of their own. Where a piece was
continued, its own part is muted and what was added stands out.

The picture's size depends on ``width`` alone and never on the piece, and where notes are more than pixels, pixels
are drawn: a stranger's file cannot make it explode.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.base.files import write_atomically
from cadenza.formats._performance import VIBRATO_CENTS
from cadenza.formats.coloured import Coloured
from cadenza.score.model import Score, Technique, Track
from cadenza.score.time import BarTable, bar_table

Colour = tuple[int, int, int]

_SCALE = 2  # drawn so much larger, then reduced: smooth edges
_MAX_SHAPES = 20_000  # beyond so many notes a track is drawn as filled pixels
_MAX_LEGEND = 8
_LEFT, _RIGHT, _BAR_STRIP, _BOTTOM = 58, 22, 24, 18
_WIDTHS = (400, 6000)

_PAPER: Colour = (255, 255, 255)
_BLACK_KEY: Colour = (244, 245, 248)
_INK: Colour = (38, 43, 56)
_FAINT: Colour = (138, 145, 160)
_GRID: Colour = (226, 229, 236)
_BAR_LINE: Colour = (198, 203, 214)
_ACCENT: Colour = (222, 96, 22)
_TINT: Colour = (255, 241, 222)
_PALETTE: tuple[Colour, ...] = (
    (226, 61, 72),
    (36, 113, 214),
    (128, 73, 204),
    (14, 150, 124),
    (231, 138, 0),
    (199, 56, 150),
    (88, 129, 24),
    (0, 148, 186),
)
_DRUM_COLOUR: Colour = (64, 72, 92)
# Rows of the drum lane, from the top: name and General MIDI keys. Every other key joins the last row.
_DRUM_ROWS: tuple[tuple[str, frozenset[int]], ...] = (
    ("cymbals", frozenset({49, 51, 52, 53, 55, 57, 59})),
    ("hi-hat", frozenset({42, 44, 46})),
    ("toms", frozenset({41, 43, 45, 47, 48, 50})),
    ("snare", frozenset({37, 38, 39, 40})),
    ("kick", frozenset({35, 36})),
    ("others", frozenset()),
)
_TALL_ROW = {"kick", "snare"}


def write(score: Score, path: Path | str, *, highlight: Coloured | None = None, width: int = 1600) -> None:
    """Draw the score (repeats as written, not played out) into a .png.

    Args:
        highlight: what is new; what stands before a continuation is labelled "yours".
        width: of the picture in pixels, 400–6,000; its height follows from the pitches used, at most about 1,000.

    Raises:
        RangeError: ``width`` is out of range.
        LimitError: the piece has more bars than the bar table holds.
        FormatError: ``path`` cannot be written.
    """
    buffer = io.BytesIO()
    draw(score, highlight=highlight, width=width).save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


def check_width(width: int) -> None:
    """Raise where no picture may be so wide.

    Raises:
        RangeError: ``width`` is not of 400–6,000 pixels.
    """
    if not _WIDTHS[0] <= width <= _WIDTHS[1]:
        raise RangeError(f"a width of {_WIDTHS[0]}–{_WIDTHS[1]} pixels", str(width))


def draw(score: Score, *, highlight: Coloured | None = None, width: int = 1600) -> Any:
    """The picture as a ``PIL.Image.Image`` in RGB; arguments and errors as :func:`write`."""
    from PIL import Image

    check_width(width)
    layout = _layout(score, highlight, width)
    picture = _Picture(score, layout)
    picture.background()
    picture.bars()
    for index, track in enumerate(score.tracks):
        if track.is_drums:
            picture.drums(track, index)
        else:
            picture.notes(track, layout.colours[index], index)
    picture.frame()
    return picture.image.resize((width, layout.height), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class _Layout:
    """Where everything is, in pixels of the final picture."""

    width: int
    height: int
    top: int
    row_height: float
    low: int  # lowest and highest pitch shown
    high: int
    drums_top: int
    drum_row_height: int
    drum_rows: tuple[str, ...]
    bars: BarTable
    end_ticks: int
    new: Coloured | None
    colours: tuple[Colour, ...]

    def x(self, ticks: Any) -> Any:
        """Where a tick is drawn."""
        return _LEFT + (self.width - _LEFT - _RIGHT) * np.asarray(ticks, np.float64) / self.end_ticks

    def y(self, pitch: Any) -> Any:
        """The middle of a pitch's row."""
        return self.top + (self.high - np.asarray(pitch, np.float64) + 0.5) * self.row_height

    @property
    def stretch(self) -> tuple[float | None, float]:
        """Where the new part begins (None: there is none) and ends."""
        right = float(self.width - _RIGHT)
        if self.new is None:
            return None, right
        start = float(self.x(max(0, min(self.new.from_ticks, self.end_ticks))))
        return start, right if self.new.to_ticks is None else min(right, float(self.x(self.new.to_ticks)))

    @property
    def roll_bottom(self) -> int:
        """Where the pitched part ends."""
        return round(self.top + (self.high - self.low + 1) * self.row_height)


def _layout(score: Score, new: Coloured | None, width: int) -> _Layout:
    pitched = [t for t in score.tracks if not t.is_drums and len(t)]
    low, high = 55, 76
    if pitched:
        low = min(int(t.notes["pitch"].min()) for t in pitched)
        high = max(int(t.notes["pitch"].max() + max(0, int(t.bends["cents"].max(initial=0))) // 100) for t in pitched)
    low, high = max(0, low - 3), min(127, high + 3)
    low = max(0, min(low, high - 23))
    row_height = float(np.clip(520 / (high - low + 1), 5.5, 15))
    used = {int(p) for t in score.tracks if t.is_drums for p in np.unique(t.notes["pitch"])}
    known = frozenset().union(*(keys for _, keys in _DRUM_ROWS))
    rows = tuple(name for name, keys in _DRUM_ROWS if (used & keys) or (name == "others" and used - known))
    top = 62 + _BAR_STRIP
    roll_bottom = round(top + (high - low + 1) * row_height)
    drums_top = roll_bottom + (14 if rows else 0)
    drum_row_height = 17
    colours: list[Colour] = []
    for track in score.tracks:
        taken = len([c for c in colours if c != _DRUM_COLOUR])
        colours.append(_DRUM_COLOUR if track.is_drums else _PALETTE[taken % len(_PALETTE)])
    bars = bar_table(score)
    end = max(int(bars.ends_ticks[-1]), score.length_ticks, 1)
    height = drums_top + drum_row_height * len(rows) + _BOTTOM
    return _Layout(
        width, height, top, row_height, low, high, drums_top, drum_row_height, rows, bars, end, new, tuple(colours)
    )


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """``colour`` with ``share`` of ``other``."""
    r, g, b = (round(a * (1 - share) + o * share) for a, o in zip(colour, other, strict=True))
    return r, g, b


def _muted(colour: Colour) -> Colour:
    grey = round(0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2])
    return _mixed(_mixed(colour, (grey, grey, grey), 0.35), _PAPER, 0.48)


class _Picture:
    """The picture while it is drawn, :data:`_SCALE` times as large."""

    def __init__(self, score: Score, layout: _Layout) -> None:
        from PIL import Image, ImageDraw

        self.score, self.at = score, layout
        self.image = Image.new("RGB", (layout.width * _SCALE, layout.height * _SCALE), _PAPER)
        self.pen = ImageDraw.Draw(self.image)

    # ── primitives ───────────────────────────────────────────────────────────────────────────────────────

    def _box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, radius: float = 0.0) -> None:
        box = [round(x0 * _SCALE), round(y0 * _SCALE), round(x1 * _SCALE) - 1, round(y1 * _SCALE) - 1]
        box[2], box[3] = max(box[0], box[2]), max(box[1], box[3])
        if radius and box[2] - box[0] > 2 * _SCALE:
            self.pen.rounded_rectangle(box, round(radius * _SCALE), fill)
        else:
            self.pen.rectangle(box, fill)

    def _text(
        self, x: float, y: float, text: str, size: float, fill: Colour, anchor: str = "lm", bold: bool = False
    ) -> float:
        """Write ``text`` and return its width."""
        from PIL import ImageFont

        font = ImageFont.load_default(size * _SCALE)
        stroke = 0.35 * _SCALE if bold else 0
        self.pen.text((x * _SCALE, y * _SCALE), text, fill, font, anchor=anchor, stroke_width=stroke)
        return float(self.pen.textlength(text, font)) / _SCALE

    # ── background ───────────────────────────────────────────────────────────────────────────────────────

    def background(self) -> None:
        """Keys, tint of the continuation, octave lines and the drum lane."""
        at = self.at
        right = at.width - _RIGHT
        split, stop = at.stretch
        drum_bottom = at.drums_top + at.drum_row_height * len(at.drum_rows)
        if split is not None:
            self._box(split, at.top, stop, at.roll_bottom, _mixed(_TINT, _PAPER, 0.25))
        for pitch in range(at.low, at.high + 1):
            y = float(at.y(pitch))
            if pitch % 12 in (1, 3, 6, 8, 10):
                y0, y1 = y - at.row_height / 2, y + at.row_height / 2
                self._box(_LEFT, y0, right, y1, _BLACK_KEY)
                if split is not None:
                    self._box(split, y0, stop, y1, _mixed(_TINT, (246, 226, 200), 0.3))
        for pitch in range(at.low, at.high + 1):
            edge = float(at.y(pitch)) + at.row_height / 2
            if pitch % 12 == 0:
                self._box(_LEFT, edge - 0.5, right, edge + 0.5, _BAR_LINE)
            elif pitch % 12 == 5:
                self._box(_LEFT, edge - 0.25, right, edge + 0.25, _GRID)
        for row in range(len(at.drum_rows)):
            y0 = at.drums_top + row * at.drum_row_height
            shade = _BLACK_KEY if row % 2 else (249, 250, 252)
            self._box(_LEFT, y0, right, y0 + at.drum_row_height, shade)
            if split is not None:
                tint = _TINT if row % 2 else _mixed(_TINT, _PAPER, 0.25)
                self._box(split, y0, stop, y0 + at.drum_row_height, tint)
            self._text(_LEFT - 8, y0 + at.drum_row_height / 2, at.drum_rows[row], 10.5, _FAINT, "rm")
        self._keyboard()
        if at.drum_rows:
            self._box(_LEFT, drum_bottom - 0.5, right, drum_bottom + 0.5, _BAR_LINE)

    def _keyboard(self) -> None:
        """The edge of a keyboard with the names of the Cs."""
        at = self.at
        for pitch in range(at.low, at.high + 1):
            y = float(at.y(pitch))
            key = _INK if pitch % 12 in (1, 3, 6, 8, 10) else (236, 238, 243)
            self._box(_LEFT - 11, y - at.row_height / 2 + 0.5, _LEFT - 3, y + at.row_height / 2 - 0.5, key)
            if pitch % 12 == 0:
                self._text(_LEFT - 16, y, f"C{pitch // 12 - 1}", 11, _INK, "rm")

    def bars(self) -> None:
        """Bar lines, beats where there is room, bar numbers as dense as they can be read."""
        at = self.at
        starts = at.x(at.bars.starts_ticks)
        n = len(starts)
        bottom = at.drums_top + at.drum_row_height * len(at.drum_rows)
        wide = (at.width - _LEFT - _RIGHT) / n
        steps = (1, 2, 4, 8, 16, 32, 64, 100)
        step = next((s for s in steps if s * wide >= 9), 100 * max(1, int(0.12 / max(wide, 1e-9))))
        numbered = next((s for s in steps if s * wide >= 30 and s >= step), step * max(1, int(36 / (step * wide) + 1)))
        for bar in range(0, n, step):
            x = float(starts[bar])
            if wide >= 48:
                metre = at.bars.metres[bar]
                beat = self.score.ticks_per_quarter * 4 / metre.denominator
                beats = np.arange(at.bars.starts_ticks[bar] + beat, at.bars.ends_ticks[bar] - 0.5, beat)
                for tick in beats[:64]:
                    self._box(float(at.x(tick)) - 0.25, at.top, float(at.x(tick)) + 0.25, bottom, _GRID)
            self._box(x - 0.5, at.top - 5, x + 0.5, bottom, _BAR_LINE)
            if bar % numbered == 0:
                self._text(x + 4, at.top - 10, str(bar + 1), 11, _FAINT)

    # ── notes ────────────────────────────────────────────────────────────────────────────────────────────

    def _colour(self, colour: Colour, is_new: bool, velocity: int) -> Colour:
        if not is_new:
            return _muted(colour)
        return _mixed(colour, _PAPER, 0.30 * (1 - min(velocity, 110) / 110))

    def _new(self, track: Track, index: int) -> np.ndarray:
        """Which notes of the track with this index stand out, shape (n,); all where nothing is new."""
        new = self.at.new
        onsets = track.notes["onset_ticks"].tolist()
        return np.array([new is None or new.holds(index, onset) for onset in onsets], bool)

    def notes(self, track: Track, colour: Colour, index: int) -> None:
        """One track's notes, bent ones as ribbons along their curves."""
        if len(track) > _MAX_SHAPES:
            self._filled(track, colour, index)
            return
        is_new = self._new(track, index)
        at, half = self.at, max(2.0, self.at.row_height * 0.41)
        notes = track.notes
        x0 = at.x(notes["onset_ticks"])
        x1 = at.x(notes["onset_ticks"] + notes["duration_ticks"])
        x1 = np.maximum(x1 - np.minimum(1.4, (x1 - x0) * 0.2), x0 + 1.0)
        curved = (notes["techniques"] & np.uint64(Technique.VIBRATO)) != 0
        curved[track.bends["note"]] = True
        shade = notes["techniques"] & np.uint64(Technique.PALM_MUTE | Technique.DEAD)
        for row in range(len(notes)):
            fill = self._colour(colour, bool(is_new[row]), int(notes["velocity"][row]))
            y = float(at.y(notes["pitch"][row]))
            if curved[row]:
                self._ribbon(track, row, float(x0[row]), float(x1[row]), half, fill)
                continue
            # A muted or dead note is short of body: drawn thinner.
            h = 0.6 * half if shade[row] else half
            self._box(float(x0[row]), y - h, float(x1[row]), y + h, fill, radius=min(2.6, h))

    def _ribbon(self, track: Track, row: int, x0: float, x1: float, half: float, fill: Colour) -> None:
        note = track[row]
        x = np.linspace(x0, x1, int(np.clip((x1 - x0) * 2, 2, 800)))
        ticks = (x - x0) / max(x1 - x0, 1e-9) * note.duration_ticks
        cents = np.zeros(len(x))
        if note.bends:
            cents = np.interp(ticks, [b.offset_ticks for b in note.bends], [b.cents for b in note.bends])
        if note.techniques & Technique.VIBRATO:
            # Drawn deeper and slower than it sounds, so that it can be seen as a wave.
            begin = note.bends[-1].offset_ticks if len(note.bends) > 1 else note.duration_ticks / 4
            begin = min(begin, note.duration_ticks * 0.6)
            cents = cents + 1.4 * VIBRATO_CENTS * np.sin((x - x0) * 2 * np.pi / 15) * (ticks > begin)
        y = self.at.y(note.pitch + cents / 100)
        points = [(float(a) * _SCALE, float(b) * _SCALE) for a, b in zip(x, y, strict=True)]
        self.pen.line(points, fill, round(1.7 * half * _SCALE), joint="curve")

    def _filled(self, track: Track, colour: Colour, index: int) -> None:
        """A track of very many notes: each pixel column of each pitch is on or off."""
        at, notes, is_new = self.at, track.notes, self._new(track, index)
        for early in (True, False):
            part = notes[is_new != early]
            if not len(part):
                continue
            edges = np.zeros((128, at.width + 2), np.int64)
            x0 = at.x(part["onset_ticks"]).astype(int)
            x1 = np.maximum(at.x(part["onset_ticks"] + part["duration_ticks"]).astype(int), x0 + 1)
            np.add.at(edges, (part["pitch"], x0), 1)
            np.add.at(edges, (part["pitch"], x1), -1)
            on = np.cumsum(edges, axis=1) > 0
            fill = self._colour(colour, not early, 100)
            for pitch in np.flatnonzero(on.any(axis=1)):
                turns = np.flatnonzero(np.diff(on[pitch].astype(int), prepend=0))
                y, half = float(at.y(pitch)), max(2.0, at.row_height * 0.41)
                for start, stop in zip(turns[::2], turns[1::2], strict=True):
                    self._box(float(start), y - half, float(stop), y + half, fill)

    def drums(self, track: Track, index: int) -> None:
        """Strokes in the drum lane: a stem where the stroke is, wider the harder it is."""
        at, notes, is_new = self.at, track.notes, self._new(track, index)
        place = np.full(128, len(at.drum_rows) - 1)
        for name, keys in _DRUM_ROWS:
            if name in at.drum_rows and keys:
                place[list(keys)] = at.drum_rows.index(name)
        rows = place[notes["pitch"]]
        # Strokes that fall on one pixel are one, the loudest.
        pixel = np.rint(at.x(notes["onset_ticks"]) * _SCALE).astype(np.int64)
        order = np.lexsort([-notes["velocity"], pixel, rows])
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(pixel[order]) != 0) | (np.diff(rows[order]) != 0)
        room = (at.width - _LEFT - _RIGHT) / at.end_ticks * self.score.ticks_per_quarter / 4
        for row in order[first]:
            velocity = int(notes["velocity"][row])
            fill = self._colour(_DRUM_COLOUR, bool(is_new[row]), velocity)
            strong = at.drum_rows[rows[row]] in _TALL_ROW
            size = float(np.clip(room * 0.42, 1.0, 5.5)) * (0.55 + 0.45 * velocity / 127) * (1.1 if strong else 0.85)
            x, y = pixel[row] / _SCALE, at.drums_top + (rows[row] + 0.5) * at.drum_row_height
            tall = max(size, 3.2)
            if at.drum_rows[rows[row]] in ("cymbals", "hi-hat"):
                diamond = [(x, y - tall), (x + size, y), (x, y + tall), (x - size, y)]
                self.pen.polygon([(a * _SCALE, b * _SCALE) for a, b in diamond], fill)
            else:
                self.pen.ellipse(
                    [(x - size) * _SCALE, (y - tall) * _SCALE, (x + size) * _SCALE, (y + tall) * _SCALE], fill
                )

    # ── words ────────────────────────────────────────────────────────────────────────────────────────────

    def frame(self) -> None:
        """Title, legend, and the labels of the two parts."""
        at = self.at
        right = at.width - _RIGHT
        self._box(_LEFT, at.roll_bottom - 0.5, right, at.roll_bottom + 0.5, _BAR_LINE)
        x: float = _LEFT
        if self.score.title:
            x += self._text(x, 22, _short(self.score.title, 48), 17, _INK, bold=True) + 12
        if self.score.composer:
            self._text(x, 23, _short(self.score.composer, 40), 12, _FAINT)
        self._legend(right)
        split, stop = at.stretch
        if at.new is None or split is None:
            return
        bottom = at.drums_top + at.drum_row_height * len(at.drum_rows)
        self._box(split - 1, at.top - _BAR_STRIP - 10, split + 1, bottom, _ACCENT)
        y = at.top - _BAR_STRIP - 3
        if split - _LEFT > 46:
            self._text(split - 8, y, "yours", 13, _FAINT, "rm", bold=True)
        goes_on = at.new.to_ticks is None and at.new.tracks is None
        if stop - split > 100:
            self._text(split + 8, y, "continuation" if goes_on else "new", 13, _ACCENT, "lm", bold=True)

    def _legend(self, right: float) -> None:
        at = self.at
        entries = [
            (_short(track.name, 22) or ("Drums" if track.is_drums else f"Track {index + 1}"), at.colours[index])
            for index, track in enumerate(self.score.tracks)
        ]
        more = len(entries) - _MAX_LEGEND
        if more > 0:
            entries = [*entries[:_MAX_LEGEND], (f"+ {more} more", _FAINT)]
        x = right
        for name, colour in reversed(entries):
            x -= self._text(x, 23, name, 12.5, _INK, "rm")
            x -= 16
            self._box(x, 18, x + 11, 28, colour, radius=3)
            x -= 16
            if x < at.width * 0.4:
                break


def _short(text: str, n: int) -> str:
    """``text`` in one line of at most ``n`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= n else text[: n - 1].rstrip() + "…"
