"""The grammar of DadaGP tokens, as one automaton.

::

    text    = artist: downtune: tempo: { extension } start measure { measure } end
    extension = <instrument>:downtune:n | <instrument>:tuning:p{:p}
    measure = new_measure { measure:… } { event | wait:n }
    event   = ( <instrument>:note:s<string>:f<fret> { nfx:… { param:… } } | <instrument>:rest ) { bfx:… { param:… } }

A token is a line; one or more fields make a token (``clean0:note:s3`` ``:f2``), and every field that does not begin
with a colon begins a token. At one time an instrument has a note a string, or a rest. What sounds is followed by a
wait. A measure takes time and ends on a 64th, only the last may be empty or end anywhere. A note's effects have one
order; a beat's may have any, and may stand twice (the original tells those of two voices).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from cadenza.base.errors import NotationError
from cadenza.notation.dadagp import tables
from cadenza.notation.dadagp.effects import FLAGS
from cadenza.notation.dadagp.reading import TOKEN_OF_DIRECTION
from cadenza.notation.dadagp.tunings import Tuning
from cadenza.notation.grammar import END, Field, Span
from cadenza.score.tab.fit import GRID_TICKS, MAX_NUMERATOR
from cadenza.score.written import JUMPS, TARGETS

MAX_BAR_TICKS = MAX_NUMERATOR * tables.WHOLE_TICKS
MAX_TEMPO = 100_000
MAX_STRINGS = 7
MAX_BEND_UNITS = 240
MAX_POINTS = 1_000
HIGHEST_PITCH = 127
NO_NUMBER = Span("").high  # of fields that are words
INSTRUMENTS = tables.instruments()
_FRETTED = tuple(name for name in INSTRUMENTS if name != "drums")


def _spans(kind: str, values: Iterable[int]) -> tuple[Span, ...]:
    return tuple(Span(kind, value, value) for value in values)


MAX_TRILL_FRET = 127  # its other note may lie beyond the neck


_SPEEDS = (1, 2, 4, 8, 16, 32, 64, 128)
#: kind of a field → spans of the field that must follow it in its token
_TAILS: dict[str, tuple[Span, ...]] = {
    "bfx:stroke:": _spans(":", (4, 8, 16, 32, 64, 128)),
    "param:val": (Span(":vib", 0, 1),),
    ":dead": (Span(":beat", 0, 1),),
    ":beat": (Span(":transition", 0, 3),),
    ":pitch": (Span(":octave", 0, 4),),
}
#: heads of a note's effects in their order, and their values
_NOTE_EFFECTS: dict[str, tuple[Span, ...]] = {
    "nfx:tie": (Span("nfx:tie"),),
    "nfx:dead": (Span("nfx:dead"),),
    **{flag: (Span(flag),) for flag in FLAGS},
    "nfx:bend:type": (Span("nfx:bend:type", 0, 11),),
    "nfx:grace:fret": (Span("nfx:grace:fret", -tables.DROP, tables.MAX_FRET),),
    "nfx:harmonic:": (Span("nfx:harmonic:", 1, 5),),
    "nfx:slide:": _spans("nfx:slide:", (1, 2, 3, 4, -1, -2)),
    "nfx:tremoloPicking:duration": _spans("nfx:tremoloPicking:duration", (120, 240, 480)),
    "nfx:trill:fret": (Span("nfx:trill:fret", -tables.DROP, MAX_TRILL_FRET),),
}
_NOTE_ORDER = {kind: rank for rank, kind in enumerate(_NOTE_EFFECTS, 1)}  # 0: a note without effects so far
_BEAT_EFFECTS: dict[str, tuple[Span, ...]] = {
    "bfx:fade_in": (Span("bfx:fade_in"),),
    "bfx:has_rasgueado": (Span("bfx:has_rasgueado"),),
    "bfx:vibrato": (Span("bfx:vibrato"),),
    "bfx:pick_stroke:": (Span("bfx:pick_stroke:", 1, 2),),
    "bfx:slap_effect:": (Span("bfx:slap_effect:", 1, 3),),
    "bfx:stroke:": (Span("bfx:stroke:", 1, 2),),
    "bfx:tremolo_bar:type": (Span("bfx:tremolo_bar:type", 0, 11),),
    "bfx:tempo_change:": (Span("bfx:tempo_change:", 1, MAX_TEMPO),),
    "bfx:tempo_interpolation": (Span("bfx:tempo_interpolation"),),
}
_MEASURE: dict[str, tuple[Span, ...]] = {
    "measure:triplet_feel:": (Span("measure:triplet_feel:", 1, 2),),
    "measure:repeat_open": (Span("measure:repeat_open"),),
    "measure:repeat_alternative:": (Span("measure:repeat_alternative:", 1, 255),),
    "measure:repeat_close:": (Span("measure:repeat_close:", 1, 126),),
    **{f"measure:direction:{TOKEN_OF_DIRECTION[d]}": () for d in TARGETS},
    **{f"measure:from_direction:{TOKEN_OF_DIRECTION[d]}": () for d in JUMPS},
}
_MEASURE_ORDER = {
    kind: 4 + kind.startswith("measure:from") if "direction" in kind else rank for rank, kind in enumerate(_MEASURE)
}
_WAITS = _spans("wait:", tables.WAIT_VALUES)
_CURVE = (Span("param:dur"), Span("param:val"))
_LEFT_OUT = ("measure:triplet_feel:", "bfx:tempo_interpolation")

_PAIR = re.compile(r"([A-Za-z_:]+)(-?\d{1,9})")
_NOTE = re.compile(r"([a-z]+\d*:note:s|[a-z]+\d*:downtune:)(-?\d{1,9})(?:(:f)(-?\d{1,9}))?")
_TUNING = re.compile(r"([a-z]+\d*:tuning:)(\d{1,9})((?::\d{1,9})*)")
_NUMBER = re.compile(r"-?\d{1,9}")


def is_left_out(token: str) -> bool:
    """Whether a token is read and left out: swing and gradual tempos, which a Score does not hold."""
    return token.startswith(_LEFT_OUT)


@lru_cache(maxsize=1 << 14)
def fields_of_token(token: str) -> tuple[Field, ...]:
    """The fields of one token.

    Raises:
        NotationError: it is none.
    """
    if token.startswith("artist:"):
        return (Field("artist:", token[7:]),)
    note = _NOTE.fullmatch(token)
    if note is not None:
        head = Field(note[1], note[2])
        return (head, Field(note[3], note[4])) if note[3] else (head,)
    tuning = _TUNING.fullmatch(token)
    if tuning is not None:
        return (Field(tuning[1], tuning[2]), *(Field(":", value) for value in tuning[3].split(":")[1:]))
    if not any(character.isdigit() for character in token) or token.endswith(":rest"):
        return (Field(token, ""),)
    fields = tuple(Field(*match.groups()) for match in _PAIR.finditer(token))
    if "".join(map(str, fields)) != token or any(field.kind[0] != ":" for field in fields[1:]):  # two glued together
        raise NotationError("a DadaGP token", repr(token[:40]))
    return fields


@lru_cache(maxsize=1 << 10)
def _number(value: str) -> int | None:
    return int(value) if _NUMBER.fullmatch(value) else None


@lru_cache(maxsize=1 << 10)
def event_of(kind: str) -> tuple[str, str]:
    """Instrument and the rest of a kind."""
    name, _, rest = kind.partition(":")
    return name, rest


@lru_cache(maxsize=1 << 10)
def _usual_tuning(name: str, downtune: int) -> Tuning:
    return Tuning("bass" if tables.family(name) == "bass" else "guitar", downtune)


class DadaGPState:
    """A place in a text; see the module's prose.

    Attributes:
        n_bars: measures begun.
        bar_ticks: time since the measure began.
        n_points: points of the bend at hand.
        tunings: how the strings of instruments are told, where the header says it.
    """

    def __init__(self) -> None:
        self.n_bars = self.bar_ticks = self.n_points = 0
        self.tunings: dict[str, Tuning] = {}
        self.downtune = 0
        self._stage = "artist:"
        self._tail: tuple[Span, ...] = ()  # what must follow in the token at hand
        self._now: dict[str, set[int]] = {}  # instrument → strings that begin now; none for a rest
        self._wanted: tuple[str, ...] = ()  # parameters of the effect at hand, which must come
        self._curve_position = -1  # within a bend; −1 outside
        self._measure_rank = -1  # the last measure token, while more may come
        self._note_rank = -1  # the last effect of the note at hand
        self._open_pitch = 0  # of the note's string
        self._at_beat = False
        self._name = ""
        self._strings: list[int] = []

    def copy(self) -> DadaGPState:
        """An independent state at the same place."""
        other = copy.copy(self)
        other.tunings = self.tunings.copy()
        other._now = {name: strings.copy() for name, strings in self._now.items()}
        other._strings = self._strings.copy()
        return other

    @property
    def is_complete(self) -> bool:
        """Whether the text ended."""
        return self._stage == END

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self, kinds: Iterable[str] | None = None) -> list[Span]:
        """What may come next, of all kinds or of some."""
        return [span for kind in (ALL_KINDS if kinds is None else kinds) for span in self._of_kind(kind)]

    def _of_kind(self, kind: str) -> Iterable[Span]:
        """Of what may come next all of ``kind``."""
        if self._tail:
            own = [span for span in self._tail if span.kind == kind]
            return own if own or not self._tuning_may_end() else self._of_head(kind)
        if self._wanted:
            return self._of_parameter(kind) if kind in self._wanted else ()
        if self._stage == END:
            return (Span(END),) if kind == END else ()
        return self._of_head(kind) if self._stage != "body" else self._of_body(kind)

    def _tuning_may_end(self) -> bool:
        return bool(self._strings)

    def _of_head(self, kind: str) -> Iterable[Span]:
        if self._stage == "extensions":
            name, _, rest = kind.partition(":")
            if kind == "start":
                return (Span("start"),)
            if name in _FRETTED and name not in self.tunings:
                if rest == "downtune:":
                    return (Span(kind, tables.LOWEST_DOWNTUNE, tables.HIGHEST_DOWNTUNE),)
                if rest == "tuning:":
                    return (Span(kind, 0, HIGHEST_PITCH),)
            return ()
        if kind != self._stage:
            return ()
        if kind == "downtune:":
            return (Span(kind, tables.LOWEST_DOWNTUNE, tables.HIGHEST_DOWNTUNE),)
        return (Span(kind, 1, MAX_TEMPO) if kind == "tempo:" else Span(kind),)

    def _of_parameter(self, kind: str) -> Iterable[Span]:
        if kind == "param:dur":
            return (Span(kind, 1, tables.POSITIONS - self._curve_position),) if self._may_advance() else ()
        if kind == "param:val":
            return (Span(kind, -MAX_BEND_UNITS, MAX_BEND_UNITS),)
        if self._note_rank == _NOTE_ORDER["nfx:trill:fret"]:
            return _spans(kind, (60, 120, 240))
        return _spans(kind, _SPEEDS)

    def _may_advance(self) -> bool:
        return 0 <= self._curve_position < tables.POSITIONS and self.n_points < MAX_POINTS

    def _of_body(self, kind: str) -> Iterable[Span]:
        if kind == "wait:":
            room = MAX_BAR_TICKS - self.bar_ticks
            return _WAITS if room >= _WAITS[-1].high else [span for span in _WAITS if span.high <= room]
        if kind in _NOTE_EFFECTS:
            rank = _NOTE_ORDER[kind]
            more = rank > self._note_rank or (rank == self._note_rank and kind == "nfx:slide:")
            if not more or self._note_rank < 0:
                return ()
            if kind == "nfx:grace:fret":
                return (Span(kind, -tables.DROP, min(tables.MAX_FRET, HIGHEST_PITCH - self._open_pitch)),)
            return _NOTE_EFFECTS[kind]
        if kind in _BEAT_EFFECTS:
            return _BEAT_EFFECTS[kind] if self._at_beat else ()
        if kind in ("param:dur", "param:val"):
            if self._curve_position < 0 or self.n_points >= MAX_POINTS:
                return ()
            return self._of_parameter(kind)
        if kind in _MEASURE:
            return (_MEASURE[kind] or (Span(kind),)) if -1 < self._measure_rank <= _MEASURE_ORDER[kind] else ()
        if kind == "new_measure":
            whole = self.bar_ticks > 0 and self.bar_ticks % GRID_TICKS == 0 and not self._now
            return (Span(kind),) if whole or not self.n_bars else ()
        if kind == "end":
            return (Span(kind),) if self.n_bars and not self._now else ()
        return self._of_event(kind) if self.n_bars else ()

    def _of_event(self, kind: str) -> Iterable[Span]:
        name, rest = event_of(kind)
        if name not in _INSTRUMENTS:
            return ()
        strings = self._now.get(name)
        if strings is not None and not strings:  # a rest
            return ()
        if rest == "rest":
            return (Span(kind),) if strings is None else ()
        if rest == "note:" and name == "drums":
            return [Span(kind, low, high) for low, high in _gaps(strings or set(), 0, tables.MAX_DRUM_KEY)]
        if rest == "note:s" and name != "drums":
            n_strings = self.tuning_of(name).n_strings
            return [Span(kind, low, high) for low, high in _gaps(strings or set(), 1, n_strings)]
        return ()

    def tuning_of(self, name: str) -> Tuning:
        """How the strings of an instrument are told."""
        return self.tunings.get(name) or _usual_tuning(name, self.downtune)

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """Read ``field``.

        Raises:
            NotationError: it may not stand here.
        """
        kind, value = field
        if self._stage == END:
            raise NotationError("nothing after the end", repr(str(field)[:40]))
        number = _number(value)
        for _, low, high in self._of_kind(kind):
            if high == NO_NUMBER:
                if bool(value) == (kind == "artist:"):
                    break
            elif number is not None and low <= number <= high:
                break
        else:
            raise NotationError(self._expected(), repr(str(field)[:40]))
        if kind == "artist:":
            self._stage = "downtune:"
            return
        if self._tail or self._stage != "body":
            self._read_head_or_tail(kind, number or 0)
        else:
            self._read_body(kind, number or 0)

    def _expected(self) -> str:
        words = dict.fromkeys(
            f"{s.kind}{s.low}" if s.low == s.high else s.kind if s.high == NO_NUMBER else f"{s.kind}{s.low}…{s.high}"
            for s in self.allowed()
        )
        listed = list(words)
        return " or ".join(listed[:12]) + (" …" if len(listed) > 12 else "") if listed else "nothing after the end"

    def _read_head_or_tail(self, kind: str, number: int) -> None:
        if kind == ":" and self._strings:
            self._strings.append(number)
            self._tail = (Span(":", 0, HIGHEST_PITCH),) if len(self._strings) < MAX_STRINGS else ()
            self.tunings[self._name] = Tuning(self.tunings[self._name].kind, 0, tuple(self._strings))
            if not self._tail:
                self._strings = []
            return
        if self._stage == "body":
            self._tail = _TAILS.get(kind, ())
            if kind == ":f":
                self._begin_note()
            return
        self._tail, self._strings = (), []
        if kind == "start":
            self._stage = "body"
        elif kind == "downtune:":
            self.downtune, self._stage = number, "tempo:"
        elif kind == "tempo:":
            self._stage = "extensions"
        else:
            self._name, _, rest = kind.partition(":")
            own = "bass" if tables.family(self._name) == "bass" else "guitar"
            if rest == "tuning:":
                self._strings = [number]
                self.tunings[self._name] = Tuning(own, 0, (number,))
                self._tail = (Span(":", 0, HIGHEST_PITCH),)
            else:
                self.tunings[self._name] = Tuning(own, number)

    def _begin_note(self) -> None:
        self._note_rank, self._at_beat = 0, True

    def _read_body(self, kind: str, number: int) -> None:
        self._wanted = ()
        if kind.startswith("param:"):
            self._read_parameter(kind, number)
            return
        self._curve_position, self.n_points = -1, 0
        if kind in _NOTE_ORDER:
            self._note_rank = _NOTE_ORDER[kind]
            self._read_note_effect(kind, number)
        elif kind in _BEAT_EFFECTS:
            self._note_rank = -1
            self._tail = _TAILS.get(kind, ())
            if kind == "bfx:tremolo_bar:type":
                self._begin_curve()
        elif kind in _MEASURE:
            self._measure_rank = _MEASURE_ORDER[kind] + 1
        else:
            self._read_time_or_event(kind, number)

    def _read_parameter(self, kind: str, number: int) -> None:
        if kind == "param:dur":
            self._curve_position += number
            self._wanted = ("param:val",)
        elif kind == "param:val":
            self.n_points += 1
            self._tail = _TAILS[kind]
        elif self._note_rank == _NOTE_ORDER["nfx:grace:fret"]:
            self._tail = (Span(":dead", 0, 1),)

    def _begin_curve(self) -> None:
        self._curve_position, self._wanted = 0, ("param:dur", "param:val")

    def _read_note_effect(self, kind: str, number: int) -> None:
        if kind == "nfx:bend:type":
            self._begin_curve()
        elif kind in ("nfx:grace:fret", "nfx:trill:fret"):
            self._wanted = ("param:duration",)
        elif kind == "nfx:harmonic:" and number in (2, 3):
            self._tail = (Span(":pitch", 0, 11),) if number == 2 else (Span(":fret", 0, HIGHEST_PITCH),)

    def _read_time_or_event(self, kind: str, number: int) -> None:
        self._note_rank, self._at_beat = -1, False
        if kind == "wait:":
            self.bar_ticks += number
            self._now = {}
            self._measure_rank = -1
        elif kind == "new_measure":
            self.n_bars += 1
            self.bar_ticks, self._measure_rank = 0, 0
        elif kind == "end":
            self._stage = END
        else:
            self._measure_rank = -1
            name, rest = event_of(kind)
            strings = self._now.setdefault(name, set())
            self._at_beat = True
            if rest == "note:":
                strings.add(number)
                self._open_pitch = 0
                self._begin_note()
            elif rest == "note:s":
                strings.add(number)
                tuning = self.tuning_of(name)
                self._open_pitch = tuning.open_pitch(number)
                high = min(tables.MAX_FRET, HIGHEST_PITCH - self._open_pitch)
                self._tail = (Span(":f", tuning.lowest_fret(number), high),)


_INSTRUMENTS = frozenset(INSTRUMENTS)


def every_field() -> list[str]:
    """The fields of a vocabulary: every kind, numbers in the ranges that music has."""
    out = ["artist:unknown", "start", "new_measure", "end"]
    out += [f"downtune:{n}" for n in range(-12, 13)] + [f"tempo:{n}" for n in range(10, 401, 10)]
    out += [f"{name}:rest" for name in INSTRUMENTS] + [f"drums:note:{n}" for n in range(tables.MAX_DRUM_KEY + 1)]
    for name in _FRETTED:
        out += [f"{name}:downtune:{n}" for n in range(-12, 13)] + [f"{name}:tuning:{n}" for n in range(20, 100)]
        out += [f"{name}:note:s{n}" for n in range(1, 7 if tables.family(name) == "bass" else 8)]
    out += [f":f{n}" for n in range(-tables.DROP, 37)] + [f":{n}" for n in range(20, 129)]
    for group in (*_MEASURE.items(), *_NOTE_EFFECTS.items(), *_BEAT_EFFECTS.items()):
        for span in group[1] or (Span(group[0]),):
            if span.high == NO_NUMBER:
                out.append(span.kind)
            elif span.kind == "bfx:tempo_change:":
                out += [f"{span.kind}{n}" for n in range(10, 401, 10)]
            else:
                out += [f"{span.kind}{n}" for n in range(span.low, min(span.high, 255) + 1)]
    out += [f"param:duration{n}" for n in sorted({*_SPEEDS, 60, 120, 240})]
    out += [f"param:dur{n}" for n in range(1, tables.POSITIONS + 1)] + [f"param:val{n}" for n in range(-24, 25)]
    out += [f"{kind}{n}" for kind in (":vib", ":dead", ":beat") for n in (0, 1)]
    out += [f":transition{n}" for n in range(4)] + [f":pitch{n}" for n in range(12)]
    out += [f":octave{n}" for n in range(5)] + [f":fret{n}" for n in range(37)]
    return [*out, *(f"wait:{n}" for n in tables.WAIT_VALUES)]


def _gaps(taken: set[int], low: int, high: int) -> Iterator[tuple[int, int]]:
    """The stretches of ``low … high`` without what is taken."""
    for number in sorted(taken):
        if low < number:
            yield low, number - 1
        low = number + 1
    if low <= high:
        yield low, high


ALL_KINDS: tuple[str, ...] = (
    END,
    "artist:",
    "downtune:",
    "tempo:",
    *(f"{name}:{kind}:" for name in _FRETTED for kind in ("downtune", "tuning")),
    "start",
    "new_measure",
    *_MEASURE,
    *(f"{name}:note:s" for name in _FRETTED),
    "drums:note:",
    *(f"{name}:rest" for name in INSTRUMENTS),
    *_NOTE_EFFECTS,
    *_BEAT_EFFECTS,
    "param:duration",
    "param:dur",
    "param:val",
    *(":f", ":", ":vib", ":dead", ":beat", ":transition", ":pitch", ":octave", ":fret"),
    "wait:",
)
