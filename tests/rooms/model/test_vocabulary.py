"""Vocabulary: every text comes back, whole fields are one token."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza.base.errors import ModelError
from cadenza.model.vocabulary import FIRST_FIELD, Vocabulary

VOCABULARY = Vocabulary.of(["\n", "q24", "p60", ":d1", ":t2", "|", "i0"])


@given(st.one_of(st.text(max_size=40), st.text(alphabet="\n :pqd12i0|\u00e9x\r\t24t", max_size=40)))
@settings(max_examples=1000, deadline=None)
def test_every_text_comes_back(text):
    assert VOCABULARY.detokenize(VOCABULARY.tokenize(text)) == text


def test_fields_are_single_tokens():
    ids = VOCABULARY.tokenize("q24 i0\n| i0 p60:d1:t2 p60")
    assert all(token >= FIRST_FIELD for token in ids)
    assert len(ids) == 9


def test_saved_and_loaded(tmp_path):
    VOCABULARY.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == VOCABULARY


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"specials": [], "bytes": 256, "fields": []}', '{"fields": [1]}'])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(ModelError):
        Vocabulary.load(tmp_path / "v.json")


def test_ids_outside_are_refused():
    with pytest.raises(ModelError):
        VOCABULARY.detokenize([len(VOCABULARY)])
