"""The core types: order, equality, immutability, ranges; time's conversions."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.base.errors import LimitError, RangeError
from cadenza.score import time
from cadenza.score.model import (
    BEND_DTYPE,
    CONTROL_DTYPE,
    NOTE_DTYPE,
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
from cadenza.score.table import note_table
from tests.strategies import scores, tracks

Q = 480
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# ── tracks ──


FIELDS = ("name", "program", "is_drums", "tuning", "capo_fret", "controls", "beats", "marks")


@FEW
@given(tracks(), st.randoms(use_true_random=False))
def test_a_track_does_not_depend_on_the_order_of_its_notes(track, rng: random.Random):
    listed = list(track)
    rng.shuffle(listed)
    fields = {name: getattr(track, name) for name in FIELDS}
    again = Track.of(listed, **fields)
    assert again == track
    assert hash(again) == hash(track)
    assert list(again) == list(track)


@FEW
@given(tracks(), st.data())
def test_keeping_rows_keeps_their_bends(track, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(track), max_size=len(track))), bool)
    assert list(track.keep(mask)) == [note for note, kept in zip(track, mask, strict=True) if kept]


def test_twins_differ_by_their_bends_alone():
    bent, plain = Note(0, Q, 60, bends=(Bend(0, 0), Bend(Q, 100))), Note(0, Q, 60)
    assert Track.of([bent, plain]) == Track.of([plain, bent])
    assert Track.of([bent, plain]) != Track.of([plain, plain])
    assert Track.of([bent, plain]) != Track.of([bent, bent])


def test_columns_are_read_only_and_nobody_elses():
    rows = np.array([(0, Q, 60, 90, 0, -1, 0, 0, -128)], NOTE_DTYPE)
    bends = np.array([(0, 0, 50)], BEND_DTYPE)
    controls = np.array([(0, 64, 127)], CONTROL_DTYPE)
    track = Track(notes=rows, bends=bends, controls=controls)
    for column in (track.notes, track.bends, track.controls):
        assert not column.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        track.notes["pitch"] += 1
    rows["pitch"], bends["cents"], controls["value"] = 1, 1, 1
    assert track[0] == Note(0, Q, 60, 90, bends=(Bend(0, 50),))
    assert track.controls["value"][0] == 127
    with pytest.raises(FrozenInstanceError):
        track.program = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (Note(-1, Q, 60), "onset_ticks"),
        (Note(0, -1, 60), "duration_ticks"),
        (Note(0, Q, 128), "pitch"),
        (Note(0, Q, -1), "pitch"),
        (Note(0, Q, 60, 0), "velocity"),
        (Note(0, Q, 60, 128), "velocity"),
        (Note(0, Q, 60, string=1), "string"),
        (Note(0, Q, 60, fret=-2), "fret"),
        (Note(0, Q, 60, techniques=Technique(2 * max(Technique))), "techniques"),  # a bit that names none
        (Note(0, Q, 60, voice=-1), "voice"),
        (Note(0, Q, 60, bends=(Bend(Q + 1, 0),)), "bend offset_ticks within the note"),
        (Note(0, Q, 60, bends=(Bend(-1, 0),)), "bend offset_ticks within the note"),
        (Note(0, Q, 60, bends=(Bend(3, 0), Bend(3, 1))), "bend offset_ticks rising"),
    ],
)
def test_what_a_note_cannot_be(note, said):
    with pytest.raises(RangeError, match=said):
        Track.of([Note(0, Q, 50), note])


def test_what_a_track_and_its_controllers_cannot_be():
    for fields in (
        {"program": 128},
        {"controls": np.array([(0, 128, 0)], CONTROL_DTYPE)},
        {"controls": np.array([(0, 1, 128)], CONTROL_DTYPE)},
        {"bends": np.array([(0, 0, 0)], BEND_DTYPE)},
    ):
        with pytest.raises(RangeError):
            Track(**fields)


def test_technique_bits_are_part_of_the_saved_form():
    bits = {"PALM_MUTE": 0, "DEAD": 1, "HAMMER": 2, "LET_RING": 9, "VIBRATO": 10, "HARMONIC_SEMI": 15, "POP": 25}
    assert {name: Technique[name].value for name in bits} == {name: 1 << bit for name, bit in bits.items()}


# ── scores ──


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tempo(0, 0),
        lambda: Tempo(0, float("inf")),
        lambda: Tempo(0, float("nan")),
        lambda: Tempo(-1, 120),
        lambda: Metre(0, 0, 4),
        lambda: Metre(0, 4, 3),
        lambda: Metre(-1, 4, 4),
        lambda: Key(0, 8),
        lambda: Key(0, 0, "dorian"),  # type: ignore[arg-type]
        lambda: BarMark(0, repeat_close=-1),
        lambda: BarMark(0, endings=(0,)),
        lambda: Score(ticks_per_quarter=0),
        lambda: Score(ticks_per_quarter=65_536),
    ],
)
def test_what_a_score_cannot_hold(make):
    with pytest.raises(RangeError):
        make()


def test_maps_are_sorted_and_the_last_of_several_at_a_tick_holds():
    score = Score(tempos=(Tempo(9, 100), Tempo(0, 90), Tempo(9, 80)), markers=(Marker(5, "b"), Marker(5, "a")))
    assert score.tempos == (Tempo(0, 90), Tempo(9, 80))
    assert score.markers == (Marker(5, "a"), Marker(5, "b"))


def test_length_reaches_the_last_offset_and_stays():
    score = Score((Track.of([Note(0, 10 * Q, 60), Note(Q, Q, 62)]),), length_ticks=Q)
    assert score.length_ticks == 10 * Q
    assert score.with_tracks([]).length_ticks == 10 * Q
    assert Score(length_ticks=7).length_ticks == 7


@FEW
@given(scores())
def test_equal_scores_are_equal_and_hash_alike(score):
    again = replace(score, tracks=tuple(replace(track) for track in score.tracks))
    assert again == score
    assert hash(again) == hash(score)
    assert replace(score, length_ticks=score.length_ticks + 1) != score


@FEW
@given(scores(max_tracks=3))
def test_the_note_table_holds_every_note(score):
    table = note_table(score)
    assert len(table) == score.n_notes
    assert (np.diff(table["onset_ticks"]) >= 0).all()
    rows = sorted((int(r["track"]), int(r["onset_ticks"]), int(r["pitch"]), int(r["velocity"])) for r in table)
    assert rows == sorted((i, n.onset_ticks, n.pitch, n.velocity) for i, t in enumerate(score.tracks) for n in t)
    assert (table["duration_seconds"] >= 0).all()


# ── time ──


def test_seconds_follow_the_tempo_map():
    score = Score(tempos=(Tempo(2 * Q, 60), Tempo(4 * Q, 240)), length_ticks=8 * Q)
    assert time.ticks_to_seconds(score, [0, Q, 2 * Q, 3 * Q, 4 * Q, 8 * Q]).tolist() == [0, 0.5, 1, 2, 3, 4]


@FEW
@given(scores(max_tracks=1), st.lists(st.integers(0, 10**6), min_size=1, max_size=10))
def test_seconds_and_back(score, ticks):
    back = time.seconds_to_ticks(score, time.ticks_to_seconds(score, ticks))
    assert np.allclose(back, ticks, rtol=1e-9, atol=1e-5)
    assert (np.diff(time.ticks_to_seconds(score, sorted(ticks))) >= 0).all()


@FEW
@given(scores(max_tracks=2))
def test_bars_cover_the_score_without_gap(score):
    table = time.bar_table(score)
    assert table.starts_ticks[0] == 0
    assert (table.starts_ticks[1:] == table.ends_ticks[:-1]).all()
    assert (table.ends_ticks > table.starts_ticks).all()
    assert table.ends_ticks[-1] >= score.length_ticks
    starts = set(table.starts_ticks.tolist())
    for entry in (*score.bars, *score.metres):
        assert entry.onset_ticks in starts or entry.onset_ticks >= score.length_ticks
    full = [time.bar_ticks(metre, score.ticks_per_quarter) for metre in table.metres]
    assert (table.ends_ticks - table.starts_ticks <= full).all()
    middle = (table.starts_ticks + table.ends_ticks) // 2
    assert table.index_of(middle).tolist() == list(range(len(table)))


def test_a_mark_in_mid_bar_makes_an_upbeat():
    score = Score(bars=(BarMark(Q, repeat_open=True),), metres=(Metre(0, 3, 4),), length_ticks=7 * Q)
    table = time.bar_table(score)
    assert table.starts_ticks.tolist() == [0, Q, 4 * Q]
    assert table.ends_ticks.tolist() == [Q, 4 * Q, 7 * Q]
    assert table.marks == (None, score.bars[0], None)


def test_too_many_bars_are_refused():
    with pytest.raises(LimitError, match="at most 10 bars"):
        time.bar_table(Score(length_ticks=11 * 4 * Q), max_bars=10)


def test_what_holds_where():
    score = Score(tempos=(Tempo(Q, 90),), metres=(Metre(Q, 3, 4),), keys=(Key(Q, 2),))
    assert (time.tempo_at(score, Q - 1), time.tempo_at(score, Q)) == (Tempo(0, 120.0), Tempo(Q, 90))
    assert (time.metre_at(score, Q - 1), time.metre_at(score, Q)) == (Metre(0, 4, 4), Metre(Q, 3, 4))
    assert (time.key_at(score, Q - 1), time.key_at(score, Q)) == (None, Key(Q, 2))


@given(st.integers(-(10**9), 10**9), st.integers(1, 65_535), st.integers(1, 65_535))
def test_rescaled_is_the_nearest_tick(ticks, old, new):
    exact = Fraction(ticks * new, old)
    got = time.rescaled(ticks, old, new)
    assert abs(exact - got) <= Fraction(1, 2)
    if abs(exact - got) == Fraction(1, 2):
        assert abs(got) > abs(exact)
    with pytest.raises(RangeError):
        time.rescaled(1, 0, new)


def test_quarters_are_exact():
    assert time.ticks_to_quarters(1, 3) == Fraction(1, 3)
