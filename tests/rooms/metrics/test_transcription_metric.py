"""Transcription figures are mir_eval's: its own fixture, direct calls on random pairs, frames."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cadenza.metrics import transcription as t
from cadenza.metrics.base import METRICS
from cadenza.score.model import Note, Score, Tempo, Track

mir_eval = pytest.importorskip("mir_eval")
METRIC = METRICS.load("transcription")
PER_SECOND = 10_000  # ticks at 120 quarters a minute


def score(rows: list[tuple[float, float, int]], program: int = 0, drums: bool = False) -> Score:
    """Rows of start and end (seconds) and pitch."""
    notes = [Note(round(a * PER_SECOND), round(b * PER_SECOND) - round(a * PER_SECOND), p) for a, b, p in rows]
    return Score((Track.of(notes, program=program, is_drums=drums),), ticks_per_quarter=PER_SECOND // 2)


# The notes of mir_eval 0.8.2's tests/test_transcription.py (MIT licence), hertz as the nearest keys, and its answers.
REF = [(0.1, 0.3, 57), (0.3, 0.4, 59), (0.5, 0.6, 61), (0.55, 0.65, 62)]
EST = [(0.12, 0.29, 57), (0.3, 0.34, 59), (0.5, 0.6, 71), (0.55, 0.6, 62), (0.56, 0.65, 62)]


def test_mir_evals_own_fixture():
    found = METRIC(ref=score(REF), est=score(EST))
    assert found["onset_precision"] == pytest.approx(0.6, abs=1e-6)
    assert found["onset_recall"] == pytest.approx(0.75, abs=1e-6)
    assert found["onset_f1"] == pytest.approx(0.6666666666666665, abs=1e-6)
    assert found["onset_offset_f1"] == pytest.approx(0.4444444444444445, abs=1e-6)
    assert found["multi_instrument_f1"] == pytest.approx(0.4444444444444445, abs=1e-6)


def random_pair(seed: int) -> tuple[Score, Score]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 400))
    start = np.sort(rng.uniform(0, rng.uniform(2, 40), n)).round(4)
    end = (start + rng.choice([0.05, 0.2, 0.5, 1.0], n)).round(4)
    pitch = rng.integers(55, 55 + rng.integers(1, 24), n)
    kept = rng.random(n) < 0.8
    late = (start + rng.normal(0, 0.04, n)).clip(0).round(4)
    other = (end + rng.normal(0, 0.08, n)).clip(late + 0.01).round(4)
    moved = pitch + rng.choice([0, 0, 0, 1], n)
    answer = [row for row, keep in zip(zip(late, other, moved, strict=True), kept, strict=True) if keep]
    return score(list(zip(start, end, pitch, strict=True))), score(answer)


@pytest.mark.parametrize("seed", range(50))
def test_equals_direct_calls_on_random_pairs(seed):
    ref, est = random_pair(seed)
    found = METRIC(ref=ref, est=est)
    a, b = t._Played.of(ref), t._Played.of(est)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = mir_eval.transcription.evaluate(a.intervals, a.hertz, b.intervals, b.hertz)
    assert found["onset_precision"] == pytest.approx(known["Precision_no_offset"], abs=1e-6)
    assert found["onset_recall"] == pytest.approx(known["Recall_no_offset"], abs=1e-6)
    assert found["onset_f1"] == pytest.approx(known["F-measure_no_offset"], abs=1e-6)
    assert found["onset_offset_f1"] == pytest.approx(known["F-measure"], abs=1e-6)


@pytest.mark.parametrize("seed", [3, 4])
def test_frames_equal_mir_evals(seed):
    ref, est = random_pair(seed)
    a, b = t._Played.of(ref), t._Played.of(est)
    n = int(max(a.intervals.max(), b.intervals.max()) / t.FRAME_SECONDS) + 2
    times = np.arange(n) * t.FRAME_SECONDS

    def hertz(roll: np.ndarray) -> list[np.ndarray]:
        return [440 * 2 ** ((np.flatnonzero(column) - 69) / 12) for column in roll.T]

    rolls = [t.frames(x, n) for x in (a, b)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, *_ = mir_eval.multipitch.metrics(times, hertz(rolls[0]), times, hertz(rolls[1]))
    assert t.frame_f1(a, b) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-6)


def test_large_pieces_are_matched_in_parts_and_soon():
    rng = np.random.default_rng(0)
    start = np.sort(rng.uniform(0, 600, 6000)).round(3)
    ref = score([(s, s + 0.3, int(p)) for s, p in zip(start, rng.integers(40, 80, 6000), strict=True)])
    assert METRIC(ref=ref, est=ref)["onset_offset_f1"] == 1


def test_instruments_and_drums():
    truth = Score((*score(REF, 30).tracks, *score(REF, drums=True).tracks), ticks_per_quarter=PER_SECOND // 2)
    other = Score((*score(REF, 31).tracks, *score(REF[:2], drums=True).tracks), ticks_per_quarter=PER_SECOND // 2)
    found = METRIC(ref=truth, est=other)
    assert found["onset_f1"] == 1
    assert found["drum_f1"] == pytest.approx(2 / 3)
    assert found["multi_instrument_f1"] == pytest.approx(2 * 2 / (8 + 6))


def test_what_is_empty():
    assert METRIC(ref=Score(), est=Score()) == {}
    found = METRIC(ref=score(REF), est=Score())
    assert found["onset_f1"] == found["onset_offset_f1"] == found["frame_f1"] == found["multi_instrument_f1"] == 0
    assert "drum_f1" not in found


def test_wrong_tempo_is_wrong():
    ref = Score((Track.of([Note(480 * i, 480, 60 + i) for i in range(8)]),), tempos=(Tempo(0, 120),))
    slow = Score(ref.tracks, tempos=(Tempo(0, 90),))
    assert METRIC(ref=ref, est=slow)["onset_f1"] <= 0.25
