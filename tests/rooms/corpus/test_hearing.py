"""The task transcribe: what is heard are the passage's notes but for errors, what is written is the passage."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.corpus.hearing import HEARD_IN, Errors, heard, transcribe
from cadenza.corpus.humanise import HIGHEST_PITCH, LOWEST_PITCH
from cadenza.corpus.open import BuiltCorpus, texts_of
from cadenza.corpus.pipeline import CorpusConfig, build
from cadenza.corpus.task import HEARD, SCORE, Length, Settings
from cadenza.formats import midi
from cadenza.model.vocabulary import N_BYTES, Vocabulary
from cadenza.notation.abc import Abc
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.edit import project
from cadenza.score.model import Metre, Note, Score, Tempo, Track
from cadenza.score.repeats import unfold
from tests.strategies import scores

FEW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NOTATION = SimplifiedMidi(bars=True)


def song(n_bars: int = 40) -> Score:
    lead = Track.of([Note(480 * i, 480, 60 + i % 12) for i in range(4 * n_bars)], name="Lead", program=40)
    drums = Track.of([Note(960 * i, 60, 36 + 2 * (i % 2)) for i in range(2 * n_bars)], is_drums=True)
    return Score((lead, drums), tempos=(Tempo(0, 90.0),), metres=(Metre(0, 4, 4),), length_ticks=1920 * n_bars)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@FEW
@given(scores(max_tracks=3, max_ticks=12_000))
def test_nothing_is_heard_that_is_not_there(score):
    found = heard(score, rng(), Errors())
    there = {(track.is_drums, int(pitch)) for track in score.tracks for pitch in track.notes["pitch"]}
    pitches = [(track.is_drums, int(pitch)) for track in found.tracks for pitch in track.notes["pitch"]]
    assert set(pitches) <= there
    assert len(pitches) <= unfold().apply(score).n_notes


def test_all_is_heard_in_its_order():
    score = song()
    found = heard(score, rng(), Errors())
    assert [len(track) for track in found.tracks] == [len(track) for track in score.tracks]
    lead = found.tracks[0]
    assert lead.notes["pitch"].tolist() == score.tracks[0].notes["pitch"].tolist()
    seconds = lead.notes["onset_ticks"] / 1000
    written = score.tracks[0].notes["onset_ticks"] / 480 * 60 / 90
    assert 0.7 < np.polyfit(written, seconds, 1)[0] < 1.35  # played near its tempo, with rubato
    assert not np.allclose(np.diff(seconds), np.diff(written), atol=0.001)


@pytest.mark.parametrize("name", ["missing", "invented", "octave"])
def test_errors_come_as_often_as_is_said(name):
    counts = Counter()
    for seed in range(10):
        right = heard(song(), rng(seed), Errors()).tracks[0].notes["pitch"]
        wrong = heard(song(), rng(seed), Errors(**{name: 0.1})).tracks[0].notes["pitch"]
        common = sum((Counter(right.tolist()) & Counter(wrong.tolist())).values())
        counts.update(right=len(right), lost=len(right) - common, new=len(wrong) - common)
        assert ((wrong >= LOWEST_PITCH) & (wrong <= HIGHEST_PITCH)).all()
    lost, new = counts["lost"] / counts["right"], counts["new"] / counts["right"]
    assert 0.05 < lost < 0.15 if name != "invented" else lost < 0.02
    assert 0.05 < new < 0.15 if name != "missing" else new == 0


@pytest.mark.parametrize("notation", [NOTATION, Abc()], ids=lambda notation: notation.name)
@pytest.mark.parametrize("style", ["bare", "instruct"])
def test_an_example_is_events_and_the_passage(notation, style):
    options = Settings(notation, Length(bars=8), style)
    found = list(transcribe(song(), options, rng()))
    assert [example.first_bar for example in found] == [0, 8, 16, 24, 32]
    for example in found:
        events = example.prompt.partition(f"{HEARD}\n")[2].removesuffix(f"\n{SCORE}\n")
        told = HEARD_IN.decode(events)
        assert HEARD_IN.encode(told) == events
        assert told.n_notes > 0.7 * example.n_notes
        assert notation.decode(example.completion).n_notes == example.n_notes
        assert texts_of({"task": "transcribe", **example.record()}, style) == [example.completion]
    assert found == list(transcribe(song(), options, rng()))
    assert found != list(transcribe(song(), options, rng(1)))


def test_the_completion_is_the_passage():
    [example] = transcribe(song(8), Settings(NOTATION, Length(bars=8)), rng())
    assert NOTATION.decode(example.completion) == project(song(8), NOTATION.projection)


def test_a_corpus_of_it_is_sound_and_has_tokens_for_what_is_heard(tmp_path):
    source = tmp_path / "songs"
    source.mkdir()
    midi.write(song(), source / "song.mid")
    config = CorpusConfig(
        notation={"name": "simplified-midi", "bars": True}, tasks={"transcribe": 1.0}, length={"bars": 8}
    )
    build([source], tmp_path / "corpus", config)
    corpus = BuiltCorpus.open(tmp_path / "corpus")
    assert corpus.check() == []
    vocabulary = Vocabulary.of(corpus.fields)
    [first, *_] = corpus.rows()
    events = first["prompt"].partition(f"{HEARD}\n")[2].removesuffix(f"\n{SCORE}\n")
    ids = vocabulary.tokenize(events)
    assert min(ids) >= 3 + N_BYTES
    assert vocabulary.detokenize(ids) == events
