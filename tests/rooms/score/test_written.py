"""The written layer: beats, marks, directions, and what edits do to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.base.errors import RangeError
from cadenza.score import edit, repeats
from cadenza.score.model import BarMark, Note, Score, Track
from cadenza.score.written import BEAT_DTYPE, DIRECTIONS, Mark, beats_between, sealed_beats
from tests.strategies import scores

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def row(onset, duration, voice=0, value=4, dots=0, enters=1, times=1):
    return (onset, duration, voice, value, dots, enters, times)


def test_beats_are_sorted_by_voice_and_the_last_at_a_place_stays():
    beats = sealed_beats([row(480, 480), row(0, 960, voice=1, value=2), row(0, 480), row(480, 240, value=8)])
    assert beats["onset_ticks"].tolist() == [0, 480, 0]
    assert beats["duration_ticks"].tolist() == [480, 240, 960]
    assert not beats.flags.writeable


@pytest.mark.parametrize(
    "wrong", [row(-1, 480), row(0, 0), row(0, 480, value=3), row(0, 480, value=512), row(0, 480, enters=0)]
)
def test_beats_out_of_range_are_refused(wrong):
    with pytest.raises(RangeError):
        Track(beats=np.array([wrong], BEAT_DTYPE))


def test_beats_between_wants_no_gap():
    beats = sealed_beats([row(0, 480), row(480, 480), row(1000, 480), row(0, 1920, voice=1, value=1)])
    assert beats_between(beats, 0, 0, 960)["onset_ticks"].tolist() == [0, 480]
    assert beats_between(beats, 0, 0, 1000) is None
    assert beats_between(beats, 0, 0, 1480) is None
    assert beats_between(beats, 0, 480, 960)["onset_ticks"].tolist() == [480]
    assert beats_between(beats, 1, 0, 1920)["value"].tolist() == [1]
    assert beats_between(beats, 2, 0, 1920) is None


@pytest.mark.parametrize(
    "fields", [{"kind": "nonsense"}, {"onset_ticks": -1}, {"voice": 128}, {"string": -1}, {"pitch": 128}]
)
def test_marks_out_of_range_are_refused(fields):
    with pytest.raises(RangeError):
        Mark(**{"onset_ticks": 0, "kind": "stroke", **fields})


def test_directions_are_known_names_in_one_order():
    assert BarMark(0, directions=("segno", "fine", "segno")).directions == ("fine", "segno")
    with pytest.raises(RangeError):
        BarMark(0, directions=("somewhere",))
    assert len(set(DIRECTIONS)) == len(DIRECTIONS)


def test_a_track_knows_its_written_layer():
    plain = Track.of([Note(0, 480, 60)])
    marked = Track.of([Note(0, 480, 60)], marks=(Mark(0, "stroke", values=(2, 8)),))
    beaten = Track.of([Note(0, 480, 60)], beats=np.array([row(0, 480)], BEAT_DTYPE))
    assert len({plain, marked, beaten}) == 3
    score = Score((marked, beaten))
    assert edit.drop_written()(score).tracks == (plain, plain)
    assert edit.drop_written()(Score((plain,))) == Score((plain,))


@FEW
@given(scores(max_tracks=2))
def test_a_finer_resolution_scales_the_written_layer(score):
    finer = edit.rescale(2 * score.ticks_per_quarter)(score) if score.ticks_per_quarter <= 32_767 else score
    factor = finer.ticks_per_quarter // score.ticks_per_quarter
    for old, new in zip(score.tracks, finer.tracks, strict=True):
        assert (new.beats["onset_ticks"] == factor * old.beats["onset_ticks"]).all()
        assert (new.beats["duration_ticks"] == factor * old.beats["duration_ticks"]).all()
        assert [m.onset_ticks for m in new.marks] == [factor * m.onset_ticks for m in old.marks]
    assert edit.rescale(score.ticks_per_quarter)(finer) == score


def test_repeats_written_out_repeat_the_written_layer():
    track = Track.of(
        [Note(0, 1920, 60), Note(1920, 1920, 62)],
        beats=np.array([row(0, 1920, value=1), row(1920, 1920, value=1)], BEAT_DTYPE),
        marks=(Mark(0, "text", text="one"), Mark(1920, "text", text="two")),
    )
    out = repeats.unfold()(Score((track,), bars=(BarMark(0, True), BarMark(1920, repeat_close=2)))).tracks[0]
    assert out.beats["onset_ticks"].tolist() == [0, 1920, 3840, 5760]
    assert [(m.onset_ticks, m.text) for m in out.marks] == [(0, "one"), (1920, "two"), (3840, "one"), (5760, "two")]
