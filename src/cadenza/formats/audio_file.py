"""Sound files, read as a stream: wav, flac, ogg, mp3 and what else libsndfile knows; any rate, any channels.

What libsndfile does not know (.m4a, .mp4, .aac, .wma, .webm) is read by ffmpeg where that is installed. Nothing here
makes a Score of them: that takes an ear (:mod:`cadenza.infer.transcribe`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError, LimitError, MissingExtraError
from cadenza.formats import _ffmpeg
from cadenza.formats._resample import resampled

BLOCK_SAMPLES = 1 << 18
MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64
SUFFIXES = ("wav", "flac", "ogg", "oga", "mp3", "aif", "aiff", "au", "w64", "opus", *_ffmpeg.SUFFIXES)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AudioFile:
    """A sound file and what its header says.

    Args:
        by_ffmpeg: whether ffmpeg decodes it, else libsndfile.
    """

    path: Path
    sample_rate: int
    n_channels: int
    n_samples: int
    by_ffmpeg: bool = False

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate

    def mono(self, sample_rate: int, start_seconds: float = 0.0, seconds: float = math.inf) -> Iterator[Floats]:
        """Blocks of the mean of its channels at a rate, from ``start_seconds`` on.

        Raises:
            FormatError: the file breaks off, or holds what is no number.
        """
        return resampled(self._blocks(start_seconds, seconds), self.sample_rate, sample_rate)

    def _blocks(self, start_seconds: float, seconds: float) -> Iterator[Floats]:
        if self.by_ffmpeg:
            found = _ffmpeg.blocks(
                self.path, self.sample_rate, self.n_channels, self.n_samples, BLOCK_SAMPLES, start_seconds, seconds
            )
        else:
            found = self._by_libsndfile(start_seconds, seconds)
        for block in found:
            mono = block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                raise FormatError("samples that are numbers", "infinite or undefined ones", where=str(self.path))
            yield mono

    def _by_libsndfile(self, start_seconds: float, seconds: float) -> Iterator[Floats]:
        soundfile = _soundfile()
        left = math.inf if math.isinf(seconds) else round(seconds * self.sample_rate)
        try:
            with soundfile.SoundFile(str(self.path)) as file:
                if start_seconds:
                    file.seek(min(round(start_seconds * self.sample_rate), self.n_samples))
                while left > 0:
                    block = file.read(int(min(BLOCK_SAMPLES, left)), dtype="float32", always_2d=True)
                    if not len(block):
                        return
                    left -= len(block)
                    yield block
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise FormatError("sound to its end", str(error)[:200], where=str(self.path)) from None


def open_audio(path: Path | str, max_seconds: float = 24 * 3600.0) -> AudioFile:
    """The header of a sound file.

    Raises:
        FormatError: no such file, or none that holds sound.
        LimitError: it lasts longer than ``max_seconds``.
        MissingExtraError: soundfile is not installed, or ffmpeg where the file asks for it.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError("a sound file", "a folder" if path.is_dir() else "nothing there", where=str(path))
    by_ffmpeg = _ffmpeg.wanted(path)
    rate, channels, samples = _ffmpeg.probe(path) if by_ffmpeg else _header(path)
    if not MIN_RATE <= rate <= MAX_RATE or not 1 <= channels <= MAX_CHANNELS:
        found = f"{rate:,} Hz, {channels} channels"
        raise FormatError(f"{MIN_RATE:,}–{MAX_RATE:,} Hz and 1–{MAX_CHANNELS} channels", found, where=str(path))
    if samples <= 0:
        raise FormatError("sound", "no samples", where=str(path))
    if samples / rate > max_seconds:
        raise LimitError(f"at most {max_seconds:,.0f} seconds", f"{samples / rate:,.0f}", where=str(path))
    return AudioFile(path, rate, channels, samples, by_ffmpeg)


def _header(path: Path) -> tuple[int, int, int]:
    """(sample rate, channels, samples a channel), by libsndfile."""
    soundfile = _soundfile()
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        said = str(getattr(error, "error_string", error))[:200]
        raise FormatError(
            f"a sound file ({', '.join('.' + suffix for suffix in SUFFIXES[:5])}, .m4a …)", said, where=str(path),
            hint="Convert what is of another kind first, for instance with ffmpeg.",
        ) from None  # fmt: skip
    return int(info.samplerate), int(info.channels), int(info.frames)


def is_audio(path: Path) -> bool:
    """Whether the suffix is one of a sound file."""
    return path.suffix.lower().lstrip(".") in SUFFIXES


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # the latter where its library is not there
        raise MissingExtraError("soundfile", "no such package", hint="pip install cadenza[sound]") from None
    return soundfile
