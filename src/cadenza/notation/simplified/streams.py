"""Split streams: of each bar (or line) first the rhythm of all its notes, then their pitches, velocities and bends.

As the published report on guitar models proposed, a model then settles when things happen before it settles what they
are. The joint form tells one note after another, ``p57:v95:d12:t12 p60:v95:d12:t12``; split, the same bar is ::

    | d12:t12 d12:t12  p57 p60  v95 v95                   and, where notes are bent,  n1:o0:b0:o6:b100

    bar    = | rhythm { p } { v } { bend }                one p (and v, where there are velocities) a note, in order
    rhythm = [ t ] { i | d [:t] }                         ``:t`` left out where it is 0, in the compact form
    bend   = n<note of the bar, from 0> { :o :b }         bent notes only, in order

Durations and velocities are told with every note; the compact form of split streams leaves out steps of 0 alone. The
joint text is the reference: :func:`split` takes it apart, :func:`joined` puts it together, and the automaton
of split texts asks that of joint ones, with notes of any pitch, where time may go.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cadenza.base.errors import NotationError
from cadenza.notation.grammar import END, NEWLINE, Field, Span, fields_of
from cadenza.notation.simplified.grammar import (
    MAX_NUMBER,
    SimplifiedState,
    bend_span,
    expected_of,
    number_of,
)

if TYPE_CHECKING:
    from cadenza.notation.simplified.notation import SimplifiedMidi

BORDERS = ("|", NEWLINE, END)
_ANY_PITCH, _ANY_VELOCITY = Field("p", "60"), Field(":v", "64")


def joint(notation: SimplifiedMidi) -> SimplifiedMidi:
    """The explicit joint form of a notation of split streams."""
    return replace(notation, streams="joint", compact=False)


@dataclass
class _Unit:
    """The words of a bar or line, stream by stream."""

    rhythm: list[str] = field(default_factory=list)
    pitches: list[str] = field(default_factory=list)
    velocities: list[str] = field(default_factory=list)
    bends: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """All of them in order."""
        return [*self.rhythm, *self.pitches, *self.velocities, *self.bends]


def split(text: str, notation: SimplifiedMidi) -> str:
    """A text of :func:`joint` (header and lines) in split streams."""
    header, *lines = text.split("\n")
    return "\n".join([header, *(" ".join(_split_line(line, notation)) for line in lines)])


def _split_line(line: str, notation: SimplifiedMidi) -> Iterator[str]:
    unit = _Unit()
    for word in line.split():
        if word == "|":
            yield from unit.words()
            yield word
            unit = _Unit()
        elif word[0] != "p":
            unit.rhythm.append(word)
        else:
            pitch, *parts = word.split(":")
            said = {part[0]: part for part in parts if part[0] in "vdt"}
            points = [part for part in parts if part[0] in "ob"]
            step = "" if notation.compact and said["t"] == "t0" else f":{said['t']}"
            if points:
                unit.bends.append(":".join([f"n{len(unit.pitches)}", *points]))
            unit.rhythm.append(said["d"] + step)
            unit.pitches.append(pitch)
            unit.velocities += [said["v"]] if notation.has_velocity else []
    yield from unit.words()


def joined(text: str, notation: SimplifiedMidi) -> str:
    """The text of :func:`joint` that a text in split streams says.

    Raises:
        NotationError: it does not follow the grammar; names the word.
    """
    state = SplitState(notation)
    head: list[str] = []  # fields of the header
    out: list[str] = []
    words: list[list[str]] = []  # of the unit: a track or a rest, or d and t of a note
    pitches: list[str] = []
    velocities: list[str] = []
    bends: dict[int, list[str]] = {}

    def flush() -> None:
        number = 0
        for word in words:
            if word[0][0] == "d":
                pitch = pitches[number]
                loud = [velocities[number]] if velocities else []
                step = word[1] if len(word) > 1 else "t0"
                out.append(":".join([pitch, *loud, word[0], step, *bends.get(number, [])]))
                number += 1
            else:
                out.append(word[0])
        for kept in (words, pitches, velocities):
            kept.clear()
        bends.clear()

    at = 0
    bent = 0
    for one in fields_of(text):
        at += not one.kind.startswith(":")
        was_header = state.in_header
        try:
            state.feed(one)
        except NotationError as error:
            raise error.at(f"word {at}") from None
        said = str(one)
        if was_header:
            head.append(said if one.kind.startswith(":") or not head or one.kind == NEWLINE else f" {said}")
        elif one.kind in BORDERS:
            flush()
            out.append("\n" if one.kind == NEWLINE else said)
        elif one.kind == "p":
            pitches.append(said)
        elif one.kind == "v":
            velocities.append(said)
        elif one.kind == "n":
            bent = int(one.value)
            bends[bent] = []
        elif one.kind == ":t":
            words[-1].append(said[1:])
        elif one.kind.startswith(":"):
            bends[bent].append(said[1:])
        else:
            words.append([said])
    if not any(span.kind == END for span in state.allowed()):
        raise NotationError(expected_of(state.allowed()), "the end", where=f"word {at}")
    flush()
    lines = " ".join(out).split("\n")
    return "".join(head) + "\n".join(line.strip() for line in lines)


class SplitState:
    """A place in a text of split streams; see the module's prose.

    Attributes:
        rhythm: the automaton of the joint form, fed with what has been told of the rhythm.
        durations: of the notes of the bar (or line) so far.
        told: pitches and velocities of the bar so far.
    """

    def __init__(self, notation: SimplifiedMidi) -> None:
        self.notation = notation
        self.rhythm = SimplifiedState(joint(notation))
        self.durations: list[int] = []
        self.told = [0, 0]
        self.last: Field | None = None
        self._bent = -1  # the last bent note of the bar
        self._offset = -1  # its last point

    def copy(self) -> SplitState:
        """An independent state at the same place."""
        other = copy.copy(self)
        other.rhythm, other.durations, other.told = self.rhythm.copy(), self.durations.copy(), self.told.copy()
        return other

    @property
    def in_header(self) -> bool:
        """The header has not ended."""
        return self.rhythm.in_header

    def allowed(self) -> list[Span]:
        """What may come next."""
        if self.rhythm.in_header:
            return self.rhythm.allowed()
        kind = self.last.kind if self.last is not None else ""
        if kind == "n":
            return [Span(":o", 0, self.durations[self._bent])]
        if kind == ":o":
            return [bend_span(self.notation)]
        if self.told[0] or kind == "p":
            return self._after_rhythm()
        out: list[Span] = []
        if kind == "d":
            low = 1 if self.notation.compact else 0
            out = [replace_low(span, low) for span in self.rhythm.allowed() if span.kind == ":t" and span.high >= low]
            if not self.notation.compact:
                return out
        return out + self._in_rhythm(self._settled().allowed())

    def _settled(self) -> SimplifiedState:
        """The rhythm so far, where a step that was left out is said."""
        if self.last is None or self.last.kind != "d" or self.rhythm.in_header:
            return self.rhythm
        settled = self.rhythm.copy()
        settled.feed(Field(":t", "0"))
        return settled

    def _in_rhythm(self, spans: list[Span]) -> list[Span]:
        out = [Span("d", 0, MAX_NUMBER) if s.kind == "p" else s for s in spans if s.kind in ("p", "i", "t")]
        ends = [s for s in spans if s.kind in BORDERS]
        return out + (([Span("p", 0, 127)] if self.durations else ends) if ends else [])

    def _after_rhythm(self) -> list[Span]:
        n, (pitches, velocities) = len(self.durations), self.told
        if pitches < n:
            return [Span("p", 0, 127)]
        if self.notation.has_velocity and velocities < n:
            return [Span("v", 1, 127)]
        out = []
        if self._bent >= 0 and self._offset < self.durations[self._bent]:
            out.append(Span(":o", self._offset + 1, self.durations[self._bent]))
        if self.notation.bend != "none" and self._bent + 1 < n:
            out.append(Span("n", self._bent + 1, n - 1))
        return out + [span for span in self.rhythm.allowed() if span.kind in BORDERS]

    def feed(self, field: Field) -> None:
        """Read ``field``.

        Raises:
            NotationError: it may not stand here.
        """
        kind = field.kind
        number = number_of(kind, field.value, self.rhythm.in_header)
        spans = self.allowed()
        if not any(s.kind == kind and (number is None or s.low <= number <= s.high) for s in spans):
            raise NotationError(expected_of(spans), repr(str(field)) if kind != NEWLINE else "a line break")
        if self.rhythm.in_header:
            self.rhythm.feed(field)
        else:
            self._feed_body(field, number or 0)
        self.last = field

    def _feed_body(self, field: Field, number: int) -> None:
        kind = field.kind
        if kind == ":t":
            self.rhythm.feed(field)
            return
        self.rhythm = self._settled()
        if kind == "d":
            self.rhythm.feed(_ANY_PITCH)
            if self.notation.has_velocity:
                self.rhythm.feed(_ANY_VELOCITY)
            self.rhythm.feed(Field(":d", field.value))
            self.durations.append(number)
        elif kind in ("p", "v"):
            self.told[kind == "v"] += 1
        elif kind == "n":
            self._bent, self._offset = number, -1
        elif kind == ":o":
            self._offset = number
        elif kind != ":b":
            self.rhythm.feed(field)
            if kind in BORDERS:
                self.durations, self.told, self._bent, self._offset = [], [0, 0], -1, -1


def replace_low(span: Span, low: int) -> Span:
    """The span from ``low`` on."""
    return Span(span.kind, max(span.low, low), span.high)
