"""The law of the ABC format: what is read back is what was written, less what is declared."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza import formats
from cadenza.base.limits import Limits
from cadenza.formats import abc
from cadenza.notation.abc import Abc, check
from cadenza.score.edit import project
from cadenza.score.model import BarMark, Note, Score, Technique, Track
from tests.strategies import examples, scores, tracks
from tests.tape import Tape

# A score of one tick a quarter may last two hours and have a bar every sixteenth.
WIDE = Limits(words=1 << 30, bars=1 << 30, quarters=1 << 30)
QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def there_and_back(score: Score) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "piece.abc"
        formats.write(score, path)
        return formats.read(path, WIDE)


@settings(max_examples=examples(25), **QUICK)
@given(scores())
def test_what_is_read_back_is_the_projection(score: Score) -> None:
    assert there_and_back(score) == project(score, abc.PROJECTION)


@settings(max_examples=examples(40), **QUICK)
@given(
    tracks(max_notes=14, max_ticks=1_920, grid_ticks=240, bends=False, controls=False, written=False, drums=False),
    st.lists(
        st.builds(
            BarMark,
            st.integers(0, 6).map(lambda n: 480 * n),
            st.booleans(),
            st.integers(0, 3),
            st.sampled_from([(), (1,), (2,), (1, 2)]),
        ),
        max_size=5,
    ),
)
def test_the_law_for_voices_that_meet_and_repeats_of_every_kind(track: Track, bars: list[BarMark]) -> None:
    score = Score((track,), bars=tuple(bars))
    assert abc.PROJECTION[0].says
    for notation in (Abc(), Abc(voices="overlays")):
        assert notation.decode(notation.encode(score)) == project(score, notation.projection)


TUPLETS = ([960], [480, 480], [320, 320, 320], [640, 320], [160, 320, 480], [192] * 5, [240, 120, 600])


@st.composite
def written(draw: st.DrawFn) -> Score:
    """Lines of tuplets, grace notes and chords, as written music has them."""
    made = []
    for _ in range(draw(st.integers(1, 2))):
        notes, at = [], 0
        for _ in range(draw(st.integers(1, 8))):
            tape = Tape(draw)
            for length in tape.pick(TUPLETS):
                pitch = tape.between(40, 90)
                for back in range(tape.pick([0, 0, 0, 1, 2]), 0, -1):
                    grace = Note(max(0, at - 120 * back), 120, pitch + back, 95, techniques=Technique.GRACE)
                    notes.append(grace)
                for above in tape.pick([(), (), (4,), (3, 7)]):
                    notes.append(Note(at, length, pitch + above))
                notes.append(Note(at, length, pitch))
                at += length
        made.append(Track.of(notes))
    return Score(tuple(made), ticks_per_quarter=960)


@settings(max_examples=examples(40), **QUICK)
@given(written())
def test_written_music_keeps_every_note_and_adds_up(score: Score) -> None:
    text = Abc().encode(score)
    back = Abc().decode(text)
    assert back == project(score, abc.PROJECTION)
    for ours, theirs in zip(back.tracks, score.tracks, strict=True):
        bit = int(Technique.GRACE)
        for old, new in (
            (theirs.notes[theirs.notes["techniques"] & bit == 0], ours.notes[ours.notes["techniques"] & bit == 0]),
        ):
            for column in ("onset_ticks", "duration_ticks", "pitch"):
                assert sorted(old[column].tolist()) == sorted(new[column].tolist())
    assert [p for p in check(text) if p.severity != "warning"] == []


@pytest.mark.parametrize("options", Abc.variants)
@settings(max_examples=examples(8), **QUICK)
@given(score=scores(max_tracks=3))
def test_what_is_written_has_no_finding(options, score: Score) -> None:
    found = check(Abc(**options).encode(score), WIDE)
    assert found == []
