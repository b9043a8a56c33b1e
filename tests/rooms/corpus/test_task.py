"""Tasks: what is given and what is asked make the passage, for every notation that tells music from left to right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.base.errors import ConfigError
from cadenza.corpus.family import families_of
from cadenza.corpus.open import texts_of
from cadenza.corpus.task import Length, Settings, accompany, continue_, cut, infill
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.edit import project
from cadenza.score.model import Metre, Note, Score, Tempo, Track
from cadenza.score.time import bar_table
from tests.strategies import scores

FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NOTATION = SimplifiedMidi(bars=True)


def song(n_bars: int = 20) -> Score:
    lead = Track.of([Note(480 * i, 480, 60 + i % 12) for i in range(4 * n_bars)], name="Lead")
    bass = Track.of([Note(1920 * i, 1920, 36 + i % 5) for i in range(n_bars)], name="Bass", program=33)
    return Score((lead, bass), tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),), length_ticks=1920 * n_bars)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@FEW
@given(scores(max_tracks=3, max_ticks=12_000))
def test_continuation_is_the_rest_of_the_text(score):
    options = Settings(NOTATION, Length(bars=6, context=0.3))
    passages = dict(cut(score, options))
    for example in continue_(score, options, rng()):
        passage = passages[example.first_bar]
        assert NOTATION.decode(example.prompt + example.completion) == project(passage, NOTATION.projection)
        assert example.prompt[-1] in " \n"
        assert example.n_notes >= 0


@FEW
@given(scores(max_tracks=3, max_ticks=12_000))
def test_passages_are_whole_bars_one_after_another(score):
    table = bar_table(score)
    options = Settings(NOTATION, Length(bars=3))
    found = list(cut(score, options))
    for first, passage in found:
        assert first % 3 == 0
        assert len(bar_table(passage)) <= 3 or score.length_ticks == 0
        assert passage.n_notes
    inside = sum(passage.n_notes for _, passage in found)
    assert inside <= score.n_notes
    assert all(first < len(table) for first, _ in found)


def test_length_in_seconds_and_words():
    by_seconds = list(cut(song(), Settings(NOTATION, Length(bars=None, seconds=7.0))))
    assert [(first, len(bar_table(passage))) for first, passage in by_seconds] == [(i, 3) for i in range(0, 18, 3)] + [
        (18, 2)
    ]
    by_words = list(cut(song(), Settings(NOTATION, Length(bars=None, words=60))))
    assert len(by_words) > 2
    for first, passage in by_words:
        assert len(NOTATION.encode(passage).split()) <= 60
        assert first == 0 or passage.n_notes


def test_overlap_gives_context():
    found = [first for first, _ in cut(song(12), Settings(NOTATION, Length(bars=4, overlap=0.5)))]
    assert found == [0, 2, 4, 6, 8]


def test_infill_gives_all_but_the_middle():
    for example in infill(song(), Settings(NOTATION, Length(bars=8)), rng()):
        before, after, middle = (NOTATION.decode(text) for text in texts_of({"task": "infill", **example.record()}))
        start, count = example.detail["bars"]
        assert [len(bar_table(part)) for part in (before, middle, after)] == [
            start,
            count,
            example.n_bars - start - count,
        ]
        assert before.n_notes + after.n_notes + middle.n_notes == 5 * example.n_bars
        assert example.n_notes == middle.n_notes


def test_accompaniment_asks_for_one_track():
    seen = set()
    for seed in range(8):
        for example in accompany(song(), Settings(NOTATION, Length(bars=8)), np.random.default_rng(seed)):
            given, part = (NOTATION.decode(text) for text in texts_of({"task": "accompany", **example.record()}))
            assert len(given.tracks) == len(part.tracks) == 1
            assert {given.tracks[0].name, part.tracks[0].name} == {"Lead", "Bass"}
            assert example.prompt.rstrip().endswith(example.detail["part"])
            seen.add(example.detail["part"])
    assert seen == set(families_of(song())[0])


@pytest.mark.parametrize(
    "fields", [{"bars": 0}, {"min_bars": 1}, {"context": 1.0}, {"overlap": 1.0}, {"seconds": -1.0}]
)
def test_wrong_lengths_are_refused(fields):
    with pytest.raises(ConfigError):
        Length(**fields)
