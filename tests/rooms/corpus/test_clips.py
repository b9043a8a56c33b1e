"""Clips of sound with their text, and questions about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.base.errors import ConfigError, FormatError
from cadenza.corpus import questions
from cadenza.corpus.clips import NOTATION, SAMPLE_RATE, ClipRecipe, ClipStore, build
from cadenza.score.model import Key
from cadenza.score.time import bar_table, ticks_to_seconds

EXAMPLES = Path(__file__).parents[3] / "examples"
RECIPE = ClipRecipe(seconds=4, bars=[1, 2], least_notes=3)


@pytest.fixture(scope="module")
def pieces():
    return [(name, name, formats.read(EXAMPLES / name)) for name in ("waltz.mid", "chorale.mid", "riff.gp5")]


@pytest.fixture(scope="module")
def store(pieces, tmp_path_factory) -> ClipStore:
    return build(pieces, 8, "train", tmp_path_factory.mktemp("clips"), RECIPE)


def test_what_is_told_is_what_sounds(store):
    assert len(store) == 8
    for number in range(len(store)):
        clip = store[number]
        score = NOTATION.decode(clip.text)
        assert score.metres
        assert score.tempos
        assert score.keys
        seconds = float(ticks_to_seconds(score, score.length_ticks))
        assert abs(len(clip.samples) / SAMPLE_RATE - seconds) < 0.3
        assert seconds <= RECIPE.seconds
        assert 1 <= len(bar_table(score)) <= 2
        assert np.abs(clip.samples).max() > 10_000
        onset = min(float(ticks_to_seconds(score, int(t.notes["onset_ticks"].min()))) for t in score.tracks)
        # Leading rests are kept: before the first note there is next to nothing to hear.
        before = clip.samples[: int(max(0.0, onset - 0.1) * SAMPLE_RATE)]
        assert np.abs(before.astype(int)).max(initial=0) < 3_000


def test_a_stopped_build_goes_on_to_the_same_clips(store, pieces, tmp_path):
    build(pieces, 3, "train", tmp_path, RECIPE)
    with (tmp_path / "sound.i16").open("ab") as file:
        file.write(b"\x01\x02" * 500)  # of a clip that was not finished
    with (tmp_path / "clips.jsonl").open("a") as file:
        file.write('{"name": "half')
    again = build(pieces, 8, "train", tmp_path, RECIPE)
    assert again.texts == store.texts
    assert all(np.array_equal(again[i].samples, store[i].samples) for i in range(8))
    with pytest.raises(ConfigError, match="begun"):
        build(pieces, 9, "train", tmp_path, ClipRecipe(seconds=3))


def test_what_cannot_be_is_said(pieces, tmp_path):
    with pytest.raises(FormatError, match="clips"):
        ClipStore(tmp_path / "nothing")
    with pytest.raises(FormatError, match="notes"):
        build(pieces, 1, "train", tmp_path / "a", ClipRecipe(least_notes=5000))
    with pytest.raises(FormatError, match="split test"):
        build([], 1, "test", tmp_path / "b", RECIPE)
    with pytest.raises(ConfigError):
        ClipRecipe(bars=[3, 2])


def test_questions_have_the_answers_of_the_score(store):
    clip = store[0]
    asked = {questions.kind_of(question): answer for question, answer in clip.questions}
    score = NOTATION.decode(clip.text)
    assert asked["metre"] == f"{score.metres[0].numerator}/{score.metres[0].denominator}"
    assert asked["tempo"] == str(round(score.tempos[0].quarters_per_minute))
    assert all(questions.credit(question, answer, answer) == 1 for question, answer in clip.questions)
    assert all(questions.credit(question, "I do not know", answer) == 0 for question, answer in clip.questions)


def test_credit():
    ask = questions.ASKED
    assert questions.credit(ask["tempo"], "104", "100") == 1
    assert questions.credit(ask["tempo"], "105", "100") == 0
    assert questions.credit(ask["key"], "E minor", "G major") == 0.5
    assert questions.credit(ask["key"], "D major", "G major") == 0
    assert questions.credit(ask["instruments"], "Violin, Cello", "Violin") == pytest.approx(2 / 3)
    assert questions.key_name(Key(0, -3, "minor")) == "C minor"
    assert questions.key_name(Key(0, 7, "major")) == "C# major"
