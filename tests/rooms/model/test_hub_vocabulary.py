"""A pretrained tokenizer with a notation's fields: every text comes back, whole or in parts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers", reason="tokenizers is not installed: no text tokenizer to test")

from cadenza.base.errors import ModelError
from cadenza.corpus.excerpts import MODEL_NOTATION
from cadenza.model.hub_tokenizer import HubTokenizer
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.notation import NOTATIONS
from cadenza.notation.abc import Abc
from cadenza.notation.dadagp import DadaGP
from cadenza.notation.simplified import SimplifiedMidi
from tests.rooms.model import tokenizers_made
from tests.strategies import examples, scores

FIELDS = tuple(MODEL_NOTATION.vocabulary())
ASCII = "".join(map(chr, range(32, 127))) + "\n\t"


@pytest.fixture(scope="module", params=tokenizers_made.KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    return tokenizers_made.save(tmp_path_factory.mktemp(kind.replace(" ", "-")), kind)


@pytest.fixture(scope="module")
def plain(folder):
    return HubVocabulary.load(folder)


@pytest.fixture(scope="module")
def wide(folder, plain):
    """With fields, after a gap, as a padded table of embeddings leaves one."""
    return HubVocabulary(HubTokenizer.open(folder), FIELDS, first_field=len(plain) + 7)


NOTATIONS_TRIED = (MODEL_NOTATION, SimplifiedMidi(), SimplifiedMidi.published(), DadaGP(), Abc())


@st.composite
def texts(draw, characters=None):
    """Music, prose, what spells a special token, odd spacing, in any order."""
    words = st.sampled_from(
        [*FIELDS[:40], *FIELDS[-40:], "p57:v80:d12:t3", "| i0 p60:d1", "\n", " ", "  ", "\t", ":", "::", "a:b", "q24",
         "</s>", "<s>", "<pad>", "<unk>", "<0x41>", " </s> ", "The track's tempo.", "x", "|", "p57p60"]
    )  # fmt: skip
    free = st.text(characters or ASCII + "\r\u00e9\u4e2d\U0001f3b8\u0301\u00a0", max_size=8)
    parts = draw(st.lists(st.one_of(words, free), max_size=12))
    return draw(st.sampled_from(["", " "])).join(parts)


def readable(kind):
    """What the tokenizer itself knows: a unigram model has no bytes to fall back on."""
    return ASCII if kind == "unigram" else None


@given(data=st.data())
@settings(max_examples=examples(150), deadline=None)
def test_every_text_comes_back_whole_and_in_parts(kind, plain, wide, data):
    first, second = data.draw(texts(readable(kind))), data.draw(texts(readable(kind)))
    for vocabulary in (plain, wide):
        assert vocabulary.detokenize(vocabulary.tokenize(first)) == first
        assert vocabulary.tokenizer.special_ids.isdisjoint(vocabulary.tokenize(first))
        assert vocabulary.tokenize_all([first, second]) == [vocabulary.tokenize(first), vocabulary.tokenize(second)]
    assert plain.detokenize(plain.tokenize(first) + plain.tokenize(second)) == first + second


@given(score=scores(), notation=st.sampled_from(NOTATIONS_TRIED))
@settings(max_examples=examples(25), deadline=None)
def test_every_notation_comes_back(kind, plain, wide, score, notation):
    text = notation.encode(score)
    if kind == "unigram" and not text.isascii():
        return
    assert plain.detokenize(plain.tokenize(text)) == text
    assert wide.detokenize(wide.tokenize(text)) == text


def test_fields_are_single_tokens_and_blanks_between_them_are_implied(wide):
    ids = wide.tokenize("| i0 p60:v72:d12:t24 p57\n| t24")
    assert all(token >= wide.first_field for token in ids)
    assert len(ids) == 10
    mixed = wide.tokenize("p60 and p57")
    assert [token >= wide.first_field for token in mixed][:: len(mixed) - 1] == [True, True]


def test_texts_say_what_ids_say_one_by_one(kind, plain):
    said = plain.texts()
    assert len(said) == len(plain)
    text = "q24 w120 m4/4\n| i0 p60:v64:d12\t-+ the notes"
    assert "".join(said[token] or "?" for token in plain.tokenize(text)) == text
    assert said[plain.eos_id] is None


@pytest.mark.parametrize("with_fields", [False, True])
def test_saved_and_loaded(with_fields, plain, wide, tmp_path):
    vocabulary = wide if with_fields else plain
    vocabulary.save(tmp_path / "a")
    again = HubVocabulary.load(tmp_path / "a")
    again.save(tmp_path / "b")
    third = HubVocabulary.load(tmp_path / "b")
    text = "The </s> | i0 p60:v64 of"
    for other in (again, third):
        assert (other.fields, other.first_field, len(other)) == (
            vocabulary.fields, vocabulary.first_field, len(vocabulary),
        )  # fmt: skip
        assert (other.bos_id, other.eos_id, other.pad_id) == (vocabulary.bos_id, vocabulary.eos_id, vocabulary.pad_id)
        assert other.tokenize(text) == vocabulary.tokenize(text)


def test_it_is_transformers_tokenizer_but_for_the_blank_before(kind, folder, plain):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (plain.bos_id, plain.eos_id, plain.pad_id)
    text = " the notes of a track: p57:v80"
    if kind == "bytes":
        expected = theirs.encode(text, add_special_tokens=False)
    else:  # they put the blank before that is there already
        expected = theirs.encode(text[1:], add_special_tokens=False)
    assert plain.tokenize(text) == expected
    assert HubVocabulary(theirs).tokenize(text) == expected


def test_a_transformers_tokenizer_is_saved_whole(folder, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    vocabulary = HubVocabulary(transformers.AutoTokenizer.from_pretrained(folder), FIELDS)
    vocabulary.save(tmp_path)
    assert HubVocabulary.load(tmp_path).tokenize("</s> p60 foo") == vocabulary.tokenize("</s> p60 foo")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).eos_token == "</s>"


def test_loading_brings_in_no_framework(folder):
    code = (
        f"import sys; from cadenza.model.hub_vocabulary import HubVocabulary; HubVocabulary.load({str(folder)!r})\n"
        "print(sorted({'torch', 'transformers', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", "{"),
        ("tokenizer_config.json", "{}"),  # no end of sequence
        ("fields.json", "[]"),
        ("fields.json", '{"fields": ["a", "a"], "first_field": 2000}'),
        ("fields.json", '{"fields": ["a"], "first_field": 1}'),
        ("fields.json", '{"fields": ["a"], "first_field": "x"}'),
    ],
)
def test_other_files_are_refused(folder, tmp_path, name, content):
    for part in folder.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelError):
        HubVocabulary.load(tmp_path)


def test_ids_outside_are_refused(plain, wide):
    for vocabulary in (plain, wide):
        for token in (-1, len(vocabulary)):
            with pytest.raises(ModelError):
                vocabulary.detokenize([token])
    assert wide.detokenize([len(plain) + 3]) == ""  # the gap says nothing


def test_notations_are_the_registered_ones():
    assert {type(n).name for n in NOTATIONS_TRIED} <= set(NOTATIONS.names())
