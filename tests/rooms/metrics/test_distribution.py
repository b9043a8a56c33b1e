"""Densities, overlap and divergence against closed forms and SciPy; known faults of the reference code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cadenza.metrics import distribution as d
from cadenza.metrics.base import METRICS
from cadenza.score.model import Note, Score, Track

METRIC = METRICS.load("distribution")


def tune(rng: np.random.Generator, low: int = 55, high: int = 80, step: int = 240) -> Score:
    pitch = rng.integers(low, high, 32)
    length = rng.choice([step, 2 * step], 32)
    onset = np.cumsum(length) - length
    notes = [Note(int(o), int(n), int(p)) for o, n, p in zip(onset, length, pitch, strict=True)]
    return Score((Track.of(notes),))


def test_divergence_of_analytic_densities_is_the_closed_form():
    grid = np.linspace(-8, 13, d.N_GRID)
    p, q = stats.norm(0, 1).pdf(grid), stats.norm(5, 1).pdf(grid)
    assert d.kl_divergence(p, q, grid) == pytest.approx(12.5, rel=0.02)
    assert d.overlap_area(p, q, grid) == pytest.approx(2 * stats.norm.cdf(-2.5), rel=0.02)


def test_divergence_of_samples_is_near_the_closed_form():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 10_000), rng.normal(1, 1, 10_000)
    grid = d.common_grid(a, b)
    p, q = d.density(a, grid), d.density(b, grid)
    assert d.kl_divergence(p, q, grid) == pytest.approx(0.5, rel=0.1)
    assert d.overlap_area(p, q, grid) == pytest.approx(2 * stats.norm.cdf(-0.5), rel=0.05)


def test_a_grid_of_its_own_for_each_density_hides_where_they_are():
    """The reference code's fault: two equal shapes five deviations apart diverge by almost nothing."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 1000), rng.normal(5, 1, 1000)
    own = [stats.gaussian_kde(x)(np.linspace(x.min(), x.max(), 1000)) for x in (a, b)]
    assert stats.entropy(*own) < 0.2
    grid = d.common_grid(a, b)
    assert d.kl_divergence(d.density(a, grid), d.density(b, grid), grid) > 5


@pytest.mark.parametrize("sample", ["normal", "uniform", "few"])
def test_density_is_scipys(sample):
    rng = np.random.default_rng(2)
    x = {"normal": rng.normal(3, 2, 500), "uniform": rng.random(300), "few": rng.normal(0, 1, 8)}[sample]
    grid = d.common_grid(x)
    known = stats.gaussian_kde(x)(grid)
    assert np.abs(d.density(x, grid) - known).max() < 0.01 * known.max()  # tails beyond the grid are folded in
    assert np.trapezoid(d.density(x, grid), grid) == pytest.approx(1, abs=1e-3)


def test_identical_sets_overlap():
    rng = np.random.default_rng(3)
    pieces = [tune(rng) for _ in range(20)]
    found = METRIC(ref=pieces, est=pieces)
    assert found["mean_overlap"] >= 0.999
    assert all(found[f"overlap_{name}"] >= 0.999 for name in d.FEATURES)
    assert found["mean_kl"] < 1e-6
    assert all(value == pytest.approx(1) for name, value in found.items() if name.startswith("spread"))


def test_unlike_sets_overlap_less_and_the_feature_says_where():
    rng = np.random.default_rng(4)
    humans, like = ([tune(rng) for _ in range(25)] for _ in range(2))
    high = [tune(rng, 40, 110) for _ in range(25)]
    near, far = METRIC(ref=humans, est=like), METRIC(ref=humans, est=high)
    assert near["mean_overlap"] > 0.85
    assert far["mean_overlap"] < near["mean_overlap"] - 0.1
    assert far["overlap_pitch_range"] < 0.1
    assert far["overlap_note_length_histogram"] > 0.8


def test_constant_features_do_not_fail():
    one = Score((Track.of([Note(i * 480, 480, 60) for i in range(8)]),))
    other = Score((Track.of([Note(i * 480, 480, 62) for i in range(8)]),))
    found = METRIC(ref=[one, other], est=[other, one])
    assert all(np.isfinite(list(found.values())))
    assert METRIC(ref=[one], est=[other]) == {}
    assert METRIC(ref=[Score()] * 5, est=[one] * 5) == {}


def test_features_of_a_small_tune():
    notes = [Note(0, 480, 60), Note(480, 480, 62), Note(960, 960, 64)]
    found = d.features(Score((Track.of(notes), Track.of([Note(0, 480, 36)], is_drums=True))))
    assert found["pitch_count"] == [3]
    assert found["pitch_range"] == [4]
    assert found["interval"] == [2]
    assert found["onset_interval"] == [1]
    assert found["note_count"] == [3]
    assert found["note_length_histogram"].tolist()[:3] == [0, 1 / 3, 2 / 3]
    assert found["pitch_class_transitions"].reshape(12, 12)[0, 2] == 0.5
