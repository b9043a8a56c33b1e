"""Continuation, syntax, likelihood, Fréchet distance."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.base.errors import ConfigError, RangeError
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.metrics import frechet, likelihood, syntax
from cadenza.metrics.base import METRICS
from cadenza.notation.abc import Abc
from cadenza.notation.dadagp import DadaGP
from cadenza.notation.mt3 import Mt3
from cadenza.score import edit
from cadenza.score.model import Note, Score, Tempo, Track

CHORALE = formats.read(Path(__file__).parents[3] / "examples" / "chorale.mid")
NOTATIONS = [MODEL_NOTATION, Abc(), DadaGP(), Mt3()]


# ── continuation ─────────────────────────────────────────────────────────────────────────────────────────


def scale(root: int, tempo: float = 120, step: int = 480) -> Score:
    notes = [Note(i * step, step, root + p) for i, p in enumerate((0, 4, 7, 12, 11, 9, 7, 5, 4, 2, 0, 0))]
    return Score((Track.of(notes),), tempos=(Tempo(0, tempo),))


def test_continuation_knows_key_rhythm_and_tempo():
    metric = METRICS.load("continuation")
    same = metric(seed=scale(60), ref=scale(60), est=scale(60))
    assert all(same[name] == 1 for name in same if name != "key_distance")
    assert same["key_distance"] == 0
    dominant = metric(seed=scale(60), est=scale(67))
    assert (dominant["key_distance"], dominant["key_kept"]) == (1, 1)
    far = metric(seed=scale(60), est=scale(66))
    assert (far["key_distance"], far["key_kept"]) == (6, 0)
    assert far["pitch_class_overlap_seed"] < 0.5
    assert "pitch_class_overlap_ref" not in far
    faster = metric(seed=scale(60), est=scale(60, tempo=150))
    assert faster["tempo_kept"] == pytest.approx(0.8)
    denser = metric(seed=scale(60), est=scale(60, step=240))
    assert denser["rhythm_overlap_seed"] < 0.2
    assert denser["density_ratio"] == pytest.approx(0.5)


def test_transposing_both_changes_nothing():
    metric = METRICS.load("continuation")
    a = metric(seed=CHORALE, est=scale(60))
    b = metric(seed=edit.transpose(2)(CHORALE), est=edit.transpose(2)(scale(60)))
    assert a == pytest.approx(b)


# ── syntax ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda n: n.name)
def test_what_a_notation_writes_parses(notation):
    found = METRICS.load("syntax")(est=notation.encode(CHORALE), notation=notation)
    assert found["parse"] == found["accepted_share"] == 1
    assert found["faulty_bars"] == found["wrong_length_bars"] == found["range_errors"] == 0


@pytest.mark.parametrize("notation", NOTATIONS[:3], ids=lambda n: n.name)
def test_one_broken_bar_is_one_broken_bar(notation):
    metric = METRICS.load("syntax")
    text = notation.encode(CHORALE)
    starts = [m.start() for m in re.finditer(notation.unit_start, text)]
    bar = text[starts[2] : starts[3]]
    garbage = text[: starts[2]] + bar[: len(bar) // 2] + " §§ " + bar[len(bar) // 2 :] + text[starts[3] :]
    found = metric(est=garbage, notation=notation)
    assert found["parse"] == 0
    assert 0 < found["accepted_share"] < 1
    assert found["faulty_bars"] == pytest.approx(1 / len(starts))
    assert found["wrong_length_bars"] == 0


@pytest.mark.parametrize("notation", NOTATIONS[:2], ids=lambda n: n.name)
@pytest.mark.parametrize("kind", ["short", "long"])
def test_bars_that_do_not_add_up(notation, kind):
    text = notation.encode(CHORALE)
    starts = [m.start() for m in re.finditer(notation.unit_start, text)]
    words = text[starts[2] : starts[3]].split(" ")
    twice = 1 if notation.name == "abc" else len(words) - 2  # a word that takes time
    words = words[:1] + words[2:] if kind == "short" else [*words[: twice + 1], *words[twice:]]
    broken = text[: starts[2]] + " ".join(words) + text[starts[3] :]
    assert syntax.bar_faults(broken, notation) == (1, 1, len(starts))
    found = METRICS.load("syntax")(est=broken, notation=notation)
    assert found["wrong_length_bars"] == found["faulty_bars"] == pytest.approx(1 / len(starts))


def test_broken_headers_and_no_text():
    metric = METRICS.load("syntax")
    text = MODEL_NOTATION.encode(CHORALE)
    assert metric(est="q0 " + text, notation=MODEL_NOTATION)["faulty_bars"] == 1
    assert metric(est="§ " + text, notation=MODEL_NOTATION)["accepted_share"] == 0
    assert metric(est="", notation=MODEL_NOTATION)["parse"] == 0


def test_notes_out_of_range():
    flute = Track.of([Note(0, 480, 20), Note(480, 480, 72)], program=73)
    assert syntax.range_errors(Score((flute,))) == 0.5
    assert syntax.range_errors(Score()) is None


# ── likelihood ───────────────────────────────────────────────────────────────────────────────────────────


def bits(log2_p: np.ndarray, **changed: float) -> dict[str, float]:
    counts = {"notes": 10, "bars": 2, "seconds": 4.0, "window_tokens": 64, "stride_tokens": 32} | changed
    return METRICS.load("likelihood")(log2_p=log2_p, **counts)


def test_bits_are_counted_per_unit_of_music():
    found = bits(np.full(30, -2.0))
    assert (found["bits_per_note"], found["bits_per_bar"], found["bits_per_second"]) == (6, 30, 15)
    assert found["bits_per_token"] == 2
    assert (found["window_tokens"], found["stride_tokens"]) == (64, 32)
    assert "bits_per_bar" not in bits(np.full(3, -1.0), bars=0)
    for wrong in (np.array([0.1]), np.array([np.nan]), np.array([-np.inf])):
        with pytest.raises(RangeError):
            bits(wrong)
    with pytest.raises(RangeError):
        bits(np.zeros(1), stride_tokens=65)


def test_one_distribution_in_two_tokenizations_has_the_same_bits():
    """Texts of notes from a Markov chain, told as pitch and length apart or as one token a note."""
    rng = np.random.default_rng(0)
    p_pitch = rng.dirichlet(np.ones(5), 5)
    p_length = rng.dirichlet(np.ones(3), 5)  # given the pitch
    pitch = [0]
    for _ in range(200):
        pitch.append(int(rng.choice(5, p=p_pitch[pitch[-1]])))
    length = [int(rng.choice(3, p=p_length[p])) for p in pitch[1:]]
    apart = np.log2([x for a, b, d in zip(pitch, pitch[1:], length, strict=False)
                     for x in (p_pitch[a, b], p_length[b, d])])  # fmt: skip
    joint = (p_pitch[:, :, None] * p_length[None]).reshape(5, 15)
    together = np.log2([joint[a, 3 * b + d] for a, b, d in zip(pitch, pitch[1:], length, strict=False)])
    a, b = bits(apart, notes=200), bits(together, notes=200)
    assert a["bits_per_note"] == pytest.approx(b["bits_per_note"], abs=1e-9)
    assert a["bits_per_token"] < b["bits_per_token"]


@pytest.mark.parametrize(("n", "window", "stride"), [(10, 4, 2), (10, 4, 4), (3, 8, 1), (0, 4, 2), (11, 5, 1)])
def test_windows_count_every_token_once(n, window, stride):
    counted: list[int] = []
    for start, stop, first in likelihood.windows(n, window, stride):
        assert stop - start <= window
        assert start <= first
        counted += range(first, stop)
    assert counted == list(range(n))
    with pytest.raises(ConfigError):
        list(likelihood.windows(n, 4, 5))


def test_common_fields_are_kept_by_all():
    notations = [MODEL_NOTATION, Abc()]
    common = likelihood.common_fields(CHORALE, notations)
    assert common.n_notes
    for notation in notations:  # no notation drops anything more, resolution aside
        again = edit.project(common, notation.projection)
        assert likelihood.common_fields(again, notations) == common
        assert again.n_notes == common.n_notes


# ── Fréchet ──────────────────────────────────────────────────────────────────────────────────────────────


def test_distance_of_normals_is_the_closed_form():
    mean, other = np.array([1.0, 2.0]), np.array([4.0, -2.0])
    a, b = np.diag([4.0, 9.0]), np.diag([1.0, 16.0])
    assert frechet.between_normals(mean, a, other, b) == pytest.approx(25 + (2 - 1) ** 2 + (3 - 4) ** 2)
    # Of covariances that do not commute, against SciPy's root of the product.
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    c, d = (x @ x.T for x in rng.normal(size=(2, 4, 4)))
    known = np.trace(c + d - 2 * np.real(sqrtm(c @ d)))
    assert frechet.between_normals(np.zeros(4), c, np.zeros(4), d) == pytest.approx(known)


def test_distance_of_sets():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5000, 3)), rng.normal([2, 0, 0], size=(5000, 3))
    assert frechet.distance(a, b) == pytest.approx(4, rel=0.05)
    assert frechet.distance(a, a) == pytest.approx(0, abs=1e-9)
    few = rng.normal(size=(8, 40))
    assert np.isfinite(frechet.distance(few, few + 1))  # fewer pieces than dimensions
    with pytest.raises(RangeError):
        frechet.distance(a, b[:, :2])


def test_frechet_takes_an_embedding():
    pieces = [replace(scale(60 + i)) for i in range(6)]

    def embed(score: Score) -> list[float]:
        return [float(score.tracks[0].notes["pitch"].mean()), float(score.n_notes)]

    metric = METRICS.load("frechet")
    found = metric(ref=pieces, est=[edit.transpose(5)(p) for p in pieces], embed=embed)
    assert found["frechet_music_distance"] == pytest.approx(25)
    assert metric(ref=pieces[:1], est=pieces, embed=embed) == {}
    with pytest.raises(ConfigError, match="embed"):
        metric(ref=pieces, est=pieces)
