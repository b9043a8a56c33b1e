"""The verb from Python: takes, ranker, wishes, originality, long pieces."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cadenza.base.errors import ConfigError, FormatError, ModelError
from cadenza.infer import names
from cadenza.infer.compose import compose
from cadenza.infer.controls import CONTROLS, Controls, obedience
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.original import TOO_COMMON, BarShare, Originality, told
from cadenza.infer.prompt import read_seed
from cadenza.infer.rank import Ranker, columns_of, default_ranker, likeness, seed_and_part
from cadenza.metrics.originality import OriginalityIndex, passage_hashes
from cadenza.metrics.view import notes_of
from cadenza.notation.simplified.grammar import SimplifiedState
from cadenza.score.edit import select_bars
from cadenza.score.model import Key, Note, Score, Track
from cadenza.score.time import bar_table
from tests.rooms.infer.seeds import all_seeds
from tests.rooms.infer.tiny import write_composer

SEEDS = all_seeds()


@pytest.fixture(scope="module")
def composer(tmp_path_factory) -> ComposerModel:
    return load_model(write_composer(tmp_path_factory.mktemp("composer"), context_tokens=1024))


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> ComposerModel:
    """A model with hardly an opinion, which wishes can move."""
    return load_model(write_composer(tmp_path_factory.mktemp("flat"), context_tokens=1024, spread=0.05))


def test_takes_differ_are_ranked_and_come_again(composer: ComposerModel) -> None:
    seen: list[tuple[int, int]] = []
    takes = compose(SEEDS["guitar"], model=composer, bars=2, takes=3, random_seed=4, on_bar=lambda *at: seen.append(at))
    assert [one.rating for one in takes] == sorted((one.rating for one in takes), reverse=True)
    assert {one.random_seed for one in takes} == {4, 5, 6}
    assert all(likeness(a.score, b.score) < 1 for a, b in pairwise(takes))
    assert sorted(seen) == [(take, bar) for take in range(3) for bar in (1, 2)]
    (again,) = compose(SEEDS["guitar"], model=composer, bars=2, random_seed=takes[1].random_seed)
    assert again.score == takes[1].score


def test_nearly_equal_takes_are_drawn_again(composer: ComposerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from cadenza.infer import compose as module

    monkeypatch.setattr(module, "likeness", lambda one, other: 1.0)
    takes = compose(SEEDS["guitar"], model=composer, bars=1, takes=2)
    assert sorted(one.random_seed for one in takes) == [0, 1 + 2 * module.SEED_STRIDE]


def test_the_ranker_prefers_what_goes_on_like_people() -> None:
    ranker = default_ranker()
    assert ranker.about["n"] >= 100
    scale = {"pitch_class_overlap_seed": (0.8, 0.1), "groove_consistency": (0.9, 0.05)}
    small = Ranker(scale, {})
    best = {"pitch_class_overlap_seed": 0.8, "groove_consistency": 0.9}
    assert small.score(best) == 100
    assert small.score(best | {"groove_consistency": 0.8}) == pytest.approx(100 / 2)
    assert small.score(best | {"groove_consistency": 0.0}) == pytest.approx(100 / 2.5)  # cut at three spreads
    assert small.score({}) == 0
    seed = SEEDS["band"]
    assert columns_of(seed, Score()) == {}
    same = columns_of(seed, seed)
    assert [same["pitch_class_overlap_seed"], same["rhythm_overlap_seed"]] == pytest.approx([1, 1])
    with pytest.raises(ModelError):
        Ranker.load(Path("none.json"))


def test_the_written_part_and_what_stood_before() -> None:
    piece = SEEDS["band"]
    table = bar_table(piece)
    start, stop = int(table.starts_ticks[2]), int(table.ends_ticks[3])
    before, part = seed_and_part(piece, [(1, start, stop), (2, start, stop)])
    assert before == select_bars(0, 2)(piece)
    assert [len(track) for track in part.tracks] == [0, *(len(select_bars(2, 4)(piece).tracks[i]) for i in (1, 2)), 0]
    rest, _ = seed_and_part(piece, [(1, 0, stop)])
    assert rest is not None
    assert [len(track) for track in rest.tracks] == [len(t) if i != 1 else 0 for i, t in enumerate(piece.tracks)]


# ── wishes ───────────────────────────────────────────────────────────────────────────────────────────────


def pitches(score: Score, from_ticks: int) -> np.ndarray:
    return np.concatenate([
        t.notes["pitch"][t.notes["onset_ticks"] >= from_ticks] for t in score.tracks if not t.is_drums
    ])  # fmt: skip


def test_range_and_strict_key_hold(composer: ComposerModel) -> None:
    seed = SEEDS["band"]
    (one,) = compose(seed, model=composer, bars=3, key="Eb", strict_key=True, low="E2", high=64)
    found = pitches(one.score, one.take.start_ticks)
    assert len(found)
    assert found.min() >= 40
    assert found.max() <= 64
    assert set((found % 12).tolist()) <= {3, 5, 7, 8, 10, 0, 2}
    assert one.unmet == ()


KEYS = Score((Track.of([Note(240 * i, 240, 60 + (0, 4, 7, 4)[i % 4]) for i in range(32)], program=0),))


def test_a_soft_key_and_density_pull(flat: ComposerModel) -> None:
    seed = KEYS

    def share_outside(**wishes) -> float:
        (one,) = compose(seed, model=flat, bars=6, **wishes)
        found = pitches(one.score, one.take.start_ticks) % 12
        return float(np.mean(~np.isin(found, [0, 2, 4, 5, 7, 9, 11])))

    assert share_outside(key="C") < share_outside() / 2
    notes = [compose(seed, model=flat, bars=6, density=d)[0].take.n_notes / 6 for d in (3, 12)]
    assert notes == pytest.approx([3, 12], rel=0.5)


def test_nearness_adds_to_what_followed_in_the_seed(flat: ComposerModel) -> None:
    prompt = read_seed(KEYS, flat)
    wish = Controls(nearness=-0.5).wish(flat, prompt, Controls().rules(prompt))
    bar = flat.vocabulary.tokenize(prompt.bars[0].strip())
    state = SimplifiedState(flat.notation)
    for n_tokens, amount in ((2, 0.5), (4, 1.5), (8, 3.0)):
        found = wish(state, bar[:n_tokens])
        assert found is not None
        assert dict(zip(*map(np.ndarray.tolist, found), strict=True))[bar[n_tokens]] == -amount


def test_what_is_not_met_is_said() -> None:
    score = Score((Track.of([Note(480 * i, 480, 61) for i in range(8)]),))
    part = [(0, 0, 2 * 1920)]
    assert Controls(key=Key(0, 5)).unmet(score, part, 2) == []
    assert "key: 0%" in Controls(key=Key(0, 0)).unmet(score, part, 2)[0]
    assert Controls(density=4.5).unmet(score, part, 2) == []
    assert "density: 4.0" in Controls(density=8).unmet(score, part, 2)[0]


def test_tempo_metre_seconds_and_tuning(composer: ComposerModel) -> None:
    seed = SEEDS["guitar"]
    (one,) = compose(seed, model=composer, seconds=6.2, tempo=120, metre="3/4")
    end = seed.length_ticks
    assert [(t.onset_ticks, t.quarters_per_minute) for t in one.score.tempos] == [(0, 97.5), (end, 120.0)]
    assert one.score.length_ticks == end + 4 * 1440
    (one,) = compose(new="guitar,bass,drums", model=composer, bars=2, tuning="drop-d", tempo=150)
    assert [track.tuning[-1:] for track in one.score.tracks] == [(38,), (26,), ()]
    assert one.score.tempos[0].quarters_per_minute == 150


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"takes": 0}, "takes"),
        ({"infill": "2", "accompany": "bass"}, "one task"),
        ({"infill": "2", "bars": 4}, "bars"),
        ({"bars": 4, "seconds": 3}, "both"),
        ({"new": "bass"}, "both"),
        ({"accompany": "bass", "tracks": "1"}, "tracks"),
        ({"low": 100, "high": 101}, "instrument"),
        ({"low": 60, "high": 50}, "range"),
        ({"strict_key": True}, "key"),
        ({"density": 0}, "density"),
        ({"nearness": 2}, "nearness"),
        ({"tracks": "kazoo"}, "tracks"),
        ({"seconds": -1}, "seconds"),
    ],
)
def test_wishes_that_do_not_go(options, said, composer: ComposerModel) -> None:
    with pytest.raises(ConfigError, match=said):
        compose(SEEDS["guitar"], model=composer, **options)


def test_the_list_of_controls_and_its_measures() -> None:
    measured = obedience()
    known = {part for name in CONTROLS for part in name.split(", ")}
    assert set(measured) <= known
    assert all(0 <= row["met"] <= row["runs"] for row in measured.values())


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────


def test_names() -> None:
    assert names.key("Em") == Key(0, 1, "minor")
    assert names.key("f#") == Key(0, 6)
    assert names.key("Bb minor") == Key(0, -5, "minor")
    assert names.tonic_of(names.key("Bbm")) == 10
    assert names.classes_of(names.key("Am")) == {9, 11, 0, 2, 4, 5, 7, 8}
    assert (names.pitch("E2"), names.pitch("C4"), names.pitch("64"), names.pitch("bb3")) == (40, 60, 64, 58)
    assert names.bars("5-8") == (4, 8)
    assert names.bars("3") == (2, 3)
    assert (names.metre("7/8").numerator, names.metre("7/8").denominator) == (7, 8)
    assert [t.is_drums for t in names.instruments("bass, drums,27")] == [False, True, False]
    assert names.tuned(names.instrument("guitar"), "D2 A2 D3 G3 B3 E4").tuning == (64, 59, 55, 50, 45, 38)
    assert names.tracks_of(SEEDS["band"], "bass,4,Gtr 0") == (0, 1, 3)
    for function, wrong in (
        (names.key, "H"), (names.key, "Fbm"), (names.metre, "4/5"), (names.pitch, "X"), (names.bars, "4-2"),
        (names.bars, "0"), (names.instruments, ","), (names.instrument, "200"), (names.instrument, "gitar"),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            function(wrong)


# ── originality and length ───────────────────────────────────────────────────────────────────────────────


def test_a_copy_is_drawn_again(composer: ComposerModel, tmp_path: Path) -> None:
    seed = SEEDS["guitar"]
    (free,) = compose(seed, model=composer, bars=6, random_seed=1)
    index = OriginalityIndex.of([free.score], human_run=5)
    bound = replace(composer)
    bound.__dict__["originality"] = Originality.of(index)
    assert bound.originality is not None
    assert bound.originality.max_run == 12
    (one,) = compose(seed, model=bound, bars=6, random_seed=1)
    assert sum(one.take.refused.values())
    assert one.original["copied_run"] < sum("p" in bar for bar in free.take.bars) * 100
    assert one.score != free.score


BAR_SHARE = BarShare(mean=0.2, base=0.1, slope=0.5)


def test_the_share_of_common_bars_follows_the_seed() -> None:
    assert BAR_SHARE.after(8, 4) == pytest.approx(0.35)
    assert BAR_SHARE.after(3, 3) == 0.2  # too few bars to tell
    assert BarShare(0.2, 0.9, 0.9).after(8, 8) == 1.0
    assert BarShare.read({"mean": 0.2, "base": 0, "slope": 1}) == BarShare(0.2, 0.0, 1.0)
    for wrong in (None, {}, {"mean": 0.2, "base": 0.1}, {"mean": 2, "base": 0, "slope": 0}, [0.1, 0.2, 0.3]):
        with pytest.raises(FormatError, match="mean, base, slope"):
            BarShare.read(wrong)


def test_common_bars_are_counted_and_the_account_is_kept(composer: ComposerModel) -> None:
    prompt = read_seed(SEEDS["one note"], composer)
    word = prompt.bars[0].split()[1]  # the track's word
    steps = ((6, 5), (7, 3), (2, 9), (4, 8), (5, 5))

    def bar(up: int, second: int) -> str:
        return f" | {word} p60:v64:d6:t6 p{60 + up}:t6 p{60 + up + second}:t6 p50"

    common = [bar(up, second) for up, second in steps]
    index = OriginalityIndex.of([told(common, prompt, 24)])
    refuse = Originality(index, 1_000, BarShare(0.25, 0.25, 0)).objection(prompt, 24)
    own = [bar(1, second) for second in range(1, 9)]
    seed = list(prompt.bars)
    assert refuse([*seed, common[0]]) == ""  # one is in hand
    assert refuse([*seed, *common[:2]]) == TOO_COMMON
    assert refuse([*seed, common[0], *own[:6], common[1]]) == ""  # two of eight are a quarter
    assert refuse([*seed, common[0], common[0]]) == ""  # said again, not new
    assert refuse([*seed, common[0], common[0], common[1]]) == TOO_COMMON  # but it counts
    assert refuse([*seed, *common[:2], own[0]]) == ""  # what is the piece's own is never refused
    free = Originality(index, 1_000).objection(prompt, 24)
    assert free([*seed, *common]) == ""


def test_texts_are_read_for_onsets_and_pitches_as_the_notation_reads_them(composer: ComposerModel) -> None:
    prompt = read_seed(SEEDS["band"], composer)
    read = composer.notation.decode(prompt.header + "".join(prompt.bars).strip())
    found = told(prompt.bars, prompt, 24)
    for one, other in zip(found.tracks, read.tracks, strict=True):
        assert np.array_equal(one.notes["onset_ticks"], other.notes["onset_ticks"])
        assert np.array_equal(np.sort(one.notes["pitch"]), np.sort(other.notes["pitch"]))
    hashes = [np.sort(h) for score in (found, read) for h, _ in passage_hashes(notes_of(score).pitched)]
    half = len(hashes) // 2
    assert all(np.array_equal(a, b) for a, b in zip(hashes[:half], hashes[half:], strict=True))


def test_a_long_piece_keeps_its_theme_in_sight_and_its_memory_level(tmp_path: Path) -> None:
    small = load_model(write_composer(tmp_path / "model", context_tokens=256))
    seen: list[int] = []
    prefill = small.decoder.prefill
    small.decoder.prefill = lambda ids: (seen.append(len(ids)), prefill(ids))[1]  # type: ignore[method-assign]
    (one,) = compose(SEEDS["one note"], model=small, bars=64)
    assert len(one.take.bars) == 64
    assert len(seen) > 3
    assert max(seen) <= 256
