"""Sound files: a Score played into 16-bit stereo .wav.

Where tinysoundfont and a soundfont are there, they play; otherwise the built-in synthesizer does, so that every
installation sounds. Both take the same performance: repeats written out, bends and vibrato as pitch curves,
velocity, volume and expression, the pedal, the tempo map. The mix is brought to a common loudness and softly
limited below full scale.

The sound is made and written in blocks: a long piece costs disk, not memory.
"""

from __future__ import annotations

import io
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cadenza.base.errors import RangeError
from cadenza.base.files import writing_atomically
from cadenza.formats import _soundfont, _synth
from cadenza.formats._mixing import limited, master_gain
from cadenza.formats._performance import MAX_SECONDS, perform
from cadenza.formats._tones import Samples
from cadenza.score.audio import Audio
from cadenza.score.model import Score

BUILT_IN = "built-in synthesizer"
_SPOOL_BYTES = 64 << 20


def synthesize(
    score: Score,
    *,
    soundfont: Path | str | None = None,
    sample_rate: int = 44_100,
    reverb: float = 1.0,
    max_seconds: float = MAX_SECONDS,
) -> tuple[Audio, str]:
    """The score as sound, shape (2, n), and the name of the synthesizer that played it.

    Args:
        soundfont: an .sf2 or .sf3 file; by default one of the system's, else the built-in synthesizer plays.
            "built-in" asks for the latter.
        sample_rate: 8,000–192,000 samples a second.
        reverb: how much of the room the built-in synthesizer adds; 0 = none.
        max_seconds: the longest piece that is played; the whole result lies in memory (0.35 MB a second).

    Raises:
        LimitError: the piece is longer than ``max_seconds``.
        RangeError: ``sample_rate`` is out of range.
        FormatError: ``soundfont`` is not one.
        MissingExtraError: a soundfont was named and tinysoundfont is not installed.
    """
    blocks, player = _mixed(score, soundfont, sample_rate, reverb, max_seconds)
    parts = list(blocks)
    samples = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.float32)
    parts.clear()
    peak = float(np.abs(samples).max(initial=0))
    loudness = [_loudness(samples[:, i : i + sample_rate]) for i in range(0, samples.shape[1], sample_rate)]
    gain = np.float32(master_gain(peak, _typical(loudness)))
    for i in range(0, samples.shape[1], 1 << 20):
        samples[:, i : i + (1 << 20)] = limited(samples[:, i : i + (1 << 20)] * gain)
    return Audio(samples, sample_rate), player


def write(
    score: Score,
    path: Path | str,
    *,
    soundfont: Path | str | None = None,
    sample_rate: int = 44_100,
    reverb: float = 1.0,
    max_seconds: float = MAX_SECONDS,
) -> str:
    """Play the score into a 16-bit stereo .wav and return the name of the synthesizer; see :func:`synthesize`.

    Raises:
        LimitError, RangeError, MissingExtraError: as :func:`synthesize`.
        FormatError: ``soundfont`` is not one, or ``path`` cannot be written.
    """
    blocks, player = _mixed(score, soundfont, sample_rate, reverb, max_seconds)
    path = Path(path)
    with writing_atomically(path) as file, tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(path.parent)) as store:
        # The level is known only at the end: blocks wait as 16-bit samples, each at its own full scale.
        scales: list[tuple[float, int]] = []
        loudness: list[float] = []
        for block in blocks:
            scale = float(np.abs(block).max(initial=0)) or 1.0
            store.write(np.rint(block.T * np.float32(32_767 / scale)).astype("<i2").tobytes())
            scales.append((scale, block.shape[1]))
            loudness += [_loudness(block[:, i : i + sample_rate]) for i in range(0, block.shape[1], sample_rate)]
        silent = not any(loudness)
        gain = 0.0 if silent else master_gain(max(scale for scale, _ in scales), _typical(loudness))
        store.seek(0)
        file.write(_header(sum(n for _, n in scales), sample_rate))
        for scale, n in scales:
            stored = np.frombuffer(store.read(4 * n), "<i2").astype(np.float32)
            out = limited(stored * np.float32(scale * gain / 32_767))
            file.write(np.rint(out * 32_767).astype("<i2").tobytes())
    return player


def _mixed(
    score: Score, soundfont: Path | str | None, sample_rate: int, reverb: float, max_seconds: float
) -> tuple[Iterator[Samples], str]:
    if not 8_000 <= sample_rate <= 192_000:
        raise RangeError("a sample rate of 8,000–192,000", f"{sample_rate:,}")
    performance = perform(score, max_seconds)
    chosen = None if soundfont == "built-in" else soundfont
    if soundfont is None and _soundfont.installed():
        chosen = _soundfont.find_soundfont()
    if chosen is None:
        return _synth.stream(performance, sample_rate, reverb), BUILT_IN
    return _soundfont.stream(performance, Path(chosen), sample_rate), f"tinysoundfont with {Path(chosen).name}"


def _loudness(samples: Samples) -> float:
    return float(np.mean(samples.astype(np.float64) ** 2)) if samples.size else 0.0


def _typical(loudness: list[float]) -> float:
    """Mean square of the louder half of the sounding seconds: rests do not make a piece louder."""
    sounding = sorted(value for value in loudness if value > 1e-9)
    return float(np.mean(sounding[len(sounding) // 2 :])) if sounding else 0.0


def _header(n_samples: int, sample_rate: int) -> bytes:
    """The bytes before the samples, from the standard library's writer."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(sample_rate)
        sound.writeframes(b"")
    header = bytearray(buffer.getvalue())
    n_bytes = 4 * n_samples
    header[4:8] = (36 + n_bytes).to_bytes(4, "little")
    header[40:44] = n_bytes.to_bytes(4, "little")
    return bytes(header)
