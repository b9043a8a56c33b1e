"""The grammar of Simplified MIDI, both profiles, as one automaton.

published::

    text   = line { newline line }            one line, or one a track
    line   = { note }
    note   = p :v :d :t [:b]                  :v absent where velocity is dropped; :b in all notes or in none

cadenza::

    text   = header newline line { newline line }
    header = q { w [:o] } { m [:o] } { k [:o] } { |<tick> } { i<n> :g [:s…] [:c] [:n] } [ l ]
    line   = rest? { i | note }               with bar words: { | rest? { i | note } }, each bar exactly filled
    note   = p [:v] [:d] [:t] { :o :b }

In the compact form ``:d`` is left out where it repeats the track's last duration in this bar, ``:v`` where it repeats
the track's last velocity, ``:t`` where it is 0.
What split streams say stands in :mod:`cadenza.notation.simplified.streams`.

The automaton keeps what decoding needs (where in time, in which bar, on which track), so that the decoder, the
constrained sampler and the syntax metric agree by construction.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

from cadenza.base.errors import NotationError
from cadenza.notation.grammar import END, NEWLINE, Field, Span
from cadenza.score.model import Metre
from cadenza.score.time import DEFAULT_METRE, bar_ticks

if TYPE_CHECKING:
    from cadenza.notation.simplified.notation import SimplifiedMidi

MAX_NUMBER = 10**9
MAX_TICKS = 10**12
MAX_TRACKS = 512
MAX_STRINGS = 127
_INTEGER = re.compile(r"-?\d{1,10}")
_TEMPO = re.compile(r"\d{1,9}(\.\d{1,20})?|0?\.\d{1,20}")
_METRE = re.compile(r"(\d{1,3})/(\d{1,5})")
_KEY = re.compile(r"(-?[0-7])(m?)")
_NAME = re.compile(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})*")

_HEADER_ORDER = {"q": 0, "w": 1, "m": 2, "k": 3, "|": 4, "i": 5, "l": 6}
_HEADER_FOLLOW = {"w": (":o",), "m": (":o",), "k": (":o",), "i": (":g",)}
_NUMERIC_BOUNDS = {
    "q": (1, 65_535),
    ":g": (0, 128),
    ":s": (0, 127),
    ":c": (0, 24),
    "i": (0, MAX_TRACKS - 1),
    "l": (0, MAX_NUMBER),
    "p": (0, 127),
    ":v": (1, 127),
    ":d": (0, MAX_NUMBER),
    ":t": (0, MAX_NUMBER),
    "t": (1, MAX_NUMBER),
    ":o": (0, MAX_NUMBER),
}

_NOTHING = re.compile("")
_PATTERNS = {"w": _TEMPO, "m": _METRE, "k": _KEY, ":n": _NAME, NEWLINE: _NOTHING, END: _NOTHING}
# Spans that never change, made once: a text asks for them a million times.
_VELOCITY, _DURATION, _PITCH, _PUBLISHED_BEND = (
    Span(":v", 1, 127),
    Span(":d", 0, MAX_NUMBER),
    Span("p", 0, 127),
    Span(":b", 0, 45),
)
_CENTS, _BAR, _LINE, _END = Span(":b", -32_768, 32_767), Span("|"), Span(NEWLINE), Span(END)


@lru_cache(maxsize=1 << 15)
def number_of(kind: str, value: str, in_header: bool) -> int | None:
    """The whole number that a field says; None for a field that says something else.

    Raises:
        NotationError: what it says is not of its kind.
    """
    pattern = _NOTHING if kind == "|" and not in_header else _PATTERNS.get(kind)
    match = (pattern or _INTEGER).fullmatch(value)
    if match is None:
        raise NotationError("a number that fits its field", repr((kind + value)[:40]))
    if kind == "m" and (int(match[1]) < 1 or int(match[2]) & (int(match[2]) - 1) or int(match[2]) < 1):
        raise NotationError("a metre such as m4/4, over a power of two", repr(kind + value))
    if kind == "w" and not float(value) > 0:
        raise NotationError("a positive tempo", repr(kind + value))
    return None if pattern else int(value)


def bend_span(notation: SimplifiedMidi) -> Span:
    """What may stand for the depth of a bend."""
    return _PUBLISHED_BEND if notation.bend == "published" else _CENTS


def expected_of(spans: list[Span]) -> str:
    """What may come next, in words."""
    names = [
        "a line break" if s.kind == NEWLINE else "the end" if s.kind == END else f"{s.kind}{s.low}…{s.high}"
        for s in spans
    ]
    return " or ".join(dict.fromkeys(names)) or "the end"


class Bars:
    """Bar lines from a metre map and marks, computed as time goes on."""

    def __init__(self, ticks_per_quarter: int, metres: list[Metre], marks: list[int]) -> None:
        self.ticks_per_quarter = ticks_per_quarter
        self.metres = metres if metres and metres[0].onset_ticks == 0 else [Metre(0, *DEFAULT_METRE), *metres]
        self._starts = [m.onset_ticks for m in self.metres]
        self._anchors = sorted({*self._starts, *marks})

    def end_of(self, start_ticks: int) -> int:
        """Where the bar that starts at ``start_ticks`` ends."""
        metre = self.metres[bisect_right(self._starts, start_ticks) - 1]
        end = start_ticks + bar_ticks(metre, self.ticks_per_quarter)
        following = bisect_right(self._anchors, start_ticks)
        return min(end, self._anchors[following]) if following < len(self._anchors) else end


class SimplifiedState:
    """A place in a text; see the module's prose. Public attributes are for the decoder and for musical masks.

    Attributes:
        n_tracks: tracks declared (by the header, or by lines so far).
        programs: program of each declared track, 128 for drums.
        track: track of the next note, or −1 before the first.
        now_ticks: onset of the next note.
        bar_end_ticks: end of the present bar (bar words only).
        n_bars: bar words read.
        chord: (track, pitch) of the notes read at ``now_ticks``.
        note: fields of the note in the making: pitch, velocity, duration, bends; None between words.
    """

    def __init__(self, notation: SimplifiedMidi) -> None:
        self.notation = notation
        self.in_header = notation.profile == "cadenza"
        self.bars: Bars | None = None
        self.n_tracks = 0
        self.programs: list[int] = []
        self.tunings: list[list[int]] = []
        self.track = -1
        self.now_ticks = self.bar_end_ticks = 0
        self.n_bars = 0
        self.chord: list[tuple[int, int]] = []
        self.note: dict[str, int] | None = None
        self.bend_points: list[tuple[int, int]] = []
        self.ticks_per_quarter = notation.ticks_per_quarter
        self.metres: list[Metre] = []
        self.marks: list[int] = []
        self.last: Field | None = None
        self._tail: tuple[str, ...] = ()  # kinds that may continue the word at hand
        self._rest_done = False
        self._fresh_track = False
        self._line = 0
        self._duration: dict[int, int] = {}
        self._velocity: dict[int, int] = {}
        self._bends_everywhere: bool | None = None
        if not self.in_header:
            self._begin_line()

    def copy(self) -> SimplifiedState:
        """An independent state at the same place."""
        other = copy.copy(self)
        other.chord = self.chord.copy()
        other.note = None if self.note is None else self.note.copy()
        other.bend_points = self.bend_points.copy()
        other._duration, other._velocity = self._duration.copy(), self._velocity.copy()
        if self.in_header:
            other.programs, other.metres, other.marks = self.programs.copy(), self.metres.copy(), self.marks.copy()
            other.tunings = [t.copy() for t in self.tunings]
        return other

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """What may come next, as value ranges by kind; :data:`~cadenza.notation.grammar.END` where the text may end."""
        if self.in_header:
            return self._allowed_in_header()
        out = self._allowed_in_note() if self.note is not None else []
        if self.note is None or self._word_complete():
            out += self._allowed_words()
        return out

    def _allowed_like(self, kind: str) -> list[Span]:
        """Of :meth:`allowed` at least all of ``kind``, without working out the rest."""
        if self.in_header:
            return self._allowed_in_header()
        if kind[0] == ":":
            return self._allowed_in_note() if self.note is not None else []
        return self._allowed_words() if self.note is None or self._word_complete() else []

    def _allowed_in_header(self) -> list[Span]:
        if self.last is None:
            return [Span("q", 1, 65_535)]
        kinds = list(self._tail)
        if self.last.kind != "i":  # a track word needs its program
            place = _HEADER_ORDER[self._word]
            kinds += [k for k, order in _HEADER_ORDER.items() if order > place or (order == place and k not in "ql")]
            kinds += [NEWLINE, END]  # a text may end before its body: nothing sounds
        return [
            self._track_span() if kind == "i" else Span(kind, *_NUMERIC_BOUNDS.get(kind, (0, MAX_NUMBER)))
            for kind in kinds
        ]

    def _track_span(self) -> Span:
        return Span("i", self.n_tracks, min(self.n_tracks, MAX_TRACKS - 1))  # empty when there are enough

    def _allowed_in_note(self) -> list[Span]:
        note, options = self.note, self.notation
        assert note is not None
        kind = self.last.kind if self.last else ""
        out: list[Span] = []
        if kind == "p" and options.has_velocity:
            out.append(_VELOCITY)
            if not (options.compact and self.track in self._velocity):
                return out
        if kind in ("p", ":v"):
            out.append(_DURATION)
            if not (options.compact and self.track in self._duration):
                return out
        if kind in ("p", ":v", ":d"):
            low = 1 if options.compact else 0
            room = self.bar_end_ticks - self.now_ticks if options.bars else MAX_NUMBER
            if room >= low:
                out.append(Span(":t", low, room))
            if not options.compact:
                return out
        if options.profile == "published":
            if kind == ":t" and options.bend != "none":
                out.append(_PUBLISHED_BEND)
        elif options.bend != "none":
            if kind == ":o":
                return [bend_span(options)]
            low = self.bend_points[-1][0] + 1 if self.bend_points else 0
            if low <= note["d"]:
                out.append(Span(":o", low, note["d"]))
        return out

    def _word_complete(self) -> bool:
        kind = self.last.kind if self.last else ""
        options = self.notation
        if options.profile == "published":
            if options.bend == "none":
                return kind == ":t"
            return kind == ":b" or (kind == ":t" and not self._bends_everywhere)
        if options.compact and kind in ("p", ":v", ":d"):
            known_velocity = kind != "p" or not options.has_velocity or self.track in self._velocity
            return known_velocity and (kind == ":d" or self.track in self._duration)
        return kind in (":t", ":b")

    def _allowed_words(self) -> list[Span]:
        options = self.notation
        step = self._pending_step()
        out: list[Span] = []
        at_bar_end = options.bars and (self.n_bars == 0 or self.now_ticks + step == self.bar_end_ticks)
        empty_bar = options.bars and self.n_bars > 0 and self.last is not None and self.last.kind == "|"
        if not options.bars or (self.n_bars > 0 and not at_bar_end):
            if options.has_track_words:
                if not self._fresh_track:
                    out.append(Span("i", 0, self.n_tracks - 1))
                if self.track >= 0:
                    out.append(_PITCH)
            elif options.profile == "published" or self.n_tracks:
                out.append(_PITCH)
            if not self._rest_done and self.note is None and not self._fresh_track:
                room = self.bar_end_ticks - self.now_ticks - 1 if options.bars else MAX_NUMBER
                if room >= 1:
                    out.append(Span("t", 1, room))
        if options.bars and (at_bar_end or empty_bar) and not self._fresh_track and self._may_have_body():
            out.append(_BAR)
        ended = not options.bars or at_bar_end or empty_bar
        # In the explicit form a last note may say any t; what follows a rest or a track word must be a note.
        if ended and not self._fresh_track and not (self.last is not None and self.last.kind == "t"):
            if self._more_lines():
                out.append(_LINE)
            out.append(_END)  # lines left out are tracks without notes
        return out

    def _may_have_body(self) -> bool:
        return self.notation.profile == "published" or self.n_tracks > 0 or self.notation.layout == "interleaved"

    def _more_lines(self) -> bool:
        if self.notation.layout != "by_track":
            return False
        return self._line + 1 < (MAX_TRACKS if self.notation.profile == "published" else self.n_tracks)

    def _pending_step(self) -> int:
        return self.note.get("t", 0) if self.note is not None else 0

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """Read ``field``.

        Raises:
            NotationError: it may not stand here.
        """
        kind = field.kind
        number = number_of(kind, field.value, self.in_header)
        for allowed, low, high in self._allowed_like(kind):
            if allowed == kind and (number is None or low <= number <= high):
                break
        else:
            raise NotationError(self._expected(), repr(str(field)) if kind != NEWLINE else "a line break")
        if self.in_header:
            self._feed_header(field, number)
        else:
            self._feed_body(kind, number)
        self.last = field

    def _expected(self) -> str:
        return expected_of(self.allowed())

    def _feed_header(self, field: Field, number: int | None) -> None:
        kind, value = field
        if kind == NEWLINE:
            self.in_header = False
            self.bars = Bars(self.ticks_per_quarter, self.metres, self.marks)
            self._begin_line()
            return
        if not kind.startswith(":"):
            self._word = kind
            self._tail = _HEADER_FOLLOW.get(kind, ())
        if kind == "q":
            self.ticks_per_quarter = int(value)
        elif kind == "m":
            numerator, _, denominator = value.partition("/")
            self._keep_metre(Metre(0, int(numerator), int(denominator)))
        elif kind == "|":
            self.marks.append(int(value))
        elif kind == "i":
            self.n_tracks += 1
        elif kind == ":g":
            self.programs.append(int(value))
            self.tunings.append([])
            self._tail = (":s", ":c", ":n")
        elif kind == ":s":
            self.tunings[-1].append(int(value))
            if len(self.tunings[-1]) == MAX_STRINGS:
                self._tail = (":c", ":n")
        elif kind == ":c":
            self._tail = (":n",)
        elif kind == ":n":
            self._tail = ()
        elif kind == ":o":
            self._tail = ()
            if self._word == "m":
                held = self.metres.pop()
                self._keep_metre(Metre(int(value), held.numerator, held.denominator))

    def _keep_metre(self, metre: Metre) -> None:
        if self.metres and metre.onset_ticks and metre.onset_ticks <= self.metres[-1].onset_ticks:
            raise NotationError("metres in order of time", f"one at tick {metre.onset_ticks}")
        self.metres.append(metre)

    def _begin_line(self) -> None:
        options = self.notation
        self.now_ticks = self.bar_end_ticks = self.n_bars = 0
        self.track = -1 if options.has_track_words else self._line
        if options.profile == "published":
            self.n_tracks = self._line + 1
        self._rest_done = options.profile == "published"
        self._duration, self._velocity = {}, {}
        self.chord = []

    def _feed_body(self, kind: str, number: int | None) -> None:
        if self.note is not None and not kind.startswith(":"):
            self._end_note()
        if kind == "p":
            assert number is not None
            self.note = {"p": number}
            self.bend_points = []
            self._fresh_track = False
            self._rest_done = True
            if self.track in self._velocity:
                self.note["v"] = self._velocity[self.track]
            if self.track in self._duration:
                self.note["d"] = self._duration[self.track]
        elif kind in (":v", ":d", ":t"):
            assert self.note is not None
            assert number is not None
            self.note[kind[1]] = number
        elif kind == ":o":
            assert number is not None
            self.bend_points.append((number, 0))
        elif kind == ":b":
            assert number is not None
            if self.notation.profile == "published":
                self.bend_points = [(0, number)]
                if self._bends_everywhere is None:
                    self._bends_everywhere = True
            else:
                self.bend_points[-1] = (self.bend_points[-1][0], number)
        elif kind == "i":
            assert number is not None
            self.track = number
            self._fresh_track = True
            self._rest_done = True
        elif kind == "t":
            assert number is not None
            self._advance(number)
            self._rest_done = True
        elif kind == "|":
            self.now_ticks = self.bar_end_ticks
            assert self.bars is not None
            self.bar_end_ticks = self.bars.end_of(self.now_ticks)
            self.n_bars += 1
            self.chord = []
            self._rest_done = False
            self._duration = {}
            self.track = -1 if self.notation.has_track_words else self._line
        elif kind == NEWLINE:
            self._line += 1
            self._begin_line()
        if self.now_ticks > MAX_TICKS:
            raise NotationError(f"at most {MAX_TICKS} ticks in all", str(self.now_ticks))

    def _end_note(self) -> None:
        note = self.note
        assert note is not None
        if self.notation.profile == "published" and self.last is not None and self.last.kind == ":t":
            self._bends_everywhere = False
        self.chord.append((self.track, note["p"]))
        if "v" in note:
            self._velocity[self.track] = note["v"]
        self._duration[self.track] = note["d"]
        self._advance(note.get("t", 0))
        self.note = None

    def _advance(self, ticks: int) -> None:
        if ticks:
            self.now_ticks += ticks
            self.chord = []
