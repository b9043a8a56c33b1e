"""Sound files: a Score played into .mp3, through libsndfile (the package soundfile) where it can.

The same performance as :mod:`cadenza.formats.wav`, compressed by libsndfile's encoder (LAME) at a variable bit rate.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from cadenza.base.errors import MissingExtraError, RangeError
from cadenza.base.files import write_atomically
from cadenza.formats.wav import synthesize
from cadenza.score.model import Score

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # that MPEG 1, 2 and 2.5 layer III have


def check_installed(suffix: str = "mp3") -> None:
    """Fail early where no .mp3 can be written.

    Raises:
        MissingExtraError: soundfile is not installed, or its libsndfile knows no MP3.
    """
    del suffix
    _encoder()


def write(
    score: Score,
    path: Path | str,
    *,
    soundfont: Path | str | None = None,
    sample_rate: int = 44_100,
    quality: float = 0.8,
) -> str:
    """Play the score into an .mp3 and return the name of the synthesizer.

    Args:
        soundfont, sample_rate: see :func:`cadenza.formats.wav.synthesize`; the rates are those of the format.
        quality: 0 (smallest) to 1 (best).

    Raises:
        MissingExtraError: no encoder.
        RangeError: a rate or quality out of range.
        LimitError: the piece is too long.
        FormatError: ``soundfont`` is not one, or ``path`` cannot be written.
    """
    encoder = _encoder()
    if sample_rate not in RATES:
        raise RangeError(f"a sample rate of {', '.join(map(str, RATES))}", str(sample_rate))
    if not 0 <= quality <= 1:
        raise RangeError("a quality of 0 to 1", repr(quality))
    audio, player = synthesize(score, soundfont=soundfont, sample_rate=sample_rate)
    buffer = io.BytesIO()
    level = 0.99 * (1 - quality)  # at 1 itself libsndfile refuses
    encoder.write(buffer, audio.samples.T, sample_rate, format="MP3", compression_level=level)
    write_atomically(path, buffer.getvalue())
    return player


def _encoder() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there and its library is not
        hint = "pip install 'cadenza[sound]'; .wav needs nothing."
        raise MissingExtraError("the package soundfile to write .mp3", "none", hint=hint) from None
    if "MP3" not in soundfile.available_formats():
        hint = "Install a newer soundfile; .wav needs nothing."
        raise MissingExtraError("a libsndfile with MP3 (1.1 or later)", soundfile.__libsndfile_version__, hint=hint)
    return soundfile
