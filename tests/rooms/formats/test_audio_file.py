"""Sound files as streams: rates, channels, breakage."""

from __future__ import annotations

import numpy as np
import pytest

from cadenza.base.errors import FormatError, LimitError
from cadenza.formats._resample import resampled
from cadenza.formats.audio_file import open_audio

soundfile = pytest.importorskip("soundfile")


def tone(rate: int, hertz: float = 1000.0, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
def test_a_tone_stays_itself_at_another_rate(rate):
    sound = tone(rate)
    whole = np.concatenate(list(resampled([sound], rate, 16_000)))
    pieces = np.concatenate(list(resampled([sound[i : i + 1237] for i in range(0, len(sound), 1237)], rate, 16_000)))
    assert len(whole) == len(pieces) == 16_000
    assert np.abs(whole - tone(16_000))[200:-200].max() < 1e-4
    assert np.abs(whole - pieces).max() < 1e-5


def test_what_the_new_rate_cannot_hold_is_gone():
    high = np.concatenate(list(resampled([tone(44_100, 9_500.0)], 44_100, 16_000)))
    assert np.abs(high[300:-300]).max() < 1e-3


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_kind_is_read(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, 0.5 * np.stack([tone(44_100), tone(44_100)], axis=1), 44_100)
    audio = open_audio(path)
    assert (audio.sample_rate, audio.n_channels) == (44_100, 2)
    sound = np.concatenate(list(audio.mono(16_000)))
    assert abs(len(sound) - 16_000) < 1_500  # mp3 pads
    level = float(np.sqrt(np.mean(sound[4_000:12_000] ** 2)))
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_stretch_is_where_it_was(tmp_path):
    path = tmp_path / "ramp.wav"
    soundfile.write(path, np.linspace(0, 0.9, 32_000, dtype=np.float32), 16_000, "FLOAT")
    part = np.concatenate(list(open_audio(path).mono(16_000, start_seconds=1.0, seconds=0.5)))
    assert len(part) == 8_000
    assert part[0] == pytest.approx(0.45, abs=1e-3)


def test_what_is_no_sound_is_said(tmp_path):
    broken, empty, undefined = (tmp_path / name for name in ("broken.wav", "empty.wav", "undefined.wav"))
    broken.write_bytes(b"RIFF0000WAVEfmt nothing of the kind")
    soundfile.write(empty, np.zeros(0, np.float32), 16_000)
    soundfile.write(undefined, np.full(100, np.nan, np.float32), 16_000, "FLOAT")
    with pytest.raises(FormatError, match="a sound file"):
        open_audio(broken)
    with pytest.raises(FormatError, match="no samples"):
        open_audio(empty)
    with pytest.raises(FormatError, match="nothing there"):
        open_audio(tmp_path / "none.wav")
    with pytest.raises(FormatError, match="numbers"):
        list(open_audio(undefined).mono(16_000))
    long = tmp_path / "long.wav"
    soundfile.write(long, tone(8_000), 8_000)
    with pytest.raises(LimitError, match="at most"):
        open_audio(long, max_seconds=0.5)
