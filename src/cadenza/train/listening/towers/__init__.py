"""Towers: sound → features (T, width) at a fixed rate, by name under ``cadenza.encoders``, a file for each.

A tower is frozen: what it hears of a clip is computed once and kept. ``ear`` is cadenza's own (ONNX Runtime, no
weights of torch), ``notes`` what that hears as notes; ``whisper`` the encoder of any Whisper; ``jukebox`` layer 36 of
Jukebox as in LLark's recipe (Gardner et al. 2023); ``shards`` reads what any of them said before (``cadenza corpus
embed``); ``deaf`` hears nothing.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cadenza.base.registry import Registry
from cadenza.corpus.clips import SAMPLE_RATE

__all__ = ["ENCODERS", "SAMPLE_RATE", "Floats", "Tower", "open_tower", "pooled", "sound_of"]

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
