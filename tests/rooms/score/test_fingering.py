"""Fingering: against brute force, on chords that guitarists play, and its laws."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import RangeError, UnplayableError
from cadenza.score import fingering
from cadenza.score.fingering import finger, playable, tuning_for
from cadenza.score.model import STANDARD_TUNINGS, Bend, Note, Track

GUITAR, BASS = STANDARD_TUNINGS["guitar"], STANDARD_TUNINGS["bass"]


def brute_force(pitches, tuning, capo=0, max_fret=24, span=5) -> bool:
    """Try every string for every pitch."""
    for strings in product(range(len(tuning)), repeat=len(pitches)):
        frets = [p - tuning[s] - capo for p, s in zip(pitches, strings, strict=True)]
        pressed = [f for f in frets if f > 0]
        if (
            len(set(strings)) == len(strings)
            and all(0 <= f <= max_fret - capo for f in frets)
            and (not pressed or max(pressed) - min(pressed) <= span)
        ):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(25, 92), min_size=1, max_size=5),
    st.sampled_from([GUITAR, BASS, (62, 57, 53, 48, 43, 38), (67, 60, 64, 69)]),
    st.integers(0, 5),
    st.sampled_from([12, 24]),
)
def test_playable_is_what_brute_force_finds(pitches, tuning, capo, max_fret):
    got = playable(tuple(pitches), tuning, capo_fret=capo, max_fret=max_fret)
    assert got == brute_force(pitches, tuning, capo, max_fret)


def cost(path: list[list[tuple[int, int]]]) -> float:
    """What the documented cost says of a whole path of shapes."""
    position, total = 1, 0.0
    for shape in path:
        frets = [f for _, f in shape if f]
        position, effort = fingering._moved(position, frets)
        total += effort + fingering.HEIGHT_COST * sum(frets)
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(40, 76), min_size=1, max_size=2, unique=True), min_size=1, max_size=4))
def test_the_path_is_as_cheap_as_the_cheapest_of_all(chords):
    chords = [c for c in chords if playable(tuple(c), GUITAR)]
    track = Track.of([Note(480 * i, 480, p) for i, c in enumerate(chords) for p in c], tuning=GUITAR)
    fingered = finger(track)
    shapes = [[(n.string, n.fret) for n in fingered if n.onset_ticks == 480 * i] for i in range(len(chords))]
    every = [list(fingering._shapes(tuple(c), GUITAR, 0, 24, 5)) for c in chords]
    assert cost(shapes) == pytest.approx(min(cost(list(path)) for path in product(*every)))


CHORDS = {
    "E major": (40, 47, 52, 56, 59, 64),
    "F barre": (41, 48, 53, 57, 60, 65),
    "C": (48, 52, 55, 60, 64),
    "D7": (50, 57, 60, 66),
    "Bm7b5": (47, 53, 57, 62),
    "A13": (45, 55, 61, 66),
}


@pytest.mark.parametrize("name", CHORDS)
def test_common_chords_are_playable(name):
    track = finger(Track.of([Note(0, 960, p) for p in CHORDS[name]], tuning=GUITAR))
    assert len(track) == len(CHORDS[name])
    check(track)


@pytest.mark.parametrize(
    "pitches", [(40, 41), (60,) * 7, (39,), (89,), (40, 43, 47, 48)], ids=["one string", "7", "low", "high", "cluster"]
)
def test_what_no_hand_can_play(pitches):
    assert not playable(pitches, GUITAR)
    track = Track.of([Note(960, 960, p) for p in pitches], tuning=GUITAR, name="Gtr")
    with pytest.raises(UnplayableError) as error:
        finger(track)
    assert str(pitches[0]) in str(error.value)
    assert "960" in error.value.where
    thinner = finger(track, unplayable="drop")
    assert len(thinner) < len(track)
    check(thinner)


def test_dropping_keeps_the_outer_notes():
    track = Track.of([Note(0, 960, p) for p in (40, 41, 42, 60)], tuning=GUITAR)
    assert {n.pitch for n in finger(track, unplayable="drop")} == {40, 60}


def check(track: Track, max_fret: int = 24, span: int = 5) -> None:
    """One note a string at a time, within the frets and the span, on pitch."""
    notes = list(track)
    for n in notes:
        assert track.tuning[n.string - 1] + track.capo_fret + n.fret == n.pitch
        assert 0 <= n.fret <= max_fret - track.capo_fret
    for onset in {n.onset_ticks for n in notes}:
        sounding = [n for n in notes if n.onset_ticks <= onset < n.offset_ticks]
        assert len({n.string for n in sounding}) == len(sounding)
        pressed = [n.fret for n in sounding if n.fret]
        assert not pressed or max(pressed) - min(pressed) <= span


NOTES = st.lists(
    st.builds(
        Note,
        onset_ticks=st.integers(0, 8).map(lambda v: 240 * v),
        duration_ticks=st.integers(1, 6).map(lambda v: 240 * v),
        pitch=st.integers(38, 90),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(NOTES, st.integers(0, 3))
def test_laws(notes, capo):
    track = Track.of(notes, tuning=GUITAR, capo_fret=capo)
    out = finger(track, unplayable="drop")
    check(out)
    before = {(n.onset_ticks, n.pitch) for n in track}
    assert {(n.onset_ticks, n.pitch) for n in out} <= before
    assert finger(out) == out
    for chord in {n.onset_ticks for n in track}:
        pitches = tuple(n.pitch for n in track if n.onset_ticks == chord)
        if playable(pitches, GUITAR, capo):
            assert sorted(pitches) == sorted(n.pitch for n in out if n.onset_ticks == chord)


def test_set_notes_stay():
    kept = Note(0, 960, 64, string=2, fret=5)
    out = finger(Track.of([kept, Note(0, 960, 60), Note(0, 960, 67)], tuning=GUITAR))
    assert next(n for n in out if n.pitch == 64) == kept
    check(out)


def test_a_ringing_note_keeps_its_string_where_another_is_free():
    out = finger(Track.of([Note(0, 1920, 64), Note(960, 960, 67)], tuning=GUITAR))
    assert sorted(n.duration_ticks for n in out) == [960, 1920]
    check(out)


def test_a_ringing_note_is_cut_where_no_other_string_is_free():
    bends = (Bend(0, 0), Bend(1900, 100))
    out = finger(Track.of([Note(0, 1920, 40, bends=bends), Note(960, 960, 41)], tuning=GUITAR))
    low = next(n for n in out if n.pitch == 40)
    assert (low.duration_ticks, low.bends) == (960, (Bend(0, 0),))


def test_a_scale_stays_in_position():
    scale = [60, 62, 64, 65, 67, 69, 71, 72, 74, 76]
    out = finger(Track.of([Note(240 * i, 240, p) for i, p in enumerate(scale)], tuning=GUITAR))
    position, shifts = 1, 0
    for n in out:
        moved, _ = fingering._moved(position, [n.fret] if n.fret else [])
        position, shifts = moved, shifts + (moved != position)
    assert shifts <= 2  # two octaves less a tone do not fit under one hand


def test_tunings_suit_the_range():
    assert tuning_for(Track.of([Note(0, 480, p) for p in (40, 52, 64)])) == GUITAR
    assert tuning_for(Track.of([Note(0, 480, 28), Note(480, 480, 43)], program=33)) == BASS
    high = Track.of([Note(480 * i, 480, p) for i in range(4) for p in (80 + i, 92 + i, 96 + i)])
    assert not playable((80, 92, 96), GUITAR)
    assert playable((80, 92, 96), tuning_for(high))
    assert tuning_for(Track()) == GUITAR


def test_refusals():
    with pytest.raises(RangeError, match="tuning"):
        finger(Track.of([Note(0, 480, 60)]))
    with pytest.raises(RangeError, match="unplayable"):
        finger(Track.of([Note(0, 480, 60)], tuning=GUITAR), unplayable="maybe")  # type: ignore[arg-type]


def test_speed_on_a_long_busy_track():
    rng = np.random.default_rng(0)
    notes = [Note(120 * int(t), 480, int(p)) for t, p in zip(range(1500), rng.integers(45, 76, 1500), strict=True)]
    assert len(finger(Track.of(notes, tuning=GUITAR), unplayable="drop")) == 1500
