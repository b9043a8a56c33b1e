"""Repetition of any sequence against the definitions written out; of bars; self-reinforcement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cadenza.base.errors import RangeError
from cadenza.metrics import repetition as r
from cadenza.metrics.base import METRICS
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.model import Note, Score, Track

sequences = st.lists(st.integers(0, 4), max_size=40).map(lambda x: np.array(x, np.int64))


@given(sequences, st.integers(1, 4))
def test_rep_n_is_its_definition(sequence, n):
    grams = [tuple(sequence[i : i + n].tolist()) for i in range(len(sequence) - n + 1)]
    found = r.rep_n(sequence, n)
    assert found == (pytest.approx(1 - len(set(grams)) / len(grams)) if grams else None)


@given(sequences, st.integers(1, 8))
def test_rep_w_is_its_definition(sequence, window):
    if len(sequence):
        seen = [x in sequence[max(0, i - window) : i] for i, x in enumerate(sequence)]
        assert r.rep_w(sequence, window) == pytest.approx(np.mean(seen))


@given(sequences)
def test_rep_r_is_its_definition(sequence):
    pairs = list(zip(sequence[:-1].tolist(), sequence[1:].tolist(), strict=True))
    inside = [any(0 <= j < len(pairs) and pairs.count(pairs[j]) > 1 for j in (i - 1, i)) for i in range(len(sequence))]
    assert r.rep_r(sequence) == (pytest.approx(np.mean(inside)) if len(sequence) else None)


@given(sequences, st.integers(1, 6))
def test_longest_loop_is_a_loop_and_the_longest(sequence, most):
    def copies(start: int, period: int) -> int:
        n = 1
        while np.array_equal(sequence[start : start + period], sequence[start + n * period : start + (n + 1) * period]):
            n += 1
        return n

    every = [
        n * p for p in range(1, min(most, len(sequence) // 2) + 1) for s in range(len(sequence) - 2 * p + 1)
        if (n := copies(s, p)) > 1
    ]  # fmt: skip
    found = r.longest_loop(sequence, most)
    assert found.length == max(every, default=0)
    if found.length:
        assert copies(found.start, found.period) == found.copies


def test_ends_in_loop():
    one = np.array
    assert r.ends_in_loop(one([9, 8, 1, 2, 1, 2, 1, 2, 1, 2]), 8)
    assert r.ends_in_loop(one([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1]), 8)  # a copy cut off
    assert not r.ends_in_loop(one([9, 8, 1, 2, 1, 2, 1, 2]), 8)  # three copies
    assert not r.ends_in_loop(one([1, 1, 1, 1, 5]), 8)  # it went on
    assert not r.ends_in_loop(one([], np.int64), 8)


def test_windows_make_lengths_comparable():
    rng = np.random.default_rng(0)
    short, long = rng.integers(0, 50, 64), rng.integers(0, 50, 2000)
    whole = [r.rep_n(x, 1) for x in (short, long)]
    cut = [r.in_windows(lambda part: r.rep_n(part, 1), x, 64) for x in (short, long)]
    assert whole[1] - whole[0] > 0.3
    assert abs(cut[1] - cut[0]) < 0.1
    assert r.in_windows(lambda part: r.rep_n(part, 1), short[:10], 64) is None


def bars(*kinds: int) -> Score:
    return Score(
        (Track.of([Note(1920 * i + 480 * j, 480, 60 + k + j) for i, k in enumerate(kinds) for j in range(4)]),)
    )


def test_bars_of_a_score():
    metric = METRICS.load("repetition")
    assert metric(est=bars(*range(8)))["rep_1_bars"] == 0
    found = metric(est=bars(0, 1, 0, 1, 0, 1, 0, 1))
    assert found["rep_1_bars"] == pytest.approx(6 / 8)
    assert found["rep_2_bars"] == pytest.approx(5 / 7)
    assert found["rep_r_bars"] == 1
    assert found["loop_bars"] == 8
    assert found["ends_in_loop"] == 1
    assert "rep_1_bars_in_16" not in found
    assert metric(est=bars(*[0, 1] * 8))["rep_1_bars_in_16"] == pytest.approx(14 / 16)


def test_velocity_does_not_make_a_bar_new_and_the_track_does():
    a = Track.of([Note(0, 480, 60, 40), Note(1920, 480, 60, 90)])
    b = Track.of([Note(0, 480, 60)]), Track.of([Note(1920, 480, 60)])
    metric = METRICS.load("repetition")
    assert metric(est=Score((a,)))["rep_1_bars"] == 0.5
    assert metric(est=Score(b))["rep_1_bars"] == 0


def test_tokens():
    notation = SimplifiedMidi()
    metric = METRICS.load("repetition-tokens")
    looped = metric(est=notation.encode(bars(*[0] * 20)), notation=notation)
    varied = metric(est=notation.encode(bars(*range(20))), notation=notation)
    assert looped["rep_4_tokens"] > varied["rep_4_tokens"] + 0.1
    assert looped["loop_tokens"] > 100
    broken = metric(est=notation.encode(bars(0, 1)) + " §§ ", notation=notation)
    assert broken["rep_1_tokens"] > 0


def test_self_reinforcement():
    p = [[0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.5, 0.4], [0.9, 0.8, 0.7, 0.6]]
    top = [[False] * 4, [True, True, True, True], [True, True, False, True]]
    found = r.self_reinforcement(p, top)
    assert found.tp == pytest.approx([0.25, 0.3, 0.75])
    assert found.ip == pytest.approx([0, 0.5, 1])
    assert found.wr == pytest.approx([0, 0.5, 0.75])
    with pytest.raises(RangeError):
        r.self_reinforcement(p, top[:2])
