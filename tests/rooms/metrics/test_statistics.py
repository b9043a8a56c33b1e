"""Intervals and tests against scipy.stats, closed forms, and what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cadenza.base.errors import ConfigError, RangeError
from cadenza.metrics import statistics as own

RNG = np.random.default_rng(3)
SKEWED = RNG.exponential(2.0, 60)
NORMAL = RNG.normal(0.3, 1.0, 40)


@pytest.mark.parametrize("method", own.METHODS)
@pytest.mark.parametrize("values", [SKEWED, NORMAL], ids=["skewed", "normal"])
def test_bootstrap_is_scipys(method, values):
    found = own.bootstrap(values, method=method, seed=5)
    theirs = stats.bootstrap(
        (values,), np.mean, method={"bca": "BCa"}.get(method, method), n_resamples=10_000, rng=np.random.default_rng(5)
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01 * values.std())


def test_bootstrap_of_a_ratio_keeps_columns_paired():
    notes = RNG.integers(10, 90, 50).astype(float)
    bits = 3 * notes  # the ratio is 3 in every draw, if a piece's bits and notes are drawn together
    assert own.bootstrap(bits, notes, statistic=own.ratio).record() == pytest.approx(
        {"value": 3.0, "low": 3.0, "high": 3.0}
    )


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        found = own.bootstrap(rng.exponential(1.0, 40), n_resamples=1000, seed=seed)
        hits += found.low <= 1.0 <= found.high
    assert stats.binomtest(hits, 200, 0.93).pvalue > 0.01  # BCa of 40 skewed values covers a little less than 95 %


def test_bootstrap_at_its_edges():
    assert own.bootstrap([2.0, 2.0, 2.0]).record() == {"value": 2.0, "low": 2.0, "high": 2.0}
    assert math.isnan(own.bootstrap([2.0]).low)
    assert own.bootstrap(NORMAL, seed=1) == own.bootstrap(NORMAL, seed=1)
    with pytest.raises(RangeError):
        own.bootstrap([])
    with pytest.raises(RangeError):
        own.bootstrap([1.0, 2.0], [1.0])
    with pytest.raises(ConfigError, match="bca"):
        own.bootstrap([1.0], method="bcaa")


def test_sign_flip_is_scipys_permutation_test():
    few = NORMAL[:11]
    theirs = stats.permutation_test((few,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert own.sign_flip(few) == pytest.approx(theirs)
    many = own.sign_flip(NORMAL, n_resamples=50_000)
    theirs = stats.permutation_test(
        (NORMAL,), np.mean, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(1)
    ).pvalue
    assert many == pytest.approx(theirs, abs=4 * math.sqrt(theirs / 50_000))
    together = own.sign_flip(np.stack([NORMAL, NORMAL * 0, -NORMAL], 1), n_resamples=50_000)
    assert together == pytest.approx([many, 1.0, many])
    assert own.sign_flip(np.zeros(30)) == 1.0
    assert own.sign_flip(np.full(30, 1.0), n_resamples=999) == pytest.approx(1 / 1000)


def test_wilcoxon_is_scipys():
    for values in (NORMAL, NORMAL[:9], RNG.integers(-4, 6, 60).astype(float), RNG.normal(0.2, 1, 120)):
        theirs = stats.wilcoxon(values, zero_method="wilcox", correction=False).pvalue
        assert own.wilcoxon(values) == pytest.approx(theirs, rel=1e-6), len(values)
    assert own.wilcoxon([0.0, 0.0]) == 1.0


def test_tests_keep_their_level():
    """Without a difference p < 0.05 comes in about one of twenty."""
    rng = np.random.default_rng(9)
    p = [(own.sign_flip(d, n_resamples=499), own.wilcoxon(d)) for d in rng.normal(0, 1, (400, 25))]
    for column in zip(*p, strict=True):
        assert stats.binomtest(sum(x < 0.05 for x in column), 400, 0.05).pvalue > 0.01


def test_corrections():
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.8])
    assert own.benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p, method="bh"))
    # by hand: sorted .005 .01 .03 .04 .8, times 5 4 3 2 1, never falling
    assert own.holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.8])
    many = RNG.random(200) ** 2
    assert own.benjamini_hochberg(many) == pytest.approx(stats.false_discovery_control(many))
    assert (own.holm(many) >= own.benjamini_hochberg(many) - 1e-12).all()


def test_effect_sizes():
    assert own.standardised([1.0, 2.0, 3.0]) == pytest.approx(2.0)
    assert own.standardised([0.0, 0.0]) == 0.0
    assert own.standardised([1.0, 1.0]) == math.inf
    a, b = RNG.normal(0.5, 1, 30), RNG.normal(0, 1, 40)
    u = stats.mannwhitneyu(a, b).statistic
    assert own.cliffs_delta(a, b) == pytest.approx(2 * u / (30 * 40) - 1)
    assert own.cliffs_delta([1, 1, 2], [1, 1, 2]) == 0.0


def test_what_is_detectable_is_detected_so_often():
    rng = np.random.default_rng(4)
    spread = rng.normal(0, 2.0, 60)
    difference = own.detectable(spread / spread.std(ddof=1) * 2.0)
    found = [own.sign_flip(rng.normal(difference, 2.0, 60), n_resamples=499) < 0.05 for _ in range(300)]
    assert 0.72 < np.mean(found) < 0.88
    assert own.pieces_needed(spread / spread.std(ddof=1) * 2.0, difference) in (60, 61)
    assert own.detectable([1.0]) == math.inf


@pytest.mark.parametrize(("k", "n", "p"), [(7, 10, 0.5), (0, 12, 0.5), (31, 60, 0.5), (3, 9, 1 / 3), (400, 1000, 0.42)])
def test_binomial_is_scipys(k, n, p):
    for alternative in own.ALTERNATIVES:
        assert own.binomial_test(k, n, p, alternative) == pytest.approx(
            stats.binomtest(k, n, p, alternative).pvalue, rel=1e-9
        )
    theirs = stats.binomtest(k, n).proportion_ci()
    found = own.binomial_interval(k, n)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_binomial_refuses_what_is_no_count():
    with pytest.raises(RangeError):
        own.binomial_test(5, 4)
    with pytest.raises(ConfigError):
        own.binomial_test(1, 4, alternative="both")
