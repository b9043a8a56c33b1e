"""Rebalanced encoding: pairs that inflow are merged, and every text is still said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ModelError
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.model.merged_vocabulary import MergedVocabulary, inflowing, rebalance
from cadenza.model.vocabulary import Vocabulary
from tests.strategies import scores

BASE = Vocabulary.of(["a", "b", "c", "d"])
A, B, C, D = (BASE.id_of(letter) for letter in "abcd")


def test_a_case_by_hand():
    # a is always followed by b (30 times), b by c and d in turn: with four further fields there are 263 ids.
    piece = [A, B, C, A, B, D] * 15
    n = len(BASE)
    found = dict.fromkeys(inflowing([piece], n, 0.05))
    # P(b|a) = 31 / (30 + 263); P(c|b) = 16 / (30 + 263); P(a|c) = 16 / (15 + 263); P(a|d) = 15 / (14 + 263)
    assert list(found) == [(A, B), (C, A), (B, C), (B, D), (D, A)]
    assert inflowing([piece], n, 31 / 293) == []
    assert inflowing([piece], n, 30.9 / 293) == [(A, B)]


def test_rounds_merge_what_earlier_rounds_made():
    piece = [A, B, C, D] * 400
    merged = rebalance(BASE, [piece], gamma=0.3)
    assert len(merged.rounds) >= 2
    short = merged.merge(piece)
    assert len(short) <= len(piece) // 4 + 1
    assert merged.apart(short) == piece
    # Nothing is left to merge: a further round would find no pair above γ.
    assert inflowing([short], len(merged), 0.3) == [] or len(merged.rounds) == 10


@given(st.lists(st.lists(st.sampled_from([A, B, C, D, 70]), max_size=40), max_size=6), st.sampled_from([0.01, 0.02]))
@settings(deadline=None, max_examples=60)
def test_taking_apart_undoes_merging(pieces, gamma):
    merged = rebalance(BASE, pieces * 4, gamma)
    for piece in pieces:
        assert merged.apart(merged.merge(piece)) == piece


@given(scores())
@settings(deadline=None, max_examples=15)
def test_every_text_is_said(score):
    base = Vocabulary.of(MODEL_NOTATION.vocabulary())
    text = MODEL_NOTATION.encode(score)
    merged = rebalance(base, [base.tokenize(text)] * 8, 0.01)
    assert merged.detokenize(merged.tokenize(text)) == text


def test_saved_and_loaded(tmp_path):
    merged = rebalance(BASE, [[A, B, C, D] * 400], 0.3)
    merged.save(tmp_path / "merges.json")
    again = MergedVocabulary.load(BASE, tmp_path / "merges.json")
    assert again.rounds == merged.rounds
    assert len(again) == len(merged)
    (tmp_path / "bad.json").write_text('{"rounds": [[[1, 99999]]]}')
    with pytest.raises(ModelError, match="pairs of ids below"):
        MergedVocabulary.load(BASE, tmp_path / "bad.json")
    with pytest.raises(ModelError, match="token ids"):
        merged.detokenize([len(merged)])
    assert np.all([merged.id_of("a") == A, merged.bos_id == 1, merged.eos_id == 2, merged.pad_id == 0])
