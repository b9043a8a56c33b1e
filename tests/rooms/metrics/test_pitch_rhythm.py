"""Pitch and rhythm by hand, and what the reference code gets wrong."""

from __future__ import annotations

import numpy as np
import pytest

from cadenza.metrics import pitch
from cadenza.metrics.base import METRICS
from cadenza.metrics.view import notes_of
from cadenza.score.model import Metre, Note, Score, Track

PITCH, RHYTHM = METRICS.load("pitch"), METRICS.load("rhythm")


def score(*notes: tuple[float, float, int], **fields: object) -> Score:
    """Rows of onset and length in quarters, and pitch."""
    return Score((Track.of([Note(int(o * 480), int(d * 480), p) for o, d, p in notes], **fields),))


TWO_BARS = score(*((q, 0.5, 60) for q in (0, 1, 2, 3, 4, 5, 6, 7)))


def test_two_identical_bars_have_groove_1():
    """MusPy gives 0.875 where they fill their bars: it compares the second with a bar that is not there."""
    assert RHYTHM(est=TWO_BARS)["groove_consistency"] == 1.0
    filled = score(*((q, 1, 60) for q in range(8)))
    assert RHYTHM(est=filled)["groove_consistency"] == 1.0
    assert "groove_consistency" not in RHYTHM(est=score((0, 1, 60)))


def test_groove_of_unlike_bars():
    found = RHYTHM(est=score((0, 1, 60), (1, 1, 60), (4, 1, 60), (6, 2, 60)))["groove_consistency"]
    assert found == pytest.approx(1 - 2 / 96)


def test_bars_of_different_length_are_not_compared():
    tracks = score((0, 1, 60), (4, 1, 60), (7, 1, 60), (9, 1, 62)).tracks
    mixed = Score(tracks, metres=(Metre(0, 4, 4), Metre(4 * 480, 3, 4)))
    assert RHYTHM(est=mixed)["groove_consistency"] == pytest.approx(1 - 1 / 72)


def test_empty_beats():
    gap = score((0, 1, 60), (3, 1, 60))
    assert RHYTHM(est=gap)["empty_beat_rate"] == 0.5
    assert RHYTHM(est=score((0, 4, 60), (8, 4, 60)))["empty_bar_rate"] == pytest.approx(1 / 3)


def test_off_the_grid_and_even():
    rng = np.random.default_rng(0)
    played = score(*((float(q + rng.uniform(0.01, 0.03)), 0.4, 60) for q in range(20)))
    assert RHYTHM(est=TWO_BARS)["off_grid_rate"] == 0
    assert RHYTHM(est=played)["off_grid_rate"] > 0.5
    assert RHYTHM(est=TWO_BARS)["interval_entropy"] == 0
    assert RHYTHM(est=score((0, 1, 60), (1, 1, 60), (1.5, 1, 60), (3, 1, 60)))["interval_entropy"] > 1


def test_drums_on_three_or_four():
    swing = score(*((q + k / 3, 0.1, 38) for q in range(4) for k in range(3)), is_drums=True)
    assert RHYTHM(est=swing)["drum_pattern_consistency"] == 1
    assert PITCH(est=swing) == {}


def test_polyphony_counts_a_doubled_pitch_once():
    chord = Score((*score((0, 4, 60), (0, 2, 64)).tracks, *score((0, 4, 60)).tracks))
    found = PITCH(est=chord)
    assert found["polyphony"] == pytest.approx(1.5)
    assert found["polyphony_rate"] == pytest.approx(0.5)
    assert found["track_polyphony"] == pytest.approx((1.5 * 4 + 4) / 8)


def test_polyphony_is_that_of_a_piano_roll():
    rng = np.random.default_rng(1)
    rows = [(int(o), int(d), int(p)) for o, d, p in zip(rng.integers(0, 80, 200), rng.integers(0, 12, 200),
                                                        rng.integers(50, 60, 200), strict=True)]  # fmt: skip
    made = score(*rows)
    roll = np.zeros((100, 128), bool)
    for onset, duration, p in rows:
        roll[onset : onset + duration, p] = True
    counts = roll.sum(1)
    found = PITCH(est=made)
    assert found["polyphony"] == pytest.approx(counts.sum() / (counts > 0).sum())
    end = max(o + d for o, d, _ in rows)
    assert found["polyphony_rate"] == pytest.approx((counts >= 2).sum() / end)


def test_steps_are_within_a_track():
    two = Score((*score((0, 1, 60), (1, 1, 62)).tracks, *score((0, 1, 30), (1, 1, 50)).tracks))
    assert sorted(pitch.line_steps(notes_of(two)).tolist()) == [2, 20]
    found = PITCH(est=two)
    assert found["melodic_interval"] == 11
    assert found["leap_rate"] == 0.5


def test_entropy_and_scale():
    chromatic = score(*((q, 1, 60 + q) for q in range(12)))
    found = PITCH(est=chromatic)
    assert found["pitch_class_entropy"] == pytest.approx(np.log2(12))
    assert found["scale_consistency"] == pytest.approx(7 / 12)
    assert PITCH(est=score(*((i, 1, p) for i, p in enumerate((60, 62, 64, 65, 67, 69, 71)))))["scale_consistency"] == 1
