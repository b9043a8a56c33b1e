"""The tape reaches all that it says, evenly, and shrinks to the simplest."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from cadenza.score.model import Score
from tests.strategies import scores
from tests.tape import Tape
from tests.written_strategies import written_scores

SMALL = settings(database=None, max_examples=2_000, phases=[Phase.generate, Phase.shrink])


def noise(seed: int = 0) -> Tape:
    rng = random.Random(seed)
    return Tape(lambda _: rng.randbytes(32))  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1), (1, 6), (-8, 8), (-15, 19), (0, 127), (-300, 300), (-9, -2)])
def test_numbers_reach_both_ends_and_all_between(low: int, high: int) -> None:
    tape = noise()
    seen = Counter(tape.between(low, high) for _ in range(40 * (high - low + 1)))
    assert sorted(seen) == list(range(low, high + 1))


@pytest.mark.parametrize("n", [2, 3, 5, 13, 100, 700])
def test_numbers_are_about_as_likely(n: int) -> None:
    tape = noise(n)
    seen = Counter(tape.below(n) for _ in range(400 * n))
    assert len(seen) == n
    assert 280 < min(seen.values()) <= max(seen.values()) < 530


def test_noughts_are_the_simplest() -> None:
    tape = Tape(lambda _: bytes(32))  # type: ignore[arg-type]
    assert [tape.between(-5, 5), tape.between(3, 900), tape.between(-9, -2), tape.pick("abc")] == [0, 3, -2, "a"]
    assert not tape.one_in(2)
    assert tape.some(9, tape.byte) == []


def test_a_score_shrinks_to_what_matters() -> None:
    # Fixed draws: where shrinking ends depends on where it begins, and is not always the least.
    found = find(
        scores(), lambda score: any(len(track.bends) > 1 for track in score.tracks), settings=SMALL,
        random=random.Random(1),
    )  # fmt: skip
    assert len(found.tracks) <= 2
    assert found.n_notes <= 4
    written = find(written_scores(), lambda score: score.n_notes > 0, settings=SMALL, random=random.Random(1))
    assert len(written.tracks) <= 2
    assert written.n_notes <= 4


def test_every_kind_of_score_is_drawn() -> None:
    wanted = {
        "many tracks": lambda score: len(score.tracks) > 4,
        "drums": lambda score: any(track.is_drums and len(track) > 10 for track in score.tracks),
        "written guitars": lambda score: any(len(track.beats) > 5 and track.tuning for track in score.tracks),
    }
    missing = set(wanted)

    def all_seen(score: Score) -> bool:
        missing.difference_update([name for name in missing if wanted[name](score)])
        return not missing

    drawn = settings(SMALL, phases=[Phase.generate])
    find(scores(), all_seen, settings=drawn, random=random.Random(0))
    hours = scores(max_tracks=1, resolutions=(1,))
    find(hours, lambda score: score.length_ticks > 4_000, settings=drawn, random=random.Random(0))


def test_one_draw_holds_many_choices() -> None:
    blocks = []
    tape = Tape(lambda strategy: blocks.append(strategy) or bytes(32))  # type: ignore[arg-type, func-returns-value]
    for _ in range(64):
        tape.byte()
    assert len(blocks) == 2
    assert isinstance(blocks[0], st.SearchStrategy)
