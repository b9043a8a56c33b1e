"""The law of formats for .gp: ``read(write(s)) == project(s, PROJECTION)``, for any score."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.formats.gpif import PROJECTION, read, write
from cadenza.score.edit import project
from cadenza.score.model import STANDARD_TUNINGS, Bend, Note, Score, Technique, Track
from tests.strategies import examples, scores
from tests.tape import Tape
from tests.written_strategies import written_scores

QUICK = settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))


def there_and_back(score: Score) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "piece.gp"
        write(score, path)
        return read(path)


@QUICK
@given(scores(max_tracks=3))
def test_law(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


@QUICK
@given(scores(max_tracks=2, resolutions=(960,), grid_ticks=240, max_ticks=7_680))
def test_law_on_a_grid(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


@QUICK
@given(written_scores())
def test_law_of_written_scores(score: Score) -> None:
    assert there_and_back(score) == project(score, PROJECTION)


KEPT = [
    Technique.NONE,
    Technique.PALM_MUTE | Technique.STACCATO,
    Technique.LET_RING | Technique.VIBRATO,
    Technique.DEAD | Technique.ACCENT,
    Technique.GHOST | Technique.SLIDE_IN_BELOW,
    Technique.TAP | Technique.SLIDE_OUT_DOWN,
    Technique.TRILL | Technique.HEAVY_ACCENT,
]


@st.composite
def tabs(draw: st.DrawFn) -> Score:
    """What Guitar Pro can hold as it is: four voices of notes and rests, each quarter on one grid."""
    notes = []
    tuning = STANDARD_TUNINGS["guitar"]
    for voice in range(draw(st.integers(1, 4))):
        edges, tape = {0}, Tape(draw)
        for quarter in range(1 + tape.below(6)):
            step = tape.pick((40, 60, 48, 240))
            cuts = tape.some(4, lambda: tape.below(960 // step))  # noqa: B023
            edges |= {960 * quarter, *(960 * quarter + step * cut for cut in cuts), 960 * quarter + 960}
        for start, stop in pairwise(sorted(edges)):
            tape = Tape(draw, 8)
            if tape.one_in(2):
                string, fret, velocity = 1 + tape.below(6), tape.between(0, 24), 16 * tape.below(8) + 15
                shape = tape.pick([(), ((0, 0), (1, 200)), ((0, 0), (0.5, 100), (1, 0))])
                bends = tuple(Bend(int((stop - start) * place), cents) for place, cents in shape)
                pitch = tuning[string - 1] + fret
                notes.append(Note(start, stop - start, pitch, velocity, bends, string, fret, tape.pick(KEPT), voice))
    return Score((Track.of(notes, tuning=tuning),), 960)


@QUICK
@given(tabs())
def test_what_durations_can_hold_is_kept_exactly(score: Score) -> None:
    once = there_and_back(score)
    assert list(once.tracks[0]) == list(score.tracks[0])
    assert there_and_back(once) == once
