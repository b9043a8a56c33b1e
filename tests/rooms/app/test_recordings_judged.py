"""``evaluate transcription`` over folders of recordings beside MIDI, MusicXML, ABC, JAMS and CSV."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from cadenza import formats
from cadenza.app.evaluation import pairs
from cadenza.base.errors import ConfigError
from cadenza.formats import wav
from cadenza.score.fingering import finger
from cadenza.score.model import STANDARD_TUNINGS, Note, Score, Tempo, Track
from cadenza.score.table import note_table
from docs.makers import MAKERS

soundfile = pytest.importorskip("soundfile")


def piece() -> Score:
    """Four bars for a piano, quarters and eighths: of quarters alone nobody could tell whether they are eighths."""
    bar = ((0, 460), (480, 220), (720, 220), (960, 460), (1440, 460))
    pitches = (64, 65, 67, 72, 71, 69, 67, 65, 64, 62)
    melody = [Note(1920 * (n // 5) + bar[n % 5][0], bar[n % 5][1], pitch, 90) for n, pitch in enumerate(pitches * 2)]
    bass = [Note(960 * n, 900, pitch, 80) for n, pitch in enumerate((48, 53, 50, 55) * 2)]
    return Score((Track.of(melody + bass),), tempos=(Tempo(0, 100.0),))


def tab() -> Score:
    """Its melody on a guitar's strings."""
    track = replace(piece().tracks[0], program=25, tuning=STANDARD_TUNINGS["guitar"])
    melody = track.with_notes(track.notes[track.notes["pitch"] >= 62])
    return piece().with_tracks([finger(melody)])


def csv_of(score: Score) -> str:
    rows = [f"{r['onset_seconds']:.4f},{r['onset_seconds'] + r['duration_seconds']:.4f},{r['pitch']}" for r in
            note_table(score)]  # fmt: skip
    return "\n".join(["onset_seconds,offset_seconds,pitch", *rows, ""])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One folder: recordings of one piece in several formats, beside references in several others."""
    root = tmp_path_factory.mktemp("recordings")
    score = piece()
    wav.write(score, root / "midi.wav", soundfont="built-in", sample_rate=16_000)
    sound, rate = soundfile.read(root / "midi.wav")
    soundfile.write(root / "sheet.flac", sound, rate)
    soundfile.write(root / "tune.ogg", sound, rate)
    wav.write(tab(), root / "00_Test-100-C_solo_mic.wav", soundfont="built-in", sample_rate=22_050)
    soundfile.write(root / "song.wav", sound, rate)
    for name in ("midi.mid", "sheet.musicxml", "tune.abc"):
        formats.write(score, root / name)
    MAKERS["jams"](tab(), root / "00_Test-100-C_solo.jams")
    (root / "song_notesA1.csv").write_text(csv_of(score))
    return root


def test_every_kind_of_reference_meets_its_recording(tmp_path, place):
    config = pairs.PairsConfig(str(place), str(place), model="shipped", resamples=20)
    report = pairs.run(config, tmp_path / "out", n_workers=1, limit_seconds=300, say=lambda *_: None)
    assert not report["problems"]
    by = {one["name"]: one["columns"] for one in report["pairs"]}
    assert sorted(by) == ["00_Test-100-C_solo", "midi", "sheet", "song_notesA1", "tune"]
    for name, found in by.items():
        assert found["onset_f1"] > 0.85, name  # of the built-in strings an octave is heard now and then
    # As a score, the page is judged: bars and beats are found, not the ticks of the hearing.
    assert by["midi"]["mv_pitch"] > 0.9
    assert by["sheet"]["mv_pitch"] > 0.9


def test_other_transcribers_by_name(tmp_path, place):
    config = pairs.PairsConfig(str(place), str(place), model="naive", metrics=["transcription"], resamples=20)
    report = pairs.run(config, tmp_path / "out", n_workers=1, limit_seconds=300, say=lambda *_: None)
    assert report["system"] == "naive"
    assert 0.1 < report["figures"]["onset_f1"]["value"] < 0.9


def test_which_recording_is_meant_is_said_or_asked(tmp_path):
    for name in ("a.mid", "b.mid"):
        formats.write(piece(), tmp_path / name)
    for name in ("a_mic.wav", "a2.wav"):
        soundfile.write(tmp_path / name, np.zeros(10), 16_000)
    found = pairs.pairs_of(tmp_path, tmp_path, "skip", sounds=True)
    assert [(one.name, one.est.name) for one in found if one.est] == [("a", "a_mic.wav")]
    assert len(found) == 1
    shutil.copy(tmp_path / "a_mic.wav", tmp_path / "a_mix.wav")
    with pytest.raises(ConfigError, match="one recording for a"):
        pairs.pairs_of(tmp_path, tmp_path, sounds=True)
