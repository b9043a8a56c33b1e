"""What one voice of a tune has said so far: time, accidentals, ties, tuplets, graces; and the notes that came of it.

Times count :data:`UNITS` to a quarter note, so that tuplets of 3, 5, 7, 9, 11, 13 and 15 and very short notes are
whole numbers; what is finer is rounded and said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from cadenza.notation.abc.pitches import FIFTHS, LETTERS, SEMITONES, KeySignature
from cadenza.notation.abc.text import unescape
from cadenza.notation.abc.values import DEFAULT_TUPLETS, parse_length
from cadenza.score.model import NO_SPELLING, Technique

UNITS = 691_891_200  # 2^10 · 3^3 · 5^2 · 7 · 11 · 13
DEFAULT_VELOCITY = 95
ONSET, DURATION, PITCH, VELOCITY, TECHNIQUES, OVERLAY, SPELLING = range(7)
Row = list[int]
PITCHES: dict[str, tuple[int, int, int]] = {}  # "c'" → (letter, octave from middle C's, natural pitch); filled as met


def pitch_of(letter: str, marks: str) -> tuple[int, int, int]:
    """(index into LETTERS, octave from middle C's, natural MIDI pitch) of a letter with octave marks."""
    found = PITCHES.get(letter + marks)
    if found is None:
        index = LETTERS.index(letter.upper())
        octave = letter.islower() + marks.count("'") - marks.count(",")
        found = index, octave, 60 + 12 * octave + SEMITONES[index]
        if len(PITCHES) < 1000:
            PITCHES[letter + marks] = found
    return found


@dataclass(slots=True)
class BarLine:
    """What stands at a place between two bars; several signs at one place are one."""

    at: int
    close: int = 0  # how often the passage before it is played
    opens: bool = False
    ends_volta: bool = False
    volta: tuple[int, ...] = ()


@dataclass(slots=True)
class WrongBar:
    """A bar whose length is not its metre's."""

    line: int
    column: int
    length: int
    full: int
    is_first: bool
    follows: int  # length of the bar before
    at_sign: bool  # a repeat, a double line or the end follows


@dataclass(slots=True, eq=False)
class Voice:
    """One voice's state and yield; see the module."""

    name: str
    title: str = ""
    merges: bool = False  # on the staff, and in the track, of the voice before
    program: int | None = None
    channel: int | None = None
    shift: int = 0  # semitones from the written to the sounding pitch
    transposition: int = 0  # of K: or V:, included in shift
    key: KeySignature = field(default_factory=KeySignature)
    metre: tuple[int, int] | None = None
    unit: Fraction = Fraction(1, 8)
    velocity: int = DEFAULT_VELOCITY
    time: int = 0
    bar_start: int = 0
    bar_end: int = 0  # the furthest that this bar's overlays came
    n_elements: int = 0  # in this bar
    n_bars: int = 0
    overlay: int = 0
    used: bool = False
    drum_map: dict[int, int] = field(default_factory=dict)
    notes: list[Row] = field(default_factory=list)
    graces: list[tuple[list[tuple[int, int]], int, int, int]] = field(
        default_factory=list
    )  # notes, time, overlay, velocity
    bar_lines: list[BarLine] = field(default_factory=list)
    wrong_bars: list[WrongBar] = field(default_factory=list)
    marks: list[tuple[int, str, tuple[int, ...], str, int]] = field(default_factory=list)
    sung: list[int] = field(default_factory=list)  # onsets in the last line of music, −1 at its bar lines
    verse: int = 0
    altered: dict[Any, int] = field(default_factory=dict)
    ties: dict[int, dict[int, Row]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    last: tuple[list[Row], int] | None = None  # notes and length of the last element
    broken: Fraction | None = None  # factor for the next element
    tuplet: tuple[int, int, int] | None = None  # notes left, times, enters
    pending_techniques: int = 0
    pending_marks: list[tuple[str, tuple[int, ...], str]] = field(default_factory=list)
    pending_graces: list[tuple[int, int]] = field(default_factory=list)
    last_length: int = 0

    def set_unit(self, unit: Fraction) -> None:
        """L: from here on."""
        self.unit = unit
        self.lengths = {}

    def set_key(self, key: KeySignature) -> None:
        """K: from here on."""
        self.key = key
        self.altered = {}

    def bar_length(self) -> int:
        """A full bar's length; 0 without a metre."""
        return 0 if self.metre is None else UNITS * 4 * self.metre[0] // self.metre[1]

    def length(self, text: str) -> int:
        """Units of a written length, tuplets aside.

        Raises:
            ValueError: no length, or one that is too fine.
        """
        found = self.lengths.get(text)
        if found is None:
            numerator, denominator = parse_length(text)
            found, rest = divmod(4 * UNITS * self.unit.numerator * numerator, self.unit.denominator * denominator)
            if rest or not found:
                raise ValueError(text)
            if len(self.lengths) < 5000:
                self.lengths[text] = found
        return found

    def timed(self, length: int) -> int:
        """``length`` in the tuplet and the broken pair that it is in.

        Raises:
            ValueError: too fine.
        """
        if self.tuplet is not None:
            left, times, enters = self.tuplet
            length, rest = divmod(length * times, enters)
            if rest or not length:
                raise ValueError("tuplet")
            self.tuplet = (left - 1, times, enters) if left > 1 else None
        if self.broken is not None:
            length = int(length * self.broken)
            self.broken = None
        return length

    def begin_tuplet(self, enters: int, times: int | None, count: int | None) -> None:
        """``(p:q:r``."""
        if times is None:
            compound = self.metre is not None and self.metre[1] >= 8 and self.metre[0] % 3 == 0
            times = DEFAULT_TUPLETS.get(enters, 3 if compound else 2)
        self.tuplet = (enters if count is None else count, times, enters)

    def break_rhythm(self, signs: str) -> bool:
        """``>`` or ``<``, once or more: lengthens one of two neighbours and shortens the other; False where none is."""
        if self.last is None or self.broken is not None:
            return False
        notes, length = self.last
        short = Fraction(1, 2 ** len(signs))
        before, self.broken = (2 - short, short) if signs[0] == ">" else (short, 2 - short)
        change = int(length * before) - length
        for row in notes:
            row[DURATION] += change
        self.time += change
        self.last = (notes, length + change)
        return True

    def sound(self, accidental: str | None, letter: int, octave: int, natural: int, propagate: str) -> tuple[int, int]:
        """(pitch, spelling) of a written note; remembers its accidental."""
        place: Any = (letter, octave) if propagate == "octave" else letter
        if accidental is not None:
            alteration = _ACCIDENTAL[accidental]
            if propagate != "not":
                self.altered[place] = alteration
        elif self.altered and place in self.altered:
            alteration = self.altered[place]
        else:
            alteration = self.key.alterations[letter]
            ties = self.ties.get(self.overlay)
            if ties and self.time == self.bar_start:  # a tie carries the accidental over the bar line
                for pitch in (natural + alteration + self.shift, natural + 1 + self.shift, natural - 1 + self.shift):
                    row = ties.get(pitch)
                    if row is not None and row[SPELLING] in (
                        NO_SPELLING,
                        FIFTHS[letter] + 7 * (pitch - natural - self.shift),
                    ):
                        alteration = pitch - natural - self.shift
                        break
        pitch = natural + alteration + self.shift
        if self.drum_map:
            pitch = self.drum_map.get(natural + alteration, pitch)
        spelling = FIFTHS[letter] + 7 * alteration if not self.shift % 12 else NO_SPELLING
        return pitch, spelling

    def add(self, sounded: list[tuple[int, int, int, bool]], length: int) -> list[int]:
        """A note or chord of (pitch, spelling, length, tied) that takes ``length``; tied pitches that led nowhere."""
        at, overlay = self.time, self.overlay
        ties = self.ties.get(overlay)
        rows: list[Row] = []
        held: dict[int, Row] | None = None
        techniques = self.pending_techniques
        for pitch, spelling, duration, tied in sounded:
            row = ties.pop(pitch, None) if ties else None
            if row is not None and row[ONSET] + row[DURATION] == at:
                row[DURATION] += duration
            else:
                row = [at, duration, pitch, self.velocity, techniques, overlay, spelling]
                self.notes.append(row)
            rows.append(row)
            if tied:
                if held is None:
                    held = {}
                held[pitch] = row
        lost = list(ties) if ties else []
        if held is not None or ties is not None:
            self.ties[overlay] = held or {}
        self.advance(rows, length)
        return lost

    def advance(self, rows: list[Row], length: int) -> None:
        """Go on by ``length``; what waited for this element finds its place."""
        if self.pending_graces:
            if rows:
                self.graces.append((self.pending_graces, self.time, self.overlay, self.velocity))
            self.pending_graces = []
        if self.pending_marks:
            self.marks += [(self.time, kind, values, text, self.overlay) for kind, values, text in self.pending_marks]
            self.pending_marks = []
        self.pending_techniques = 0
        if rows and not self.overlay:
            self.sung.append(self.time)
        self.last = (rows, length)
        self.time += length
        self.n_elements += 1

    def tie_last(self) -> bool:
        """A tie after the last element; False where there is none."""
        if self.last is None or not self.last[0]:
            return False
        self.ties[self.overlay] = {row[PITCH]: row for row in self.last[0]}
        return True

    def begin_overlay(self) -> None:
        """``&``: back to the start of the bar."""
        self.bar_end = max(self.bar_end, self.time)
        self.time = self.bar_start
        self.overlay += 1
        self.altered, self.last, self.broken, self.tuplet = {}, None, None, None

    def end_bar(self) -> int:
        """The bar's length, and the state for the next one."""
        self.bar_end = self.time = max(self.bar_end, self.time)
        length = self.time - self.bar_start
        self.bar_start = self.bar_end
        self.n_elements = self.overlay = 0
        self.altered, self.last, self.tuplet = {}, None, None
        self.sung.append(-1)
        return length

    def bar_line(self) -> BarLine:
        """The bar line at the present time."""
        if not self.bar_lines or self.bar_lines[-1].at != self.time:
            self.bar_lines.append(BarLine(self.time))
        return self.bar_lines[-1]


def align(voice: Voice, text: str) -> int:
    """Syllables of w: to the notes of the line of music before it; how many words it had."""
    places = voice.sung
    at = n_words = 0
    for match in re.finditer(r"(\\-|[^\s|*_-])+|[|*_]|-", text):
        token = match[0]
        n_words += 1
        if token == "|":
            while at < len(places) and places[at] >= 0:
                at += 1
            at += 1
            continue
        while at < len(places) and places[at] < 0:
            at += 1
        if at >= len(places):
            break
        if token == "-":
            before = text[match.start() - 1 : match.start()]
            if before and before not in " -":
                continue  # ends the syllable before it
            at += 1
            continue
        if token not in "*_":
            syllable = unescape(token.replace("~", " ").replace("\\-", "-"))
            hyphen = "-" if text[match.end() : match.end() + 1] == "-" else ""
            voice.marks.append((places[at], "lyric", (voice.verse,), syllable + hyphen, 0))
        at += 1
    return n_words


_ACCIDENTAL = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}
#: Decorations that are techniques of the notes they stand at.
TECHNIQUES_OF = {
    "staccato": Technique.STACCATO, ".": Technique.STACCATO, ">": Technique.ACCENT, "accent": Technique.ACCENT,
    "emphasis": Technique.ACCENT, "^": Technique.HEAVY_ACCENT, "marcato": Technique.HEAVY_ACCENT,
    "trill": Technique.TRILL, "vibrato": Technique.VIBRATO, "open": Technique.NONE,
}  # fmt: skip
#: Dynamics, eight levels as tablature programs have them; a text that says none is at :data:`DEFAULT_VELOCITY`.
DYNAMICS = {"ppp": 15, "pp": 31, "p": 47, "mp": 63, "mf": 79, "f": 95, "ff": 111, "fff": 127, "pppp": 15, "ffff": 127,
            "sfz": 111}  # fmt: skip
#: Decorations that become marks: name → (kind, text).
MARKS_OF = {
    "fermata": ("fermata", ""), "invertedfermata": ("fermata", ""), "lowermordent": ("ornament", "mordent"),
    "mordent": ("ornament", "mordent"), "uppermordent": ("ornament", "inverted-mordent"),
    "pralltriller": ("ornament", "inverted-mordent"), "roll": ("ornament", "turn"), "turn": ("ornament", "turn"),
    "turnx": ("ornament", "turn"), "invertedturn": ("ornament", "inverted-turn"),
    "invertedturnx": ("ornament", "inverted-turn"), "arpeggio": ("arpeggio", ""),
}  # fmt: skip
#: Decorations that say where a performance jumps, as the Score's directions.
DIRECTIONS_OF = {
    "segno": "segno", "coda": "coda", "fine": "fine", "D.C.": "da-capo", "dacapo": "da-capo", "D.S.": "da-segno",
    "D.C.alcoda": "da-capo-al-coda", "D.C.alfine": "da-capo-al-fine", "D.S.alcoda": "da-segno-al-coda",
    "D.S.alfine": "da-segno-al-fine", "dacoda": "da-coda",
}  # fmt: skip
KNOWN_DECORATIONS = {
    "tenuto", "wedge", "upbow", "downbow", "thumb", "snap", "slide", "plus", "+", "breath",
    "shortphrase", "mediumphrase",
    "longphrase",
    "crescendo(", "crescendo)", "diminuendo(", "diminuendo)", "<(", "<)", ">(", ">)", "trill(", "trill)",
    "0", "1", "2", "3", "4", "5", "xstem", "/", "//", "///", "////", "courtesy", "nolinebreak", "8va(", "8va)",
    "beambr1", "beambr2", "beamon", "rbstop", "rbend", "repeatbar", "repeatbar2", "sfz", "dot", "ped", "ped-up",
}  # fmt: skip
#: The single letters of decorations, before any U:.
SYMBOLS = {".": "staccato", "~": "roll", "H": "fermata", "L": "accent", "M": "lowermordent", "O": "coda",
           "P": "uppermordent", "S": "segno", "T": "trill", "u": "upbow", "v": "downbow"}  # fmt: skip
