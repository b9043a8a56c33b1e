"""Sampling: never outside what is allowed, the sets that top-k, top-p and min-p promise, the right distribution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cadenza.base.errors import ConfigError, ModelError
from cadenza.infer.sample import Sampling, probabilities, sample

SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0]),
    top_p=st.sampled_from([0.1, 0.5, 0.9, 0.999, 1.0]),
    top_k=st.integers(0, 12),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)


@st.composite
def choices(draw):
    """Logits (with ties and impossible tokens) and a set of allowed ids of which at least one is possible."""
    size = draw(st.integers(1, 40))
    numbers = st.one_of(st.floats(-60, 60, width=32), st.sampled_from([0.0, 1.0, -np.inf]))
    logits = draw(hnp.arrays(np.float32, size, elements=numbers))
    allowed = np.array(sorted(draw(st.sets(st.integers(0, size - 1), min_size=1))))
    assume(np.isfinite(logits[allowed]).any())
    return logits, allowed


@given(choices(), SAMPLINGS, st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_never_outside_the_allowed_nor_an_impossible_token(choice, how, seed):
    logits, allowed = choice
    token = sample(logits, allowed, how, np.random.default_rng(seed))
    assert token in allowed
    assert np.isfinite(logits[token])
    assert probabilities(logits, allowed, how)[token] > 0


@given(choices(), SAMPLINGS, st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_mask_and_ids_are_the_same(choice, how, seed):
    logits, allowed = choice
    mask = np.zeros(len(logits), bool)
    mask[allowed] = True
    first = sample(logits, allowed, how, np.random.default_rng(seed))
    assert sample(logits, mask, how, np.random.default_rng(seed)) == first


@given(choices(), st.floats(0.01, 0.999))
@settings(max_examples=300, deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_p(choice, top_p):
    logits, allowed = choice
    plain = probabilities(logits, allowed, Sampling())
    kept = probabilities(logits, allowed, Sampling(top_p=top_p)) > 0
    assert plain[kept].sum() >= top_p - 1e-9
    assert plain[kept].sum() - plain[kept].min() < top_p + 1e-9  # without its least likely member it falls short
    if (plain[allowed] > 0).sum() > kept.sum():
        assert plain[kept].min() >= plain[~kept].max()


@given(choices(), st.integers(1, 10))
@settings(max_examples=150, deadline=None)
def test_top_k_keeps_the_k_likeliest(choice, top_k):
    logits, allowed = choice
    found = probabilities(logits, allowed, Sampling(top_k=top_k))
    plain = probabilities(logits, allowed, Sampling())
    count = min(top_k, int((plain > 0).sum()))
    np.testing.assert_allclose(np.sort(found[found > 0]), _normed(np.sort(plain)[-count:]), rtol=1e-9)


@given(choices(), st.floats(0.001, 1))
@settings(max_examples=150, deadline=None)
def test_min_p_is_a_share_of_the_likeliest(choice, min_p):
    logits, allowed = choice
    plain = probabilities(logits, allowed, Sampling())
    expected = np.where(plain >= min_p * plain.max() * (1 - 1e-9), plain, 0)
    np.testing.assert_allclose(probabilities(logits, allowed, Sampling(min_p=min_p)), _normed(expected), atol=1e-6)


def test_order_is_temperature_then_top_k_then_top_p_then_min_p():
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
    # Top-k leaves .4 .3 .2, of nine tenths; top-p .75 of those needs .4 and .3; min-p .8 of the likeliest drops .3.
    assert list(probabilities(logits, None, Sampling(top_k=3, top_p=0.75)) > 0) == [True, True, False, False]
    assert list(probabilities(logits, None, Sampling(top_k=3, top_p=0.75, min_p=0.8)) > 0) == [
        True,
        False,
        False,
        False,
    ]
    # At temperature 2 the weights are √p: the same top-p needs a third token.
    assert (probabilities(logits, None, Sampling(temperature=2, top_k=3, top_p=0.75)) > 0).sum() == 3


@pytest.mark.parametrize(
    "how", [Sampling(), Sampling(temperature=1.7), Sampling(top_p=0.8), Sampling(top_k=5, min_p=0.2)]
)
def test_draws_follow_the_distribution(how):
    rng = np.random.default_rng(5)
    logits, allowed = rng.normal(size=30).astype(np.float32) * 1.5, np.arange(3, 27, 2)
    expected = probabilities(logits, allowed, how)
    n = 40_000
    counts = np.bincount([sample(logits, allowed, how, rng) for _ in range(n)], minlength=30)
    assert not counts[expected == 0].any()
    live = expected > 0
    chi_square = ((counts[live] - n * expected[live]) ** 2 / (n * expected[live])).sum()
    freedom = live.sum() - 1
    # Wilson and Hilferty's approximation; 3.7 standard deviations: one seed in ten thousand lies beyond.
    bound = freedom * (1 - 2 / (9 * freedom) + 3.7 * np.sqrt(2 / (9 * freedom))) ** 3
    assert chi_square < bound


def test_at_temperature_one_it_is_the_softmax():
    logits = np.array([0.0, 1.0, 2.0, -1.0])
    np.testing.assert_allclose(probabilities(logits, None, Sampling()), np.exp(logits) / np.exp(logits).sum())


def test_a_seed_fixes_the_sequence_and_every_call_draws_once():
    logits = np.random.default_rng(0).normal(size=(50, 20))
    how = Sampling(temperature=0.9, top_p=0.9)

    def run(seed):
        rng = np.random.default_rng(seed)
        return [sample(row, None, how, rng) for row in logits]

    assert run(3) == run(3) != run(4)
    rng, twin = np.random.default_rng(1), np.random.default_rng(1)
    sample(logits[0], np.array([7]), how, rng)  # no choice, yet the draw is spent
    twin.random()
    assert rng.random() == twin.random()


def test_temperature_zero_is_greedy_and_draws_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    logits = np.array([5.0, 1.0, 3.0, 3.0])
    assert sample(logits, np.array([1, 2, 3]), Sampling(temperature=0), rng) == 2
    assert rng.bit_generator.state == before


@pytest.mark.parametrize(
    ("logits", "allowed"),
    [
        ([0.0, 1.0], np.array([], int)),
        ([0.0, 1.0], np.array([False, False])),
        ([0.0, np.nan], None),
        ([0.0, np.inf], None),
        ([-np.inf, -np.inf], None),
        ([-np.inf, 1.0], np.array([0])),
    ],
)
def test_dead_ends_are_errors(logits, allowed):
    with pytest.raises(ModelError):
        sample(np.array(logits), allowed, Sampling(), np.random.default_rng(0))


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "1"},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"top_k": 2.0},
        {"top_k": True},
        {"min_p": 1.5},
        {"min_p": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused_by_name(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        Sampling(**values)


def _normed(weights):
    return weights / weights.sum()
