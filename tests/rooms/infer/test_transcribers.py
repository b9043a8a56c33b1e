"""Other transcribers behind the same interface."""

from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest

from cadenza.base.errors import ConfigError, FormatError, MissingExtraError, ModelError, RegistryError
from cadenza.formats import wav
from cadenza.formats.audio_file import open_audio
from cadenza.infer.transcribers import TRANSCRIBERS, Sounded, naive, piano_transcription, transcribe_with
from cadenza.score.model import Note, Score, Tempo, Track

soundfile = pytest.importorskip("soundfile")
RATE = 16_000


def tones(path, pitches, seconds=1.0, partials=1):
    """Tones one after another, each of so many equally loud partials, a tenth of a second apart."""
    t = np.arange(int(seconds * RATE)) / RATE
    parts = [np.zeros(RATE // 2)]
    for pitch in pitches:
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        parts += [sum(np.sin(2 * np.pi * k * hertz * t) for k in range(1, partials + 1)) * 0.3, np.zeros(RATE // 10)]
    soundfile.write(path, np.concatenate(parts), RATE, "FLOAT")
    return path


def test_peaks_are_notes_and_so_are_partials(tmp_path):
    found = transcribe_with("naive", tones(tmp_path / "plain.wav", [57, 60, 64]))
    loud = [note for note in found.heard if note.confidence > 0.7]
    assert [note.pitch for note in loud] == [57, 60, 64]
    assert [note.onset_seconds for note in loud] == pytest.approx([0.5, 1.6, 2.7], abs=0.04)
    assert [note.end_seconds - note.onset_seconds for note in loud] == pytest.approx([1.05] * 3, abs=0.12)
    rich = transcribe_with("naive", tones(tmp_path / "rich.wav", [57], partials=4))
    assert {57, 69, 76, 81} <= {note.pitch for note in rich.heard if note.confidence > 0.7}


def test_notes_are_the_same_in_any_window(tmp_path, monkeypatch):
    path = tones(tmp_path / "tones.wav", [57, 60, 64, 55], partials=2)
    whole = [note for _, notes in naive.listen(open_audio(path)) for note in notes]
    monkeypatch.setattr(naive, "WINDOW_FRAMES", 37)
    assert [note for _, notes in naive.listen(open_audio(path)) for note in notes] == whole


def test_one_family_and_known_names_only(tmp_path):
    path = tones(tmp_path / "tones.wav", [57])
    assert [track.program for track in transcribe_with("naive", path, instruments=["voice"]).score.tracks] == [52]
    with pytest.raises(ConfigError, match="one instrument"):
        transcribe_with("naive", path, instruments=["voice", "piano"])
    with pytest.raises(RegistryError, match="naive"):
        transcribe_with("naivee", path)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(FormatError, match="silence"):
        transcribe_with("naive", tmp_path / "silent.wav")


def test_bends_velocities_and_an_interrupt(tmp_path, monkeypatch):
    path = tones(tmp_path / "tones.wav", [57])

    def listen(audio):
        yield 0.5, [Sounded(0.1, 0.9, 60, 300, 0.5, (0.0, 1.0, 2.0))]
        raise KeyboardInterrupt

    monkeypatch.setattr(type(TRANSCRIBERS), "load", lambda self, name: listen)
    found = transcribe_with("naive", path, instruments=["plucked"])
    assert not found.complete
    (track,) = found.score.tracks
    assert track.notes["velocity"].tolist() == [127]
    assert max(bend.cents for bend in track.bends_of(0)) == pytest.approx(200, abs=12)


@pytest.mark.parametrize(
    ("name", "module"), [("basic-pitch", "basic_pitch"), ("piano-transcription", "piano_transcription_inference")]
)
def test_what_is_missing_is_said(tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="pip install"):
        transcribe_with(name, tones(tmp_path / "tones.wav", [57]))


def test_a_checkpoint_is_not_fetched_unasked(tmp_path, monkeypatch):
    package = types.ModuleType("piano_transcription_inference")
    package.PianoTranscription = None
    monkeypatch.setitem(sys.modules, package.__name__, package)
    with pytest.raises(ModelError, match="zenodo"):
        piano_transcription.loaded(tmp_path / "none.pth")


@pytest.mark.skipif(importlib.util.find_spec("basic_pitch") is None, reason="basic-pitch is not installed")
def test_basic_pitch_hears_a_scale(tmp_path):
    pytest.importorskip("mir_eval")
    scale = Score((Track.of([Note(480 * n, 460, 60 + step) for n, step in enumerate((0, 2, 4, 5, 7))]),),
                  tempos=(Tempo(0, 100.0),))  # fmt: skip
    wav.write(scale, tmp_path / "scale.wav", soundfont="built-in", sample_rate=22_050)
    heard = transcribe_with("basic-pitch", tmp_path / "scale.wav").heard
    assert {60, 62, 64, 65, 67} <= {note.pitch for note in heard}
    assert "librosa" not in sys.modules or importlib.util.find_spec("librosa")
