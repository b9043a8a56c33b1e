"""Tablature as guitarists write it, drawn over the engraver's string lines.

The engraver places staves, bars and fret numbers; here come the rhythm below the staff (where no notation staff says it
already) and what a hand does: bends with their height, slides, hammer-ons and pull-offs, palm mutes and let ring with
their extent, vibrato, dead notes as x, ghost notes in brackets, harmonics in angle brackets, and letters for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from cadenza.formats.musicxml import layout
from cadenza.formats.sheet.bends import bend_segments, height_name
from cadenza.formats.sheet.hand import draw_pick_stroke, draw_stroke, draw_whammy, whammy_curve
from cadenza.formats.sheet.prepare import Chord, Place, Sheet
from cadenza.formats.sheet.shapes import SVG, Box, Pen, number
from cadenza.formats.sheet.stems import draw_stems
from cadenza.score.model import HARMONICS, Note, Technique
from cadenza.score.notevalues import Bar

T = Technique
NUMBER_SIZE = 1.16  # of fret numbers, in spaces between strings
_LETTERS = (
    (T.TAP, "T"), (T.SLAP, "S"), (T.POP, "P"), (T.TRILL, "tr"), (T.HARMONIC_ARTIFICIAL, "A.H."),
    (T.HARMONIC_TAPPED, "T.H."), (T.HARMONIC_PINCH, "P.H."), (T.HARMONIC_SEMI, "S.H."),
    (T.ACCENT, ">"), (T.HEAVY_ACCENT, "^"), (T.STACCATO, "•"),
)  # fmt: skip
_SPANS = ((T.PALM_MUTE, "P.M."), (T.LET_RING, "let ring"))


@dataclass(frozen=True)
class Staff:
    """The tablature staff of one bar.

    Args:
        system: which line of the page it is on.
        left, right: where the bar begins and ends.
        lines: heights of its strings, from the top.
    """

    part: int
    bar: int
    system: int
    left: float
    right: float
    lines: list[float]

    @property
    def space(self) -> float:
        """Between two strings."""
        return (self.lines[-1] - self.lines[0]) / max(1, len(self.lines) - 1) or 315.0


@dataclass(frozen=True)
class _Drawn:
    """A number on the page, with its note."""

    name: str
    box: Box
    place: Place
    note: Note
    staff: Staff


def draw_tablature(
    pen: Pen, sheet: Sheet, boxes: dict[str, Box], staves: Iterable[Staff], is_new: Callable[[Place], bool]
) -> None:
    """Draw all tablature of a page."""
    by_system: dict[tuple[int, int], list[Staff]] = {}
    for staff in staves:
        by_system.setdefault((staff.part, staff.system), []).append(staff)
    for (part, _), row in by_system.items():
        _System(pen, sheet, boxes, row, is_new, part).draw()


class _System:
    """One tablature staff over one line of the page."""

    def __init__(
        self,
        pen: Pen,
        sheet: Sheet,
        boxes: dict[str, Box],
        staves: list[Staff],
        is_new: Callable[[Place], bool],
        part: int,
    ) -> None:
        self.pen, self.sheet, self.is_new, self.part = pen, sheet, is_new, part
        self.staves = staves
        self.space, self.top = staves[0].space, staves[0].lines[0]
        self.bottom, self.right = staves[0].lines[-1], staves[-1].right
        self.top_signs = self.top
        self.taken: list[tuple[float, float, float]] = []  # from, to, how high above the staff
        self.drawn: list[_Drawn] = []
        track = sheet.score.tracks[part]
        for staff in staves:
            for chords in self._voices(staff):
                for name in (name for chord in chords for name in chord.names):
                    place = sheet.places[name]
                    if name in boxes and place.row >= 0:
                        self.drawn.append(_Drawn(name, boxes[name], place, track[place.row], staff))
        self.drawn.sort(key=lambda d: (d.place.start_ticks, d.box.y))
        self.at = {d.name: d for d in self.drawn}
        self.starting: dict[tuple[int, int], list[_Drawn]] = {}  # by tick and voice
        for drawn in self.drawn:
            self.starting.setdefault((drawn.place.start_ticks, drawn.note.voice), []).append(drawn)
        self.columns = sorted({d.box.x for d in self.drawn})

    def _voices(self, staff: Staff) -> list[list[Chord]]:
        voices = self.sheet.bars.get((staff.part, staff.bar), {})
        return [voices[v] for v in sorted(voices) if any(chord.names for chord in voices[v])]

    def draw(self) -> None:
        """Numbers, rhythm, and what the hands do."""
        for drawn in self.drawn:
            self._number(drawn)
        crowded = False
        if not self.sheet.has_notation[self.part]:
            for staff in self.staves:
                crowded |= self._rhythm(staff)
        self._signs(self.top - (2.4 * self.space if crowded else 0))
        following = self._following()
        for drawn in self.drawn:
            if drawn.place.is_tied:
                continue
            self.pen.is_new = self.is_new(drawn.place)
            if drawn.note.bends:
                self._bend(drawn)
            self._joins(drawn, following.get(drawn.name))
        self.pen.is_new = False

    # ── numbers and rhythm ───────────────────────────────────────────────────────────────────────────────

    def _number(self, drawn: _Drawn) -> None:
        group, note = drawn.box.group, drawn.note
        text = next((e for e in group.iter(f"{{{SVG}}}text")), None)
        if text is None:
            return
        said = "x" if note.techniques & T.DEAD else (text.text or "").strip()
        if note.techniques & T.GHOST or drawn.place.is_tied:
            said = f"({said})"
        if note.techniques & HARMONICS:
            said = f"<{said}>"
        size = NUMBER_SIZE * self.space * (0.75 if note.techniques & T.GRACE else 1)
        x, y = drawn.box.x, drawn.box.y
        text.set("x", number(x))
        text.set("y", number(y + 0.34 * size))
        text.set("font-size", number(size))
        text.set("text-anchor", "middle")
        text.set("class", "fret")
        text.text = said
        width = 0.5 * size * len(said) + 0.1 * self.space
        ground = {"x": number(x - width / 2), "y": number(y - 0.4 * size), "width": number(width), "fill": "white"}
        paper = text.makeelement(f"{{{SVG}}}rect", {**ground, "height": number(0.8 * size), "style": "stroke:none"})
        wrapper = next(parent for parent in group.iter() if text in list(parent))
        wrapper.insert(0, paper)

    def _rhythm(self, staff: Staff) -> bool:
        """Stems, flags and beams of a bar; whether some stand above the staff."""
        voices = self._voices(staff)
        table = self.sheet.table
        metre = table.metres[staff.bar]
        beat = Bar(metre.numerator, metre.denominator, self.sheet.score.ticks_per_quarter).beat
        for index, chords in enumerate(voices):
            above = len(voices) > 1 and index == 0
            pieces = [(c.start_ticks, c.stop_ticks, c.value or 4, not c.names) for c in chords]
            beams = layout.beams(pieces, beat, int(table.starts_ticks[staff.bar]))
            times = [1 << (c.enters.bit_length() - 1) if c.enters > 1 else 1 for c in chords]
            tuplets = layout.tuplets(
                [
                    (c.start_ticks, c.stop_ticks, c.value or 4, c.dots, c.enters, t if t != c.enters else t // 2 or 1)
                    for c, t in zip(chords, times, strict=True)
                ]
            )
            placed = []
            for chord, beam, tuplet in zip(chords, beams, tuplets, strict=True):
                here = [self.at[name] for name in chord.names if name in self.at]
                x = here[0].box.x if here else None
                new = bool(here) and all(self.is_new(d.place) for d in here)
                slashes = bool(here) and any(d.note.techniques & T.TREMOLO_PICKING for d in here)
                placed.append((x, chord, beam, tuplet, new, slashes))
            edge = self.top - 0.7 * self.space if above else self.bottom + 0.7 * self.space
            draw_stems(self.pen, placed, edge, -self.space if above else self.space)
        self.pen.is_new = False
        return len(voices) > 1

    # ── above the staff ──────────────────────────────────────────────────────────────────────────────────

    def _signs(self, top: float) -> None:
        """What stands above the staff, each as low as what is there already lets it: bends (drawn later), letters,
        vibrato, signs of beats, then the lines of palm mutes and let ring."""
        self.top_signs = top
        for drawn in self.drawn:
            highest = max((cents for pair in bend_segments(drawn.note) for cents in pair), default=0)
            if highest > 0 and not drawn.place.is_tied:
                self._room(drawn.box.x, self._stop(drawn.box.x), self.top - self._height(highest) + self.space)
        self._letters()
        self._beat_signs()
        for bit, said in _SPANS:
            self._spans(bit, said)
        self.pen.is_new = False

    def _room(self, start: float, stop: float, height: float) -> float:
        """The lowest place from ``start`` to ``stop`` for something of a height, which it takes."""
        base = max((top for left, right, top in self.taken if left < stop and right > start), default=0.45 * self.space)
        self.taken.append((start, stop, base + height))
        return self.top_signs - base

    def _letters(self) -> None:
        size = 0.95 * self.space
        for x in self.columns:
            here = [d for d in self.drawn if d.box.x == x and not d.place.is_tied]
            said = " ".join(letter for bit, letter in _LETTERS if any(d.note.techniques & bit for d in here))
            self.pen.is_new = bool(here) and all(self.is_new(d.place) for d in here)
            if said:
                half = 0.25 * size * len(said)
                self.pen.words(said, (x, self._room(x - half, x + half, size)), size, "letter")
            if any(d.note.techniques & T.VIBRATO for d in here):
                start, stop = x - 0.2 * self.space, self._stop(x)
                y = self._room(start, stop, 0.75 * self.space) - 0.3 * self.space
                self.pen.wave((start, y), stop, 0.5 * self.space, 0.14 * self.space)

    def _spans(self, bit: Technique, said: str) -> None:
        """Words with a dashed line over all neighbouring notes that are played so."""
        run: list[tuple[float, bool]] = []
        for x in [*self.columns, None]:
            here = [d for d in self.drawn if d.box.x == x and d.note.techniques & bit]
            if here and x is not None:
                run.append((x, all(self.is_new(d.place) for d in here)))
                continue
            if run:
                self.pen.is_new = all(new for _, new in run)
                self._span(said, [place for place, _ in run])
            run = []

    def _beat_signs(self) -> None:
        """Strokes beside their chords; pick strokes and the whammy bar above."""
        for mark in self.sheet.hands[self.part]:
            here = self.starting.get((mark.onset_ticks, mark.voice))
            if not here:
                continue
            x, heights = here[0].box.x, [d.box.y for d in here]
            self.pen.is_new = self.is_new(here[0].place)
            half, stop = 0.4 * self.space, self._stop(x)
            if mark.kind == "pick_stroke":
                draw_pick_stroke(self.pen, mark, (x, self._room(x - half, x + half, 0.9 * self.space)), self.space)
            elif mark.kind == "stroke":
                draw_stroke(self.pen, mark, x - 0.9 * self.space, min(heights), max(heights), self.space)
            elif whammy_curve(mark):
                y = self._room(x - half, stop, 2 * self.space)
                draw_whammy(self.pen, mark, (x, y - self.space), stop, self.space)

    def _stop(self, x: float) -> float:
        """Where something that lasts as long as the notes at ``x`` ends."""
        return min(self._next_x(x) - 0.4 * self.space, x + 9 * self.space)

    def _height(self, cents: int) -> float:
        """Where a bend to so many cents ends."""
        return self.top - (0.75 + 0.0045 * min(cents, 400)) * self.space

    def _next_x(self, x: float) -> float:
        return next((column for column in self.columns if column > x), self.right)

    def _span(self, said: str, run: list[float]) -> None:
        size = 0.95 * self.space
        start = run[0] - 0.4 * self.space
        y = self._room(start, max(start + 0.5 * size * len(said), run[-1] + 0.3 * self.space), 1.1 * self.space)
        self.pen.words(said, (start, y), size, "span", "start", italic=True)
        begin, stop = start + 0.52 * size * len(said), run[-1] + 0.3 * self.space
        if stop > begin:
            middle, width = y - 0.3 * size, 0.08 * self.space
            self.pen.line((begin, middle), (stop, middle), width, f"{number(0.5 * size)} {number(0.4 * size)}")
            self.pen.line((stop, middle), (stop, middle + 0.45 * size), width)

    def _bend(self, drawn: _Drawn) -> None:
        """An arrow up to the height of the bend, down with its release."""
        pen, space = self.pen, self.space
        segments = bend_segments(drawn.note)
        if not segments:
            return
        half = 0.5 * NUMBER_SIZE * space * (1.1 if drawn.note.fret > 9 else 0.6)
        width = 0.1 * space
        x, y = drawn.box.x + half + 0.1 * space, drawn.box.y

        def height(cents: int) -> float:
            return self._height(cents) if cents > 0 else drawn.box.y

        first = segments[0][0]
        if first >= 25:  # bent before it is struck
            pen.line((x, y - 0.2 * space), (x, height(first)), width)
            pen.arrow((x, height(first)), True, 0.5 * space)
            self._name(x, height(first), first)
            y = height(first)
        room = max(min(self._next_x(drawn.box.x) - 0.5 * space, drawn.box.x + 9 * space) - x, 1.3 * space)
        step = room / len(segments)
        for start, stop in segments:
            x1 = x + step
            y1 = height(stop) if stop >= 0 else drawn.box.y + 0.0045 * min(-stop, 400) * space
            if start == stop:
                pen.line((x, y), (x1, y1), width, f"{number(0.3 * space)} {number(0.25 * space)}")
            else:
                pen.path(f"M{number(x)} {number(y)} Q{number(x1)} {number(y)} {number(x1)} {number(y1)}", width)
                pen.arrow((x1, y1), y1 < y, 0.5 * space)
                if stop > start and stop > 0:
                    self._name(x1, y1, stop)
                elif stop < 0:
                    pen.words(f"-{height_name(-stop)}", (x1, y1 + 0.9 * space), 0.85 * space, "bend")
            x, y = x1, y1

    def _name(self, x: float, y: float, cents: int) -> None:
        self.pen.words(height_name(cents), (x, y - 0.2 * self.space), 0.9 * self.space, "bend")

    # ── from note to note ────────────────────────────────────────────────────────────────────────────────

    def _following(self) -> dict[str, _Drawn]:
        """For each number the next one struck on its string in this line."""
        strings: dict[int, list[_Drawn]] = {}
        for drawn in self.drawn:
            if not drawn.place.is_tied:
                strings.setdefault(drawn.note.string, []).append(drawn)
        return {one.name: other for listed in strings.values() for one, other in pairwise(listed)}

    def _joins(self, drawn: _Drawn, after: _Drawn | None) -> None:
        """Hammer-ons, pull-offs and slides."""
        pen, space, bits = self.pen, self.space, drawn.note.techniques
        half = 0.5 * NUMBER_SIZE * space * (1.15 if drawn.note.fret > 9 else 0.65)
        x, y = drawn.box.x, drawn.box.y
        stop = after.box.x if after else min(self.right, x + 4 * space)
        wide = 0.1 * space
        if bits & T.HAMMER:
            pen.arc((x, y - 0.5 * space), (stop, y - 0.5 * space), 0.55 * space, wide)
            if after:
                letter = "H" if after.note.fret >= drawn.note.fret else "P"
                pen.words(letter, ((x + stop) / 2, y - 1.05 * space), 0.75 * space, "legato")
        if bits & (T.SLIDE_SHIFT | T.SLIDE_LEGATO):
            up = after is None or after.note.fret >= drawn.note.fret
            next_half = 0.5 * NUMBER_SIZE * space * (1.15 if after and after.note.fret > 9 else 0.65)
            rise = 0.28 * space if up else -0.28 * space
            pen.line((x + half, y + rise), (max(stop - next_half, x + half + 0.3 * space), y - rise), wide)
            if bits & T.SLIDE_LEGATO:
                pen.arc((x, y - 0.5 * space), (stop, y - 0.5 * space), 0.55 * space, wide)
        for bit, before, up in (
            (T.SLIDE_IN_BELOW, True, True),
            (T.SLIDE_IN_ABOVE, True, False),
            (T.SLIDE_OUT_DOWN, False, False),
            (T.SLIDE_OUT_UP, False, True),
        ):
            if bits & bit:
                start = x - half - 0.9 * space if before else x + half
                rise = 0.3 * space if up else -0.3 * space
                pen.line((start, y + rise), (start + 0.8 * space, y - rise), wide)
