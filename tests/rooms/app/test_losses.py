"""What a conversion says that it loses: the Edit's sentence, and how much; nothing where nothing musical changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cadenza import formats
from cadenza.app.losses import Loss, losses_of, projected
from cadenza.base.errors import FormatError
from cadenza.score.compare import compare
from cadenza.score.edit import project
from cadenza.score.model import CONTROL_DTYPE, STANDARD_TUNINGS, BarMark, Key, Note, Score, Technique, Tempo, Track
from cadenza.score.written import BEAT_DTYPE, Mark
from tests.strategies import examples, scores

TUNING = STANDARD_TUNINGS["guitar"]


def said(score: Score, suffix: str) -> dict[str, str]:
    return {loss.says: loss.counted for loss in losses_of(score, Path(f"piece.{suffix}"))}


def tab() -> Score:
    notes = [Note(i * 960, 960, 45 + i, 95, (), 5, i, Technique.PALM_MUTE if i else Technique.NONE) for i in range(8)]
    beats = np.array([(i * 960, 960, 0, 4, 0, 1, 1) for i in range(8)], BEAT_DTYPE)
    marks = (Mark(0, "chord", text="Am"), Mark(0, "lyric", text="la"), Mark(960, "lyric", text="la"))
    track = Track.of(notes, name="Lead", program=29, tuning=TUNING, beats=beats, marks=marks)
    return Score((track,), 960, (Tempo(0, 140.0),), bars=(BarMark(0, True), BarMark(3840, False, 2)), composer="A")


def test_losses_are_counted() -> None:
    found = said(tab(), "mid")
    assert found["drops strings and frets of notes"] == "8 notes"
    assert found["drops playing techniques"] == "7 notes"
    assert found["drops tunings and capos"] == "1 tuning"
    assert found["drops the composer"] == ""
    assert {text for text in found.values() if "repeat mark" in text} == {"2 repeat marks"}
    written = next(text for sentence, text in found.items() if "written" in sentence)
    assert written == "8 note values, 1 chord name, 2 syllables"


def test_what_says_the_same_in_another_way_is_no_loss() -> None:
    plain = Score((Track.of([Note(0, 480, 60)], name="a"),), 480, (Tempo(0, 140.0), Tempo(480, 140.0)))
    assert said(plain, "mid") == {}  # 140 a minute is no whole number of microseconds a quarter
    again = replace(tab(), bars=(), composer="")
    track = replace(again.tracks[0], beats=again.tracks[0].beats[:0], marks=())
    coarse = Track.of([replace(n, onset_ticks=n.onset_ticks // 8, duration_ticks=120) for n in track],
                      name="Lead", program=29, tuning=TUNING)  # fmt: skip
    assert said(Score((coarse,), 120, (Tempo(0, 140.0),)), "gp5") == {}


def test_notes_that_go_are_told_from_those_that_change() -> None:
    drums = Track.of([Note(0, 480, 36, 95), Note(480, 480, 110, 95)], is_drums=True, name="d")
    found = said(Score((drums,), 480), "gp5")
    assert any("1 note dropped" in text for text in found.values())
    keys = replace(tab(), keys=(Key(0, 3),))
    assert "key" not in " ".join(said(keys, "mid").values())


def test_controllers_and_renderings() -> None:
    events = np.array([(0, 7, 90), (480, 10, 3)], CONTROL_DTYPE)
    score = Score((Track.of([Note(0, 480, 60, 95)], controls=events),), 480)
    assert said(score, "gp5")["drops controllers (pedal, volume, pan)"] == "2 controller values"
    assert said(score, "wav") == said(score, "png") == {}


def test_what_the_file_will_hold() -> None:
    losses, held = projected(tab(), Path("piece.mid"))
    assert held == project(tab(), formats.FORMATS.load("mid").PROJECTION)
    assert str(losses[0]) == "drops strings and frets of notes (8 notes)"
    assert str(Loss("drops the composer")) == "drops the composer"
    with pytest.raises(FormatError):
        losses_of(tab(), Path("piece.jams"))


@settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(scores(max_tracks=3, max_notes=10))
def test_something_is_said_where_the_file_holds_something_else(score: Score) -> None:
    for suffix in ("mid", "smidi"):
        try:
            losses, held = projected(score, Path(f"piece.{suffix}"))
        except FormatError:
            continue
        if compare(score, held):
            assert losses
