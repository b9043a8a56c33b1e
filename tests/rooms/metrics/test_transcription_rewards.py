"""Rewards of transcriptions: the laws of ours, and the faults of the published one, pinned."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cadenza import formats
from cadenza.base.errors import ConfigError, NotationError
from cadenza.metrics import abc_2024
from cadenza.metrics.base import METRICS
from cadenza.metrics.reward import REWARDS
from cadenza.metrics.score_reward import REWARD, WEIGHTS, ScoreReward
from cadenza.notation.abc import Abc
from cadenza.score.model import Score

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("waltz.mid", "chorale.mid", "riff.gp5")
SHORT = """X:1
M:4/4
L:1/8
Q:1/4=100
K:G
V:1
%%MIDI program 40
V:2
%%MIDI program 42
[V:1] GABc d2^F2|[V:2] G,4 D,4|
[V:1] d2B2 G4|[V:2] B,,4 G,,4|
"""


@cache
def truth(name: str) -> Score:
    """An example as ABC says it."""
    return Abc().decode(Abc().encode(formats.read(EXAMPLES / name)))


names = st.sampled_from(NAMES)


@cache
def places(name: str, lonely: bool = False) -> list[tuple[int, int]]:
    """(track, row) of the notes; ``lonely``: those that no octave of theirs sounds with."""
    score = truth(name)
    found = [(at, row) for at, track in enumerate(score.tracks) for row in range(len(track))]
    if not lonely:
        return found
    heard = {(int(t.notes["onset_ticks"][r]), int(t.notes["pitch"][r])) for t in score.tracks for r in range(len(t))}

    def alone(at: int, row: int) -> bool:
        note = score.tracks[at].notes[row]
        same = [(int(note["onset_ticks"]), int(note["pitch"]) + step) for step in (-24, -12, 12, 24)]
        return not any(place in heard for place in same)

    return [place for place in found if alone(*place)]


def changed(name: str, chosen: list[tuple[int, int]], column: str, change) -> Score:
    """The example with ``change`` done to a column of the chosen notes; of deletions, without them."""
    score = truth(name)
    tracks = []
    for at, track in enumerate(score.tracks):
        rows = [row for where, row in chosen if where == at]
        if not column:
            tracks.append(track.keep(~np.isin(np.arange(len(track)), rows)))
            continue
        notes = track.notes.copy()
        notes[column][rows] = change(notes[column][rows], score.ticks_per_quarter)
        tracks.append(replace(track, notes=notes, bends=track.bends[:0], beats=track.beats[:0]))
    return replace(score, tracks=tuple(tracks))


def test_registered():
    assert set(REWARDS.parts()) >= {"score", "abc-2024"}
    assert REWARDS.load("score") is REWARD
    assert "score-reward" in METRICS.parts()


@pytest.mark.parametrize("name", NAMES)
def test_right_is_one_and_empty_is_nought(name):
    text = Abc().encode(truth(name))
    verdict = REWARD(text, text)
    assert verdict.total == pytest.approx(1)
    assert all(value == pytest.approx(1) for value in verdict.terms.values())
    header = text[: text.index("[V:1]")]
    for nothing in ("", "I'm sorry, I cannot hear audio.", header, header + "[V:1]z4|"):
        assert REWARD(nothing, text).total == 0
    columns = METRICS.load("score-reward")(ref=truth(name), est=truth(name))
    assert columns["reward"] == pytest.approx(1)
    assert columns["reward_tempo_octave"] == 0


CORRUPTIONS = {
    "deleted": ("", None, False),
    "an octave up": ("pitch", lambda pitch, quarter: pitch + 12, True),
    "shorter": ("duration_ticks", lambda ticks, quarter: np.maximum(ticks // 3, 1), False),
    # A seventh of a quarter lies beyond the tolerance and on nobody's grid.
    "late": ("onset_ticks", lambda ticks, quarter: ticks + quarter * 4 // 7, False),
}


@pytest.mark.parametrize("kind", CORRUPTIONS)
@settings(max_examples=25, deadline=None)
@given(name=names, seed=st.integers(0, 2**32 - 1), steps=st.integers(2, 6))
def test_the_more_is_wrong_the_less_it_pays(kind, name, seed, steps):
    column, change, lonely = CORRUPTIONS[kind]
    order = np.random.default_rng(seed).permutation(places(name, lonely))
    sizes = sorted({*np.linspace(0, len(order), steps + 1).round().astype(int).tolist(), 1})
    if kind == "deleted":
        sizes = [n for n in sizes if n < len(order)]
    paid = [
        REWARD.of_scores(truth(name), changed(name, [tuple(p) for p in order[:n].tolist()], column, change)).total
        for n in sizes
    ]
    assert paid[0] == pytest.approx(1)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(paid))
    assert paid[1] < 1
    if kind == "deleted":  # every right note counts
        assert all(later < earlier for earlier, later in pairwise(paid))


@pytest.mark.parametrize("name", NAMES)
def test_a_voice_that_is_missing_or_invented_costs(name):
    score = truth(name)
    whole = REWARD.of_scores(score, score).total
    for at in range(len(score.tracks)):
        rest = replace(score, tracks=score.tracks[:at] + score.tracks[at + 1 :])
        twice = replace(score, tracks=(*score.tracks, score.tracks[at]))
        assert REWARD.of_scores(score, rest).total < whole
        assert REWARD.of_scores(score, twice).total < whole


@pytest.mark.parametrize("line", ["M:", "Q:", "%%MIDI", "V:2"])
def test_a_header_that_is_missing_costs(line):
    less = "".join(one for one in SHORT.splitlines(True) if not one.startswith(line))
    assert less != SHORT
    assert REWARD(less, SHORT).total < REWARD(SHORT, SHORT).total == pytest.approx(1)
    assert REWARD(SHORT.replace("K:G\n", ""), SHORT).total < 1


def test_defaults_do_not_pay():
    """A piano in 4/4 at 120 in C, of which the answer says nothing: the notes alone are paid."""
    said = "X:1\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\nV:1\n%%MIDI program 0\n[V:1]CDEF|\n"
    unsaid = "X:1\nL:1/4\nK:C\n[V:1]CDEF|\n"
    terms = REWARD(unsaid, said).terms
    assert (terms["metre"], terms["tempo"], terms["instruments"]) == (0, 0, 0)
    assert terms["notes"] == 1


@pytest.mark.parametrize(
    "other",
    [
        SHORT.replace("|\n", "||\n"),
        SHORT.replace("|[V:2]", "|]\n[V:2]"),
        SHORT.replace("^F", "_G").replace("G4|[V:2]", "=G4|[V:2]"),
        SHORT.replace("L:1/8", "L:1/16").replace("GABc d2^F2", "G2A2B2c2 d4^F4").replace("G,4 D,4", "G,8 D,8")
        .replace("d2B2 G4", "d4B4 G8").replace("B,,4 G,,4", "B,,8 G,,8"),
        re.sub(r"(\[V:1\].*\|)(\[V:2\].*\|)", r"\2\1", SHORT),
        SHORT.replace("V:1", "V:x").replace("V:2", "V:1").replace("V:x", "V:2"),
    ],
)  # fmt: skip
def test_what_sounds_alike_pays_alike(other):
    assert other != SHORT
    assert REWARD(other, SHORT).total == pytest.approx(1)
    assert REWARD(SHORT, other).total == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(name=names, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_voices_is_nobodys_business(name, seed):
    rng = np.random.default_rng(seed)
    score = truth(name)
    chosen = [tuple(place) for place in rng.permutation(places(name))[: len(places(name)) // 3].tolist()]
    answer = changed(name, chosen, "pitch", lambda pitch, quarter: pitch + 1)
    order = rng.permutation(len(answer.tracks))
    mixed = replace(answer, tracks=tuple(answer.tracks[at] for at in order))
    assert REWARD.of_scores(score, mixed).total == pytest.approx(REWARD.of_scores(score, answer).total)


def test_tempo_metre_key_and_instruments_have_their_credit():
    def terms(old: str, new: str) -> dict[str, float]:
        return dict(REWARD(SHORT.replace(old, new), SHORT).terms)

    assert terms("1/4=100", "1/4=200")["tempo"] == pytest.approx(0.5)
    assert terms("1/4=100", "1/4=50")["tempo"] == pytest.approx(0.5)
    near, far = terms("1/4=100", "1/4=104")["tempo"], terms("1/4=100", "1/4=112")["tempo"]
    assert 1 > near > far > 0
    assert terms("M:4/4", "M:2/2")["metre"] == 0.5
    assert terms("M:4/4", "M:3/4")["metre"] == 0
    assert terms("program 40", "program 41")["instruments"] == pytest.approx(0.75)
    assert terms("program 40", "program 0")["instruments"] == pytest.approx(0.5)
    assert terms("K:G", "K:Em")["key"] == pytest.approx(0.3)
    octave = REWARD(SHORT.replace("1/4=100", "1/4=200"), SHORT).values
    assert octave["tempo_octave"] == 1


def test_weights_are_configuration():
    only = ScoreReward({"notes": 1.0})
    assert only(SHORT.replace("Q:1/4=100\n", ""), SHORT).total == 1
    with pytest.raises(ConfigError, match="notse"):
        ScoreReward({"notse": 1.0})
    with pytest.raises(ConfigError, match="above 0"):
        ScoreReward(dict.fromkeys(WEIGHTS, 0.0))
    with pytest.raises(NotationError):
        REWARD(SHORT, "no music")


def test_the_published_reward_keeps_its_faults():
    paid = lambda answer: abc_2024.REWARD(answer, SHORT).total  # noqa: E731
    assert paid(SHORT) == 1
    assert paid("") == pytest.approx(0.50)
    assert paid(SHORT.replace("GABc", "gabc'")) == 1  # wrong octave
    alone = SHORT.replace("V:2\n%%MIDI program 42\n", "").replace("[V:2] G,4 D,4|", "").replace("[V:2] B,,4 G,,4|", "")
    assert paid(alone) == 1  # a missing voice
    assert paid(SHORT.replace("GABc", "G4A2B/2c")) == 1  # wrong rhythm
    assert paid(SHORT.replace("1/4=100", "1/4=240")) == 1  # wrong tempo
    assert paid("".join(one for one in SHORT.splitlines(True) if one[0] == "[")) == 1  # no header
    assert paid(SHORT.replace("^F", "^C")) == 1  # accidentals are all one
    wrong = paid("X:1\nM:4/4\nK:C\n[V:1]ccc eee|ggg aaa|")
    assert 0.5 <= wrong < 0.65, wrong  # an honest attempt pays little more than silence
    numbers = SHORT.replace("1/4=100", "100")
    jump = [abc_2024.REWARD(numbers.replace("Q:100", f"Q:{100 + d}"), numbers).total for d in (10, 11)]
    assert jump[0] == pytest.approx(1 - 0.15 * 0.25)
    assert jump[1] < 1 - 0.15 * 0.5
