"""The tremolo bar moves what sounds."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings

from cadenza.score.model import Bend, Note, Score, Track
from cadenza.score.whammy import play_tremolo_bar
from cadenza.score.written import BEAT_DTYPE, Mark
from tests.strategies import scores

Q = 480
DIP = Mark(0, "tremolo_bar", values=(6, -4, 0, 0, 0, 30, -4, 0, 60, 0, 0))


def played(*notes: Note, marks=(DIP,), beats=((0, Q, 0, 4, 0, 1, 1),)) -> list[tuple[Bend, ...]]:
    track = Track.of(notes, marks=marks, beats=np.array(list(beats), BEAT_DTYPE))
    out = play_tremolo_bar()(Score((track,))).tracks[0]
    assert not out.marks
    return [note.bends for note in out]


def test_a_dip_goes_down_and_back():
    assert played(Note(0, Q, 60)) == [(Bend(0, 0), Bend(Q // 2, -200), Bend(Q, 0))]


def test_it_adds_to_a_bend():
    bent = Note(0, Q, 60, bends=(Bend(0, 100), Bend(Q, 100)))
    assert played(bent) == [(Bend(0, 100), Bend(Q // 2, -100), Bend(Q, 100))]


def test_all_strings_move_and_later_notes_do_not():
    first, other, later = played(Note(0, Q, 60), Note(0, Q, 64, voice=1), Note(Q, Q, 67))
    assert first == other
    assert later == ()


def test_a_note_that_began_before_stays_on_pitch_until_the_dive():
    dive = Mark(Q, "tremolo_bar", values=(0, 0, 30, -4, 0, 60, -4, 0))
    out = played(Note(0, 2 * Q, 60), marks=(dive,), beats=((0, Q, 0, 4, 0, 1, 1), (Q, Q, 0, 4, 0, 1, 1)))
    assert out == [(Bend(0, 0), Bend(Q, 0), Bend(Q + Q // 2, -200), Bend(2 * Q, -200))]


def test_a_note_struck_under_way_starts_on_the_curve():
    (first, second) = played(Note(0, Q, 60), Note(Q // 4, Q // 4, 64, voice=1))
    assert second == (Bend(0, -100), Bend(Q // 4, -200))
    assert first[0] == Bend(0, 0)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scores(max_tracks=2))
def test_any_marks_give_sound_bends_and_twice_is_once(score):
    once = play_tremolo_bar()(score)
    assert play_tremolo_bar()(once) == once
    for old, new in zip(score.tracks, once.tracks, strict=True):
        assert (old.notes == new.notes).all()
        if not any(mark.kind == "tremolo_bar" for mark in old.marks):
            assert old == new
