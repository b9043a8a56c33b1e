"""Continuations by a model with random weights: the grammar and the masks alone must make them sound."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks.continuations import faults, reopened
from cadenza.base.errors import ConfigError, RangeError
from cadenza.infer.generate import MAX_BARS, continue_score
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.sample import Sampling
from cadenza.score.model import Metre, Note, Score, Track
from cadenza.score.time import bar_table, bar_ticks, metre_at
from tests.rooms.infer.seeds import all_seeds
from tests.rooms.infer.tiny import write_composer

SEEDS = all_seeds()


@pytest.fixture(scope="module")
def composer(tmp_path_factory) -> ComposerModel:
    return load_model(write_composer(tmp_path_factory.mktemp("composer")))


def checked(seed: Score, composer: ComposerModel, folder: Path, bars: int = 2, **options):
    take = continue_score(seed, composer, bars=bars, **options)
    assert faults(seed, take) == []
    before, after = bar_table(seed), bar_table(take.score)
    assert len(after) == len(before) + bars
    metre = metre_at(seed, int(before.starts_ticks[-1]))
    full = bar_ticks(metre, seed.ticks_per_quarter)
    assert take.score.length_ticks == take.start_ticks + bars * full
    assert {int(n) for n in (after.ends_ticks - after.starts_ticks)[len(before) :]} == {full}
    assert take.n_notes == take.score.n_notes - seed.n_notes
    assert reopened(take, folder) == []
    return take


@pytest.mark.parametrize("name", SEEDS)
def test_every_seed_is_continued_soundly(name: str, composer: ComposerModel, tmp_path: Path) -> None:
    for random_seed in range(5):
        checked(SEEDS[name], composer, tmp_path, random_seed=random_seed)


def test_a_seed_gives_the_same_music_and_another_gives_other(composer: ComposerModel) -> None:
    seed = SEEDS["band"]
    first, again, other = (continue_score(seed, composer, bars=2, random_seed=n) for n in (3, 3, 4))
    assert first.score == again.score
    assert first.bars == again.bars
    assert first.score != other.score


def test_temperature_zero(composer: ComposerModel, tmp_path: Path) -> None:
    greedy = Sampling(temperature=0)
    takes = [checked(SEEDS["guitar"], composer, tmp_path, sampling=greedy, random_seed=n) for n in (1, 2)]
    assert takes[0].score == takes[1].score


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_other_temperatures(temperature: float, composer: ComposerModel, tmp_path: Path) -> None:
    checked(SEEDS["band"], composer, tmp_path, sampling=Sampling(temperature=temperature), random_seed=5)


@pytest.mark.parametrize("context_tokens", [32, 64, 256])
@pytest.mark.parametrize("name", ["guitar", "band", "twenty tracks"])
def test_the_window_opens_anew_however_small_it_is(context_tokens: int, name: str, tmp_path: Path) -> None:
    small = load_model(write_composer(tmp_path / "model", context_tokens))
    checked(SEEDS[name], small, tmp_path, bars=40, random_seed=1)
    checked(SEEDS[name], small, tmp_path, bars=1, random_seed=1)


def test_what_goes_on_in_a_continuation_can_be_continued(composer: ComposerModel, tmp_path: Path) -> None:
    score = SEEDS["change of metre"]
    for turn in range(4):
        score = checked(score, composer, tmp_path, random_seed=turn).score


def test_bars_are_reported_as_they_are_done(composer: ComposerModel) -> None:
    seen: list[int] = []
    continue_score(SEEDS["16/4"], composer, bars=3, on_bar=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("bars", [0, -1, MAX_BARS + 1])
def test_too_few_or_many_bars(bars: int, composer: ComposerModel) -> None:
    with pytest.raises(ConfigError, match="bars"):
        continue_score(SEEDS["guitar"], composer, bars=bars)


@pytest.mark.parametrize(
    "seed",
    [
        Score(),
        Score((Track(),), length_ticks=1920),
        Score((Track.of([Note(0, 480, 60)]),), metres=(Metre(0, 17, 64),)),
        Score((Track.of([Note(0, 480, 60)]),), metres=(Metre(0, 3, 1),)),
    ],
)
def test_seeds_that_cannot_be_continued_are_refused(seed: Score, composer: ComposerModel) -> None:
    with pytest.raises(RangeError):
        continue_score(seed, composer)


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="exporting a graph needs the package onnx")
def test_the_exported_graph_composes_too(tmp_path: Path) -> None:
    from cadenza.model.graph import export

    folder = write_composer(tmp_path / "model")
    export(folder, "int8")
    model = load_model(folder)
    assert type(model.decoder).__name__ == "Engine"
    take = checked(SEEDS["band"], model, tmp_path, random_seed=2)
    assert take.score == checked(SEEDS["band"], model, tmp_path, random_seed=2).score
