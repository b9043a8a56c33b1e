"""The parts of benchmarks/english.py, scratch_or_tune.py and loop_cures.py that can be wrong without being seen."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("pyarrow", reason="corpora need the extra [corpus]")

from benchmarks import english, loop_cures, scratch_or_tune, scratch_or_tune_page  # noqa: E402
from cadenza.base.errors import ConfigError  # noqa: E402
from cadenza.corpus.open import BuiltCorpus  # noqa: E402
from cadenza.model.hub_decoder import HubDecoder  # noqa: E402
from cadenza.model.merged_vocabulary import rebalance  # noqa: E402
from cadenza.model.vocabulary import Vocabulary  # noqa: E402
from cadenza.train import bases, rows  # noqa: E402
from cadenza.train.curves import Panel, drawing  # noqa: E402
from cadenza.train.recipe import SHAPES  # noqa: E402


class Named:
    """A distribution with a licence."""

    def __init__(self, licence: str) -> None:
        from email.message import Message

        self.metadata = Message()
        self.metadata["Name"] = "some"
        self.metadata["License-Expression"] = licence


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "MIT AND LGPL-2.1", "MPL-2.0", "", "proprietary"])
def test_english_takes_no_text_whose_licence_does_not_permit_it(licence):
    with pytest.raises(ConfigError, match="permissive"):
        english.licence_of(Named(licence))
    assert english.licence_of(Named("BSD-3-Clause")) == "BSD-3-Clause"


def test_english_is_cut_at_blank_lines_and_said_once():
    paragraphs = [f"{letter}" * 1000 for letter in "abcde"]
    assert english.parts("\n\n".join(paragraphs)) == [
        "\n\n".join(paragraphs[:2]),
        "\n\n".join(paragraphs[2:4]),
        "e" * 1000,
    ]
    assert [len(one) for one in english.parts("x" * 5000)] == [2400, 2400, 200]
    found = english.gather({"click": "click", "not-installed-here": "none"})
    assert list(found.sources) == ["click"]
    assert len(set(found.train) | set(found.held)) == len(found.train) + len(found.held)
    assert found.about()["characters"] == sum(map(len, found.train))
    with pytest.raises(ConfigError, match="installed"):
        english.gather({"not-installed-here": "none"})


def test_figures_tell_a_loop_from_music():
    music = [f"| p{pitch}:v80:d24" for pitch in range(40, 52)]
    looped = [*music[:4], *(f"| p7:v{velocity}:d24" for velocity in range(80, 88))]
    found = loop_cures.figures([(music, np.arange(200)), (looped, np.arange(200)), (music[:3], np.tile([1, 2, 3], 60))])
    assert found["rep_1_bars"] == [0.0, pytest.approx(1 - 5 / 12), 0.0]
    assert found["loops"] == [0.0, 1.0, 1.0]  # the last one in tokens
    assert found["unfinished"] == [0.0, 0.0, 1.0]
    assert found["rep_4_tokens"][0] == 0.0
    assert found["rep_4_tokens"][2] > 0.95


@pytest.fixture(scope="module")
def told(built_corpus):
    """Corpus, documents, plain and merged vocabulary, and a tiny model of random weights."""
    corpus = BuiltCorpus.open(built_corpus)
    plain = Vocabulary.of(corpus.fields)
    merged = rebalance(plain, rows.pieces(corpus.rows("train"), plain, corpus.notation.unit_start), 0.1)
    model = bases.scratch_model(SHAPES["tiny"], -(-len(merged) // 32) * 32, 512, 0)
    return corpus, plain, merged, model


def test_continuations_are_bars_whatever_is_merged(told, monkeypatch):
    corpus, plain, merged, model = told
    monkeypatch.setattr(loop_cures, "GIVEN", 1)
    monkeypatch.setattr(loop_cures, "BARS", 2)
    monkeypatch.setattr(loop_cures, "MOST_TOKENS", 40)
    seeds = loop_cures.seeds_of(corpus)[:3]
    unit_start = corpus.notation.unit_start
    human = {codec: loop_cures.human_of(codec, seeds) for codec in (plain, merged)}
    for (bars, ids), (again, same) in zip(human[plain], human[merged], strict=True):
        assert bars == again
        assert ids.tolist() == same.tolist()
        assert len(bars) == 2
    for codec in (plain, merged):
        for how in loop_cures.DECODINGS.values():
            found = loop_cures.continued(model, codec, seeds, unit_start, how)
            assert len(found) == len(seeds) > 0
            for bars, ids in found:
                assert len(bars) <= 2 + 1  # one that had begun when the tokens ran out
                assert len(ids) > 0
                assert ids.max() < len(plain)


def test_bits_of_works_do_not_depend_on_merges_of_no_weight(told):
    corpus, plain, _, model = told
    chosen = list(corpus.rows("train"))[:3]
    works, n_tokens = scratch_or_tune.bits_of_works(HubDecoder(model, max_length=4096), plain, corpus, chosen)
    notes = sum(row["n_notes"] for row in chosen)
    assert sum(count for _, count in works.values()) == notes
    # Weights drawn at random know nothing: about log2 of the vocabulary a token.
    n_rows = model.config.vocab_size
    bits = sum(found for found, _ in works.values())
    assert bits / n_tokens == pytest.approx(np.log2(n_rows), rel=0.1)


def test_comparisons_are_paired_and_their_words_follow_from_them():
    first = {f"w{n}": [8.0 * n, float(n)] for n in range(10, 40)}
    second = {
        name: [bits * (1.1 if number % 5 else 1.0), notes] for number, (name, (bits, notes)) in enumerate(first.items())
    }
    found = scratch_or_tune.compared(first, second)
    assert 0.05 < found["low"] < found["value"] < found["high"] < 0.1
    assert found["p"] < 0.001
    row = {"works": 30, "bits_per_note": {}}
    pair = {"a": "A", "b": "B", "asks": "which", "p_holm": found["p"], **found}
    worse = pair | {"value": -0.1, "low": -0.12, "high": -0.08}
    unclear = pair | {"low": -0.01}
    said = scratch_or_tune_page.findings({"pairs": [pair, worse, unclear], "cells": {"A": row}})
    assert "“A” needs" in said[0]
    assert "“B” is better" in said[1]
    assert "no difference" in said[2]


def test_a_drawing_has_its_lines_and_names():
    panels = [
        Panel("one", "steps", {"a & b": [(0, 1), (10, 2)], "c": [(5, 5)]}, (0, 5)),
        Panel("two", "copy", {"c": []}, (0, 1)),
    ]
    found = drawing(panels)
    assert found.count("<polyline") == 3
    assert found.count("a &amp; b") == 1
    assert found.count(">c</text>") == 1
