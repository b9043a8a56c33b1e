"""Score quality in beats: each part answers its own fault."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from cadenza.metrics import score_quality as q
from cadenza.metrics.base import METRICS
from cadenza.score.model import Key, Metre, Note, Score, Track

METRIC = METRICS.load("score-quality")
UPPER = Track.of([Note(480 * i, 480, 72 + (i * 5) % 7) for i in range(16)])
LOWER = Track.of([Note(480 * i, 480, 48 + (i * 3) % 7) for i in range(16)])
TRUTH = Score((UPPER, LOWER), keys=(Key(0, 0),), metres=(Metre(0, 4, 4),))
RATES = ("missing_rate", "extra_rate", "wrong_pitch_rate", "wrong_place_rate", "wrong_length_rate")


def with_column(name: str, function) -> Score:  # type: ignore[no-untyped-def]
    notes = UPPER.notes.copy()
    notes[name] = function(notes[name])
    return replace(TRUTH, tracks=(replace(UPPER, notes=notes), LOWER))


def test_perfect():
    found = METRIC(ref=TRUTH, est=TRUTH)
    assert all(found[name] == 1 for name in (*q.PARTS, "mv2h_like"))
    assert all(found[name] == 0 for name in (*RATES, "note_error_rate"))


def test_empty_answer():
    found = METRIC(ref=TRUTH, est=Score(keys=TRUTH.keys, metres=TRUTH.metres))
    assert found["mv2h_like"] == 0
    assert found["missing_rate"] == found["note_error_rate"] == 1
    assert METRIC(ref=Score(), est=Score()).get("mv2h_like") is None


def test_each_fault_has_its_figure():
    octave = METRIC(ref=TRUTH, est=with_column("pitch", lambda p: p - 12))
    assert octave["mv_pitch"] == 0.5
    assert octave["wrong_pitch_rate"] == 0.5
    longer = METRIC(ref=TRUTH, est=with_column("duration_ticks", lambda d: d // 2))
    assert longer["mv_pitch"] == 1
    assert longer["mv_value"] == pytest.approx(0.75)
    assert longer["wrong_length_rate"] == 0.5
    late = METRIC(ref=TRUTH, est=with_column("onset_ticks", lambda o: o + 240))
    assert late["mv_pitch"] == 0.5
    assert late["wrong_place_rate"] == 0.5
    missing = METRIC(ref=TRUTH, est=replace(TRUTH, tracks=(UPPER,)))
    assert missing["missing_rate"] == 0.5
    extra = METRIC(ref=replace(TRUTH, tracks=(UPPER,)), est=TRUTH)
    assert extra["extra_rate"] == 1
    swapped = METRIC(ref=TRUTH, est=replace(TRUTH, tracks=(LOWER, UPPER)))
    assert swapped["mv_voice"] == 1  # names of voices do not matter
    merged = Track.of([*UPPER, *LOWER])
    assert METRIC(ref=TRUTH, est=replace(TRUTH, tracks=(merged,)))["mv_voice"] == pytest.approx(2 * 30 / (30 + 60))
    waltz = METRIC(ref=TRUTH, est=replace(TRUTH, metres=(Metre(0, 3, 4),)))
    assert waltz["mv_metre"] < 0.9
    assert waltz["mv_pitch"] == 1


@pytest.mark.parametrize(
    ("fifths", "mode", "credit"), [(0, "major", 1), (1, "major", 0.5), (-1, "major", 0.5), (0, "minor", 0.3),
                                   (-3, "minor", 0.2), (2, "major", 0), (1, "minor", 0)]
)  # fmt: skip
def test_key_credit_is_mirex(fifths, mode, credit):
    found = METRIC(ref=TRUTH, est=replace(TRUTH, keys=(Key(0, fifths, mode),)))
    assert found["mv_harmony"] == credit


def test_more_damage_is_never_better():
    rng = np.random.default_rng(0)
    order = rng.permutation(16)
    values = []
    for n in range(17):
        notes = UPPER.notes.copy()
        notes["pitch"][order[:n]] += 1
        values.append(METRIC(ref=TRUTH, est=replace(TRUTH, tracks=(replace(UPPER, notes=notes), LOWER))))
    assert all(a["mv_pitch"] >= b["mv_pitch"] for a, b in pairwise(values))
    assert all(a["note_error_rate"] <= b["note_error_rate"] for a, b in pairwise(values))


def test_drums_are_no_pitches():
    drums = Score((Track.of([Note(0, 10, 36), Note(480, 10, 38)], is_drums=True),))
    pitched = Score((Track.of([Note(0, 10, 36), Note(480, 10, 38)]),))
    assert METRIC(ref=drums, est=drums)["mv_pitch"] == 1
    assert METRIC(ref=drums, est=pitched)["mv_pitch"] == 0
