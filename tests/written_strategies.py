"""Hypothesis strategies for scores as a source writes them: beats that fit, mostly, and marks that do, often."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from operator import or_

import numpy as np
from hypothesis import strategies as st

from cadenza.score.model import STANDARD_TUNINGS, BarMark, Bend, Metre, Note, Score, Technique, Tempo, Track
from cadenza.score.rhythm import Length as NoteValue
from cadenza.score.rhythm import Piece, clock
from cadenza.score.tab.effects import BEAT_KINDS, NOTE_KINDS
from cadenza.score.tab.page import TUPLETS
from cadenza.score.written import BEAT_DTYPE, DIRECTIONS, MARK_KINDS, Mark
from tests.tape import Tape

EACH_KIND = [*BEAT_KINDS, *MARK_KINDS]
EACH_TUPLET = [(1, 1), *sorted(TUPLETS)]
EACH_TECHNIQUE = list(Technique)


def bits(tape: Tape) -> Technique:
    """Up to three techniques. Joined, not added: twice the same technique is still that one."""
    return reduce(or_, tape.some(3, lambda: tape.pick(EACH_TECHNIQUE)), Technique.NONE)


def _curve(tape: Tape) -> tuple[int, ...]:
    """Kind, height and one to four points (place, height, vibrato) of a bend, as Guitar Pro says them."""
    kind, height = tape.between(0, 11), tape.between(-8, 8)
    points = sorted((tape.between(0, 60), tape.between(-8, 8), tape.below(2)) for _ in range(1 + tape.below(4)))
    return kind, height, *(value for point in points for value in point)


VALUES: dict[str, Callable[[Tape], tuple[int, ...]]] = {
    "stroke": lambda t: (t.below(4), t.pick([0, 4, 32, 128])),
    "pick_stroke": lambda t: (t.below(4),),
    "fade": lambda t: (1 + t.below(3),),
    "ottava": lambda t: (t.between(-2, 2),),
    "slap_effect": lambda t: (t.below(5),),
    "tempo": lambda t: (t.pick([90, 100, 120]),),
    "trill": lambda t: (t.between(-12, 12), t.pick([8, 16, 32, 64])),
    "tremolo_picking": lambda t: (t.pick([8, 16, 32, 64]),),
    "fingering": lambda t: (t.between(-2, 4), t.between(-2, 4)),
    "grace": lambda t: (t.pick([16, 32, 64]), t.below(2), t.below(4), t.below(2)),
    "tied": lambda t: (int(bits(t)),),
    "harmonic": lambda t: (0, t.below(12), t.below(5)) if t.one_in(2) else (t.pick([500, 700, 1200, 1700, 250]),),
    "bend": _curve,
    "tremolo_bar": _curve,
}


def _values(tape: Tape, kind: str) -> tuple[int, ...]:
    return VALUES[kind](tape) if kind in VALUES else ()


@st.composite
def written_tracks(draw: st.DrawFn, bars: list[int]) -> Track:
    """Voices of beats, notes that begin and end with them, graces before some, marks at both."""
    drums = draw(st.booleans())
    tuning = () if drums else STANDARD_TUNINGS["guitar"]
    notes: list[Note] = []
    rows, marks = [], []
    for voice in range(draw(st.integers(1, 2))):
        ends: dict[int, int] = {}  # string → where its note ends
        for start, stop in pairwise(bars):
            pieces, exact = [], Fraction(start)
            tape = Tape(draw)
            while exact < stop and tape.below(13):
                value, tuplet = tape.pick([1, 2, 4, 8, 16]), tape.pick(EACH_TUPLET)
                pieces.append(Piece(exact, NoteValue(value, tape.one_in(2), *tuplet)))
                exact = pieces[-1].end
            spans = clock(pieces)
            edges = [edge for _, edge in spans]
            for (low, high), piece in zip(spans, pieces, strict=True):
                tape = Tape(draw)
                length = piece.length
                rows.append((low, high - low, voice, length.value, length.dotted, length.enters, length.times))
                for kind in tape.some(2, lambda tape=tape: tape.pick(EACH_KIND)):  # type: ignore[misc]
                    text = tape.pick(["", "Am", "let it ring"])
                    marks.append(Mark(low, kind, voice, 0, -1, _values(tape, kind), text))
                for _ in range(tape.below(3)):
                    string, fret = 1 + tape.below(6), tape.between(0, 24)
                    if ends.get(string, 0) > low:
                        continue
                    end = tape.pick([high, high, *(edge for edge in edges if edge > low)])
                    ends[string] = end
                    how, onset = bits(tape), low
                    if tape.one_in(4) and high - low > 240:
                        onset = low + 120
                        pitch = fret if drums else tuning[string - 1] + fret
                        place = (0, -1) if drums else (string, fret)
                        notes.append(Note(low, 120, pitch, 95, (), *place, Technique.GRACE | bits(tape), voice))
                    bends: tuple[Bend, ...] = ()
                    where = (0, fret) if drums else (string, -1)
                    for kind in tape.some(3, lambda tape=tape: tape.pick(NOTE_KINDS)):  # type: ignore[misc]
                        values = _values(tape, kind)
                        marks.append(Mark(low, kind, voice, *where, values))
                        if kind == "bend":
                            points = {
                                (end - onset) * p // 60: 50 * h for p, h in zip(values[2::3], values[3::3], strict=True)
                            }
                            bends = tuple(Bend(at, cents) for at, cents in sorted(points.items()))
                    pitch = fret if drums else tuning[string - 1] + fret + tape.pick([0, 0, 12, 19, 24])
                    place = (0, -1) if drums else (string, fret)
                    notes.append(Note(onset, end - onset, pitch, 95, bends, *place, how, voice))
    return Track.of(
        notes, is_drums=drums, tuning=tuning, beats=np.array(rows, BEAT_DTYPE), marks=tuple(marks), program=27
    )


@st.composite
def written_scores(draw: st.DrawFn) -> Score:
    """Scores as a source might write them: beats that fit, mostly, and marks that do, often."""
    tape = Tape(draw)
    numerator = 3 + tape.below(2)
    bars = [960 * numerator * n for n in range(2 + tape.below(3))]
    listed = tuple(draw(st.lists(written_tracks(bars), min_size=1, max_size=3)))

    def tempo() -> Tempo:
        return Tempo(tape.pick(bars), tape.pick([90, 100, 120]))

    def bar() -> BarMark:
        return BarMark(tape.pick(bars), directions=tuple(tape.some(3, lambda: tape.pick(DIRECTIONS))))

    return Score(
        listed,
        960,
        metres=(Metre(0, numerator, 4),),
        tempos=tuple(tape.some(6, tempo)),
        bars=tuple(tape.some(6, bar)),
        length_ticks=bars[-1],
    )
