"""The law of formats for Guitar Pro: ``read(write(s)) == project(s, PROJECTION)``, for any score."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

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
from tests.written_strategies import BITS, written_scores

QUICK = settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)


def there_and_back(score: Score) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "piece.gp5"
        write(score, path)
        guitarpro.parse(str(path))  # the independent reader opens it too
        return read(path)


@st.composite
def tracks(draw: st.DrawFn, ticks: st.SearchStrategy[int], techniques: st.SearchStrategy[Technique] = BITS) -> Track:
    kind = draw(st.sampled_from(["guitar", "bass", "drums", "none"]))
    tuning = STANDARD_TUNINGS.get(kind, ())
    capo = draw(st.integers(0, 3)) if tuning else 0
    notes = []
    for _ in range(draw(st.integers(0, 12))):
        onset, duration = draw(ticks), draw(ticks)
        string = draw(st.integers(0, len(tuning)))
        fret = draw(st.integers(0, 20))
        how = draw(techniques)
        pitch = tuning[string - 1] + capo + fret if string else draw(st.integers(0, 127))
        if string and how & HARMONICS:
            pitch += draw(st.sampled_from([-12, 0, 5, 12, 19, 24, 28, 31, 34, 36]))
        points = draw(st.lists(st.integers(0, duration), max_size=4, unique=True).map(sorted))
        bends = tuple(Bend(at, draw(st.integers(-1200, 1200))) for at in points)
        notes.append(
            Note(
                onset,
                duration,
                pitch,
                draw(st.integers(1, 127)),
                bends,
                string,
                fret if string else -1,
                how,
                draw(st.integers(0, 2)),
            )
        )
    return Track.of(
        notes,
        name=draw(TEXT),
        program=draw(st.integers(0, 127)),
        is_drums=kind == "drums",
        tuning=tuning,
        capo_fret=capo,
    )


@st.composite
def scores(draw: st.DrawFn, step: int, ticks_per_quarter: int) -> Score:
    ticks = st.integers(0, 12 * ticks_per_quarter // step).map(lambda n: n * step)

    def some(make, size=3):  # type: ignore[no-untyped-def]
        return tuple(make(at) for at in draw(st.lists(ticks, max_size=size)))

    return Score(
        tracks=tuple(draw(st.lists(tracks(ticks), max_size=3))),
        ticks_per_quarter=ticks_per_quarter,
        tempos=some(lambda at: Tempo(at, draw(st.floats(0.1, 400)))),
        metres=some(lambda at: Metre(at, draw(st.integers(1, 13)), draw(st.sampled_from([1, 2, 4, 8, 16, 32])))),
        keys=some(lambda at: Key(at, draw(st.integers(-7, 7)), draw(st.sampled_from(["major", "minor"])))),
        bars=some(
            lambda at: BarMark(
                at,
                draw(st.booleans()),
                draw(st.integers(0, 5)),
                tuple(draw(st.lists(st.integers(1, 9), max_size=3))),
            )
        ),
        markers=some(lambda at: Marker(at, draw(TEXT))),
        title=draw(TEXT),
        composer=draw(TEXT),
        length_ticks=draw(ticks),
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


PLAIN = st.sampled_from([Technique.NONE, Technique.PALM_MUTE, Technique.LET_RING | Technique.VIBRATO, Technique.DEAD])


@st.composite
def tabs(draw: st.DrawFn, grid: tuple[int, ...] = (40, 60, 48)) -> Score:
    """What Guitar Pro can hold as it is: one line of notes and rests, each quarter on one grid."""
    notes, edges = [], [0]
    for quarter in range(draw(st.integers(1, 8))):
        step = draw(st.sampled_from(grid))
        cuts = draw(st.lists(st.integers(0, 960 // step - 1), max_size=5, unique=True).map(sorted))
        edges += [960 * quarter + step * cut for cut in cuts]
    edges = sorted({*edges, edges[-1] + 960 - edges[-1] % 960})
    for start, stop in pairwise(edges):
        if draw(st.booleans()):
            string, fret = draw(st.integers(1, 6)), draw(st.integers(0, 24))
            pitch = STANDARD_TUNINGS["guitar"][string - 1] + fret
            velocity = draw(st.sampled_from([15, 31, 47, 63, 79, 95, 111, 127]))
            bends = tuple(Bend((stop - start) * p // 60, 50 * p) for p in draw(st.sampled_from([(), (0, 60), (0, 30)])))
            notes.append(Note(start, stop - start, pitch, velocity, bends, string, fret, draw(PLAIN)))
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
