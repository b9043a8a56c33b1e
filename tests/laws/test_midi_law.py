"""The law of the MIDI format: what is read back is what was written, less what is declared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cadenza.formats import midi
from cadenza.formats._wheel import EXACT_CENTS, WIDEST_CENTS
from cadenza.score.edit import project
from cadenza.score.model import CONTROL_DTYPE, Bend, Note, Score, Track
from tests.strategies import bend_points, examples, scores, tracks

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=examples(60), deadline=None, suppress_health_check=SLOW)
@given(scores())
def test_what_is_read_back_is_the_projection(score: Score) -> None:
    assert midi.decode(midi.encode(score)) == project(score, midi.PROJECTION)


@settings(max_examples=examples(250), deadline=None, suppress_health_check=SLOW)
@given(tracks(max_notes=6, max_ticks=12, grid_ticks=2, drums=False, tunings=False, max_bend_cents=100))
def test_the_law_holds_for_few_notes_that_meet(track: Track) -> None:
    score = Score((track,))
    assert midi.decode(midi.encode(score)) == project(score, midi.PROJECTION)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=SLOW)
@given(scores(max_tracks=2, max_bend_cents=WIDEST_CENTS, max_ticks=300))
def test_the_law_holds_for_any_bend_that_a_wheel_can_reach(score: Score) -> None:
    assert midi.decode(midi.encode(score)) == project(score, midi.PROJECTION)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=SLOW)
@given(scores(max_tracks=3))
def test_a_second_projection_changes_nothing(score: Score) -> None:
    once = project(score, midi.PROJECTION)
    assert project(once, midi.PROJECTION) == once


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 700).flatmap(lambda d: st.tuples(st.just(d), bend_points(d, max_cents=2_400))))
def test_a_bend_is_never_more_than_half_a_cent_off_at_any_tick(drawn: tuple[int, tuple[Bend, ...]]) -> None:
    duration, curve = drawn
    score = Score((Track.of([Note(100, duration, 60, 90, curve)]),))
    back = midi.decode(midi.encode(score)).tracks[0]
    ticks = np.arange(duration + 1)
    expected = np.interp(ticks, [b.offset_ticks for b in curve], [b.cents for b in curve])
    points = back.bends_of(0)
    found = np.interp(ticks, [b.offset_ticks for b in points], [b.cents for b in points]) if points else 0 * ticks
    assert np.abs(found - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("peak", [1, 199, 200, 201, 2_400, 4_000, 4_001, 4_099, 4_100, 7_999, EXACT_CENTS])
@pytest.mark.parametrize("sign", [1, -1])
def test_whole_cents_survive_every_wheel_range(peak: int, sign: int) -> None:
    cents = sorted({sign * c for c in (*range(max(0, peak - 40), peak + 1), *range(0, peak, 37))})
    notes = [Note(1000 * i, 900, 60, 90, (Bend(0, c),)) for i, c in enumerate(cents) if c]
    score = Score((Track.of(notes),))
    assert midi.decode(midi.encode(score)) == score


def test_jumps_at_the_very_end_and_resets_of_controllers_keep_to_their_notes() -> None:
    jump = (Bend(99, 0), Bend(100, 50))
    together = [Note(0, 100, 60, 90, jump), Note(0, 100, 64), Note(50, 100, 67), Note(100, 50, 72), Note(100, 0, 74)]
    held = Note(0, 200, 50, 90, (Bend(0, 100),))
    resets = np.array([(100, 121, 0), (150, 121, 0)], CONTROL_DTYPE)
    apart = [Note(0, 40 + cents, 60 + cents, 90, (Bend(9, 0), Bend(10, cents))) for cents in (50, 60)]
    for notes in (apart, together, [*together, held], [held, Note(150, 10, 52, 90, (Bend(0, 100),))]):
        for order in (notes, [replace(note, pitch=127 - note.pitch) for note in notes]):
            score = Score((Track.of(order, controls=resets),), length_ticks=200)
            assert midi.decode(midi.encode(score)) == score
