"""Recorded notes as a soundfont: names, tuning, beginnings, key ranges, and how it sounds."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from cadenza.base.errors import FormatError
from cadenza.corpus.sampled_notes import RATE, cents_off, notes_font, pitch_of, trimmed
from cadenza.corpus.soundfonts import KEY_RANGE, font_bytes, read_font, write_font


def note(pitch: int, cents: float = 0.0, silence_seconds: float = 0.0, seconds: float = 2.0):
    t = np.arange(round(seconds * RATE)) / RATE
    hertz = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
    sound = sum(0.3 / h * np.sin(2 * np.pi * h * hertz * t) for h in range(1, 6)) * np.minimum(1, t / 0.02)
    return np.concatenate([np.zeros(round(silence_seconds * RATE)), sound]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "pitch"),
    [("C4", 60), ("A4", 69), ("As3", 58), ("A#3", 58), ("Bb3", 58), ("Cs-1", 1), ("G9", 127), ("H4", None),
     ("index", None), ("C44", None), ("C-2", None)],
)  # fmt: skip
def test_names_say_pitches(name, pitch):
    assert pitch_of(name) == pitch


@pytest.mark.parametrize("cents", [-38.0, -5.0, 0.0, 12.0, 45.0])
@pytest.mark.parametrize("pitch", [33, 60, 88])
def test_a_note_is_measured_against_its_name(pitch, cents):
    assert cents_off(note(pitch, cents), pitch) == pytest.approx(cents, abs=1.5)


def test_noise_and_clicks_are_not_corrected():
    assert cents_off(np.zeros(RATE, np.float32), 60) == 0.0
    assert cents_off(note(60)[: RATE // 8], 60) == 0.0


def test_a_note_begins_where_it_is_heard_and_ends_in_silence():
    out = trimmed(note(60, silence_seconds=0.5, seconds=12.0))
    assert len(out) == 9 * RATE
    loud = np.flatnonzero(np.abs(out) > 0.05)
    assert loud[0] < 0.02 * RATE
    assert abs(float(out[-1])) < 1e-3
    assert np.abs(out).max() == pytest.approx(0.7, abs=0.01)
    assert not len(trimmed(np.zeros(RATE, np.float32)))


def test_every_key_is_served_by_the_note_nearest_to_it_and_sounds_in_tune(tmp_path):
    for pitch, cents in ((60, 20.0), (69, -15.0), (76, 0.0)):
        name = {60: "C4", 69: "A4", 76: "E5"}[pitch]
        (tmp_path / "violin").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "violin" / f"{name}.wav", note(pitch, cents, 0.2), RATE)
    (tmp_path / "violin" / "README.md").write_text("not a note")
    font = notes_font({40: tmp_path / "violin"}, "made", "by a test")
    zones = font.instruments[0].zones
    spans = [((zone.get(KEY_RANGE) or 0) & 255, ((zone.get(KEY_RANGE) or 0) & 0xFFFF) >> 8) for zone in zones]
    assert spans == [(0, 64), (65, 72), (73, 127)]
    assert [sample.correction for sample in font.samples] == pytest.approx([-20, 15, 0], abs=2)
    write_font(font, tmp_path / "made.sf2")
    again = read_font(tmp_path / "made.sf2")
    assert [(p.bank, p.number) for p in again.presets] == [(0, 40)]
    tinysoundfont = pytest.importorskip("tinysoundfont")
    synth = tinysoundfont.Synth(gain=-6, samplerate=RATE)
    synth.program_select(0, synth.sfload(font_bytes(font)), 0, 40)
    for key in (58, 60, 67, 69, 80):
        synth.noteon(0, key, 100)
        sound = np.frombuffer(bytes(synth.generate(RATE * 3 // 2)), np.float32).reshape(-1, 2)[:, 0].copy()
        synth.noteoff(0, key)
        synth.generate(RATE)
        assert cents_off(sound, key) == pytest.approx(0, abs=3), key


def test_a_folder_without_notes_is_refused(tmp_path):
    with pytest.raises(FormatError, match="named by their pitch"):
        notes_font({40: tmp_path}, "none", "")
