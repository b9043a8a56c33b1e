"""Brakes on tokens against a slow reading of their definition, the loop guard, and refused bars."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cadenza.base.errors import ConfigError, ModelError
from cadenza.infer.choose import Chooser, Decoding, Refused
from cadenza.infer.generate import take_all, to_continue
from cadenza.infer.loops import LoopGuard, LoopTable, default_table, key_of, times_near, times_round
from cadenza.infer.model import load_model
from cadenza.infer.repetition import MAX_MATCH, Brakes, followers
from cadenza.infer.sample import Sampling, probabilities
from cadenza.infer.window import theme_of
from cadenza.infer.write import Manner
from tests.rooms.infer.seeds import all_seeds
from tests.rooms.infer.tiny import write_composer

NONE: frozenset[int] = frozenset()


def slow_followers(history: list[int], breakers: frozenset[int]) -> dict[int, int]:
    """By definition: for each earlier place, how far back it matches the end."""
    out: dict[int, int] = {}
    for at in range(len(history) - 1):
        length = 0
        while length <= at and history[at - length] == history[len(history) - 1 - length] and length < MAX_MATCH:
            if history[at - length] in breakers:
                break
            length += 1
        if length:
            out[history[at + 1]] = max(out.get(history[at + 1], 0), length)
    return out


@pytest.mark.parametrize("breakers", [NONE, frozenset({0})])
def test_followers_are_those_of_the_definition(breakers: frozenset[int]) -> None:
    rng = np.random.default_rng(1)
    for length in (0, 1, 2, 3, 30, 200):
        for n_kinds in (1, 2, 5):
            history = rng.integers(0, n_kinds, length)
            assert followers(history, breakers) == slow_followers(history.tolist(), breakers)


def test_dry_grows_with_the_match_and_stops_at_breakers() -> None:
    brakes = Brakes(dry=0.8)
    tokens, amounts = brakes.penalties(np.array([1, 2, 3, 4, 9, 1, 2, 3]), NONE)
    assert dict(zip(tokens.tolist(), amounts.tolist(), strict=True)) == {4: pytest.approx(0.8 * 1.75)}
    assert not len(brakes.penalties(np.array([1, 2, 3, 4, 9, 1, 2, 3]), frozenset({2}))[0])  # a match of one token
    assert not len(brakes.penalties(np.array([1, 2, 3, 1, 2]), frozenset({3}))[0])  # a breaker is never punished


def test_no_repeat_forbids_what_would_complete_an_n_gram_and_nothing_else() -> None:
    tokens, amounts = Brakes(no_repeat=3).penalties(np.array([1, 2, 3, 2, 1, 2]), NONE)
    assert tokens.tolist() == [3]
    assert amounts.tolist() == [math.inf]


@pytest.mark.parametrize("options", [{"dry": -1}, {"dry_base": 0.5}, {"dry_allowed": 0}, {"no_repeat": 1}])
def test_brakes_out_of_range(options) -> None:
    with pytest.raises(ConfigError):
        Brakes(**options)


def test_typical_keeps_what_is_about_as_surprising_as_expected() -> None:
    weights = np.array([0.5, 0.2, 0.2, 0.1])
    found = probabilities(np.log(weights), None, Sampling(typical_p=0.35))
    entropy = -(weights * np.log(weights)).sum()
    nearest = np.argsort(abs(-np.log(weights) - entropy))[:2]
    assert set(np.flatnonzero(found)) == set(nearest.tolist())
    np.testing.assert_allclose(found[nearest], weights[nearest] / weights[nearest].sum())


def drawn(chooser: Chooser, logits: np.ndarray, allowed: np.ndarray, **keys) -> int:
    """What is chosen where nothing but the logits is seen."""
    try:
        next(chooser.next(SimpleNamespace(logits=logits, ids=[]), allowed, **keys))
    except StopIteration as end:
        return end.value
    raise AssertionError("it asked for another step")


def test_a_refused_bar_is_unlikely_and_its_end_forbidden_as_long_as_there_is_another_way() -> None:
    refused = Refused().also([5, 6, 7])
    assert refused.penalties([]) == {5: 1.0}
    assert refused.penalties([5]) == {6: 1.0}
    assert refused.penalties([5, 6]) == {7: math.inf}
    assert refused.penalties([6]) == {}
    assert refused.also([5, 9]).penalties([5]) == {6: 2.0, 9: math.inf}
    chooser = Chooser(Decoding(Sampling(temperature=0)), np.random.default_rng(0), NONE)
    logits = np.array([0.0, 9.0, 1.0], np.float32)
    assert drawn(chooser, logits, np.array([1, 2]), written=[4], refused=Refused().also([4, 1])) == 2
    assert drawn(chooser, logits, np.array([1]), written=[4], refused=Refused().also([4, 1])) == 1
    assert logits.tolist() == [0.0, 9.0, 1.0]
    # Of the second draw nothing was to choose.
    assert chooser.log2_likelihood == pytest.approx(math.log2(math.e**1 / (math.e**9 + math.e**1)))


# ── bars ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_comes_round() -> None:
    assert times_round(list("abab"), 2) == 2
    assert times_round(list("xababab"), 2) == 3
    assert times_round(list("aaaa"), 1) == 4
    assert times_round(list("aaaa"), 2) == 0  # that is one bar four times
    assert times_round(list("abc"), 1) == 1
    assert times_round(["a", "", ""], 1) == 0  # silence is no loop
    assert times_near(list("abcab")) == 1
    assert times_near([]) == 0
    assert key_of(" | i0 p40:v60:d12") == key_of(" | i0 p40:v90:d12") != key_of(" | i0 p41:v60:d12")
    assert key_of(" |") == ""


def test_the_table_says_where_a_corpus_stops() -> None:
    pieces = [list("abcdefgh"), list("aaabcdef"), ["", "", "a", "a"]]
    table = LoopTable.measured(pieces, {})
    n = 8 + 8 + 2
    assert table.reached["1"] == pytest.approx((1.0, 3 / n, 1 / n))
    assert table.reached["near"] == pytest.approx((1.0, 3 / n, 1 / n))
    assert [table.most("1", rare) for rare in (0.5, 0.1, 0.01)] == [2, 2, 3]
    guard = LoopGuard(table, rare=0.1)
    assert not guard.objects(list("xaa"))
    assert guard.objects(list("xaaa"))
    assert not LoopGuard(table, [list("bbbb")], rare=0.1).objects(list("xaaa"))  # the seed does it, too


def test_a_table_is_saved_and_the_shipped_one_opens(tmp_path: Path) -> None:
    table = replace(LoopTable.measured([list("aab")], {"of": "letters"}), recall_factor=1.5)
    table.save(tmp_path / "loops.json")
    again = LoopTable.load(tmp_path / "loops.json")
    assert again.about == table.about
    assert again.recall_factor == 1.5
    assert again.reached["1"] == pytest.approx(table.reached["1"], abs=1e-6)
    saved = json.loads((tmp_path / "loops.json").read_text())
    (tmp_path / "loops.json").write_text(json.dumps(saved | {"recall_factor": -1}))
    with pytest.raises(ModelError, match="negative"):
        LoopTable.load(tmp_path / "loops.json")
    (tmp_path / "loops.json").write_text(json.dumps({"reached": [1]}))
    with pytest.raises(ModelError, match=r"loops\.json"):
        LoopTable.load(tmp_path / "loops.json")
    assert default_table().about["bars"] > 1_000


class Stubborn:
    """A decoder that says the same whatever it reads: greedy, it writes one bar for ever."""

    def __init__(self, n_vocabulary: int) -> None:
        self.batch, self.max_length = 1, 4096
        self.logits = np.random.default_rng(3).normal(0, 1, (1, n_vocabulary)).astype(np.float32)

    def prefill(self, ids) -> np.ndarray:
        return self.logits

    def step(self, ids) -> np.ndarray:
        return self.logits


def test_greedy_with_the_guard_does_not_go_round_and_without_it_does(tmp_path: Path) -> None:
    model = load_model(write_composer(tmp_path / "model"))
    model = replace(model, decoder=Stubborn(len(model.vocabulary)))
    greedy = Sampling(temperature=0)

    def most_rounds(guard: bool) -> tuple[int, int]:
        manner = Manner(Decoding(greedy, guard=guard), model.loops)
        (take,) = take_all(all_seeds()["one note"], model, list(to_continue(model, 16)), manner, [0])
        keys = [key_of(bar) for bar in take.bars]
        return max(times_round(keys[:end], 1) for end in range(1, 17)), sum(take.refused.values())

    rounds, n_refused = most_rounds(guard=False)
    assert rounds >= 4
    assert n_refused == 0
    rounds, n_refused = most_rounds(guard=True)
    assert rounds <= 3
    assert n_refused


def test_the_theme_is_what_comes_back_earliest() -> None:
    bars = [f" | i0 p{pitch}" for pitch in (1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 9)]
    assert theme_of(bars) == (0, 4)
    assert theme_of([" |", *bars]) == (1, 5)
    assert theme_of(bars[:2]) == (0, 2)
    assert theme_of([]) == (0, 0)
