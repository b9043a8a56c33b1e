"""Phrases said again: at the rate that a table says, token by token until something else is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cadenza.infer import write
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import take_all, to_continue
from cadenza.infer.loops import LoopTable, Return, key_of, returns_of
from cadenza.infer.model import load_model
from cadenza.infer.recall import Recall, Saying
from cadenza.infer.write import Manner
from cadenza.score.model import Metre, Note, Score, Tempo, Track

pytest.importorskip("onnxruntime")
BARS = [[1, n] for n in range(12)]


def table(shares: dict[tuple[int, int], float]) -> LoopTable:
    return LoopTable({}, {}, {Return(*one): share for one, share in shares.items()})


def test_phrases_begin_as_often_as_the_table_says():
    recall = Recall(table({(2, 2): 0.02, (8, 4): 0.05}), np.random.default_rng(0))
    found = [recall.begins(BARS, 20) for _ in range(20_000)]
    assert found.count(BARS[-2:]) / len(found) == pytest.approx(0.02, abs=0.004)
    assert found.count(BARS[-8:-4]) / len(found) == pytest.approx(0.05, abs=0.006)
    assert sorted({len(bars) for bars in found}) == [0, 2, 4]
    oftener = Recall(replace(table({(2, 2): 0.02}), recall_factor=3.0), np.random.default_rng(0))
    assert sum(bool(oftener.begins(BARS, 20)) for _ in range(20_000)) / 20_000 == pytest.approx(0.06, abs=0.006)


def test_a_phrase_needs_bars_before_ends_with_the_piece_and_may_overlap_itself():
    recall = Recall(table({(4, 4): 1.0}), np.random.default_rng(0))
    assert recall.begins(BARS, 4) == BARS[-4:]
    assert recall.begins(BARS, 3) == BARS[-4:-1]
    assert recall.begins(BARS[:3], 9) == []
    assert Recall(table({(2, 5): 1.0}), np.random.default_rng(0)).begins(BARS, 9) == [*BARS[-2:], *BARS[-2:], BARS[-2]]
    assert Recall(table({}), np.random.default_rng(0)).begins(BARS, 9) == []


def test_what_comes_again_is_measured_from_beginning_to_end():
    assert returns_of("abcabcxyz") == ([Return(3, 3)], 6)  # b, c, the return, x, y, z
    assert returns_of("abababab") == ([Return(2, 6)], 2)
    assert returns_of("aab") == ([], 2)  # one bar is no phrase
    assert returns_of(["a", "", "", "a", "", ""]) == ([Return(3, 3)], 3)  # silence begins none, but belongs to one
    assert returns_of([]) == ([], 0)
    measured = LoopTable.measured(["abcabcxyz", "aab"], {})
    assert measured.returns == {Return(3, 3): 1 / 8}


@given(st.text("abc", max_size=40))
def test_returns_are_there_and_do_not_overlap(keys: str):
    found, chances = returns_of(keys)
    assert sum(one.bars for one in found) + chances - len(found) <= max(len(keys) - 1, 0)
    assert all(2 <= one.bars <= 16 and 1 <= one.back <= 32 for one in found)


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
    certain = LoopTable(model.loops.reached, {}, {Return(4, 4): 1.0})
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
