"""A model with a planted loop: the diagnosis shows it, DITTO cures it, and other music is read no worse."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("pyarrow", reason="corpora need the extra [corpus]")
pytest.importorskip("peft", reason="training needs the extra [train]")

from cadenza.corpus.open import BuiltCorpus  # noqa: E402
from cadenza.model.merged_vocabulary import MergedVocabulary  # noqa: E402
from cadenza.train import loop, reinforcement, run  # noqa: E402
from cadenza.train.losses import cross_entropy_sum  # noqa: E402
from cadenza.train.recipe import Loss, TrainConfig  # noqa: E402
from cadenza.train.rows import Collate, Documents, RowSet  # noqa: E402


def config_for(corpus: Path, **keys) -> TrainConfig:
    plain = {
        "base": "scratch:tiny", "corpus": str(corpus), "context_tokens": 320, "batch_rows": 8, "steps": 40,
        "evaluate_every": 0,
        "report_to": [], "n_threads": 1, "optimiser": "muon", "scheduler": "linear", "log_every": 20,
    }  # fmt: skip
    return TrainConfig(**{**plain, **keys})


def rep_of(ids: np.ndarray, n: int = 8) -> float:
    """1 − different n-grams / n-grams."""
    grams = [tuple(ids[at : at + n].tolist()) for at in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams)


def held_out_nats(model, documents: Documents) -> float:
    rows = RowSet(documents, [[index] for index in range(len(documents))])
    batch = Collate(0)([rows[index] for index in range(len(rows))])
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    return float(cross_entropy_sum(logits, batch["labels"])) / int((batch["labels"] != -100).sum())


def test_curves_of_a_model_that_copies(built_corpus):
    """A made-up model whose probability of a token is that of having stood one period earlier."""
    corpus = BuiltCorpus.open(built_corpus)
    prepared = run.prepare(config_for(built_corpus))
    del corpus
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
    assert found.ip[-1] > 0.5
    drawing = reinforcement.svg({"a <model>": found})
    assert drawing.count("<polyline") == 3
    assert "a &lt;model&gt;" in drawing


@pytest.mark.slow
def test_ditto_cures_a_planted_loop(built_corpus, tmp_path):
    # The plant: half of the model's training is on rows that repeat one bar to the end.
    planted = loop.MusicTrainer.compute_loss

    def with_loops(self, model, inputs, *args, **kwargs):
        if model.training and self.state.global_step % 2:
            from cadenza.train import losses

            rng = np.random.default_rng([3, self.state.global_step])
            rows = losses.repetition_rows(self.train_dataset.documents, *inputs["input_ids"].shape, 1, rng)
            ids = torch.from_numpy(rows.ids)
            inputs = {"input_ids": ids, "labels": ids.clone(), "position_ids": inputs["position_ids"] * 0}
            inputs["position_ids"] = torch.arange(ids.shape[1])[None].expand(ids.shape)
            inputs["labels"][:, 0] = -100
        return planted(self, model, inputs, *args, **kwargs)

    base = config_for(built_corpus, steps=90)
    loop.MusicTrainer.compute_loss = with_loops
    try:
        looping = run.train(base, tmp_path / "looping", lambda line: None)
    finally:
        loop.MusicTrainer.compute_loss = planted
    common = {"base": str(looping), "steps": 40, "optimiser": "adamw", "learning_rate": 1e-3, "warmup_share": 0.1}
    plain = run.train(config_for(built_corpus, **common), tmp_path / "plain", lambda line: None)
    cured = run.train(
        replace(config_for(built_corpus, **common), loss=Loss("ditto", share=0.5, unit_bars=1)),
        tmp_path / "cured",
        lambda line: None,
    )
    figures = {}
    for name, folder in (("looping", looping), ("plain", plain), ("cured", cured)):
        model, documents = run.open_for_reading(folder, built_corpus, "validation")
        rep = []
        for index in range(min(6, len(documents))):
            ids, labels = documents.document(index)
            start = int((labels == -100).sum())
            given = torch.from_numpy(ids[:start])[None]
            rep.append(rep_of(loop.greedy(model, given, start + 200)[0, start:].numpy()))
        found = reinforcement.curves(model, documents, n_units=8, n_copies=6)
        figures[name] = {"rep": float(np.mean(rep)), "nats": held_out_nats(model, documents), "tp": float(found.tp[-1])}
    print(json.dumps(figures, indent=1))
    assert figures["looping"]["rep"] > 0.5
    assert figures["cured"]["rep"] < 0.6 * figures["plain"]["rep"]
    assert figures["cured"]["tp"] < 0.8 * figures["plain"]["tp"]
    assert figures["cured"]["nats"] < figures["plain"]["nats"] + 0.02


def test_rebalanced_encoding_trains_and_says_the_same_bars(built_corpus, tmp_path):
    config = config_for(built_corpus, rebalance=0.1, steps=3)
    folder = run.train(config, tmp_path, lambda line: None)
    codec = run.open_codec(folder)
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
