"""Sound files as streams: rates, channels, breakage."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cadenza.base.errors import FormatError, LimitError, MissingExtraError
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


# ── what ffmpeg reads ────────────────────────────────────────────────────────────────────────────────────

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="no ffmpeg here (apt-get install ffmpeg)"
)


def encoded(path: Path, sound: np.ndarray, rate: int, *options: str) -> Path:
    """The sound as ffmpeg's own encoder writes it."""
    source = path.with_suffix(".wav")
    soundfile.write(source, sound, rate)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *options, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "mp4", "aac"])
def test_aac_is_read_as_it_was_recorded(tmp_path, suffix):
    sound = np.linspace(0, 0.8, 3 * 44_100, dtype=np.float32) * tone(44_100, 440.0, 3.0)
    path = encoded(tmp_path / f"- tone.{suffix}", np.stack([sound, sound], 1), 44_100, "-b:a", "128k")
    audio = open_audio(path)
    assert (audio.sample_rate, audio.n_channels) == (44_100, 2)
    assert audio.duration_seconds == pytest.approx(3.0, abs=0.2)  # .aac says no length, its rate tells
    whole = np.concatenate(list(audio.mono(16_000)))
    expected = np.concatenate(list(resampled([sound], 44_100, 16_000)))
    if suffix != "aac":  # whose encoder's delay nobody says
        assert abs(len(whole) - len(expected)) < 800
        assert np.abs(whole[1_000:40_000] - expected[1_000:40_000]).max() < 0.05
        part = np.concatenate(list(audio.mono(16_000, 1.0, 0.5)))
        assert len(part) == 8_000
        assert np.abs(part[200:-200] - expected[16_200:23_800]).max() < 0.05


@needs_ffmpeg
def test_what_ffmpeg_cannot_read_is_said(tmp_path):
    whole = encoded(tmp_path / "whole.m4a", tone(16_000, 440.0, 4.0), 16_000, "-movflags", "+faststart")
    data = whole.read_bytes()
    broken, cut, text = (tmp_path / f"{name}.m4a" for name in ("broken", "cut", "text"))
    broken.write_bytes(data[:60])
    cut.write_bytes(data[: 2 * len(data) // 3])
    text.write_text("#EXTM3U\nhttp://example.org/sound.m4a\n")
    silent_film = tmp_path / "film.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=1", "-c:v", "mpeg4", str(silent_film)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    for path in (broken, text, silent_film):
        with pytest.raises(FormatError, match="ffmpeg decodes"):
            open_audio(path)
    with pytest.raises(FormatError, match="to its end"):
        list(open_audio(cut).mono(16_000))
    disguised = tmp_path / "whole.bin"
    disguised.write_bytes(data)
    assert open_audio(disguised).by_ffmpeg


def test_without_ffmpeg_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "song.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A ")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match="apt install ffmpeg"):
        open_audio(path)
