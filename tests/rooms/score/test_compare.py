"""Comparing scores: equal ones have no difference, every single edit is found and named, sides mirror."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ConfigError
from cadenza.score.compare import ASPECTS, apart_cents, compare
from cadenza.score.edit import rescale
from cadenza.score.model import (
    CONTROL_DTYPE,
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
from cadenza.score.written import BEAT_DTYPE, Mark
from tests.strategies import examples, scores

LAW = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
GUITAR = STANDARD_TUNINGS["guitar"]
Q = 480


def tune(**fields: object) -> Score:
    """Eight quarters on two tracks with everything that a score can have."""
    lead = Track.of(
        [Note(i * Q, Q, 64 + i, 80, (Bend(0, 0), Bend(Q, 200)) if i == 3 else (), 1, i) for i in range(8)],
        name="Lead", program=29, tuning=GUITAR,
        controls=np.array([(0, 7, 100)], CONTROL_DTYPE),
        beats=np.array([(i * Q, Q, 0, 4, 0, 1, 1) for i in range(8)], BEAT_DTYPE),
        marks=(Mark(0, "chord", text="Em"),),
    )  # fmt: skip
    bass = Track.of([Note(i * 2 * Q, Q, 40 - i) for i in range(4)], name="Bass", program=33)
    made = Score(
        (lead, bass), Q, (Tempo(0, 100.0),), (Metre(0, 3, 4),), (Key(0, 1),),
        (BarMark(0, True), BarMark(3 * Q, False, 2)), (Marker(0, "Verse"),), "Étude", "A. Nobody", 9 * Q,
    )  # fmt: skip
    return replace(made, **fields)


def with_note(row: int = 2, track: int = 0, **fields: object) -> Score:
    score = tune()
    notes = list(score.tracks[track])
    notes[row] = replace(notes[row], **fields)  # type: ignore[arg-type]
    return with_track(Track.of(notes, **_fields(score.tracks[track])), track)


def _fields(track: Track) -> dict[str, object]:
    names = ("name", "program", "is_drums", "tuning", "capo_fret", "controls", "beats", "marks")
    return {name: getattr(track, name) for name in names}


def with_track(track: Track, at: int = 0) -> Score:
    tracks = list(tune().tracks)
    tracks[at] = track
    return tune(tracks=tuple(tracks))


LEAD, BASS = tune().tracks
EDITS = {
    "title": tune(title="Other"),
    "composer": tune(composer=""),
    "tempo": tune(tempos=(Tempo(0, 100.0), Tempo(4 * Q, 101.0))),
    "metre": tune(metres=(Metre(0, 6, 8),)),
    "key": tune(keys=(Key(0, 1, "minor"),)),
    "bars": tune(bars=(*tune().bars, BarMark(4 * Q))),
    "repeats": tune(bars=(BarMark(0, True), BarMark(3 * Q, False, 3))),
    "endings": tune(bars=(BarMark(0, True), BarMark(3 * Q, False, 2, (1,)))),
    "directions": tune(bars=(BarMark(0, True, 0, (), ("segno",)), BarMark(3 * Q, False, 2))),
    "markers": tune(markers=(Marker(0, "Chorus"),)),
    "length": tune(length_ticks=9 * Q - 1),
    "tracks": tune(tracks=(LEAD,)),
    "order": tune(tracks=(BASS, LEAD)),
    "name": with_track(replace(LEAD, name="Solo")),
    "program": with_track(replace(LEAD, program=30)),
    "drums": with_track(replace(BASS, is_drums=True), 1),
    "tuning": with_track(replace(LEAD, tuning=(62, *GUITAR[1:]))),
    "capo": with_track(replace(LEAD, capo_fret=2)),
    "controls": with_track(replace(LEAD, controls=np.array([(0, 7, 90)], CONTROL_DTYPE))),
    "notes": with_track(BASS.keep(np.array([True, False, True, True])), 1),
    "onset": with_note(onset_ticks=2 * Q + 30),
    "pitch": with_note(pitch=68),
    "duration": with_note(duration_ticks=Q + 1),
    "velocity": with_note(velocity=81),
    "string": with_note(string=2),
    "fret": with_note(fret=7),
    "techniques": with_note(techniques=Technique.PALM_MUTE),
    "bends": with_note(3, bends=(Bend(0, 0), Bend(Q, 190))),
    "voice": with_note(voice=1),
    "spelling": with_note(spelling=5),
    "beats": with_track(replace(LEAD, beats=LEAD.beats[1:])),
    "marks": with_track(replace(LEAD, marks=(Mark(0, "chord", text="Am"),))),
}


def test_the_edits_cover_every_aspect() -> None:
    assert set(EDITS) == set(ASPECTS)


@pytest.mark.parametrize("aspect", EDITS)
def test_a_single_edit_is_found_and_named(aspect: str) -> None:
    found = compare(tune(), EDITS[aspect])
    assert found.counts() == {aspect: 1}
    assert not compare(tune(), EDITS[aspect], ignore=[aspect] if aspect != "notes" else ["notes", "tracks"])


def test_ways_of_saying_one_thing_are_no_difference() -> None:
    plain = Score((Track.of([Note(0, 8 * Q, 60, bends=(Bend(0, 0), Bend(Q, 100)))]),), Q)
    note = Note(0, 8 * Q, 60, bends=(Bend(0, 0), Bend(Q // 2, 50), Bend(Q, 100), Bend(2 * Q, 100)))
    said = Score(
        (Track.of([note]),), Q, (Tempo(0, 120.00001), Tempo(4 * Q, 120.0)), (Metre(0, 4, 4), Metre(4 * Q, 4, 4))
    )
    assert plain != said
    assert not compare(plain, said)
    assert not compare(plain, rescale(960).apply(said))


def test_what_changed_is_said_with_its_place_and_values() -> None:
    (one,) = compare(tune(), with_note(velocity=30)).differences
    assert (one.a, one.b, one.tracks, one.at_ticks, one.subject) == (80, 30, (0, 0), (2 * Q, 2 * Q), (66, 66))
    (gone,) = compare(tune(), EDITS["notes"]).differences
    assert (gone.a, gone.b, gone.at_ticks) == ((39, 1.0), None, (2 * Q, None))
    (moved,) = compare(tune(), EDITS["onset"]).differences
    assert (moved.a, moved.b) == (2.0, 2.0625)


def test_only_and_ignore_take_aspects_and_groups() -> None:
    other = replace(with_note(velocity=3, fret=0), title="x")
    assert compare(tune(), other).counts() == {"title": 1, "velocity": 1, "fret": 1}
    assert compare(tune(), other, only=["notes"]).counts() == {"velocity": 1, "fret": 1}
    assert compare(tune(), other, ignore=["velocity", "header"]).counts() == {"fret": 1}
    with pytest.raises(ConfigError, match="velocity"):
        compare(tune(), other, only=["velocty"])


def test_tolerance() -> None:
    late = tune(tempos=(Tempo(0, 100.0), Tempo(Q, 90.0)))
    later = tune(tempos=(Tempo(0, 100.0), Tempo(Q + 10, 90.0)))
    assert compare(late, later).counts() == {"tempo": 1}
    assert not compare(late, later, tolerance_quarters=Fraction(1, 48))
    assert compare(late, later, tolerance_quarters=Fraction(1, 49)).counts() == {"tempo": 1}
    assert not compare(tune(), EDITS["onset"], tolerance_quarters=0.1)
    assert compare(tune(), EDITS["bends"], tolerance_cents=9)
    assert not compare(tune(), EDITS["bends"], tolerance_cents=10)


def test_an_inserted_note_shifts_no_pair() -> None:
    notes = [Note(i * 120, 120, 60) for i in range(50)]
    found = compare(Score((Track.of(notes),)), Score((Track.of([*notes[:20], *notes[21:]]),)))
    assert found.counts() == {"notes": 1}
    assert found.n_paired == 49


def test_tracks_are_found_by_what_they_hold() -> None:
    found = compare(tune(), tune(tracks=(replace(BASS, name="a", program=1), replace(LEAD, name="b"))))
    assert found.tracks == ((0, 1), (1, 0))
    assert found.counts() == {"order": 1, "name": 2, "program": 1}


def test_a_changed_order_mirrors() -> None:
    third = Track.of([Note(0, 1, 90)], name="Third", program=3)
    there = compare(tune(tracks=(LEAD, BASS, third)), tune(tracks=(BASS, third, LEAD)))
    back = compare(tune(tracks=(BASS, third, LEAD)), tune(tracks=(LEAD, BASS, third)))
    assert there.differences == tuple(one.mirrored() for one in back.differences)
    assert there.counts() == {"order": 1}


def test_how_far_curves_are_apart() -> None:
    assert apart_cents((), ((0, 0), (10, 0))) == 0
    assert apart_cents(((0, 0), (10, 100)), ((0, 0), (5, 80), (10, 100))) == 30
    assert apart_cents(((0, 100),), ()) == 100


@LAW
@given(scores(resolutions=(24, 96, 480, 960, 20_000)))  # at which every bar is a whole number of ticks
def test_nothing_differs_from_itself(score: Score) -> None:
    assert not compare(score, score)
    again = replace(score, tracks=tuple(replace(track) for track in score.tracks))
    assert not compare(score, again)
    finer = score.ticks_per_quarter * 3
    if finer <= 65_535:
        assert not compare(score, rescale(finer).apply(score))


@LAW
@given(scores(max_tracks=3, max_notes=10), scores(max_tracks=3, max_notes=10), st.sampled_from([0, 0.1]))
def test_sides_mirror(a: Score, b: Score, tolerance: float) -> None:
    there = compare(a, b, tolerance_quarters=tolerance)
    back = compare(b, a, tolerance_quarters=tolerance)
    assert Counter(map(repr, there.differences)) == Counter(repr(one.mirrored()) for one in back.differences)
    assert there.n_paired == back.n_paired
    only_a = sum(1 for one in there.differences if one.aspect == "notes" and one.b is None)
    lone = sum(len(a.tracks[i]) for i, j in there.tracks if j is None and i is not None)
    assert there.n_paired + only_a + lone == a.n_notes


@LAW
@given(scores(max_tracks=2), st.data())
def test_any_change_of_a_note_is_found(score: Score, data: st.DataObject) -> None:
    rows = [(i, row) for i, track in enumerate(score.tracks) for row in range(len(track))]
    if not rows:
        return
    index, row = data.draw(st.sampled_from(rows))
    track = score.tracks[index]
    field, value = data.draw(
        st.sampled_from(
            [("velocity", 1), ("velocity", 127), ("pitch", 5), ("voice", 9), ("techniques", 0), ("spelling", 3)]
        )
    )
    notes = track.notes.copy()
    if notes[field][row] == value:
        return
    notes[field][row] = value
    tracks = list(score.tracks)
    tracks[index] = track.with_notes(notes)
    found = compare(score, replace(score, tracks=tuple(tracks)))
    assert found
    assert {ASPECTS[one.aspect] for one in found.differences} == {"notes"}
