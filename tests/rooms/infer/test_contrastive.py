"""Contrastive search: what is taken is what the formula says, whatever decoder writes; bars are drawn again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cadenza.base.errors import ConfigError
from cadenza.infer.choose import Chooser, Decoding
from cadenza.infer.generate import take_all, to_continue
from cadenza.infer.model import load_model
from cadenza.infer.rows import run
from cadenza.infer.sample import Sampling
from cadenza.infer.window import Window
from cadenza.infer.write import Manner
from tests.rooms.infer.seeds import all_seeds
from tests.rooms.infer.tiny import write_composer

V = 12


class Bigrams:
    """Says what a table says after the last token; goes back to marks or not."""

    batch, max_length = 1, 1000

    def __init__(self, table: np.ndarray) -> None:
        self.table, self.ids = table, [0]

    def prefill(self, ids: np.ndarray) -> np.ndarray:
        self.ids = ids.tolist()
        return self.table[[self.ids[-1]]]

    def step(self, tokens: np.ndarray) -> np.ndarray:
        self.ids.append(int(tokens[0]))
        return self.table[[self.ids[-1]]]


class Returning(Bigrams):
    def mark_row(self, row: int) -> np.ndarray:
        self.marked = list(self.ids)
        return self.table[self.ids[-1]]

    def back_row(self, row: int) -> np.ndarray:
        self.ids = list(self.marked)
        return self.table[self.ids[-1]]


def by_hand(table: np.ndarray, alpha: float, k: int, n: int) -> list[int]:
    def said(token: int) -> np.ndarray:
        centred = table[token] - table[token].mean()
        return centred / np.linalg.norm(centred)

    ids: list[int] = []
    for _ in range(n):
        logits = table[ids[-1] if ids else 0].astype(np.float64)
        p = np.exp(logits - logits.max())
        p[np.argsort(-p)[k:]] = 0
        p /= p.sum()
        worth = {}
        for token in np.flatnonzero(p):
            like = max((float(said(token) @ said(other)) for other in ids), default=0.0)
            worth[int(token)] = (1 - alpha) * p[token] - alpha * like
        ids.append(max(worth, key=worth.__getitem__))
    return ids


@pytest.mark.parametrize("kind", [Bigrams, Returning])
@pytest.mark.parametrize("alpha", [0.2, 0.6, 0.9])
def test_the_token_of_the_formula_is_taken(kind, alpha):
    table = np.random.default_rng(1).normal(0, 2, (V, V)).astype(np.float32)
    chooser = Chooser(Decoding(Sampling(), contrast=alpha), np.random.default_rng(0), frozenset())

    def writing():
        window = Window(decoder, [0], 900, 10, (0, 0))
        window.remembers = True
        yield from window.see([0])
        for _ in range(20):
            token = yield from chooser.next(window, np.arange(V))
            yield from window.push(token)
        return window.ids[1:]

    decoder = kind(table)
    ((_, ids),) = run(decoder, [writing])
    assert ids == by_hand(table, alpha, 4, 20)
    assert decoder.ids == [0, *ids]
    assert ids != by_hand(table, 0.0, 1, 20)  # greedy


def test_bars_are_drawn_again_and_takes_are_the_same_twice(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    model = load_model(write_composer(tmp_path))
    seed = all_seeds()["one note"]
    manner = Manner(Decoding(Sampling(top_k=3), contrast=0.6, recall=False), model.loops)
    one, two = (take_all(seed, model, list(to_continue(model, 4)), manner, [5])[0] for _ in range(2))
    assert one.bars == two.bars
    assert len(one.bars) == 4


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match="contrast"):
        Decoding(contrast=1.5)
