"""Hypothesis strategies for scores as a source writes them: beats that fit, mostly, and marks that do, often."""

from __future__ import annotations

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

# Joined, not added: twice the same technique is still that one.
BITS = st.lists(st.sampled_from(list(Technique)), max_size=3).map(lambda ts: reduce(or_, ts, Technique.NONE))
CURVES = st.lists(st.tuples(st.integers(0, 60), st.integers(-8, 8), st.integers(0, 1)), min_size=1, max_size=4)
VALUES = {
    "stroke": st.tuples(st.integers(0, 3), st.sampled_from([0, 4, 32, 128])),
    "pick_stroke": st.tuples(st.integers(0, 3)),
    "fade": st.tuples(st.integers(1, 3)),
    "ottava": st.tuples(st.integers(-2, 2)),
    "slap_effect": st.tuples(st.integers(0, 4)),
    "tempo": st.tuples(st.sampled_from([90, 100, 120])),
    "trill": st.tuples(st.integers(-12, 12), st.sampled_from([8, 16, 32, 64])),
    "tremolo_picking": st.tuples(st.sampled_from([8, 16, 32, 64])),
    "fingering": st.tuples(st.integers(-2, 4), st.integers(-2, 4)),
    "grace": st.tuples(st.sampled_from([16, 32, 64]), *[st.integers(0, n) for n in (1, 3, 1)]),
    "tied": st.tuples(BITS.map(int)),
    "harmonic": st.one_of(
        st.tuples(st.sampled_from([500, 700, 1200, 1700, 250])),
        st.tuples(st.just(0), st.integers(0, 11), st.integers(0, 4)),
    ),
    **{
        kind: st.tuples(st.integers(0, 11), st.integers(-8, 8), CURVES).map(
            lambda said: (*said[:2], *(value for point in sorted(said[2]) for value in point))
        )
        for kind in ("bend", "tremolo_bar")
    },
}


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
            while exact < stop and draw(st.integers(0, 12)):
                value, tuplet = (
                    draw(st.sampled_from([1, 2, 4, 8, 16])),
                    draw(st.sampled_from([(1, 1), *sorted(TUPLETS)])),
                )
                pieces.append(Piece(exact, NoteValue(value, draw(st.booleans()), *tuplet)))
                exact = pieces[-1].end
            spans = clock(pieces)
            edges = [edge for _, edge in spans]
            for (low, high), piece in zip(spans, pieces, strict=True):
                length = piece.length
                rows.append((low, high - low, voice, length.value, length.dotted, length.enters, length.times))
                for kind in draw(st.lists(st.sampled_from([*BEAT_KINDS, *MARK_KINDS]), max_size=2)):
                    text = draw(st.sampled_from(["", "Am", "let it ring"]))
                    marks.append(Mark(low, kind, voice, 0, -1, draw(VALUES.get(kind, st.just(()))), text))
                for _ in range(draw(st.integers(0, 2))):
                    string, fret = draw(st.integers(1, 6)), draw(st.integers(0, 24))
                    if ends.get(string, 0) > low:
                        continue
                    end = draw(st.sampled_from([high, high, *(edge for edge in edges if edge > low)]))
                    ends[string] = end
                    how, onset = draw(BITS), low
                    if draw(st.integers(0, 3)) == 0 and high - low > 240:
                        onset = low + 120
                        pitch = fret if drums else tuning[string - 1] + fret
                        place = (0, -1) if drums else (string, fret)
                        notes.append(Note(low, 120, pitch, 95, (), *place, Technique.GRACE | draw(BITS), voice))
                    bends: tuple[Bend, ...] = ()
                    where = (0, fret) if drums else (string, -1)
                    for kind in draw(st.lists(st.sampled_from(NOTE_KINDS), max_size=3)):
                        values = draw(VALUES.get(kind, st.just(())))
                        marks.append(Mark(low, kind, voice, *where, values))
                        if kind == "bend":
                            points = {
                                (end - onset) * p // 60: 50 * h for p, h in zip(values[2::3], values[3::3], strict=True)
                            }
                            bends = tuple(Bend(at, cents) for at, cents in sorted(points.items()))
                    pitch = fret if drums else tuning[string - 1] + fret + draw(st.sampled_from([0, 0, 12, 19, 24]))
                    place = (0, -1) if drums else (string, fret)
                    notes.append(Note(onset, end - onset, pitch, 95, bends, *place, how, voice))
    return Track.of(
        notes, is_drums=drums, tuning=tuning, beats=np.array(rows, BEAT_DTYPE), marks=tuple(marks), program=27
    )


@st.composite
def written_scores(draw: st.DrawFn) -> Score:
    """Scores as a source might write them: beats that fit, mostly, and marks that do, often."""
    numerator = draw(st.sampled_from([3, 4]))
    bars = [960 * numerator * n for n in range(draw(st.integers(2, 4)))]
    signs = st.lists(st.sampled_from(DIRECTIONS), max_size=3).map(tuple)
    return Score(
        tuple(draw(st.lists(written_tracks(bars), min_size=1, max_size=3))),
        960,
        metres=(Metre(0, numerator, 4),),
        tempos=tuple(Tempo(at, draw(st.sampled_from([90, 100, 120]))) for at in draw(st.lists(st.sampled_from(bars)))),
        bars=tuple(draw(st.lists(st.builds(BarMark, st.sampled_from(bars), directions=signs)))),
        length_ticks=bars[-1],
    )
