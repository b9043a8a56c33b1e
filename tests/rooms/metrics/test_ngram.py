"""Interpolated n-grams against a plain dictionary implementation, and the copy baseline against brute force."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ConfigError, RangeError
from cadenza.metrics import copying, ngram

V = 4
documents = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=12), min_size=1, max_size=6)


class Plain:
    """The definition, written with dictionaries of tuples: slow and evident."""

    def __init__(self, docs: list[list[int]], order: int, smoothing: str) -> None:
        self.order, self.smoothing = order, smoothing
        grams = defaultdict(Counter)
        left = defaultdict(set)
        begins = defaultdict(Counter)
        for doc in docs:
            for end in range(1, len(doc)):
                for n in range(1, min(order, end + 1) + 1):
                    gram = tuple(doc[end - n + 1 : end + 1])
                    grams[n][gram] += 1
                    if end - n >= 0:
                        left[gram].add(doc[end - n])
                    else:
                        begins[n][gram] += 1
        self.count: dict[int, dict[tuple[int, ...], int]] = {}
        for n in range(1, order + 1):
            raw = n == order or smoothing == "witten-bell"
            self.count[n] = {g: c if raw else len(left[g]) + begins[n][g] for g, c in grams[n].items()}

    def __call__(self, token: int, context: tuple[int, ...], first: bool = True) -> float:
        if first:
            context = context[max(0, len(context) - self.order + 1) :]
        n = len(context) + 1
        lower = self(token, context[1:], False) if context else 1 / V
        counts = [self.count[n].get((*context, w), 0) for w in range(V)]
        mine, total = counts[token], sum(counts)
        if not total:
            return lower
        if self.smoothing == "witten-bell":
            different = sum(c > 0 for c in counts)
            return (mine + different * lower) / (total + different)
        of = Counter(self.count[n].values())
        discount = ngram.discounts([of[k] for k in (1, 2, 3, 4)], modified=self.smoothing.startswith("modified"))
        taken = sum(discount[min(c, 3)] for c in counts)
        return (mine - discount[min(mine, 3)] + taken * lower) / total


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
@settings(max_examples=60, deadline=None)
@given(docs=documents, asked=documents)
def test_equals_the_definition(smoothing, docs, asked):
    if all(len(d) < 2 for d in docs):
        docs = [*docs, [0, 1]]
    found = ngram.log2_probabilities(_arrays(docs), _arrays(asked), V, max_order=5, smoothings=[smoothing])[smoothing]
    for order in range(1, 6):
        plain = Plain(docs, order, smoothing)
        expected = [np.log2(plain(doc[at], tuple(doc[:at]))) if at else 0.0 for doc in asked for at in range(len(doc))]
        np.testing.assert_allclose(found[order - 1], expected, atol=1e-9)


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
@settings(max_examples=60, deadline=None)
@given(docs=documents, context=st.lists(st.integers(0, V - 1), min_size=1, max_size=8))
def test_probabilities_add_up_to_one(smoothing, docs, context):
    every = _arrays([[*context, token] for token in range(V)])
    train = _arrays([*docs, [0, 1, 2]])
    found = ngram.log2_probabilities(train, every, V, max_order=7, smoothings=[smoothing])[smoothing]
    last = found.reshape(7, V, len(context) + 1)[:, :, -1]
    np.testing.assert_allclose(np.exp2(last).sum(1), 1, atol=1e-9)


def test_every_smoothing_at_once_equals_one_by_one():
    rng = np.random.default_rng(0)
    train, asked = [rng.integers(0, 9, 300) for _ in range(5)], [rng.integers(0, 9, 50) for _ in range(2)]
    together = ngram.log2_probabilities(train, asked, 9, max_order=4)
    for name in ngram.SMOOTHINGS:
        alone = ngram.log2_probabilities(train, asked, 9, max_order=4, smoothings=[name])[name]
        np.testing.assert_array_equal(together[name], alone)


def test_unseen_tokens_share_the_floor():
    train = [np.array([0, 1, 1, 2, 1, 2, 1, 3, 1])]
    asked = [np.array([0, 7]), np.array([0, 9])]
    found = ngram.log2_probabilities(train, asked, 10, max_order=3, smoothings=["kneser-ney"])["kneser-ney"]
    np.testing.assert_array_equal(found[:, 1], found[:, 3])
    assert (found[:, 1] < np.log2(1 / 10)).all()


def test_ngrams_stop_at_document_borders():
    """Order 2 across the border would make 3 certain after 2."""
    apart = [np.array([0, 1, 2]), np.array([3, 1, 2])] * 20
    asked = [np.array([0, 1, 2, 3])]
    found = ngram.log2_probabilities(apart, asked, 4, max_order=3)
    for log2_p in found.values():
        assert (log2_p[1:, 3] < np.log2(0.25)).all()


def test_discounts_of_chen_and_goodman():
    share = 100 / (100 + 2 * 40)
    assert ngram.discounts([100, 40, 20, 12], modified=False) == (0, share, share, share)
    expected = (0, 1 - 2 * share * 0.4, 2 - 3 * share * 0.5, 3 - 4 * share * 0.6)
    assert ngram.discounts([100, 40, 20, 12], modified=True) == pytest.approx(expected)
    assert ngram.discounts([100, 40, 0, 0], modified=True) == (0, 0.5, 1, 1.5)
    assert ngram.discounts([0, 40, 1, 1], modified=False) == (0, 0.5, 0.5, 0.5)


def test_wrong_calls_say_what_is_wrong():
    one = [np.array([0, 1])]
    with pytest.raises(ConfigError, match="witten-bell"):
        ngram.log2_probabilities(one, one, 2, smoothings=["witten-bel"])
    with pytest.raises(ConfigError, match="order"):
        ngram.log2_probabilities(one, one, 2, max_order=0)
    with pytest.raises(RangeError, match="0–1"):
        ngram.log2_probabilities(one, [np.array([0, 2])], 2)
    with pytest.raises(RangeError, match="two tokens"):
        ngram.log2_probabilities([np.array([0])], one, 2)


@settings(max_examples=150, deadline=None)
@given(document=st.lists(st.integers(0, 2), min_size=1, max_size=14))
def test_longest_match_equals_brute_force(document):
    lengths, hits = copying.longest_matches(np.array(document))
    for at in range(len(document)):
        best, source = 0, -1
        for end in range(1, at):  # the earlier run ends before `end`, which is what it proposes
            n = 0
            while n < end and document[end - 1 - n] == document[at - 1 - n]:
                n += 1
            if n and n >= best:
                best, source = n, end
        assert lengths[at] == best
        assert hits[at] == (best > 0 and document[source] == document[at])


def test_copying_helps_where_music_repeats_and_is_ignored_where_it_does_not():
    rng = np.random.default_rng(1)
    flat = np.full(400, -np.log2(50))
    repeating = [np.tile(rng.integers(0, 50, 40), 10)]
    group, hit = copying.match_groups(repeating)
    weight = copying.fit_weights(group, hit, flat)
    assert copying.mixed_log2(group, hit, flat, weight).mean() > -1.2
    noise = [rng.integers(0, 50, 400)]
    group, hit = copying.match_groups(noise)
    weight = copying.fit_weights(group, hit, flat)
    assert weight[group].mean() < 0.05
    assert (weight < 1).all()


def _arrays(docs: list[list[int]]) -> list[np.ndarray]:
    return [np.array(doc, np.int64) for doc in docs]
