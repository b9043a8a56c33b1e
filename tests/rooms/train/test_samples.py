"""Continuations while a model is trained: there to hear and see, and the training none the wiser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
for name in ("transformers", "accelerate"):
    pytest.importorskip(name, reason="training needs the extra [train]")

from safetensors.numpy import load_file  # noqa: E402

from cadenza import formats  # noqa: E402
from cadenza.base.errors import ConfigError, MissingExtraError  # noqa: E402
from cadenza.train import curves, loop, run, samples  # noqa: E402
from cadenza.train.recipe import TrainConfig  # noqa: E402


def config_for(corpus: Path, **keys: object) -> TrainConfig:
    plain: dict[str, object] = {
        "base": "scratch:tiny", "corpus": str(corpus), "context_tokens": 256, "batch_rows": 2, "steps": 4,
        "evaluate_every": 2, "evaluation_rows": 4, "report_to": [], "n_threads": 1,
    }  # fmt: skip
    return TrainConfig(**{**plain, **keys})


def test_a_run_with_samples_ends_with_the_same_bits(built_corpus, tmp_path):
    said: list[str] = []
    steps: list[tuple[int, int, str]] = []
    watched: list[tuple[int, float]] = []
    # NEFTune draws from torch's global state in each step: any draw of a sample would show.
    plain = run.train(config_for(built_corpus, neftune_alpha=5.0), tmp_path / "plain", said.append)
    config = config_for(built_corpus, neftune_alpha=5.0, samples_every=2, sample_bars=1)
    sampled = run.train(
        config,
        tmp_path / "sampled",
        live=lambda *one: steps.append(one),
        watch=lambda *one: watched.append(one),
    )
    one, other = load_file(plain / "model.safetensors"), load_file(sampled / "model.safetensors")
    assert all(np.array_equal(one[name], other[name]) for name in one)

    # Lines where nobody watches, a bar where somebody does.
    lines = [line for line in said if "tokens/s" in line]
    assert all(word in lines[0] for word in ("loss", "notes/s", "GiB", "min left"))
    assert [step for step, _, _ in steps] == [1, 2, 3, 4]
    assert "tokens/s" in steps[-1][2]
    assert [step for step, _ in watched] == [2, 4]  # the last step is evaluated once

    folder = tmp_path / "sampled" / "samples"
    found = samples.records(folder)
    assert [row["step"] for row in found] == [2, 4]
    for row in found:
        assert len(row["samples"]) == config.n_samples
        # A model of four steps knows nothing; the grammar holds it all the same.
        assert row["valid_grammar"] == 1.0
        assert 0 <= row["valid_free"] <= 1
        for number, sample in enumerate(row["samples"]):
            assert sample["grammar"]["rep_4"] is None or 0 <= sample["grammar"]["rep_4"] <= 1
            path = folder / f"step-{row['step']:06d}" / f"{number}-grammar.mid"
            assert formats.read(path).n_notes > 0
            assert formats.read(path.with_suffix(".smidi")).n_notes > 0
            assert path.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
            assert path.with_suffix(".wav").read_bytes()[:4] == b"RIFF"
    page = (folder / "index.html").read_text()
    assert page.count("data:audio/wav;base64,") >= 4
    assert "Bits per note" in page
    assert page.count("<path ") >= 3


def test_free_text_is_cut_at_its_last_bar(built_corpus):
    from cadenza.corpus.open import BuiltCorpus

    corpus = BuiltCorpus.open(built_corpus)
    notation = corpus.notation
    row = next(row for row in corpus.rows("train") if row["task"] == "continue")
    whole = notation.decode(row["prompt"] + row["completion"])
    cut = row["completion"][:-3]
    found = samples.decoded(row["prompt"], cut, notation)
    assert found is not None
    assert 0 < found.n_notes < whole.n_notes
    assert samples.decoded(row["prompt"], "no music at all", notation) is None


def test_what_cannot_be_is_said_at_once(built_corpus, monkeypatch):
    with pytest.raises(ConfigError, match="samples_every 0 with fsdp"):
        config_for(built_corpus, samples_every=2, fsdp=True)
    monkeypatch.setattr(loop, "find_spec", lambda name: None if name == "wandb" else object())
    assert loop.reports(config_for(built_corpus)) == "none"
    assert loop.reports(config_for(built_corpus, report_to=["trackio"])) == ["tensorboard", "trackio"]
    with pytest.raises(MissingExtraError, match="wandb"):
        loop.reports(config_for(built_corpus, report_to=["wandb"]))


def test_round_values_span_what_is_drawn():
    for low, high in ((0.0, 1.0), (3.2, 3.9), (-5.0, 12.0), (2.0, 2.0), (1e-5, 3e-4)):
        ticks = curves.nice(low, high)
        assert ticks[0] <= low
        assert ticks[-1] >= high
        assert 3 <= len(ticks) <= 8
    drawn = curves.figure("A", "b", {"x": [(0, float("nan")), (10, 2.0), (20, 1.0)], "none": []})
    assert drawn.count("<path") == 1
    assert "nan" not in drawn
