"""Towers: sound → features (T, width) at a fixed rate, by name under ``cadenza.encoders``, a file for each.

A tower is frozen: what it hears of a clip is computed once and kept. ``ear`` is cadenza's own (ONNX Runtime, no
weights of torch), ``notes`` what that hears as notes; ``whisper`` the encoder of any Whisper; ``jukebox`` layer 36 of
Jukebox as in LLark's recipe (Gardner et al. 2023); ``shards`` reads what any of them said before (``cadenza corpus
embed``); ``deaf`` hears nothing.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cadenza.base.registry import Registry
from cadenza.corpus.clips import SAMPLE_RATE

__all__ = ["ENCODERS", "SAMPLE_RATE", "Floats", "Tower", "Transposing", "open_tower", "pooled", "shifted", "sound_of"]

ENCODERS = Registry("cadenza.encoders", "encoder")

Floats = NDArray[np.float32]


class Tower(Protocol):
    """What hears.

    Attributes:
        width: of a frame.
        frames_per_second: of what it gives; 0 where its frames have no fixed rate.
    """

    width: int
    frames_per_second: float

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        """Features of mono sound at :data:`SAMPLE_RATE`, shape (T, width)."""
        ...

    def fingerprint(self) -> str:
        """Of what the features depend on beside the sound."""
        ...


@runtime_checkable
class Transposing(Protocol):
    """A tower whose features tell pitches apart, so that those of transposed sound follow from them."""

    def transposed(self, features: Floats, semitones: int) -> Floats:
        """The features as they were if all pitches lay so much higher; those that leave the range are gone."""
        ...


def open_tower(name: str, source: str = "") -> Tower:
    """The tower of a name.

    Args:
        source: a folder or hub id, where the tower takes one.

    Raises:
        RegistryError: no such name.
        ModelError: nothing usable lies at the source.
    """
    made: Tower = ENCODERS.load(name)(source)
    return made


def sound_of(samples: NDArray[np.int16]) -> Floats:
    """The same as numbers of −1 to 1."""
    return np.divide(samples, 32768, dtype=np.float32)


def shifted(features: Floats, n_blocks: int, n_pitches: int, semitones: int) -> Floats:
    """A copy whose first ``n_blocks`` × ``n_pitches`` columns, a block of all pitches after another, are moved up."""
    out = features.copy()
    semitones = int(np.clip(semitones, -n_pitches, n_pitches))
    low, high = max(0, semitones), n_pitches + min(0, semitones)
    for start in range(0, n_blocks * n_pitches, n_pitches):
        out[:, start : start + n_pitches] = 0
        out[:, start + low : start + high] = features[:, start + low - semitones : start + high - semitones]
    return out


def pooled(features: Floats, factor: int, how: str = "mean") -> Floats:
    """Every ``factor`` frames as one, shape (ceil(T / factor), width); the last ones may be fewer."""
    n, width = features.shape
    whole = -(-n // factor)
    if how == "max":
        padded = np.pad(features, ((0, whole * factor - n), (0, 0)), constant_values=-np.inf)
        return padded.reshape(whole, factor, width).max(1)
    sums = np.pad(features, ((0, whole * factor - n), (0, 0))).reshape(whole, factor, width).sum(1)
    counts = np.minimum(factor, n - factor * np.arange(whole))
    return (sums / counts[:, None]).astype(np.float32)
