"""The law of formats for Guitar Pro: ``read(write(s)) == project(s, PROJECTION)``, for any score."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import guitarpro
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.formats.guitarpro import PROJECTION, read, write
from cadenza.score.edit import project
from cadenza.score.model import (
    HARMONICS,
    STANDARD_TUNINGS,
    BarMark,
    Bend,
    Key,
    Marker,
    Metre,
    Note,
    Score,
    Technique,
    Tempo,
    Track,
)
from tests import strategies
from tests.strategies import examples
from tests.tape import Tape
from tests.written_strategies import bits, written_scores

QUICK = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
T = TypeVar("T")
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)


def there_and_back(score: Score) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "piece.gp5"
        write(score, path)
        guitarpro.parse(str(path))  # the independent reader opens it too
        return read(path)


def tracks(draw: st.DrawFn, tape: Tape, ticks: Callable[[Tape], int]) -> Track:
    kind = tape.pick(["guitar", "bass", "drums", "none"])
    tuning = STANDARD_TUNINGS.get(kind, ())
    capo = tape.below(4) if tuning else 0

    def note() -> Note:
        tape = Tape(draw)
        onset, duration = ticks(tape), ticks(tape)
        string, fret, how = tape.between(0, len(tuning)), tape.between(0, 20), bits(tape)
        pitch = tuning[string - 1] + capo + fret if string else tape.between(0, 127)
        if string and how & HARMONICS:
            pitch += tape.pick([-12, 0, 5, 12, 19, 24, 28, 31, 34, 36])
        points = sorted(set(tape.some(4, lambda: tape.between(0, duration))))
        bends = tuple(Bend(at, tape.between(-1200, 1200)) for at in points)
        velocity, voice = tape.between(1, 127), tape.below(3)
        return Note(onset, duration, pitch, velocity, bends, string, fret if string else -1, how, voice)

    return Track.of(
        [note() for _ in range(draw(st.integers(0, 12)))],
        name=draw(TEXT),
        program=tape.between(0, 127),
        is_drums=kind == "drums",
        tuning=tuning,
        capo_fret=capo,
    )


@st.composite
def scores(draw: st.DrawFn, step: int, ticks_per_quarter: int) -> Score:
    tape = Tape(draw)

    def tick(tape: Tape = tape) -> int:
        return step * tape.between(0, 12 * ticks_per_quarter // step)

    def some(make: Callable[[int], T]) -> tuple[T, ...]:
        return tuple(tape.some(3, lambda: make(tick())))

    def bar(at: int) -> BarMark:
        return BarMark(at, tape.one_in(2), tape.below(6), tuple(tape.some(3, lambda: 1 + tape.below(9))))

    return Score(
        tracks=tuple(tracks(draw, Tape(draw), tick) for _ in range(draw(st.integers(0, 3)))),
        ticks_per_quarter=ticks_per_quarter,
        tempos=some(lambda at: Tempo(at, draw(st.floats(0.1, 400)))),
        metres=some(lambda at: Metre(at, tape.between(1, 13), tape.pick([1, 2, 4, 8, 16, 32]))),
        keys=some(lambda at: Key(at, tape.between(-7, 7), tape.pick(["major", "minor"]))),
        bars=some(bar),
        markers=some(lambda at: Marker(at, draw(TEXT))),
        title=draw(TEXT),
        composer=draw(TEXT),
        length_ticks=tick(),
    )


@QUICK
@given(scores(step=120, ticks_per_quarter=480))
def test_law_on_a_grid(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


@QUICK
@given(scores(step=1, ticks_per_quarter=96))
def test_law_off_the_grid(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


@QUICK
@given(scores(step=7, ticks_per_quarter=480))
def test_law_on_performed_times(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


@QUICK
@given(strategies.scores())
def test_law_of_any_score(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


@QUICK
@given(written_scores())
def test_law_of_written_scores(score: Score) -> None:
    once = project(score, PROJECTION)
    assert there_and_back(score) == once
    assert project(once, PROJECTION) == once  # what a file says, a file can say


PLAIN = [Technique.NONE, Technique.PALM_MUTE, Technique.LET_RING | Technique.VIBRATO, Technique.DEAD]


@st.composite
def tabs(draw: st.DrawFn, grid: tuple[int, ...] = (40, 60, 48)) -> Score:
    """What Guitar Pro can hold as it is: one line of notes and rests, each quarter on one grid."""
    notes, edges, tape = [], [0], Tape(draw)
    for quarter in range(1 + tape.below(8)):
        step = tape.pick(grid)
        edges += [960 * quarter + step * cut for cut in tape.some(5, lambda: tape.below(960 // step))]  # noqa: B023
    edges = sorted({*edges, max(edges) + 960 - max(edges) % 960})
    for start, stop in pairwise(edges):
        tape = Tape(draw, 8)
        if tape.one_in(2):
            string, fret, velocity = 1 + tape.below(6), tape.between(0, 24), 16 * tape.below(8) + 15
            pitch = STANDARD_TUNINGS["guitar"][string - 1] + fret
            bends = tuple(Bend((stop - start) * p // 60, 50 * p) for p in tape.pick([(), (0, 60), (0, 30)]))
            notes.append(Note(start, stop - start, pitch, velocity, bends, string, fret, tape.pick(PLAIN)))
    return Score((Track.of(notes, tuning=STANDARD_TUNINGS["guitar"]),), 960)


@QUICK
@given(tabs())
def test_what_durations_can_hold_is_kept_exactly(score: Score) -> None:
    (track,) = there_and_back(score).tracks
    assert list(track) == list(score.tracks[0])


@QUICK
@given(st.integers(1, 4), st.sampled_from([7, 9, 11, 13]), st.sampled_from([240, 480]), st.integers(0, 3))
def test_odd_tuplets_are_kept(quarter: int, enters: int, value: int, hole: int) -> None:
    times = 4 if enters == 7 else 8
    unit = Fraction(value * times, enters)
    places, at = [], 0
    for n in range(enters + 1):  # every third place of a 9-tuplet is a whole tick
        at = int(n * unit) if (n * unit).denominator == 1 else at
        places.append(960 * quarter + at)
        at += int(unit)
    tuning = STANDARD_TUNINGS["guitar"]
    notes = [Note(low, high - low, 64, 95, (), 1, 0) for n, (low, high) in enumerate(pairwise(places)) if n != hole]
    score = Score((Track.of(notes, tuning=tuning),), 960, metres=(Metre(0, 12, 4),))
    assert list(there_and_back(score).tracks[0]) == list(score.tracks[0])
    # Rounded places, as other formats give them, are known for the same tuplet.
    places = [round(960 * quarter + unit * n) for n in range(enters + 1)]
    spans = [span for n, span in enumerate(pairwise(places)) if n != hole]
    rounded = [Note(low, high - low, 64, 95, (), 1, 0) for low, high in spans]
    again = there_and_back(Score((Track.of(rounded, tuning=tuning),), 960, metres=(Metre(0, 12, 4),))).tracks[0]
    assert all(abs(a.onset_ticks - b.onset_ticks) < enters for a, b in zip(rounded, again, strict=True))
