"""Phrases said again: at the rate that a table says, token by token until something else is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from cadenza.infer import write
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import take_all, to_continue
from cadenza.infer.loops import LoopTable, key_of
from cadenza.infer.model import load_model
from cadenza.infer.recall import Recall, Saying
from cadenza.infer.write import Manner
from cadenza.score.model import Metre, Note, Score, Tempo, Track

pytest.importorskip("onnxruntime")
BARS = [[1, n] for n in range(12)]


def table(**shares: float) -> LoopTable:
    return LoopTable({kind.removeprefix("n"): (1.0, share) for kind, share in shares.items()}, {})


def test_phrases_begin_as_often_as_the_table_says():
    recall = Recall(table(n2=0.02, n4=0.05), np.random.default_rng(0))
    found = [len(recall.begins(BARS, 20)) for _ in range(20_000)]
    assert found.count(4) / len(found) == pytest.approx(0.05, abs=0.006)
    assert found.count(2) / len(found) == pytest.approx(0.02 * 0.95, abs=0.004)
    assert set(found) == {0, 2, 4}


def test_a_phrase_needs_bars_before_and_room_after():
    recall = Recall(table(n4=1.0), np.random.default_rng(0))
    assert recall.begins(BARS, 4) == BARS[-4:]
    assert recall.begins(BARS, 3) == recall.begins(BARS[:3], 9) == []
    assert Recall(table(), np.random.default_rng(0)).begins(BARS, 9) == []


def test_tokens_are_wanted_in_their_order_velocities_where_they_are_news():
    said = Saying([1, 20, 30, 40], 1, lambda token: token == 30)
    every = np.arange(100)
    assert said.next(every) == 20
    said.drawn(20)
    assert said.next(np.array([40, 50])) == 40  # the velocity is no news here
    said.drawn(40)
    assert said.next(every) == 1
    said.drawn(1)
    assert said.next(every) is None


def test_what_goes_another_way_is_left_alone():
    said = Saying([1, 20, 30, 40], 1, lambda token: token == 30)
    said.drawn(25)
    assert said.next(np.arange(100)) is None
    held = Saying([1, 20, 40], 1, lambda token: token == 30)
    held.drawn(20)
    held.drawn(30)  # a velocity that was not said before
    assert held.next(np.arange(100)) == 40
    assert held.next(np.array([41])) is None  # forbidden: not insisted on


def seed() -> Score:
    notes = [Note(480 * n, 480, 60 + (7 * n) % 12 + n % 3, 80) for n in range(32)]
    return Score((Track.of(notes),), tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),))


def test_the_shipped_model_says_the_seeds_phrase_again(monkeypatch):
    model = load_model()
    certain = LoopTable(model.loops.reached | {"4": (1.0, 1.0)}, {})
    prompts = []
    told = write.write_bars

    def kept(model, prompt, *more, **options):
        prompts.append(prompt)
        return told(model, prompt, *more, **options)

    monkeypatch.setattr("cadenza.infer.generate.write_bars", kept)
    [take] = take_all(seed(), model, list(to_continue(model, 4)), Manner(Decoding(guard=False), certain), [3])
    again = [key_of(bar) for bar in take.bars]
    assert sum(a == key_of(b) for a, b in zip(again, prompts[0].bars[-4:], strict=True)) >= 3
    [other] = take_all(seed(), model, list(to_continue(model, 4)), Manner(Decoding(recall=False), certain), [3])
    assert [key_of(bar) for bar in other.bars] != again
