"""Training from scratch: rows and learning rate follow from the step, a killed run resumes to the same weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")

from safetensors.numpy import load_file  # noqa: E402

from cadenza.base.errors import ConfigError  # noqa: E402
from cadenza.corpus.excerpts import MODEL_NOTATION, passages  # noqa: E402
from cadenza.model.vocabulary import BOS, EOS, Vocabulary  # noqa: E402
from cadenza.score.model import Note, Score, Track  # noqa: E402
from cadenza.train.optim import Muon, orthogonalise  # noqa: E402
from cadenza.train.pretrain import PretrainConfig, Run, bits_per_note, learning_rate_scale, stage_at  # noqa: E402
from cadenza.train.release import release  # noqa: E402
from cadenza.train.tokens import Rows, TokenStore, build_store, held_out_rows  # noqa: E402


def piece(shift: int, n_bars: int = 10) -> Score:
    notes = [Note(i * 480, 480, 48 + (i * 7 + shift) % 24, 40 + i % 60) for i in range(4 * n_bars)]
    drums = [Note(i * 480, 120, 36 + i % 3) for i in range(4 * n_bars)]
    return Score((Track.of(notes), Track.of(drums, is_drums=True)))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    vocabulary = Vocabulary.of(MODEL_NOTATION.vocabulary())
    rows = [(f"work {i}", {"source": "made"}, piece(i)) for i in range(6)]
    for split, draws in (("train", 2), ("validation", 0), ("test", 0)):
        build_store(rows, MODEL_NOTATION, vocabulary, seed=0, draws=draws).save(folder / f"{split}.npz")
    return folder


@pytest.fixture
def config(corpus, tmp_path):
    return PretrainConfig(
        corpus=str(corpus), out=str(tmp_path / "run"), width=32, n_layers=3, n_heads=1, head_width=32, mlp_width=32,
        window_tokens=16, max_tokens=256, steps=6, stages=[[0.5, 32, 2], [0.5, 64, 1]], tokens_per_step=128,
        warmup_steps=2, n_threads=1, evaluate_every=3, evaluation_rows=2,
    )  # fmt: skip


def test_store_tells_the_score(corpus):
    store = TokenStore.load(corpus / "test.npz")
    vocabulary = Vocabulary.of(MODEL_NOTATION.vocabulary())
    (passage,) = passages(piece(0), MODEL_NOTATION)
    ids = store.from_bar(0, 0, 100_000)
    assert ids[0] == BOS
    assert ids[-1] == EOS
    assert vocabulary.detokenize(ids) == passage.header + " ".join(passage.bars)
    assert int(store.bar_notes.sum()) == sum(piece(i).n_notes for i in range(6))


def test_held_out_rows_hold_whole_bars(corpus):
    store = TokenStore.load(corpus / "test.npz")
    rows = held_out_rows(store, 80, 1, seed=0)
    assert {work for work, *_ in rows} == set(range(6))
    line = Vocabulary.of(MODEL_NOTATION.vocabulary()).id_of("|")
    for _, ids, n_header, n_notes in rows:
        assert ids[n_header] == line
        assert n_notes == 8 * int((ids == line).sum())


def test_rows_follow_from_their_number(corpus):
    store = TokenStore.load(corpus / "train.npz")
    rows, again = Rows(store, {"*": 1.0}, 3), Rows(store, {"*": 1.0}, 3)
    assert all(np.array_equal(rows.row(i, 50), again.row(i, 50)) for i in (5, 0, 7))
    assert not np.array_equal(rows.row(0, 50), rows.row(1, 50))
    assert all(len(rows.row(i, 333)) == 333 for i in range(5))


def test_schedule(config):
    config = replace(config, steps=100, warmup_steps=10, decay_share=0.5)
    scales = [learning_rate_scale(step, config) for step in range(100)]
    assert scales[0] == pytest.approx(0.1)
    assert scales[9:50] == [1.0] * 41
    assert scales[99] == pytest.approx(0.02)
    assert [stage_at(s, config)[0] for s in (0, 49, 50, 99)] == [32, 32, 64, 64]


def test_muon_moves_equal_matrices_together_as_alone():
    torch.manual_seed(0)
    shapes = [(6, 9), (9, 6), (6, 9), (5, 5), (6, 9)]
    whole = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    alone = [torch.nn.Parameter(p.detach().clone()) for p in whole]
    together = Muon(whole, 0.1, weight_decay=0.1)
    one_by_one = [Muon([p], 0.1, weight_decay=0.1) for p in alone]
    for step in range(3):
        for at, (a, b) in enumerate(zip(whole, alone, strict=True)):
            gradient = torch.randn(a.shape)
            a.grad, b.grad = (None, None) if at == step else (gradient, gradient.clone())
        together.step()
        for optimiser in one_by_one:
            optimiser.step()
        for a, b in zip(whole, alone, strict=True):
            assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16)])
def test_orthogonalised_singular_values(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_a_killed_run_resumes_bit_exactly(config, tmp_path):
    Run(config).train()
    whole = load_file(tmp_path / "run" / "model" / "model.safetensors")
    other = replace(config, out=str(tmp_path / "killed"))
    run = Run(other)
    run.model.train()
    for _ in range(4):
        run.one_step()
    run.checkpoint()
    run.one_step()  # lost with the process
    Run(other).train()
    resumed = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    assert whole.keys() == resumed.keys()
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["config"]["seed"] == 0
    assert len(record["data_sha256"]) == 64


def test_bfloat16_autocast_learns_too(config):
    run = Run(replace(config, precision="bfloat16"))
    losses = [run.one_step() for _ in range(6)]
    assert losses[-1] < losses[0]


def test_another_recipe_is_refused(config):
    Run(config)
    with pytest.raises(ConfigError, match="matrix_lr: was"):
        Run(replace(config, matrix_lr=0.5))


def test_the_engine_measures_what_torch_measures(config, tmp_path):
    pytest.importorskip("onnx", reason="exporting needs the extra [train]")
    run = Run(config)
    run.train()
    release(tmp_path / "run", tmp_path / "released")
    from cadenza.infer.model import load_model

    model = load_model(tmp_path / "released")
    rows = [
        row for row in held_out_rows(TokenStore.load(tmp_path_corpus(config)), 120, 1, seed=0) if len(row[1]) <= 256
    ]
    assert rows
    for (_, ids, n_header, _), (_, bits, _) in zip(rows, bits_per_note(run.model, rows), strict=True):
        ours = -model.decoder.score(ids)[n_header - 1 :].sum() / np.log(2)
        assert ours == pytest.approx(bits, rel=0.01)


def tmp_path_corpus(config: PretrainConfig) -> Path:
    return Path(config.corpus) / "test.npz"
