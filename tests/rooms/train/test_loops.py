"""Loops: the diagnosis of a model that copies, and the rebalanced encoding."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("pyarrow", reason="corpora need the extra [corpus]")
pytest.importorskip("peft", reason="training needs the extra [train]")

from cadenza.model.merged_vocabulary import MergedVocabulary  # noqa: E402
from cadenza.train import bases, loop, reinforcement, run  # noqa: E402
from cadenza.train.recipe import SHAPES, TrainConfig  # noqa: E402


def config_for(corpus: Path, **keys) -> TrainConfig:
    plain = {
        "base": "scratch:tiny", "corpus": str(corpus), "context_tokens": 320, "batch_rows": 8, "steps": 40,
        "evaluate_every": 0,
        "report_to": [], "n_threads": 1, "optimiser": "muon", "scheduler": "linear", "log_every": 20,
    }  # fmt: skip
    return TrainConfig(**{**plain, **keys})


def test_curves_of_a_model_that_copies(built_corpus):
    """A made-up model whose probability of a token is that of having stood one period earlier."""
    prepared = run.prepare(config_for(built_corpus))
    documents = prepared.train

    class Copies(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, use_cache=False):
            del use_cache
            n_words, ids = 1200, input_ids[0]
            logits = torch.zeros(1, len(ids), n_words)
            for at in range(1, len(ids)):
                earlier = (ids[:at] == ids[at]).nonzero()
                if len(earlier):  # what followed the last time is likelier each time
                    logits[0, at, ids[int(earlier[-1]) + 1]] = 3.0 * len(earlier)
            return type("Out", (), {"logits": logits})

    found = reinforcement.curves(Copies(), documents, n_units=3, n_copies=5, most_tokens=600)
    assert found.n_units == 3
    assert (np.diff(found.tp) >= -1e-9).all()
    assert found.tp[-1] > 2 * found.tp[0]
    assert found.ip[0] == found.wr[0] == 0
    assert found.ip[-1] > 0.3
    drawing = reinforcement.svg({"a <model>": found})
    assert drawing.count("<polyline") == 3
    assert "a &lt;model&gt;" in drawing


def test_rebalanced_encoding_trains_and_says_the_same_bars(built_corpus, tmp_path):
    config = config_for(built_corpus, rebalance=0.1, steps=3)
    folder = run.train(config, tmp_path, lambda line: None)
    codec = bases.open_codec(folder)
    assert isinstance(codec, MergedVocabulary)
    assert len(codec.rounds) >= 1
    model, documents = run.open_for_reading(folder, built_corpus, "validation")
    assert model.config.vocab_size >= len(codec)
    plain = run.prepare(config_for(built_corpus)).validation
    assert documents.lengths.sum() < 0.9 * plain.lengths.sum()
    for index in range(len(documents)):
        ids, _ = documents.document(index)
        assert codec.apart(ids) == plain.document(index)[0].tolist()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert math.isfinite(log[-1]["eval_bits_per_note"])


def test_training_goes_on_from_a_rebalanced_model(built_corpus, tmp_path):
    first = run.train(config_for(built_corpus, rebalance=0.1, steps=2), tmp_path / "first", lambda line: None)
    config = config_for(built_corpus, base=str(first), steps=1, learning_rate=1e-5)
    second = run.train(config, tmp_path / "second", lambda line: None)
    before, after = bases.open_codec(first), bases.open_codec(second)
    assert isinstance(after, MergedVocabulary)
    assert after.rounds == before.rounds
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("first", "second")]
    bits = [json.loads(lines[-1])["eval_bits_per_note"] for lines in logs]
    # Read with the vocabulary underneath alone, it would cost several times as much.
    assert bits[1] == pytest.approx(bits[0], rel=0.02)


def test_greedy_with_a_cache_says_what_it_says_without():
    model = bases.scratch_model(SHAPES["tiny"], 64, 256, seed=3)
    for parameter in model.parameters():  # the shape's zeros would make all choices equal
        torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.randint(3, 64, (3, 7), generator=torch.Generator().manual_seed(0))
    found = loop.greedy(model.train(), ids, 100)  # beyond the windowed layer's 64
    assert model.training
    model.eval()
    with torch.no_grad():
        wanted = ids
        while wanted.shape[1] < 100:
            wanted = torch.cat([wanted, model(input_ids=wanted, use_cache=False).logits[:, -1].argmax(-1)[:, None]], 1)
    assert (found == wanted).all()
    assert len(set(found[:, 7:].flatten().tolist())) > 5
