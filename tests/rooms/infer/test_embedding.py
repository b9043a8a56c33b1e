"""Vectors of pieces: the model's hidden state, found again from its logits, and the distance of sets in it."""

from __future__ import annotations

import numpy as np
import pytest

from cadenza.base.errors import ModelError
from cadenza.infer.embedding import Embedding
from cadenza.infer.likelihood import text_of
from cadenza.infer.model import load_model
from cadenza.metrics.base import METRICS
from cadenza.model.architecture import load_folder
from cadenza.model.numpy_decoder import NumpyDecoder
from cadenza.score.edit import transpose
from cadenza.score.model import Metre, Note, Score, Tempo, Track

pytest.importorskip("onnxruntime")


def piece(step: int, n_bars: int = 4) -> Score:
    notes = [Note(480 * n, 480, 60 + (step * n) % 12, 80) for n in range(4 * n_bars)]
    return Score((Track.of(notes),), tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),))


@pytest.fixture(scope="module")
def embed() -> Embedding:
    return Embedding(load_model())


def test_the_vector_is_the_mean_hidden_state(embed):
    model = embed.model
    vector = embed(piece(7))
    _, weights = load_folder(model.folder)
    assert vector.shape == (weights["model.embed_tokens.weight"].shape[1],)
    text = text_of(piece(7), model)
    ids = np.concatenate([text.head, text.body])
    exact = NumpyDecoder.open(model.folder)
    logits = [exact.prefill(ids[: n + 1])[0].astype(np.float64) for n in range(len(ids))]
    head = weights["model.embed_tokens.weight"].astype(np.float64)
    right = np.linalg.lstsq(head, np.mean(logits, axis=0), rcond=None)
    assert right[1][0] < 1e-6 * np.square(np.mean(logits, axis=0)).sum()  # logits are a hidden state times the head
    assert np.linalg.norm(vector - right[0]) < 0.1 * np.linalg.norm(right[0])  # at 8 bits
    assert np.array_equal(vector, embed(piece(7)))


def test_sets_of_one_kind_are_nearer_than_sets_of_two(embed):
    low = [transpose(shift).apply(piece(5)) for shift in range(-6, 7)]
    other = [transpose(shift).apply(piece(1, 5)) for shift in range(-6, 7)]
    distance = METRICS.load("frechet")
    same = distance(ref=low[::2], est=low[1::2], embed=embed)["frechet_music_distance"]
    apart = distance(ref=low[::2], est=other[::2], embed=embed)["frechet_music_distance"]
    assert 0 <= same < apart


def test_a_model_without_a_graph_is_refused(embed):
    class Other:
        decoder = object()
        folder = "somewhere"

    with pytest.raises(ModelError, match="exported graph"):
        Embedding(Other())  # type: ignore[arg-type]
